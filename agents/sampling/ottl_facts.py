"""Facts that conditions of OTTL tell.

Conditions that look at columns only are asked once for each distinct row of those columns. Others
are asked of spans decoded from `SpanBatch.raw`, which is done once for all facts of a batch. Spans
that cannot be decoded, for a part that no column has, have no answer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt
from google.protobuf.message import DecodeError
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from tailrace.agents.sampling.facts import Answers, Bools, ContextField
from tailrace.schemas.ottl import Conditions, EvaluationError, Subject
from tailrace.schemas.ottl.anyvalues import ABSENT
from tailrace.schemas.ottl.columns import Column
from tailrace.schemas.spans import AttributeColumn, SpanBatch
from tailrace.schemas.strings import ABSENT as NO_ID

Verdicts = npt.NDArray[np.int8]

FALSE: Final = 0
TRUE: Final = 1
NO_ANSWER: Final = 2

_TIMES: Final = frozenset({"start", "end"})
_MOST_CODES: Final = 1 << 62
_FEW_CODES: Final = 1 << 15
"""So many are told apart by a table of all, of more by sorting those that are there."""
_MOST_ROWS: Final = 20_000
"""As many answers to rows are kept for conditions; then they are forgotten."""


@dataclass(frozen=True, slots=True)
class ConditionFact:
    """A span meets one of the conditions; where they have no answer, it does not."""

    conditions: Conditions

    context: ClassVar[tuple[ContextField, ...]] = ()

    @property
    def attributes(self) -> tuple[AttributeColumn, ...]:
        return attributes_of(self.conditions)

    def holds(self, batch: SpanBatch, answers: Answers) -> Bools:
        """For each span of *batch*, whether the claim is true."""
        true: Bools = _of_spans(self.conditions, batch, answers) == TRUE
        return true


@dataclass(frozen=True, slots=True)
class PolicyFact:
    """What `ottl_condition` asks: the span meets one of the conditions, or an event of it does.

    Conditions on the span come first. With the error mode `propagate` the first that is true or has
    no answer is the span's; in other modes one that is true, or else one that has no answer.
    """

    of_spans: Conditions | None
    of_events: Conditions | None

    context: ClassVar[tuple[ContextField, ...]] = ()

    @property
    def attributes(self) -> tuple[AttributeColumn, ...]:
        return attributes_of(self.of_spans) if self.of_spans is not None else ()

    def answers(self, batch: SpanBatch, answers: Answers) -> tuple[Bools, Bools]:
        """For each span of *batch*, whether it says yes, and whether it has no answer."""
        known = _known(answers)
        verdicts = known.verdicts_on(batch).get(self)
        if verdicts is None:
            verdicts = known.verdicts_on(batch)[self] = self._verdicts(batch, answers)
        return verdicts == TRUE, verdicts == NO_ANSWER

    def _verdicts(self, batch: SpanBatch, answers: Answers) -> Verdicts:
        verdicts = np.zeros(len(batch), np.int8)
        if self.of_spans is not None:
            verdicts = _of_spans(self.of_spans, batch, answers)
        if self.of_events is not None:
            is_strict = self.of_events.error_mode == "propagate"
            rows = np.flatnonzero(verdicts == FALSE if is_strict else verdicts != TRUE)
            found = _of_events(self.of_events, batch, rows, answers)
            verdicts[rows] = np.where(found == FALSE, verdicts[rows], found)
        return verdicts


def attributes_of(conditions: Conditions) -> tuple[AttributeColumn, ...]:
    """The attributes that a batch must have for *conditions*; what is decoded needs none."""
    return tuple(each for each in conditions.columns or () if isinstance(each, AttributeColumn))


def _of_spans(conditions: Conditions, batch: SpanBatch, answers: Answers) -> Verdicts:
    known = _known(answers)
    columns = conditions.columns
    if columns is None:
        every = range(len(batch))
        return np.fromiter(
            (_verdict(conditions.holds, subject) for subject in known.subjects(batch, every)),
            np.int8,
            len(batch),
        )
    if not columns:
        return np.full(len(batch), _verdict(conditions.holds_of, ()), np.int8)
    ids = [_ids(batch, column) for column in columns]
    if not _TIMES.isdisjoint(columns):  # hardly two rows are the same
        every_row = zip(*(each.tolist() for each in ids), strict=True)
        return np.fromiter(
            (_of_row(conditions, batch, row) for row in every_row), np.int8, len(batch)
        )
    places, which = _distinct(ids)
    rows = zip(*(each[places].tolist() for each in ids), strict=True)
    found = known.rows_of(conditions)
    distinct = np.empty(len(places), np.int8)
    for index, row in enumerate(rows):
        verdict = found.get(row)
        if verdict is None:
            verdict = found[row] = _of_row(conditions, batch, row)
        distinct[index] = verdict
    verdicts: Verdicts = distinct[which]
    return verdicts


def _of_events(
    conditions: Conditions, batch: SpanBatch, rows: npt.NDArray[np.intp], answers: Answers
) -> Verdicts:
    is_strict = conditions.error_mode == "propagate"

    def verdict(subject: Subject | None) -> int:
        if subject is None:
            return NO_ANSWER
        so_far = FALSE
        for index, event in enumerate(subject.span.events):
            found = _verdict(conditions.holds, subject._replace(event=event, event_index=index))
            if found == TRUE or (is_strict and found != FALSE):
                return found
            so_far = max(so_far, found)
        return so_far

    found = [verdict(subject) for subject in _known(answers).subjects(batch, rows.tolist())]
    return np.array(found, np.int8)


def _verdict(holds: Any, asked: Any) -> int:
    """What *holds* says; there is no answer about what could not be decoded."""
    if asked is None:
        return NO_ANSWER
    try:
        return TRUE if holds(asked) else FALSE
    except EvaluationError:
        return NO_ANSWER
    except Exception:  # a defect that one span brings out must not keep the others
        return NO_ANSWER


def _of_row(conditions: Conditions, batch: SpanBatch, row: Sequence[Any]) -> int:
    columns = conditions.columns or ()
    values = [_value(batch, *each) for each in zip(columns, row, strict=True)]
    return _verdict(conditions.holds_of, values)


def _ids(batch: SpanBatch, column: Column) -> npt.NDArray[Any]:
    if isinstance(column, AttributeColumn):
        return batch.attributes[column]
    ids: npt.NDArray[Any] = getattr(batch, column)
    return ids


def _value(batch: SpanBatch, column: Column, number: Any) -> Any:
    if isinstance(column, AttributeColumn):
        return ABSENT if number == NO_ID else batch.values[number]
    return batch.strings[number] if column == "name" else number


def _distinct(ids: Sequence[npt.NDArray[Any]]) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """A place of each distinct row of *ids*, which are -1 or more; and for each row which it is."""
    codes, room = np.zeros(len(ids[0]), np.int64), 1
    for each in ids:
        size = int(each.max(initial=0)) + 2
        if room * size >= _MOST_CODES:
            room, codes = _numbered(codes, room)
        codes, room = codes * size + each + 1, room * size
    count, which = _numbered(codes, room)
    places = np.empty(count, np.intp)
    places[which] = np.arange(len(codes))
    return places, which


def _numbered(codes: npt.NDArray[np.int64], room: int) -> tuple[int, npt.NDArray[np.intp]]:
    """How many distinct *codes* there are, all below *room*; and for each its number among them."""
    if room > _FEW_CODES:
        numbers, which = np.unique(codes, return_inverse=True)
        return len(numbers), which
    is_there = np.zeros(room, np.bool_)
    is_there[codes] = True
    numbers = np.cumsum(is_there)
    return int(numbers[-1]), numbers[codes] - 1


@dataclass(slots=True, weakref_slot=True)
class _Known:
    """What was found out about batches whose values have the same ids, and the last batch."""

    rows: dict[Conditions, dict[tuple[Any, ...], int]] = field(default_factory=dict)
    batch: SpanBatch | None = None
    decoded: dict[int, list[Subject]] = field(default_factory=dict)
    """The spans of the last batch, by fragment."""
    verdicts: dict[PolicyFact, Verdicts] = field(default_factory=dict)
    """On the spans of the last batch."""

    def rows_of(self, conditions: Conditions) -> dict[tuple[Any, ...], int]:
        """Verdicts by the ids of rows."""
        found = self.rows.setdefault(conditions, {})
        if len(found) > _MOST_ROWS:
            found.clear()
        return found

    def verdicts_on(self, batch: SpanBatch) -> dict[PolicyFact, Verdicts]:
        """What is known of the spans of *batch*."""
        if self.batch is not batch:
            self.batch, self.decoded, self.verdicts = batch, {}, {}
        return self.verdicts

    def subjects(self, batch: SpanBatch, rows: Sequence[int]) -> Iterator[Subject | None]:
        """The spans of those rows of *batch*, which rise; only their fragments are decoded.

        None for what cannot be decoded.
        """
        self.verdicts_on(batch)
        starts = batch.fragment_start.tolist()
        fragment = 0
        for row in rows:
            while row >= starts[fragment + 1]:
                fragment += 1
            spans = self.decoded.get(fragment)
            if spans is None:
                spans = self.decoded[fragment] = _subjects(batch.raw[fragment])
            yield spans[row - starts[fragment]] if spans else None


def _subjects(raw: bytes) -> list[Subject]:
    """The spans of a fragment; none if a part that no column has cannot be decoded."""
    try:
        data = TracesData.FromString(raw)
    except DecodeError:
        return []
    return [
        Subject(resource_spans, scope_spans, span)
        for resource_spans in data.resource_spans
        for scope_spans in resource_spans.scope_spans
        for span in scope_spans.spans
    ]


_KNOWN: Final[WeakKeyDictionary[Answers, _Known]] = WeakKeyDictionary()


def _known(answers: Answers) -> _Known:
    known = _KNOWN.get(answers)
    if known is None:
        known = _KNOWN[answers] = _Known()
    return known
