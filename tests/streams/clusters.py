"""What tasks are told of the topics around them, where there are none."""

from __future__ import annotations

from collections.abc import Mapping

from tailrace.schemas import topics
from tailrace.schemas.config import WorkerConfig
from tailrace.streams.cluster import Cluster

RECORD_BYTES = 900_000


def cluster(
    config: WorkerConfig,
    record_bytes: int = RECORD_BYTES,
    *,
    partitions: int = 1,
    rollup_partitions: int = 1,
    inputs: Mapping[str, int] | None = None,
) -> Cluster:
    """A cluster in which the topics of *config* have so many partitions.

    *inputs*: those of the input topics, where they have others than the spans by trace ID.
    """
    spans = dict.fromkeys([*config.input.topics, topics.rekeyed_spans(config.app)], partitions)
    counts = spans | dict(inputs or {}) | {topics.rollups(config.app): rollup_partitions}
    return Cluster("test", counts, record_bytes, record_bytes, RECORD_BYTES, {})
