"""Counting: events and matches by series and second, many spans at a time."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from tailrace.agents.matches.tallies import Tallies
from tailrace.schemas.matches import Series
from tailrace.schemas.sums import SECOND_NS, Ints
from tailrace.tables.match_sums import MatchSums

Flagged = npt.NDArray[np.bool_]

WAITING: Final = 262_144
"""So many are summed up together."""


class Counting:
    """What is counted in the open interval and is not in *sums* yet.

    It is of one `Tallies`: `settle` before that goes.
    """

    def __init__(self, sums: MatchSums) -> None:
        self._sums = sums
        self._of: Tallies | None = None
        self._waiting: list[tuple[Ints, Ints]] = []
        self._count = 0
        self._alone: dict[tuple[bytes, int], tuple[int, int]] = {}

    def add(self, of: Tallies, tallies: Ints, seconds: Ints) -> None:
        """Count one for each of *tallies* in its second."""
        if of is not self._of:
            self.settle()
            self._of = of
        self._waiting.append((tallies, seconds))
        self._count += len(tallies)
        if self._count >= WAITING:
            self.settle()

    def add_alone(self, series: Series, second: int, events: int, matches: int) -> None:
        """Count what did not come with a span's tallies."""
        key = series.encode(), second
        known = self._alone.get(key, (0, 0))
        self._alone[key] = known[0] + events, known[1] + matches

    def settle(self) -> None:
        """Add to the sums what waits for it."""
        if self._waiting and self._of is not None:
            tallies, seconds = map(np.concatenate, zip(*self._waiting, strict=True))
            self._waiting, self._count = [], 0
            self._settle(self._of, tallies, seconds)
        if self._alone:
            alone, self._alone = self._alone, {}
            self._sums.add_alone(alone)

    def _settle(self, of: Tallies, tallies: Ints, seconds: Ints) -> None:
        earliest = int(seconds.min())
        width = int(seconds.max()) - earliest + 1
        places = tallies * width + (seconds - earliest)
        if width * len(of.all) <= 4 * len(places) + 100_000:
            counts = np.bincount(places)
            distinct = np.flatnonzero(counts)
            counts = counts[distinct]
        else:
            distinct, counts = np.unique(places, return_counts=True)
        self._sums.add(of.book, of.sums(distinct // width, distinct % width + earliest, counts))


def seconds(ends: Ints, first: int, last: int) -> tuple[Ints, Flagged, Flagged]:
    """Return the seconds of *ends* (ns) within first and last, and which were before and after."""
    found = ends // SECOND_NS
    return np.clip(found, first, last), found < first, found > last
