"""Re-keying: spans of any key in, one record for each trace's part of a message out."""
