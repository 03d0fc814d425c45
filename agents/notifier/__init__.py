"""Notifications: who is told of which alerts, when, and together with what; and their sending."""
