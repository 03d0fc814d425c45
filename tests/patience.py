"""How long tests wait for what must come."""

PATIENCE_S = 240.0
"""For what comes sooner, however slow the machine is: whoever waited so long has failed."""
