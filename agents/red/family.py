"""One family of series: what of each batch is counted in it, and how much."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from tailrace.agents.red.labels import SeriesIds
from tailrace.agents.red.series import SKIPPED, SeriesSlots
from tailrace.schemas.spans import SpanBatch
from tailrace.schemas.sums import Ints, Layout, observed
from tailrace.tables.interval_sums import IntervalSums

_WAITING = 4096


class Counted(NamedTuple):
    """What became of spans or events: those that are not `counted` are of no service."""

    counted: int
    skipped: int
    overflowed: int
    """Of those counted, how many in a series that stands for others."""


class Family:
    """Counts what *ids* tell apart, in *sums*."""

    def __init__(self, ids: SeriesIds, sums: IntervalSums) -> None:
        self.sums = sums
        self._ids = ids
        self._memo: SeriesSlots | None = None
        # What is not in the sums yet, so that small batches are summed up together.
        self._slots: list[Ints] = []
        self._durations: list[Ints] = []
        self._weights: list[Ints | None] = []
        self._waiting = 0

    def count(self, batch: SpanBatch, rows: slice) -> Counted:
        """Count the spans of *rows*, or their events."""
        if self._memo is None or not self._memo.serves(batch):
            self._memo = SeriesSlots(self._ids, self.sums, batch)
        slots = self._memo.of(batch, rows)
        durations, weights = self._observed(batch, rows)
        skipped = 0
        if self._memo.has_skipped:
            is_counted = slots != SKIPPED
            skipped = len(slots) - int(is_counted.sum())
            slots, durations = slots[is_counted], durations[is_counted]
            weights = None if weights is None else weights[is_counted]
        if len(slots):  # or batches of nothing would wait for ever
            self._slots.append(slots)
            self._durations.append(durations)
            self._weights.append(weights)
            self._waiting += len(slots)
            if self._waiting >= _WAITING:
                self.settle()
        return Counted(len(slots), skipped, self._memo.overflowed(slots))

    def _observed(self, batch: SpanBatch, rows: slice) -> tuple[Ints, Ints | None]:
        """Return the durations and weights of what is counted; events take no time."""
        weights = batch.weight
        if not self._ids.of_events:
            durations = np.maximum(batch.end[rows] - batch.start[rows], 0)
            return durations, None if weights is None else weights[rows]
        events = batch.events
        assert events is not None
        first, end = np.searchsorted(events.row, [rows.start, rows.stop]).tolist()
        owners = events.row[first:end]
        return np.zeros(len(owners), np.int64), None if weights is None else weights[owners]

    def settle(self) -> None:
        """Add to the sums what waits for it; slots mean something until the interval closes."""
        if not self._waiting:
            return
        slots, durations = np.concatenate(self._slots), np.concatenate(self._durations)
        weights = _joined(self._weights, self._slots)
        self._slots, self._durations, self._weights, self._waiting = [], [], [], 0
        is_present = np.zeros(int(slots.max()) + 1, np.bool_)
        is_present[slots] = True
        present = np.flatnonzero(is_present)
        groups = (np.cumsum(is_present) - 1)[slots]
        layout = self.sums.layout
        sums = observed(layout, _what(layout), groups, len(present), durations, weights)
        self.sums.add(present, sums)


def _what(layout: Layout) -> str:
    """The one thing that *layout* has."""
    (name,) = (*layout.histograms, *layout.counts)
    return name


def _joined(weights: Sequence[Ints | None], alike: Sequence[Ints]) -> Ints | None:
    """Return *weights* as one, 1 where there are none; None if there are none at all."""
    if all(each is None for each in weights):
        return None
    parts = zip(weights, alike, strict=True)
    return np.concatenate(
        [np.ones(len(other), np.int64) if each is None else each for each, other in parts]
    )
