"""Alerts: what definitions count, compared with what they allow, and the life of each alert."""
