"""What a series costs in memory between flushes, and while one is written."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pytest

from tailrace.agents.metrics.logic import MetricsLogic, MetricsSettings, RedMetrics
from tailrace.schemas.config.histograms import DEFAULT_BUCKETS
from tailrace.schemas.records import Arrivals, Outbox, Totals
from tailrace.schemas.series import (
    RedSeries,
    encoded_attributes,
    encoded_resource,
    red_layout,
)
from tailrace.schemas.sums import Layout, Rollup, observed
from tailrace.tables.store import Changes, MemoryDisk, PartitionStore
from tests.agents.metrics.flushes import METRICS, MS
from tests.streams.deaths import Row

SERIES = 6_000
RESOURCES = 30
BATCH = 1_000
PERIOD_MS = 60_000
FLUSH_BYTES = 30 << 20
EXPLICIT, EXPONENTIAL = red_layout(DEFAULT_BUCKETS), red_layout((), 160, MS)


def key(resource: int, label: int, services: int) -> bytes:
    service = f"checkout-{resource % services}"
    instance = {"service.instance.id": f"pod-{resource:06d}-7f9c5", "k8s.namespace.name": "prod"}
    labels = [
        ("service.name", service),
        ("span.name", f"GET /api/v1/items/{label}"),
        ("span.kind", "SPAN_KIND_SERVER"),
        ("status.code", "STATUS_CODE_UNSET"),
        ("http.request.method", "GET"),
        ("http.route", f"/api/v1/items/{label}"),
    ]
    resources = encoded_resource({"service.name": service, **instance})
    return RedSeries(resources, encoded_attributes(labels)).key()


def unique(number: int) -> bytes:
    """Each series has labels that no other one has."""
    return key(number % RESOURCES, number, RESOURCES)


def shared(number: int) -> bytes:
    """Instances of a service have the same labels."""
    return key(number % RESOURCES, number // RESOURCES, 3)


def news(layout: Layout, keys: Sequence[bytes], start: int) -> Iterator[Rollup]:
    """Five spans of each series."""
    rng = np.random.default_rng(start)
    for first in range(0, len(keys), BATCH):
        batch = keys[first : first + BATCH]
        groups = np.repeat(np.arange(len(batch)), 5)
        took = np.exp(rng.normal(17, 1, len(groups))).astype(np.int64)
        rows = observed(layout, "duration", groups, len(batch), took)
        yield Rollup(layout, start, start + 1000, batch, rows)


class Elsewhere(MemoryDisk):
    """Holds what is written somewhere else than in memory."""

    def write(self, changes: Changes) -> None:
        """Nothing is read again."""


class Partition:
    """A partition with series of *keys*, all of which have news in each period."""

    def __init__(self, layout: Layout, keys: Sequence[bytes]) -> None:
        self._layout, self._keys = layout, keys
        self._store = PartitionStore(Elsewhere())
        red = RedMetrics(layout, PERIOD_MS, "traces.span.metrics", "ms")
        settings = MetricsSettings(METRICS, "edges", 1_000_000, red, None)
        self._logic = MetricsLogic(settings, self._store)
        self._logic.restore(0)
        self._totals = Totals()

    def feed(self, period: int) -> None:
        """Let news of *period* come."""
        at = period * PERIOD_MS + 1000
        for rollup in news(self._layout, self._keys, at):
            arrivals = Arrivals([Row(0, at, None)], [at], [rollup])
            self._logic.process(arrivals, Outbox(), self._totals)

        self._logic.before_checkpoint()
        self._store.begin_checkpoint()
        self._store.finish_checkpoint(0)

    def flush(self, period: int) -> int:
        """End *period*; return the bytes that were written."""
        outbox = Outbox()
        self._logic.advance((period + 1) * PERIOD_MS, outbox, self._totals)
        return outbox.bytes


@pytest.mark.parametrize("key_of", [unique, shared])
@pytest.mark.parametrize(("layout", "most"), [(EXPLICIT, 640), (EXPONENTIAL, 1024)])
def test_a_series_takes_at_most_so_much(
    layout: Layout, most: int, key_of: Callable[[int], bytes]
) -> None:
    keys = [key_of(number) for number in range(SERIES)]
    warm = Partition(layout, keys[:10])
    warm.feed(0)
    warm.flush(0)
    tracemalloc.start()
    try:
        partition = Partition(layout, keys)
        for period in range(3):
            partition.feed(period)
            before_flush, _ = tracemalloc.get_traced_memory()
            tracemalloc.reset_peak()
            written = partition.flush(period)
            after_flush, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert max(before_flush, after_flush) < most * SERIES
    # Rows of 64-bit integers are many times as large: some are read at a time.
    assert peak - before_flush - written < FLUSH_BYTES
