"""Reads OTLP metrics that come in, and passes on the samples that alerts ask for."""
