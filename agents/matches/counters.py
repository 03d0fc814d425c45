"""Counters: what signals count, each once, however many of them count the same.

Signals of one tenant that ask the same of spans, and group them alike, have one counter: of a
thousand alerts on shares of one service's requests the requests are counted once. A signal without
`of` has a counter of what is an event and a match; any other has one of events, which it may share
with those that ask for other matches, and one of matches.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from tailrace.agents.matches.conditions import Clause, clause
from tailrace.agents.matches.filters import Filters
from tailrace.schemas.definitions.filters import SpanFilter
from tailrace.schemas.definitions.signals import Signal
from tailrace.schemas.matches import SignalId
from tailrace.schemas.spans import AttributeColumn
from tailrace.schemas.sums import Ints


class Counter(NamedTuple):
    """Spans of the filter `event` that are of `match` too (places of filters; may be the same).

    Each adds an event if `is_event`, and a match if `is_match`. `grouping`: a number.
    """

    grouping: int
    event: int
    match: int
    is_event: bool
    is_match: bool


class Counters:
    """The counters of *signals*, by number, and the filters that they and *further* ones need.

    Each of *further* is of a tenant.

    `signals` and `leaders` go by the counter: who counts by it, and which counter has all the
    events of these. `leading`: the counter of each signal's events.
    `weights`: how many cannot tell when that counter's filters cannot.
    """

    def __init__(
        self, signals: Sequence[Signal], further: Sequence[tuple[str, SpanFilter]] = ()
    ) -> None:
        self._places: dict[tuple[str, str], int] = {}
        self._clauses: list[Clause] = []
        self._numbers: dict[Counter, int] = {}
        self.signals: list[list[Signal]] = []
        self.leaders: list[int] = []
        self.leading: dict[SignalId, int] = {}
        groupings: dict[tuple[str, ...], int] = {}
        for signal in signals:
            self._add(signal, groupings.setdefault(signal.group_by, len(groupings)))
        self.groupings = tuple(groupings)
        self.all = tuple(self._numbers)
        self.grouping = self._column([each.grouping for each in self.all])
        self.event = self._column([each.event for each in self.all])
        self.match = self._column([each.match for each in self.all])
        sizes = zip(self.all, map(len, self.signals), strict=True)
        self.weights = self._column([size if each.is_match else 0 for each, size in sizes])
        self.further = self._column([self._place(*each) for each in further])
        self.filters = Filters(self._clauses)

    def __len__(self) -> int:
        return len(self.all)

    def _add(self, signal: Signal, grouping: int) -> None:
        assert signal.matched is not None
        match = self._place(signal.tenant, signal.matched)
        event = match if signal.of is None else self._place(signal.tenant, signal.of)
        is_one = signal.of is None or event == match
        leader = self._number(Counter(grouping, event, event, True, is_one))
        self.signals[leader].append(signal)
        self.leading[signal.id] = leader
        if not is_one:
            number = self._number(Counter(grouping, event, match, False, True))
            self.signals[number].append(signal)
            self.leaders[number] = leader

    def _number(self, counter: Counter) -> int:
        number = self._numbers.setdefault(counter, len(self._numbers))
        if number == len(self.signals):
            self.signals.append([])
            self.leaders.append(number)  # but for one of matches
        return number

    def _place(self, tenant: str, of: SpanFilter) -> int:
        key = tenant, of.model_dump_json(by_alias=True, exclude_unset=True)
        place = self._places.get(key)
        if place is None:
            place = self._places[key] = len(self._clauses)
            self._clauses.append(clause(of, tenant))
        return place

    @staticmethod
    def _column(cells: Sequence[int]) -> Ints:
        return np.array(cells, np.int64)

    @property
    def columns(self) -> list[AttributeColumn]:
        """What the filters read of spans; resources come whole with every batch."""
        keys = [key for field in self.filters.fields for key in field.keys]
        return [AttributeColumn("span", key) for key in dict.fromkeys(keys)]
