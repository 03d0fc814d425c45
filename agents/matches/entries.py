"""Entries: for whom the spans of a verdict count, by how long they took.

An entry of *what* is reached by the durations of the classes in (low, high]. Those of one verdict
and kind are a *pattern*: they stand in the order of low, so that what a span has reached are the
first ones, but for those that it has left behind. So thousands of thresholds cost a search.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from tailrace.schemas.sums import Ints
from tailrace.tables.growing import Column

NONE: Final = -1


class Told(NamedTuple):
    """Entries as columns."""

    kinds: Ints
    lows: Ints
    highs: Ints
    whats: Ints


class Reached(NamedTuple):
    """Entries by number; `owners`: the index of who reached each, ascending."""

    owners: Ints
    entries: Ints


class Entries:
    """Entries of so many *kinds*; durations are of so many *classes*."""

    def __init__(self, kinds: int, classes: int) -> None:
        self._kinds = kinds
        self._most = classes - 1
        # No class of a duration is so large, with one added.
        self._width = classes + 2
        self._patterns: Column[np.int64] = Column(np.int64)
        self.starts: Column[np.int64] = Column(np.int64)
        self.sizes: Column[np.int64] = Column(np.int64)
        self._reached_at: Column[np.int64] = Column(np.int64)
        self._highs: Column[np.int64] = Column(np.int64)
        self.whats: Column[np.int64] = Column(np.int64)
        self._is_any_left = False

    def add(self, told: Told) -> None:
        """Add the entries of the next verdict."""
        order = np.lexsort((told.whats, told.lows, told.kinds))
        kinds, lows, highs = told.kinds[order], told.lows[order], told.highs[order]
        sizes = np.bincount(kinds, minlength=self._kinds)
        present = np.flatnonzero(sizes)
        patterns = np.full(self._kinds, NONE, np.int64)
        patterns[present] = len(self.starts) + np.arange(len(present))
        first = len(self.whats)
        self._patterns.extend(patterns)
        self.starts.extend(first + (np.cumsum(sizes) - sizes)[present])
        self.sizes.extend(sizes[present])
        self._reached_at.extend(patterns[kinds] * self._width + lows + 1)
        self._highs.extend(highs)
        self.whats.extend(told.whats[order])
        self._is_any_left |= bool((highs < self._most).any())

    def patterns(self, verdicts: Ints, kind: int) -> Ints:
        """Return the pattern of each of *verdicts*, or NONE."""
        return self._patterns.cells[verdicts * self._kinds + kind]

    def reached(self, patterns: Ints, classes: Ints) -> Reached:
        """Return which entries of each of *patterns* are reached by durations of *classes*."""
        places = patterns * self._width + classes
        starts = self.starts.cells[patterns]
        sizes = np.searchsorted(self._reached_at.cells, places, side="right") - starts
        owners = np.repeat(np.arange(len(patterns)), sizes)
        entries = np.arange(len(owners)) + np.repeat(starts + sizes - np.cumsum(sizes), sizes)
        if self._is_any_left:
            is_reached = self._highs.cells[entries] >= classes[owners]
            if not is_reached.all():
                owners, entries = owners[is_reached], entries[is_reached]
        return Reached(owners, entries)
