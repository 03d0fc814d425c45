"""The functions of conditions, a subject a file. `declaration` says how one is declared."""
