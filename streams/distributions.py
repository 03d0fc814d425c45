"""What is measured of a worker's work, as distributions since the process started.

Histograms where the largest matter, summaries (a count and a sum) where the mean is enough.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from prometheus_client import Histogram, Summary
from prometheus_client.core import Metric


@dataclass(frozen=True, slots=True)
class Distribution:
    """A histogram with *buckets*, or a summary if there are none."""

    name: str
    help: str
    labels: tuple[str, ...]
    buckets: tuple[float, ...] = ()

    @property
    def kind(self) -> str:
        """What it is in OpenMetrics."""
        return "histogram" if self.buckets else "summary"


_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_RECORDS: Final = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0, 3000.0, 10_000.0)

CHECKPOINT_SECONDS: Final = Distribution(
    "checkpoint_seconds",
    "How long checkpoints took, from taking the changes to having written them to the store.",
    ("stage",),
    _SECONDS,
)
TAKEOVER_SECONDS: Final = Distribution(
    "takeover_seconds",
    "How long taking a partition over took: fencing, restoring, building.",
    ("stage",),
    _SECONDS,
)
BATCH_RECORDS: Final = Distribution(
    "batch_records", "Records of a batch, as the broker delivered them.", ("stage",), _RECORDS
)
BATCH_CPU_SECONDS: Final = Distribution(
    "batch_cpu_seconds",
    "CPU time that a batch took: of decoding, and of each capability that saw it.",
    ("stage", "part"),
)
DISTRIBUTIONS: Final = (CHECKPOINT_SECONDS, TAKEOVER_SECONDS, BATCH_RECORDS, BATCH_CPU_SECONDS)


class Distributions:
    """Those of one process."""

    def __init__(self) -> None:
        self._metrics = {each: _metric(each) for each in DISTRIBUTIONS}

    def observe(self, distribution: Distribution, value: float, *labels: str) -> None:
        """Let *value* be one more of those with *labels*."""
        self._metrics[distribution].labels(*labels).observe(value)

    def collect(self) -> Iterator[Metric]:
        """Yield every distribution, in the order of their declarations."""
        for metric in self._metrics.values():
            yield from metric.collect()


def _metric(distribution: Distribution) -> Histogram | Summary:
    name = f"tailrace_{distribution.name}"
    if not distribution.buckets:
        return Summary(name, distribution.help, distribution.labels, registry=None)
    return Histogram(
        name, distribution.help, distribution.labels, buckets=distribution.buckets, registry=None
    )
