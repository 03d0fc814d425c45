"""RED metrics: how many spans, how many failed and how long they took, by series."""
