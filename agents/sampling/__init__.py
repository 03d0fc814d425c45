"""Tail sampling: which traces are kept, and why."""
