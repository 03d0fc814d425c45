"""What a span may have several of, each with something of its own: events and links.

As columns of their own, which name the row of their span.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from operator import attrgetter
from typing import Any, NamedTuple, TypeVar, cast

import numpy as np
import numpy.typing as npt
from google.protobuf.message import DecodeError

from tailrace.schemas.otlp.attributes import SpanAttributes
from tailrace.schemas.otlp.patterns import PatternAttributes
from tailrace.schemas.otlp.slim import Parts, parse_links
from tailrace.schemas.otlp.wire import framed
from tailrace.schemas.spans import AttributeColumn, Events, Links
from tailrace.schemas.strings import Strings, Values

Rows = npt.NDArray[np.intp]
_Flags = npt.NDArray[np.bool_]
_NO_TRACE, _NO_SPAN = bytes(16), bytes(8)


class Wanted(NamedTuple):
    """What of a span is asked for that is no attribute; see `Decoder`."""

    trace_state: bool = False
    flags: bool = False
    scopes: bool = False
    events: bool = False
    links: bool = False

    def parts(self, *, has_attributes: bool) -> Parts:
        """Return what has to be parsed for it."""
        context = self.trace_state or self.flags
        return Parts(has_attributes, context, self.scopes, self.events, self.links)


class EventReader:
    """Reads events with the *attributes* that are asked for."""

    def __init__(
        self,
        attributes: Sequence[AttributeColumn],
        strings: Strings,
        values: Values,
        memo_limit_bytes: int,
    ) -> None:
        self._named = tuple(each for each in attributes if not each.is_pattern)
        self._strings = strings
        self._codes = SpanAttributes([each.key for each in self._named], values, memo_limit_bytes)
        patterns = [each for each in attributes if each.is_pattern]
        self._patterns = PatternAttributes(patterns, values, memo_limit_bytes)

    def read(self, spans: Sequence[Any], malformed: _Flags) -> Events:
        """The events of *spans*; marks as *malformed* a span of which a wanted attribute is."""
        lists = [each[:] for each in map(attrgetter("events"), spans)]
        events = list(chain.from_iterable(lists))
        row = np.repeat(np.arange(len(spans), dtype=np.int32), _lengths(lists))
        name = self._strings.intern_all(map(attrgetter("name"), events), len(events))
        if not (self._named or self._patterns.columns):
            return Events(row, name, {})
        attributes = [each[:] for each in map(attrgetter("attributes"), events)]
        encoded = list(chain.from_iterable(attributes))
        owners = np.repeat(np.arange(len(events)), _lengths(attributes))
        is_malformed = np.zeros(len(events), np.bool_)
        table = self._codes.table(encoded, owners, len(events), is_malformed)
        columns = dict(zip(self._named, table, strict=True))
        if self._patterns.columns:
            columns |= self._patterns.read(encoded, owners, len(events), is_malformed)
        malformed[row[is_malformed]] = True
        return Events(row, name, columns)


def read_links(spans: Sequence[Any], rows: Rows, malformed: _Flags) -> Links:
    """The valid links of the *spans* at *rows*; marks as *malformed* a span whose links are."""
    lists = [spans[row].links[:] for row in rows.tolist()]
    try:
        parsed = parse_links(framed(chain.from_iterable(lists))).links[:]
    except DecodeError:
        broken = [row for row, encoded in zip(rows.tolist(), lists, strict=True) if _bad(encoded)]
        malformed[broken] = True
        return read_links(spans, np.setdiff1d(rows, broken), malformed)
    found = [
        (row, link.trace_id, link.span_id)
        for row, link in zip(np.repeat(rows, _lengths(lists)).tolist(), parsed, strict=True)
        if _is_id(link.trace_id, _NO_TRACE) and _is_id(link.span_id, _NO_SPAN)
    ]
    row = np.array([row for row, _, _ in found], np.int32)
    return Links(row, [trace for _, trace, _ in found], [span for _, _, span in found])


def _bad(encoded: list[bytes]) -> bool:
    try:
        parse_links(framed(encoded))
    except DecodeError:
        return True
    return False


def _is_id(identifier: bytes, none: bytes) -> bool:
    return len(identifier) == len(none) and identifier != none


def _lengths(lists: Sequence[Any]) -> npt.NDArray[np.int64]:
    return np.fromiter(map(len, lists), np.int64, len(lists))


PartsT = TypeVar("PartsT", Events, Links)


def joined_parts(parts: Sequence[PartsT | None], first_rows: Sequence[int]) -> PartsT | None:
    """All *parts* as one, whose rows begin at *first_rows*; None if they were not asked for."""
    if parts[0] is None:
        return None
    there = cast("Sequence[PartsT]", parts)
    rows = [part.row + np.int32(first) for part, first in zip(there, first_rows, strict=False)]
    return _with_rows(there, np.concatenate(rows))


def _with_rows(parts: Sequence[PartsT], row: npt.NDArray[np.int32]) -> PartsT:
    first = parts[0]
    if isinstance(first, Events):
        name = np.concatenate([part.name for part in parts])
        attributes = {
            column: np.concatenate([part.attributes[column] for part in parts])
            for column in first.attributes
        }
        return Events(row, name, attributes)
    trace_id = list(chain.from_iterable(part.trace_id for part in parts))
    return Links(row, trace_id, list(chain.from_iterable(part.span_id for part in parts)))


def moved(part: PartsT, order: Rows) -> PartsT:
    """*part* after the rows of its spans became those of *order*; others' are left out."""
    count = 1 + max(int(order.max(initial=-1)), int(part.row.max(initial=-1)))
    places = np.full(count, -1, np.int32)
    places[order] = np.arange(len(order), dtype=np.int32)
    row = places[part.row]
    kept = np.flatnonzero(row >= 0)
    kept = kept[np.argsort(row[kept], kind="stable")]
    if isinstance(part, Events):
        attributes = {column: ids[kept] for column, ids in part.attributes.items()}
        return Events(row[kept], part.name[kept], attributes)
    indices = kept.tolist()
    trace_id = [part.trace_id[index] for index in indices]
    return Links(row[kept], trace_id, [part.span_id[index] for index in indices])
