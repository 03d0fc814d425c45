"""OTLP traces on the wire: protobuf to columns, messages cut and joined, JSON both ways."""
