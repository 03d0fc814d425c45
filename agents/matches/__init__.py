"""Counts, by event time, how often spans are what alerts and objectives ask for."""
