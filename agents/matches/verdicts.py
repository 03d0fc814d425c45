"""Verdicts: what a span is to all counters together, but for how long it took.

Spans are told apart by small numbers, one for each field: their classes, as far as the filters of
their origin tell them apart. These numbers side by side are the key of a dict, so that filters are
asked only once about spans that are alike, however many filters there are. Durations are no part of
it: they tell too many spans apart. A verdict has entries instead, by what durations reach them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from tailrace.agents.matches.classes import ABSENT as NOTHING
from tailrace.agents.matches.classes import ValueClasses
from tailrace.agents.matches.conditions import (
    CODE,
    FAILED,
    FALSE,
    NAME,
    TENANT,
    TRUE,
    Field,
)
from tailrace.agents.matches.counters import Counters
from tailrace.agents.matches.entries import NONE, Entries, Told
from tailrace.agents.matches.filters import Origin, Origins, Piece, Said
from tailrace.agents.matches.kinds import Kinds, Table
from tailrace.schemas.definitions.definition import DEFAULT_TENANT
from tailrace.schemas.definitions.filters import STATUSES
from tailrace.schemas.semconv import coalesced
from tailrace.schemas.spans import AttributeColumn, SpanBatch
from tailrace.schemas.strings import ABSENT, Strings, Values
from tailrace.schemas.sums import Ints

Ids = npt.NDArray[np.int32]

_KEPT: Final = 50_000
"""With more verdicts, all are forgotten."""
_KEPT_ENTRIES: Final = 4_000_000
_KEPT_ORIGINS: Final = 50_000


def codes(batch: SpanBatch) -> Ints:
    """Return the class of each span by kind, status, and whether it is a root."""
    by_kind = batch.kind.astype(np.int64) * len(STATUSES) + batch.status
    return by_kind * 2 + batch.is_root


class Asked(NamedTuple):
    """The counters that one origin's filters bear on, and what they ask there: places among what
    the filters say."""

    counters: Ints
    events: Ints
    matches: Ints
    told: Ints
    told_places: Ints


class Question:
    """What the counters ask of spans.

    There are as many kinds of entries as they have groupings, of counters, and two more: `failed`,
    of how many cannot tell; and `told`, of the further filters that hold.
    """

    def __init__(self, counters: Counters) -> None:
        self._counters = counters
        self.filters = counters.filters
        self.failed = len(counters.groupings)
        self.told = self.failed + 1
        self.kinds = self.told + 1

    def answer(self, asked: Asked, origin: Origin, kinds: Sequence[int]) -> Told:
        """Return what spans of *origin*, of which *asked*, and of these *kinds* are."""
        said = origin.said(kinds)
        of_events, of_matches = said.truths[asked.events], said.truths[asked.matches]
        is_event = of_events == TRUE
        truths = np.where(is_event, of_matches, of_events)
        lows, highs = said.lows[asked.events], said.highs[asked.events]
        lows = np.where(is_event, np.maximum(lows, said.lows[asked.matches]), lows)
        highs = np.where(is_event, np.minimum(highs, said.highs[asked.matches]), highs)
        found = self._entries(asked.counters, truths, lows, highs)
        told = (
            np.where(said.truths[asked.told_places] == TRUE, self.told, self.failed),
            said.lows[asked.told_places],
            said.highs[asked.told_places],
            np.where(said.truths[asked.told_places] == TRUE, asked.told, 1),
            said.truths[asked.told_places] > FALSE,
        )
        columns = [np.concatenate(each) for each in zip(found, told, strict=True)]
        if said.pieces:
            pieces = np.array(list(self._pieces(asked, said)), np.int64).reshape(-1, 5)
            columns = [np.concatenate(each) for each in zip(columns, pieces.T, strict=True)]
        entries, is_there = columns[:4], (columns[4] != 0) & (columns[1] < columns[2])
        return Told(*(each[is_there] for each in entries))

    def _entries(
        self, counters: Ints, truths: npt.NDArray[np.uint8], lows: Ints, highs: Ints
    ) -> tuple[Ints, ...]:
        """Return the entries of *counters*: kinds, lows, highs, whats, and whether there is one."""
        is_true, weights = truths == TRUE, self._counters.weights[counters]
        return (
            np.where(is_true, self._counters.grouping[counters], self.failed),
            lows,
            highs,
            np.where(is_true, counters, weights),
            is_true | ((truths == FAILED) & (weights > 0)),
        )

    def _pieces(self, asked: Asked, said: Said) -> Iterator[tuple[int, int, int, int, bool]]:
        """Yield the entries of those of which filters speak in pieces."""

        def of(place: int) -> Sequence[Piece]:
            truth = int(said.truths[place])
            whole = Piece(truth, int(said.lows[place]), int(said.highs[place]))
            return said.pieces.get(place, [whole] if truth else [])

        places = list(said.pieces)
        in_pieces = np.isin(asked.events, places) | np.isin(asked.matches, places)
        for index in np.flatnonzero(in_pieces).tolist():
            event, counter = int(asked.events[index]), int(asked.counters[index])
            if event not in said.pieces and said.truths[event] == FAILED:
                continue  # whatever its matches: that was said as a whole
            grouping, weight = self._counters.grouping[counter], self._counters.weights[counter]
            for piece in _both(of(event), of(int(asked.matches[index]))):
                is_true = piece.truth == TRUE
                kind, what = (grouping, counter) if is_true else (self.failed, weight)
                yield int(kind), piece.low, piece.high, int(what), is_true or weight > 0
        for further, place in zip(asked.told.tolist(), asked.told_places.tolist(), strict=True):
            for piece in said.pieces.get(place, ()):
                is_true = piece.truth == TRUE
                kind, what = (self.told, further) if is_true else (self.failed, 1)
                yield kind, piece.low, piece.high, what, True

    def asked(self, origin: Origin) -> Asked:
        """Return what is asked about spans of *origin*."""
        never, counters = len(origin.relevant), self._counters
        places = np.full(len(self.filters.clauses) + 1, never, np.int64)
        places[origin.relevant] = np.arange(never)
        asked = np.flatnonzero(places[counters.event] < never)
        told = np.flatnonzero(places[counters.further] < never)
        return Asked(
            asked,
            places[counters.event[asked]],
            places[counters.match[asked]],
            told,
            places[counters.further[told]],
        )


def _both(events: Sequence[Piece], matches: Sequence[Piece]) -> Iterator[Piece]:
    """Yield what matches are where there are events, and where it cannot be told if there are."""
    for event in events:
        if event.truth == FAILED:
            yield event
            continue
        for match in matches:
            low, high = max(event.low, match.low), min(event.high, match.high)
            if low < high:
                yield Piece(match.truth, low, high)


class Verdicts(dict[bytes, int]):
    """Verdicts by number. They outlive the ids of batches.

    `entries` of all of them. `generation` changes when numbers lose their meaning.
    """

    def __init__(self, counters: Counters) -> None:
        super().__init__()
        self.question = Question(counters)
        self._filters = counters.filters
        self.generation = 0
        self._columns = [
            [AttributeColumn("span", key) for key in field.keys] for field in self._filters.fields
        ]
        self._steps = len(self._filters.steps)
        self._packed = np.dtype((np.void, 4 * (1 + len(self._columns) - self._steps)))
        self._strings, self._values = Strings(), Values()
        self._forget()

    def _bind(self, strings: Strings, values: Values) -> None:
        """Go by the ids that these give."""
        self._strings, self._values = strings, values
        self._classes = [self._table(field) for field in self._filters.fields]
        self._origin_of = Table(self._origin)
        self._default_origin_of = Table(self._default_origin)

    def _forget(self) -> None:
        self.clear()
        self.generation += 1
        self._origins = Origins(self._filters)
        self._asked: dict[int, Asked] = {}
        self.entries = Entries(self.question.kinds, len(self._filters.durations))
        self._bind(self._strings, self._values)
        self._kinds = [
            Kinds(self._origins, index, is_step=index < self._steps)
            for index in range(len(self._columns))
        ]

    def _table(self, field: Field) -> Table:
        classes = self._filters.classes[field]
        if not isinstance(classes, ValueClasses):
            return Table(lambda _: 0)
        held = self._strings if field in (TENANT, NAME) else self._values
        return Table(lambda id: classes.number(NOTHING if id == ABSENT else held[id]))

    def _origin(self, id: int) -> int:
        resource = self._values[id] if id != ABSENT else {}
        assert isinstance(resource, dict)
        return self._origins.of_resource(resource)

    def _default_origin(self, id: int) -> int:
        """Return the origin of spans of `default`, whose resource that is."""
        origin = self._origin(id)
        tenants = self._filters.classes.get(TENANT)
        if not isinstance(tenants, ValueClasses):
            return origin  # there are no filters
        return self._origins.refined(origin, 0, tenants.number(DEFAULT_TENANT))

    def _origins_of(self, batch: SpanBatch) -> Ints:
        """Return the origin of each span, with its tenant, which is the first step."""
        if not len(batch.tenant) or not self._steps:
            return self._default_origin_of.of(batch.resource, len(self._values))
        origins = self._origin_of.of(batch.resource, len(self._values))
        return self._kinds[0].of(origins, self._classes[0].of(batch.tenant, len(self._strings)))

    def of(self, batch: SpanBatch) -> Ints:
        """Return the number of each span's verdict."""
        is_much = len(self) > _KEPT or len(self.entries.whats) > _KEPT_ENTRIES
        if is_much or len(self._origins) > _KEPT_ORIGINS:
            self._forget()
        if batch.values is not self._values or batch.strings is not self._strings:
            self._bind(batch.strings, batch.values)
        origins = self._origins_of(batch)
        for index in range(1, self._steps):
            origins = self._kinds[index].of(origins, self._classes_of(batch, index))
        rows = np.empty((len(batch), 1 + len(self._columns) - self._steps), np.int32)
        rows[:, 0] = origins
        for index in range(self._steps, len(self._columns)):
            kinds = self._kinds[index].of(origins, self._classes_of(batch, index))
            rows[:, 1 + index - self._steps] = kinds
        packed = rows.view(self._packed)[:, 0].tolist()
        return np.fromiter(map(self.__getitem__, packed), np.int64, len(batch))

    def _classes_of(self, batch: SpanBatch, index: int) -> Ints:
        field = self._filters.fields[index]
        if field == NAME:
            return self._classes[index].of(batch.name, len(self._strings))
        if field == CODE:
            return codes(batch)
        ids = coalesced(batch.attributes, self._columns[index])
        return self._classes[index].of(ids, len(self._values))

    def durations(self, batch: SpanBatch) -> Ints:
        """Return the class of each span's duration."""
        return self._filters.durations.numbers(np.maximum(batch.end - batch.start, 0))

    def failed(self, numbers: Ints, classes: Ints) -> Ints:
        """Return how many could not tell of each span of these verdicts and durations."""
        rows, failures = self._reached(self.question.failed, numbers, classes)
        found = np.zeros(len(numbers), np.int64)
        np.add.at(found, rows, failures)
        return found

    def told(self, numbers: Ints, classes: Ints) -> Iterator[tuple[int, int]]:
        """Yield index and number of the further filters that hold of spans; the index ascends."""
        rows, filters = self._reached(self.question.told, numbers, classes)
        return zip(rows.tolist(), filters.tolist(), strict=True)

    def _reached(self, kind: int, numbers: Ints, classes: Ints) -> tuple[Ints, Ints]:
        patterns = self.entries.patterns(numbers, kind)
        rows = np.flatnonzero(patterns != NONE)
        owners, entries = self.entries.reached(patterns[rows], classes[rows])
        return rows[owners], self.entries.whats.cells[entries]

    def __missing__(self, row: bytes) -> int:
        origin, *kinds = np.frombuffer(row, np.int32).tolist()
        asked = self._asked.get(origin)
        if asked is None:
            asked = self._asked[origin] = self.question.asked(self._origins[origin])
        self.entries.add(self.question.answer(asked, self._origins[origin], kinds))
        number = self[row] = len(self)
        return number
