"""Tallies: what a span adds to. A tally is a counter in one group.

What a span brings falls into parts, one for each list of fields that signals group by: so that
values which one signal asks for do not multiply with those of another. All tasks of a worker share
the tallies: what one of them worked out, all know. What they have in common with series is worked
out when a span first reaches a tally, and not before.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from tailrace.agents.matches.arrived import Arrived
from tailrace.agents.matches.counters import Counters
from tailrace.agents.matches.entries import NONE, Entries
from tailrace.agents.matches.groups import Texts, overflow
from tailrace.agents.matches.verdicts import Verdicts
from tailrace.schemas.definitions.signals import Signal
from tailrace.schemas.matches import Series, encode_group
from tailrace.schemas.strings import Strings, Values
from tailrace.schemas.sums import Ints
from tailrace.tables.growing import Column
from tailrace.tables.match_sums import Sums
from tailrace.tables.series_book import SeriesBook

Flagged: TypeAlias = npt.NDArray[np.bool_]

_KEPT: Final = 200_000
"""With more series or groups of verdicts, all are forgotten."""
_KEPT_CELLS: Final = 8_000_000
_UNGROUPED: Final = encode_group([])
_COLUMNS: Final = (
    "counter", "leader", "is_watched", "is_free", "overflowed", "start", "size", "is_event",
    "is_match",
)  # fmt: skip


class Tally(NamedTuple):
    """A counter, by number, in one group."""

    counter: int
    group: bytes


class Part(NamedTuple):
    """Tallies to which each of *rows*, which ascend, adds one; a row is there once for each."""

    rows: Ints
    tallies: Ints

    def within(self, rows: slice) -> Part:
        """Return what is of *rows*."""
        first, last = np.searchsorted(self.rows, (rows.start, rows.stop))
        return Part(self.rows[first:last], self.tallies[first:last])


class Tallies:
    """Tallies by number, of the spans whose verdicts *verdicts* gave.

    By number: `all`; `counter`; `leader`: the tally that has the events; `is_watched`, if some
    signal wants to see the match; `is_free`, if it needs no place among the groups of its signals.
    """

    def __init__(self, counters: Counters, verdicts: Verdicts, kept: int = _KEPT) -> None:
        self.counters = counters
        self._kept = kept
        self.book = SeriesBook()
        self.all: list[Tally] = []
        self._new: list[tuple[int, ...]] = []
        self._columns: list[Column[np.int64]] = [Column(np.int64) for _ in _COLUMNS]
        self._series: Column[np.int64] = Column(np.int64)
        self._new_series: list[int] = []
        self._verdicts = verdicts
        self._numbers: dict[Tally, int] = {}
        self._others = [overflow(each) if each else b"" for each in counters.groupings]
        self._begin()

    def _begin(self) -> None:
        self._generation = self._verdicts.generation
        self._groupings = [
            _Grouping(self, self._verdicts.entries, kind, fields)
            for kind, fields in enumerate(self.counters.groupings)
        ]

    @property
    def is_too_large(self) -> bool:
        """True if it is time to begin anew."""
        seats = [each.seats for each in self._groupings]
        kept = max([len(self.book), *map(len, self._groupings), *seats])
        return kept > self._kept or sum(each.cells for each in self._groupings) > _KEPT_CELLS

    def column(self, name: str) -> Ints:
        """Return that one of `_COLUMNS`."""
        if self._new:
            for column, cells in zip(self._columns, zip(*self._new, strict=True), strict=True):
                column.extend(cells)
            self._series.extend(self._new_series)
            self._new, self._new_series = [], []
        return self._columns[_COLUMNS.index(name)].cells

    @property
    def is_watched(self) -> Flagged:
        found: Flagged = self.column("is_watched") != 0
        return found

    @property
    def is_free(self) -> Flagged:
        found: Flagged = self.column("is_free") != 0
        return found

    @property
    def counter(self) -> Ints:
        return self.column("counter")

    @property
    def leader(self) -> Ints:
        return self.column("leader")

    def of(self, spans: Arrived, numbers: Ints, classes: Ints) -> list[Part]:
        """Return what spans add to, by verdicts and by classes of durations."""
        if self._generation != self._verdicts.generation:
            self._begin()
        parts = [each.of(spans, numbers, classes) for each in self._groupings]
        return [part for part in parts if len(part.rows)]

    def number(self, tally: Tally) -> int:
        """Return the number of *tally*."""
        number = self._numbers.get(tally)
        if number is None:
            leader = self.counters.leaders[tally.counter]
            is_one = leader == tally.counter
            of_events = -1 if is_one else self.number(Tally(leader, tally.group))
            number = self._numbers[tally] = len(self.all)
            self._add(tally, number if is_one else of_events)
        return number

    def _add(self, tally: Tally, leader: int) -> None:
        counter, group = self.counters.all[tally.counter], tally.group
        signals = self.counters.signals[tally.counter]
        other = self._others[counter.grouping]
        series = [self.book[Series(each.id, group).encode()] for each in signals]
        self.all.append(tally)
        self._new.append(
            (
                tally.counter,
                leader,
                counter.is_match and any(each.has_evidence for each in signals),
                group == other or not other,
                len(signals) if counter.is_event and group == other else 0,
                len(self._series) + len(self._new_series),
                len(signals),
                counter.is_event,
                counter.is_match,
            )
        )
        self._new_series += series

    def moved(self, number: int) -> int:
        """Return the tally that counts what finds no place in the group of *number*."""
        counter = self.all[number].counter
        return self.number(Tally(counter, self._others[self.counters.all[counter].grouping]))

    def with_events(self, all: Iterable[Series]) -> tuple[Ints, list[Series]]:
        """Return the tallies that need places and have the events of *all*, and what is left."""
        leading, found, others = self.counters.leading, dict[int, None](), []
        for each in all:
            counter = leading.get(each.signal)
            if counter is None:
                others.append(each)
            else:
                found[self.number(Tally(counter, each.group))] = None
        numbers = np.array(list(found), np.int64)
        return numbers[~self.is_free[numbers]], others

    def watchers(self, number: int) -> list[Signal]:
        """Return the signals that want to see the matches of that tally."""
        return [
            each for each in self.counters.signals[self.all[number].counter] if each.has_evidence
        ]

    def overflowed(self, tallies: Ints) -> int:
        """Return how often one of *tallies* stands for others' events."""
        return int(self.column("overflowed")[tallies].sum())

    def sums(self, tallies: Ints, seconds: Ints, counts: Ints) -> Sums:
        """Return what so many spans in these seconds are, by series."""
        sizes = self.column("size")[tallies]
        owners = np.repeat(np.arange(len(tallies)), sizes)
        firsts = self.column("start")[tallies] - (np.cumsum(sizes) - sizes)
        series = self._series.cells[np.arange(len(owners)) + firsts[owners]]
        events = counts * self.column("is_event")[tallies]
        matches = counts * self.column("is_match")[tallies]
        return Sums(series, seconds[owners], events[owners], matches[owners])


class _Grouping(dict[int | bytes, int]):
    """What spans reach of the entries of one kind, by pattern and the values of *fields*.

    A *seat* is a pattern in a group; it has a cell for each entry of the pattern, with its tally.
    """

    def __init__(
        self, tallies: Tallies, entries: Entries, kind: int, fields: tuple[str, ...]
    ) -> None:
        super().__init__()
        self._tallies = tallies
        self._entries = entries
        self._kind = kind
        self._fields = fields
        self._texts = Texts(Strings(), Values())
        self._packed = np.dtype((np.void, 8 * (1 + len(fields))))
        self._seats: dict[tuple[int, bytes], int] = {}
        self._groups: list[bytes] = []
        self._offsets: Column[np.int64] = Column(np.int64)
        self._cells: Column[np.int32] = Column(np.int32)

    @property
    def cells(self) -> int:
        """How much is remembered."""
        return len(self._cells)

    @property
    def seats(self) -> int:
        """How many groups of verdicts are, those included that came with other ids."""
        return len(self._groups)

    def of(self, spans: Arrived, numbers: Ints, classes: Ints) -> Part:
        """Return the tallies of spans of these verdicts."""
        patterns = self._entries.patterns(numbers, self._kind)
        rows = np.flatnonzero(patterns != NONE)
        patterns, classes = patterns[rows], classes[rows]
        owners, entries = self._entries.reached(patterns, classes)
        if not len(owners):
            return Part(owners, owners)
        if self._fields and len(owners) < len(rows):
            # Only those that reach anything need a group.
            reaching, owners = np.unique(owners, return_inverse=True)
            rows, patterns = rows[reaching], patterns[reaching]
        seats = self._seats_of(spans, rows, patterns)
        places = entries + self._offsets.cells[seats][owners]
        found = self._cells.cells[places].astype(np.int64) - 1
        if found.min() < 0:
            self._work_out(places, entries, seats[owners], np.flatnonzero(found < 0))
            found = self._cells.cells[places].astype(np.int64) - 1
        return Part(rows[owners], found)

    def _seats_of(self, spans: Arrived, rows: Ints, patterns: Ints) -> Ints:
        """Return the seat of each of *rows*."""
        if not self._texts.serves(spans.batch):
            self._texts = Texts(spans.batch.strings, spans.batch.values)
            self.clear()
        keys = np.empty((len(rows), 1 + len(self._fields)), np.int64)
        keys[:, 0] = patterns
        for index, field in enumerate(self._fields, 1):
            keys[:, index] = spans.raw(field)[rows]
        distinct: Sequence[int | bytes]
        if len(self._fields) < 2:
            # A value is an id of 32 bits, or -1.
            distinct = ((keys[:, 0] << 33) + (keys[:, 1] + 1 if self._fields else 0)).tolist()
        else:
            distinct = keys.view(self._packed)[:, 0].tolist()
        return np.fromiter(map(self.__getitem__, distinct), np.int64, len(rows))

    def __missing__(self, key: int | bytes) -> int:
        if isinstance(key, int):
            pattern, value = divmod(key, 1 << 33)
            values = [value - 1] if self._fields else []
        else:
            pattern, *values = np.frombuffer(key, np.int64).tolist()
        group = self._texts.group(self._fields, tuple(values)) if self._fields else _UNGROUPED
        seat = self._seats.get((pattern, group))
        if seat is None:
            seat = self._seats[pattern, group] = len(self._groups)
            self._groups.append(group)
            start, size = (
                int(column.cells[pattern]) for column in (self._entries.starts, self._entries.sizes)
            )
            self._offsets.extend([len(self._cells) - start])
            self._cells.extend(np.zeros(size, np.int32))
        self[key] = seat
        return seat

    def _work_out(self, places: Ints, entries: Ints, seats: Ints, unknown: Ints) -> None:
        """Fill the cells at *places* that are *unknown*."""
        distinct, firsts = np.unique(places[unknown], return_index=True)
        at = unknown[firsts]
        whats = self._entries.whats.cells[entries[at]].tolist()
        groups = [self._groups[seat] for seat in seats[at].tolist()]
        numbers = map(self._tallies.number, map(Tally, whats, groups))
        self._cells.cells[distinct] = np.fromiter(numbers, np.int64, len(distinct)) + 1
