"""Configuration: frozen models that validate themselves, and tell everything wrong at once."""

from tailrace.schemas.config.source import load, parse
from tailrace.schemas.config.tail_sampling import TailSamplingConfig
from tailrace.schemas.config.worker import WorkerConfig

__all__ = ["TailSamplingConfig", "WorkerConfig", "load", "parse"]
