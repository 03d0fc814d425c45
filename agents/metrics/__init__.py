"""Metrics: partial sums become cumulative series, OTLP metrics and edges; each series once."""
