"""Remote write: OTLP metrics become the samples that Prometheus and its like receive."""
