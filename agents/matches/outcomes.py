"""Outcomes: which series a span adds to.

A series is a signal and a group. What a verdict brings falls into parts, one for each list of
fields that signals group by: so that values which one signal asks for do not multiply with those of
another. Parts of spans that are alike are worked out once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from tailrace.agents.matches.arrived import Arrived
from tailrace.agents.matches.groups import Texts, overflow
from tailrace.agents.matches.outcome_flags import Flags
from tailrace.agents.matches.verdicts import Verdict, Verdicts
from tailrace.schemas.definitions.signals import Signal
from tailrace.schemas.matches import encode_group
from tailrace.schemas.strings import Strings, Values
from tailrace.schemas.sums import Ints

Flagged: TypeAlias = npt.NDArray[np.bool_]

_KEPT: Final = 100_000
"""With more outcomes or series, all are forgotten."""
_UNGROUPED: Final = encode_group([])


class Series(NamedTuple):
    """One series: the place of its signal, and a group."""

    signal: int
    group: bytes


class Outcome(NamedTuple):
    """`series` to which a span adds an event, and a match to some; places in `Outcomes.series`.

    `witnessed`: those that want to see the match.
    """

    series: Ints
    witnessed: Ints
    is_grouped: bool


class Part(NamedTuple):
    """The outcome of each of *rows*, which ascend."""

    rows: Ints
    outcomes: Ints

    def within(self, rows: slice) -> Part:
        """Return what is of *rows*."""
        first, last = np.searchsorted(self.rows, (rows.start, rows.stop))
        return Part(self.rows[first:last], self.outcomes[first:last])


class Outcomes:
    """Outcomes by number, of the spans whose verdicts *verdicts* gave.

    They mean what they do for as long as `serves` says so; series for as long as this lives.
    """

    def __init__(self, signals: Sequence[Signal], verdicts: Verdicts) -> None:
        self.signals = signals
        self.series: list[Series] = []
        self.keys: list[bytes] = []
        """Of each series, what tells it apart from all others."""
        self.outcomes: list[Outcome] = []
        self.flags = Flags()
        self._verdicts = verdicts
        self._generation = verdicts.generation
        self._places: dict[Series, int] = {}
        self._numbers: dict[tuple[tuple[int, ...], tuple[bool, ...]], int] = {}
        groupings = dict.fromkeys(signal.group_by for signal in signals)
        self._groupings = [_Grouping(self, verdicts, each) for each in groupings]

    def serves(self, verdicts: Verdicts) -> bool:
        """True if numbers of *verdicts* mean what they did, and not too much is remembered."""
        remembered = (len(self.outcomes), len(self.series), *map(len, self._groupings))
        return (
            self._verdicts is verdicts
            and self._generation == verdicts.generation
            and max(remembered) <= _KEPT
        )

    def of(self, spans: Arrived, numbers: Ints) -> list[Part]:
        """Return what spans add, of which *numbers* are the verdicts; not those who add nothing."""
        found = []
        for grouping in self._groupings:
            rows = np.flatnonzero(grouping.is_asked(numbers))
            if len(rows):
                found.append(Part(rows, grouping.of(spans, rows, numbers[rows])))
        return found

    def number(self, series: Sequence[Series], is_matched: Sequence[bool]) -> int:
        """Return the number of the outcome of *series*, which are of signals that group alike."""
        places = [self._place(each) for each in series]
        key = tuple(places), tuple(is_matched)
        number = self._numbers.get(key)
        if number is None:
            number = self._numbers[key] = len(self.outcomes)
            witnessed = [
                place
                for place, each, match in zip(places, series, is_matched, strict=True)
                if match and self.signals[each.signal].has_evidence
            ]
            group_by = self.signals[series[0].signal].group_by
            other = overflow(group_by) if group_by else None
            self.outcomes.append(
                Outcome(np.array(places), np.array(witnessed, np.int64), bool(group_by))
            )
            overflowed = sum(each.group == other for each in series)
            self.flags.add(places, is_matched, bool(group_by or witnessed), overflowed)
        return number

    def moved(self, number: int, closed: Sequence[int]) -> int:
        """Return the outcome that is *number* with other groups for its series *closed*."""
        found = self.outcomes[number]
        series = [self.series[place] for place in found.series.tolist()]
        other = overflow(self.signals[series[0].signal].group_by)
        where = set(closed)
        return self.number(
            [
                each._replace(group=other) if place in where else each
                for place, each in zip(found.series.tolist(), series, strict=True)
            ],
            self.flags.is_matched(number),
        )

    def _place(self, series: Series) -> int:
        place = self._places.get(series)
        if place is None:
            place = self._places[series] = len(self.series)
            self.series.append(series)
            self.keys.append(b"".join((*self.signals[series.signal].id, series.group)))
        return place


class _Grouping(dict[bytes, int]):
    """Outcomes of the signals that group by *group_by*, by verdict and values of the fields."""

    __slots__ = (
        "_asked",
        "_counting",
        "_group_by",
        "_outcomes",
        "_packed",
        "_signals",
        "_texts",
        "_ungrouped",
        "_verdicts",
    )

    def __init__(self, outcomes: Outcomes, verdicts: Verdicts, group_by: tuple[str, ...]) -> None:
        super().__init__()
        self._outcomes = outcomes
        self._verdicts = verdicts
        self._texts = Texts(Strings(), Values())
        self._group_by = group_by
        self._packed = np.dtype((np.void, 8 * (1 + len(group_by))))
        self._signals = frozenset(
            place for place, signal in enumerate(outcomes.signals) if signal.group_by == group_by
        )
        self._counting: list[list[tuple[int, bool]]] = []
        self._asked = np.zeros(0, np.bool_)
        self._ungrouped = np.zeros(0, np.int64)

    def is_asked(self, numbers: Ints) -> Flagged:
        """True where some of these signals count a span of that verdict."""
        verdicts, known = self._verdicts.verdicts, len(self._asked)
        if len(verdicts) > known:
            more = list(map(self._of_these, verdicts[known:]))
            self._counting += more
            self._asked = np.concatenate([self._asked, np.array(list(map(bool, more)), np.bool_)])
            unknown = np.full(len(more), -1, np.int64)
            self._ungrouped = np.concatenate([self._ungrouped, unknown])
        found: Flagged = self._asked[numbers]
        return found

    def _of_these(self, verdict: Verdict) -> list[tuple[int, bool]]:
        pairs = zip(verdict.signals, verdict.is_matched, strict=True)
        return [pair for pair in pairs if pair[0] in self._signals]

    def of(self, spans: Arrived, rows: Ints, numbers: Ints) -> Ints:
        """Return the outcome of each of *rows*, of which *numbers* are the verdicts."""
        if not self._group_by:
            return self._of_verdicts(numbers)
        if not self._texts.serves(spans.batch):
            self._texts = Texts(spans.batch.strings, spans.batch.values)
            self.clear()
        keys = np.empty((len(rows), 1 + len(self._group_by)), np.int64)
        keys[:, 0] = numbers
        for index, field in enumerate(self._group_by, 1):
            keys[:, index] = spans.raw(field)[rows]
        packed = keys.view(self._packed)[:, 0].tolist()
        return np.fromiter(map(self.__getitem__, packed), np.int64, len(rows))

    def _of_verdicts(self, numbers: Ints) -> Ints:
        found: Ints = self._ungrouped[numbers]
        if found.min() < 0:
            for number in np.unique(numbers[found < 0]).tolist():
                self._ungrouped[number] = self._worked_out(number, _UNGROUPED)
            found = self._ungrouped[numbers]
        return found

    def __missing__(self, key: bytes) -> int:
        number, *values = np.frombuffer(key, np.int64).tolist()
        group = self._texts.group(self._group_by, tuple(values))
        found = self[key] = self._worked_out(number, group)
        return found

    def _worked_out(self, number: int, group: bytes) -> int:
        counting = self._counting[number]
        series = [Series(signal, group) for signal, _ in counting]
        return self._outcomes.number(series, [match for _, match in counting])
