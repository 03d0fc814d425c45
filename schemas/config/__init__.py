"""Configuration: frozen models that validate themselves, and tell everything wrong at once."""

from tailrace.schemas.config.service_graph import ServiceGraphConfig
from tailrace.schemas.config.source import load, parse
from tailrace.schemas.config.span_metrics import SpanMetricsConfig
from tailrace.schemas.config.tail_sampling import TailSamplingConfig
from tailrace.schemas.config.worker import WorkerConfig

__all__ = [
    "ServiceGraphConfig",
    "SpanMetricsConfig",
    "TailSamplingConfig",
    "WorkerConfig",
    "load",
    "parse",
]
