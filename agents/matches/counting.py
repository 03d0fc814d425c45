"""Counting: events and matches by series and second, many spans at a time."""

from __future__ import annotations

from typing import Final

import numpy as np

from tailrace.agents.matches.outcome_flags import Flagged
from tailrace.agents.matches.outcomes import Outcomes
from tailrace.schemas.matches import ALL_COUNT, MATCHED_COUNT, MATCHES_LAYOUT, MatchKey
from tailrace.schemas.sums import SECOND_NS, Ints
from tailrace.tables.interval_sums import IntervalSums

WAITING_SPANS: Final = 16_384
_KEPT_SECONDS: Final = 8
_UNKNOWN: Final = -1


class Counting:
    """Spans of the open interval that are not in *sums* yet, so that many are summed up together.

    They are of one `Outcomes`: `settle` before it goes.
    """

    def __init__(self, sums: IntervalSums) -> None:
        self._sums = sums
        self._outcomes: Outcomes | None = None
        self._generation = sums.generation
        self._slots: dict[int, Ints] = {}
        self._waiting: list[tuple[Ints, Ints]] = []
        self._spans = 0
        self._alone: dict[MatchKey, tuple[int, int]] = {}

    def add(self, of: Outcomes, outcomes: Ints, seconds: Ints) -> None:
        """Count each of *outcomes* in its second."""
        if of is not self._outcomes:
            self.settle()
            self._outcomes, self._slots = of, {}
        self._waiting.append((outcomes, seconds))
        self._spans += len(outcomes)
        if self._spans >= WAITING_SPANS:
            self.settle()

    def add_alone(self, key: MatchKey, events: int, matches: int) -> None:
        """Count what did not come with a span's outcome."""
        known = self._alone.get(key, (0, 0))
        self._alone[key] = known[0] + events, known[1] + matches

    def settle(self) -> None:
        """Add to the sums what waits for it."""
        if self._waiting and self._outcomes is not None:
            outcomes, seconds = map(np.concatenate, zip(*self._waiting, strict=True))
            self._waiting, self._spans = [], 0
            self._settle(self._outcomes, outcomes, seconds)
        if self._alone:
            slots = np.array([self._sums.slot(key.encode()) for key in self._alone], np.int64)
            rows = MATCHES_LAYOUT.empty(len(slots))
            rows[:, [ALL_COUNT, MATCHED_COUNT]] = list(self._alone.values())
            self._alone.clear()
            self._sums.add(slots, rows)

    def _settle(self, of: Outcomes, outcomes: Ints, seconds: Ints) -> None:
        if self._generation != self._sums.generation:
            self._generation, self._slots = self._sums.generation, {}
        distinct, places = np.unique(seconds, return_inverse=True)
        count = len(distinct)
        pairs, spans = np.unique(outcomes * count + places, return_counts=True)
        series, is_matched, owners = of.flags.series(pairs // count)
        cells = series * count + (pairs % count)[owners]
        most = len(of.series) * count
        events = np.bincount(cells, spans[owners], most)
        matches = np.bincount(cells, spans[owners] * is_matched, most)
        for place, second in enumerate(distinct.tolist()):
            present = np.flatnonzero(events[place::count])
            rows = MATCHES_LAYOUT.empty(len(present))
            rows[:, ALL_COUNT] = events[place::count][present]
            rows[:, MATCHED_COUNT] = matches[place::count][present]
            self._sums.add(self._slots_of(of, second, present), rows)

    def _slots_of(self, of: Outcomes, second: int, present: Ints) -> Ints:
        known = self._slots.get(second)
        if known is None or len(known) < len(of.series):
            grown = np.full(2 * len(of.series), _UNKNOWN, np.int64)
            if known is not None:
                grown[: len(known)] = known
            known = self._slots[second] = grown
        slots: Ints = known[present]
        for index in np.flatnonzero(slots == _UNKNOWN).tolist():
            place = int(present[index])
            signal, group = of.series[place]
            key = MatchKey(of.signals[signal].id, second, group).encode()
            known[place] = slots[index] = self._sums.slot(key)
        return slots

    def forget(self) -> None:
        """Let go of all but the newest seconds."""
        for second in sorted(self._slots)[:-_KEPT_SECONDS]:
            del self._slots[second]


def seconds(ends: Ints, first: int, last: int) -> tuple[Ints, Flagged, Flagged]:
    """Return the seconds of *ends* (ns) within first and last, and which were before and after."""
    found = ends // SECOND_NS
    return np.clip(found, first, last), found < first, found > last
