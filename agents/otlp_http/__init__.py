"""OTLP over HTTP: metrics go to receivers as they are in their topic."""
