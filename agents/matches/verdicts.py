"""Verdicts: what a span is to all signals together.

Spans are told apart by small numbers, one for each field: their classes, as far as the filters of
their origin tell them apart. These numbers side by side are the key of a dict, so that filters are
asked only once about spans that are alike, however many filters there are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from tailrace.agents.matches.classes import ABSENT as NOTHING
from tailrace.agents.matches.classes import DurationClasses, ValueClasses
from tailrace.agents.matches.conditions import (
    CODE,
    DURATION,
    FAILED,
    FALSE,
    NAME,
    TRUE,
    Clause,
    Field,
    clause,
)
from tailrace.agents.matches.filters import Filters, Origin, Origins
from tailrace.agents.matches.kinds import DurationKinds, Kinds, Table
from tailrace.schemas.definitions.filters import STATUSES, SpanFilter
from tailrace.schemas.definitions.signals import Signal
from tailrace.schemas.semconv import coalesced
from tailrace.schemas.spans import AttributeColumn, SpanBatch
from tailrace.schemas.strings import ABSENT, Strings, Values
from tailrace.schemas.sums import Ints

Ids = npt.NDArray[np.int32]
Flagged = npt.NDArray[np.bool_]

_KEPT: Final = 100_000
"""With more keys or verdicts, all are forgotten."""
_KEPT_ORIGINS: Final = 50_000


def codes(batch: SpanBatch) -> Ints:
    """Return the class of each span by kind, status, and whether it is a root."""
    by_kind = batch.kind.astype(np.int64) * len(STATUSES) + batch.status
    return by_kind * 2 + batch.is_root


class Verdict(NamedTuple):
    """Which signals count a span (ascending), and which of these it matches.

    `failures`: how many could not tell. `told`: the further filters that hold, as bits.
    """

    signals: tuple[int, ...]
    is_matched: tuple[bool, ...]
    failures: int
    told: int


class Asked(NamedTuple):
    """The signals that one origin's filters bear on; places among what the filters say there."""

    signals: Ints
    events: Ints
    matches: Ints
    told: Ints
    told_places: Ints


class Question:
    """What all signals ask of spans, and *further* filters that somebody wants to know of."""

    def __init__(self, signals: Sequence[Signal], further: Sequence[SpanFilter] = ()) -> None:
        places: dict[str, int] = {}
        clauses: list[Clause] = []

        def place(of: SpanFilter) -> int:
            key = of.model_dump_json(by_alias=True, exclude_unset=True)
            if key not in places:
                places[key] = len(clauses)
                clauses.append(clause(of))
            return places[key]

        matches, events = [], []
        for signal in signals:
            assert signal.matched is not None
            matches.append(place(signal.matched))
            events.append(matches[-1] if signal.of is None else place(signal.of))
        self._matches = np.array(matches, np.int64)
        self._events = np.array(events, np.int64)
        self._further = np.array([place(each) for each in further], np.int64)
        self.filters = Filters(clauses)

    @property
    def columns(self) -> list[AttributeColumn]:
        """What the filters read of spans; resources come whole with every batch."""
        keys = [key for field in self.filters.fields for key in field.keys]
        return [AttributeColumn("span", key) for key in dict.fromkeys(keys)]

    def answer(self, asked: Asked, origin: Origin, kinds: Sequence[int]) -> Verdict:
        """Return what a span of *origin*, of which *asked*, is to the signals."""
        said = np.append(origin.said(kinds), np.uint8(FALSE))
        events, matches = said[asked.events], said[asked.matches]
        is_event, told = events == TRUE, said[asked.told_places]
        failures = (events == FAILED) | (is_event & (matches == FAILED))
        return Verdict(
            tuple(asked.signals[is_event].tolist()),
            tuple((matches[is_event] == TRUE).tolist()),
            int(np.count_nonzero(failures)) + int(np.count_nonzero(told == FAILED)),
            sum(1 << place for place in asked.told[told == TRUE].tolist()),
        )

    def asked(self, origin: Origin) -> Asked:
        """Return what is asked about spans of *origin*."""
        never = len(origin.relevant)
        places = np.full(len(self.filters.clauses) + 1, never, np.int64)
        places[origin.relevant] = np.arange(never)
        signals = np.flatnonzero(places[self._events] < never)
        told = np.flatnonzero(places[self._further] < never)
        return Asked(
            signals,
            places[self._events[signals]],
            places[self._matches[signals]],
            told,
            places[self._further[told]],
        )


class Verdicts(dict[bytes, int]):
    """Verdicts by number. They outlive the ids of batches.

    `generation` changes when numbers lose their meaning.
    """

    def __init__(self, question: Question) -> None:
        super().__init__()
        self._question = question
        self._filters = question.filters
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

    def _forget(self) -> None:
        self.clear()
        self.generation += 1
        self._origins = Origins(self._filters)
        self._asked: dict[int, Asked] = {}
        self._numbers: dict[Verdict, int] = {}
        self.verdicts: list[Verdict] = []
        self._rows = np.zeros((0, 3), np.int64)
        self._bind(self._strings, self._values)
        self._kinds = [self._kinds_of(index) for index in range(len(self._columns))]

    def _kinds_of(self, index: int) -> Kinds | DurationKinds:
        classes = self._filters.classes[self._filters.fields[index]]
        if isinstance(classes, DurationClasses):
            return DurationKinds(self._origins, index, len(classes))
        return Kinds(self._origins, index, is_step=index < self._steps)

    def _table(self, field: Field) -> Table:
        classes = self._filters.classes[field]
        if not isinstance(classes, ValueClasses):
            return Table(lambda _: 0)
        held = self._strings if field == NAME else self._values
        return Table(lambda id: classes.number(NOTHING if id == ABSENT else held[id]))

    def _origin(self, id: int) -> int:
        resource = self._values[id] if id != ABSENT else {}
        assert isinstance(resource, dict)
        return self._origins.of_resource(resource)

    def of(self, batch: SpanBatch) -> Ints:
        """Return the number of each span's verdict."""
        if max(len(self), len(self.verdicts)) > _KEPT or len(self._origins) > _KEPT_ORIGINS:
            self._forget()
        if batch.values is not self._values or batch.strings is not self._strings:
            self._bind(batch.strings, batch.values)
        origins = self._origin_of.of(batch.resource, len(self._values))
        for index in range(self._steps):
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
        if field == DURATION:
            classes = self._filters.classes[field]
            assert isinstance(classes, DurationClasses)
            return classes.numbers(np.maximum(batch.end - batch.start, 0))
        ids = coalesced(batch.attributes, self._columns[index])
        return self._classes[index].of(ids, len(self._values))

    def columns(self) -> tuple[Flagged, Ints, Flagged]:
        """Return of every verdict: whether it counts, its failures, whether it tells anything."""
        known, verdicts = len(self._rows), self.verdicts
        if len(verdicts) > known:
            more = [(bool(v.signals), v.failures, v.told != 0) for v in verdicts[known:]]
            self._rows = np.concatenate([self._rows, np.array(more, np.int64)])
        counts, failures, told = self._rows.T
        return counts != 0, failures, told != 0

    def __missing__(self, row: bytes) -> int:
        origin, *kinds = np.frombuffer(row, np.int32).tolist()
        asked = self._asked.get(origin)
        if asked is None:
            asked = self._asked[origin] = self._question.asked(self._origins[origin])
        verdict = self._question.answer(asked, self._origins[origin], kinds)
        number = self._numbers.get(verdict)
        if number is None:
            number = self._numbers[verdict] = len(self.verdicts)
            self.verdicts.append(verdict)
        self[row] = number
        return number
