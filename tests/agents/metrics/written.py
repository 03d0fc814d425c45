"""A family's series that are flushed when a test says so, and what was written, read back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    AGGREGATION_TEMPORALITY_CUMULATIVE,
    AGGREGATION_TEMPORALITY_DELTA,
)

from tailrace.agents.metrics.instruments import Family, edge_family, red_family
from tailrace.agents.metrics.messages import MetricsWriter
from tailrace.schemas.exemplars import Exemplar
from tailrace.schemas.sums import Rollup
from tailrace.tables.series import SeriesTable
from tailrace.tables.series_expiry import Expiry
from tailrace.tables.store import MemoryDisk, PartitionStore
from tests.agents.metrics.flushes import EDGE_LAYOUT, RED_LAYOUT, Point, points

DELTA, CUMULATIVE = AGGREGATION_TEMPORALITY_DELTA, AGGREGATION_TEMPORALITY_CUMULATIVE
_FOR_EVER = Expiry()
_NO_EXEMPLARS: Mapping[bytes, Sequence[Exemplar]] = {}
AT_MS = 1_700_000_000_000
PERIOD_MS = 10_000
LIMIT = 1_000_000
RED = red_family(RED_LAYOUT, "traces.span.metrics", "ms")
EDGES = edge_family(EDGE_LAYOUT)


class Series:
    """The series of *family*, flushed when a test says so."""

    def __init__(
        self,
        family: Family,
        limit: int = LIMIT,
        *,
        is_delta: bool = False,
        expiry: Expiry = _FOR_EVER,
    ) -> None:
        store = PartitionStore(MemoryDisk())
        self.table = SeriesTable(
            store,
            b"t",
            family.layout,
            family.counted,
            PERIOD_MS,
            expiry=expiry,
            split=family.split,
        )
        self.writer = MetricsWriter(family, self.table, limit, is_delta=is_delta)
        self._temporality = DELTA if is_delta else CUMULATIVE
        self.at = AT_MS
        self.values: list[bytes] = []
        self.too_large = 0

    def flush(
        self, *rollups: Rollup, exemplars: Mapping[bytes, Sequence[Exemplar]] = _NO_EXEMPLARS
    ) -> list[Point]:
        """Add *rollups* and flush at the next boundary, with *exemplars* by key."""
        self.at += PERIOD_MS
        for each in rollups:
            self.table.add(each)
        closed, expired = self.table.close(self.at), self.table.expired(self.at)
        by_slot = {self.table.keys.index(key): each for key, each in exemplars.items()}
        self.values, self.too_large = self.writer.write(closed, self.at, expired, by_slot)
        self.table.give_up(expired)
        return points(self.values, self._temporality)
