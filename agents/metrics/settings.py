"""How metrics are written: which families there are, when they are flushed, and where they go."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from tailrace.agents.metrics.admission import NO_LIMITS, Limits
from tailrace.schemas.sums import Layout
from tailrace.tables.interval_source import RollupTopic
from tailrace.tables.series_expiry import Expiry

FOR_EVER: Final = Expiry()
"""Series stay, however long they have no news."""
ALONE: Final = RollupTopic("", 1, 0, 0)
"""One partition, so everything is of it."""
Naming = Literal["collector", "tempo"]
"""After whom metrics are named: the collector's connectors, or Tempo's metrics-generator."""


@dataclass(frozen=True, slots=True)
class RollUpMetrics:
    """RED once more, named after *namespace*, by service and *dimensions* alone."""

    namespace: str
    dimensions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RedMetrics:
    """How RED is written: every *flush_ms*, named after *namespace*, in *unit* (`ms` or `s`).

    `layout`: of durations; None: there are none. `calls`: of calls whose labels are others than
    those of durations; without it the histogram tells them. `exemplars`: at most so many at a
    point. `limits`: how many series there may be, and values of their labels.
    """

    layout: Layout | None
    flush_ms: int
    namespace: str
    unit: str
    calls: Layout | None = None
    events: Layout | None = None
    is_delta: bool = False
    expiry: Expiry = FOR_EVER
    exemplars: int = 0
    roll_ups: tuple[RollUpMetrics, ...] = ()
    limits: Limits = NO_LIMITS


@dataclass(frozen=True, slots=True)
class EdgeMetrics:
    """How the service graph is written; points seem *offset_ms* older than they are.

    `limits`: how many edges of a client there may be, and values of their labels.
    """

    layout: Layout
    flush_ms: int
    expiry: Expiry = FOR_EVER
    offset_ms: int = 0
    limits: Limits = NO_LIMITS


@dataclass(frozen=True, slots=True)
class MetricsSettings:
    """Where metrics go, and how large a record may be. A family that is None is turned off.

    This is the partition `partition` of `rollups`.
    """

    metrics_topic: str
    edges_topic: str
    record_bytes: int
    red: RedMetrics | None
    edges: EdgeMetrics | None
    matches_flush_ms: int | None = None
    naming: Naming = "collector"
    has_tenants: bool = False
    rollups: RollupTopic = ALONE
    partition: int = 0
