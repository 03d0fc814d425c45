"""Outcomes: which series a span adds to.

A series is a signal and a group. What an outcome is made of is known once for all spans that are
alike; these are told apart by verdict and by the values that their signals group by.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from tailrace.agents.matches.arrived import Arrived
from tailrace.agents.matches.groups import Texts, overflow
from tailrace.agents.matches.verdicts import Verdict, Verdicts
from tailrace.schemas.definitions.signals import Signal
from tailrace.schemas.matches import encode_group
from tailrace.schemas.spans import SpanBatch
from tailrace.schemas.sums import Ints

Flagged = npt.NDArray[np.bool_]

_KEPT: Final = 100_000
"""With more outcomes or series, all are forgotten."""
_UNKNOWN: Final = -1
_GROUPED: Final = -2
_UNGROUPED: Final = encode_group([])


class Series(NamedTuple):
    """One series: the place of its signal, and a group."""

    signal: int
    group: bytes


class Outcome(NamedTuple):
    """`series` to which an event is added, and whether it matches; places in `Outcomes.series`.

    `witnessed`: those that want the spans that match. `grouped`: those of signals that group.
    `told`: bits of the filters of relations. `overflowed`: of how many the group is `overflow`.
    """

    series: tuple[int, ...]
    is_matched: tuple[bool, ...]
    witnessed: tuple[int, ...]
    grouped: tuple[int, ...]
    told: int
    failures: int
    overflowed: int


class Outcomes:
    """Outcomes by number, of the spans whose verdicts *verdicts* gave.

    They mean what they do for as long as `serves` says so; series for as long as this lives.
    """

    def __init__(self, signals: Sequence[Signal], verdicts: Verdicts, batch: SpanBatch) -> None:
        self.signals = signals
        self.series: list[Series] = []
        self.keys: list[bytes] = []
        """Of each series, what tells it apart from all others."""
        self.outcomes: list[Outcome] = []
        self._verdicts = verdicts
        self._generation = verdicts.generation
        self._texts = Texts(batch.strings, batch.values)
        self._places: dict[Series, int] = {}
        self._numbers: dict[Outcome, int] = {}
        self._of_verdicts = np.empty(0, np.int64)
        self._groups: dict[bytes, int] = {}
        fields = dict.fromkeys(field for signal in signals for field in signal.group_by)
        self._fields = list(fields)
        self._reads: dict[int, Flagged] = {}
        self._packed = np.dtype((np.void, 8 * (1 + len(self._fields))))
        self.flags = Flags()

    def serves(self, verdicts: Verdicts) -> bool:
        """True if numbers of *verdicts* mean what they did, and not too much is remembered."""
        return (
            self._verdicts is verdicts
            and self._generation == verdicts.generation
            and max(len(self.outcomes), len(self.series), len(self._groups)) <= _KEPT
        )

    def of(self, spans: Arrived, numbers: Ints) -> Ints:
        """Return the outcome of each span, of which *numbers* are the verdicts."""
        known = len(self._verdicts.verdicts)
        if known > len(self._of_verdicts):
            more = np.full(2 * known - len(self._of_verdicts), _UNKNOWN, np.int64)
            self._of_verdicts = np.concatenate([self._of_verdicts, more])
        found: Ints = self._of_verdicts[numbers]
        if not len(found) or found.min() >= 0:
            return found
        if (found == _UNKNOWN).any():
            for number in np.unique(numbers[found == _UNKNOWN]).tolist():
                self._of_verdicts[number] = self._of_verdict(number)
            found = self._of_verdicts[numbers]
        rows = np.flatnonzero(found == _GROUPED)
        if len(rows):
            found[rows] = self._grouped(spans, rows, numbers[rows])
        return found

    def _of_verdict(self, number: int) -> int:
        verdict = self._verdicts.verdicts[number]
        fields = {field for place in verdict.signals for field in self.signals[place].group_by}
        if not fields:
            return self._number(verdict, [_UNGROUPED] * len(verdict.signals))
        self._reads[number] = np.array([field in fields for field in self._fields])
        return _GROUPED

    def _grouped(self, spans: Arrived, rows: Ints, numbers: Ints) -> Ints:
        """Return the outcomes of *rows*, which depend on the values of fields."""
        keys = np.empty((len(rows), 1 + len(self._fields)), np.int64)
        keys[:, 0] = numbers
        distinct, places = np.unique(numbers, return_inverse=True)
        reads = np.array([self._reads[number] for number in distinct.tolist()])[places]
        for index, field in enumerate(self._fields):
            keys[:, 1 + index] = np.where(reads[:, index], spans.raw(field)[rows], 0)
        packed = keys.view(self._packed)[:, 0].tolist()
        groups = self._groups
        found = np.empty(len(rows), np.int64)
        for index, key in enumerate(packed):
            outcome = groups.get(key)
            if outcome is None:
                outcome = groups[key] = self._of_group(keys[index])
            found[index] = outcome
        return found

    def _of_group(self, key: Ints) -> int:
        number, *values = key.tolist()
        verdict = self._verdicts.verdicts[number]
        by_field = dict(zip(self._fields, values, strict=True))
        groups = []
        for place in verdict.signals:
            group_by = self.signals[place].group_by
            of_fields = tuple(by_field[field] for field in group_by)
            groups.append(self._texts.group(group_by, of_fields))
        return self._number(verdict, groups)

    def _number(self, verdict: Verdict, groups: Sequence[bytes]) -> int:
        series = [
            Series(signal, group) for signal, group in zip(verdict.signals, groups, strict=True)
        ]
        return self.number(series, verdict.is_matched, verdict.told, verdict.failures)

    def number(
        self, series: Sequence[Series], is_matched: Sequence[bool], told: int, failures: int
    ) -> int:
        """Return the number of the outcome of these."""
        places = [self._place(each) for each in series]
        of = [self.signals[each.signal] for each in series]
        outcome = Outcome(
            tuple(places),
            tuple(is_matched),
            _where(places, [m and s.has_evidence for m, s in zip(is_matched, of, strict=True)]),
            _where(places, [bool(signal.group_by) for signal in of]),
            told,
            failures,
            sum(
                bool(signal.group_by) and each.group == overflow(signal.group_by)
                for signal, each in zip(of, series, strict=True)
            ),
        )
        number = self._numbers.get(outcome)
        if number is None:
            number = self._numbers[outcome] = len(self.outcomes)
            self.outcomes.append(outcome)
            self.flags.add(outcome)
        return number

    def overflowing(self, number: int, closed: Sequence[int]) -> int:
        """Return the outcome *number* with other groups in the place of the series *closed*."""
        outcome = self.outcomes[number]
        series = []
        for place in outcome.series:
            each = self.series[place]
            other = overflow(self.signals[each.signal].group_by)
            series.append(each._replace(group=other) if place in closed else each)
        return self.number(series, outcome.is_matched, outcome.told, outcome.failures)

    def _place(self, series: Series) -> int:
        place = self._places.get(series)
        if place is None:
            place = self._places[series] = len(self.series)
            self.series.append(series)
            self.keys.append(b"".join((*self.signals[series.signal].id, series.group)))
        return place


def _where(places: Sequence[int], flags: Iterable[bool]) -> tuple[int, ...]:
    return tuple(place for place, flag in zip(places, flags, strict=True) if flag)


class Flags:
    """What outcomes are, as columns by their number."""

    def __init__(self) -> None:
        self._count = self._used = 0
        self._sizes = np.zeros(64, np.int64)
        self._cells = np.zeros(64, np.int64)
        self._rows = np.zeros((64, 4), np.int64)

    def add(self, outcome: Outcome) -> None:
        """Add *outcome*, the next."""
        count, size = self._count, len(outcome.series)
        if count == len(self._rows):
            self._rows = np.concatenate([self._rows, np.zeros_like(self._rows)])
            self._sizes = np.concatenate([self._sizes, np.zeros_like(self._sizes)])
        while self._used + size > len(self._cells):
            self._cells = np.concatenate([self._cells, np.zeros_like(self._cells)])
        cells = [2 * p + m for p, m in zip(outcome.series, outcome.is_matched, strict=True)]
        self._cells[self._used : self._used + size] = cells
        self._sizes[count] = size
        needs_a_look = bool(outcome.witnessed or outcome.grouped)
        self._rows[count] = needs_a_look, outcome.told != 0, outcome.failures, outcome.overflowed
        self._used += size
        self._count += 1

    def needs_a_look(self) -> Flagged:
        """True of those whose spans matter one by one: the first of an interval, or evidence."""
        flags: Flagged = self._rows[: self._count, 0] != 0
        return flags

    def is_told(self, outcomes: Ints) -> Flagged:
        """True where some filter of relations holds."""
        flags: Flagged = self._rows[outcomes, 1] != 0
        return flags

    def sizes(self, outcomes: Ints) -> Ints:
        """Return how many series each counts."""
        return self._sizes[outcomes]

    def failures(self, outcomes: Ints) -> int:
        return int(self._rows[outcomes, 2].sum())

    def overflowed(self, outcomes: Ints) -> int:
        return int(self._rows[outcomes, 3].sum())

    def series(self, outcomes: Ints) -> tuple[Ints, Flagged, Ints]:
        """Return the series of all *outcomes*, whether they match, and each one's index there."""
        sizes = self._sizes[outcomes]
        starts = (np.cumsum(self._sizes) - self._sizes)[outcomes]
        owners = np.repeat(np.arange(len(outcomes)), sizes)
        firsts = np.cumsum(sizes) - sizes
        cells = self._cells[np.arange(len(owners)) + (starts - firsts)[owners]]
        return cells >> 1, (cells & 1) != 0, owners
