"""Keys: which values the fields of rules have in a trace, and the text that samplers tell it by.

Laws:

- What is known of a trace is the union of what is known of its fragments, in whatever order and
  however often they come; so it is rebuilt from them and never stored.
- A field has at most `MAX_VALUES` values in a trace: of more, the least are kept, and "…" says that
  there were. A value counts by its first `MAX_VALUE_LENGTH` characters.
- Traces have equal texts if they have the same values, and different ones if they do not. A text is
  `MAX_TEXT_LENGTH` characters at most, and a digest after them if it would be longer.

Source of what a key is: Refinery 3 (`trace_key.go`): the distinct values of each field over the
spans of the trace, sorted; there 100 for all fields together, here for each.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import reduce
from hashlib import blake2b
from typing import Any, Final, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt
import orjson

from tailrace.agents.sampling.facts import Trace
from tailrace.schemas.config.trace_fields import TraceField
from tailrace.schemas.spans import AttributeColumn, SpanBatch
from tailrace.schemas.strings import ABSENT, text_of

MAX_VALUES: Final = 100
MAX_VALUE_LENGTH: Final = 100
MAX_TEXT_LENGTH: Final = 500

FieldValues: TypeAlias = frozenset[tuple[int, str]]
"""Numbers of fields, each with a value that it has."""

NO_VALUES: Final[FieldValues] = frozenset()

_MORE: Final = "…"
_MAX_CACHED: Final = 10_000
_MANY: Final = 16
"""So many values are seldom had by two traces, and would take much memory to remember."""
_KINDS: Final = ("unspecified", "internal", "server", "client", "producer", "consumer")
_STATUSES: Final = ("unset", "ok", "error")

_Ids: TypeAlias = npt.NDArray[np.int64]


class KeyedTrace(Trace, Protocol):
    """A trace of which the values of fields are known."""

    @property
    def keys(self) -> FieldValues: ...


class Keys:
    """The fields that the rules of one config ask for, and what traces have in them.

    Equal values are one object as long as they are often seen, so that a trace costs a reference.
    """

    def __init__(self) -> None:
        self._fields: dict[TraceField, int] = {}
        self._sources: tuple[object, object] = (None, None)
        self._known: dict[tuple[int, ...], FieldValues] = {}
        self._merged: dict[tuple[FieldValues, FieldValues], FieldValues] = {}
        self._texts: dict[tuple[FieldValues, tuple[int, ...]], list[list[str]]] = {}

    def numbers(self, fields: Iterable[TraceField]) -> tuple[int, ...]:
        """The numbers of *fields*, to ask `text` with; from then on they are observed."""
        return tuple(self._fields.setdefault(field, len(self._fields)) for field in fields)

    @property
    def columns(self) -> tuple[AttributeColumn, ...]:
        """The attributes that batches must have, each once."""
        sources = (field.source for field in self._fields)
        return tuple(dict.fromkeys(each for each in sources if isinstance(each, AttributeColumn)))

    def observe(self, batch: SpanBatch) -> list[FieldValues]:
        """What each fragment of *batch* has."""
        if not self._fields or not len(batch):
            return [NO_VALUES] * len(batch.fragment_trace_id)
        values, rows = self._of_rows(batch)
        first = batch.fragment_start[:-1]
        lowest = np.minimum.reduceat(rows, first)
        mixed = np.flatnonzero(lowest != np.maximum.reduceat(rows, first))
        found = [values[row] for row in lowest.tolist()]
        for fragment in mixed.tolist():
            start, end = batch.fragment_start[fragment : fragment + 2].tolist()
            parts = (values[row] for row in sorted(set(rows[start:end].tolist())))
            found[fragment] = reduce(self.merge, parts)
        return found

    def merge(self, some: FieldValues, others: FieldValues) -> FieldValues:
        """What a trace has that has *some* and *others*."""
        if some is others or not others:
            return some
        if not some:
            return others
        merged = self._merged.get((some, others))
        if merged is None:
            merged = some if others <= some else _bounded(some | others)
            if len(merged) < _MANY:
                _remember(self._merged, (some, others), merged)
        return merged

    def text(self, values: FieldValues, numbers: tuple[int, ...], spans: int | None = None) -> str:
        """The key of a trace with *values*, by the fields of *numbers*, and by its *spans* if
        these count: a JSON list, never empty.
        """
        parts: list[object] | list[list[str]] | None = self._texts.get((values, numbers))
        if parts is None:
            columns = [sorted(text for field, text in values if field == each) for each in numbers]
            if len(values) < _MANY:
                _remember(self._texts, (values, numbers), columns)
            parts = columns
        text = orjson.dumps(parts if spans is None else [*parts, spans]).decode()
        if len(text) <= MAX_TEXT_LENGTH:
            return text
        return text[:MAX_TEXT_LENGTH] + blake2b(text.encode(), digest_size=16).hexdigest()

    def _of_rows(self, batch: SpanBatch) -> tuple[list[FieldValues], _Ids]:
        """Return what there is in *batch*, and for each span which of these it has."""
        columns = [_column(batch, field) for field in self._fields]
        rows = np.zeros(len(batch), np.int64)
        for column in columns:
            _, rows = np.unique(rows * (column.max() + 2) + column + 1, return_inverse=True)
        _, samples = np.unique(rows, return_index=True)
        if self._sources != (batch.values, batch.strings):
            self._sources = batch.values, batch.strings
            self._known.clear()
        distinct = zip(*(column[samples].tolist() for column in columns), strict=True)
        return [self._values(batch, ids) for ids in distinct], rows

    def _values(self, batch: SpanBatch, ids: tuple[int, ...]) -> FieldValues:
        known = self._known.get(ids)
        if known is None:
            found = (
                (number, _text(batch, field, ids[number])[:MAX_VALUE_LENGTH])
                for field, number in self._fields.items()
                if ids[number] != ABSENT
            )
            known = frozenset(found)
            _remember(self._known, ids, known)
        return known


def _column(batch: SpanBatch, field: TraceField) -> _Ids:
    """Return an id for each span; ABSENT if it does not have the field, or should not be asked."""
    column: npt.NDArray[Any]
    match field.source:
        case AttributeColumn():
            column = batch.attributes[field.source]
        case "name":
            column = batch.name
        case "kind":
            column = batch.kind
        case "status":
            column = batch.status
    ids = column.astype(np.int64)
    return np.where(batch.is_root, ids, ABSENT) if field.is_of_root else ids


def _text(batch: SpanBatch, field: TraceField, number: int) -> str:
    if isinstance(field.source, AttributeColumn):
        return text_of(batch.values[number])
    if field.source == "name":
        return batch.strings[number]
    return (_KINDS if field.source == "kind" else _STATUSES)[number]


def _bounded(values: FieldValues) -> FieldValues:
    """Return *values* without those of a field that are too many."""
    if len(values) <= MAX_VALUES:
        return values
    by_field: dict[int, set[str]] = {}
    for field, text in values:
        by_field.setdefault(field, set()).add(text)
    return frozenset((field, text) for field, texts in by_field.items() for text in _least(texts))


def _least(texts: set[str]) -> Sequence[str]:
    own = sorted(texts - {_MORE})
    if len(own) <= MAX_VALUES:
        return [*texts]
    return [*own[:MAX_VALUES], _MORE]


def _remember(cache: dict[Any, Any], key: Any, value: Any) -> None:
    if len(cache) >= _MAX_CACHED:
        cache.clear()
    cache[key] = value
