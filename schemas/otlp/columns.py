"""Messages to columns, before anyone asks which spans are good and whose they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain
from operator import attrgetter
from typing import Any

import numpy as np
import numpy.typing as npt
from google.protobuf.message import DecodeError

from tailrace.schemas.otlp.attributes import Resources, SpanAttributes
from tailrace.schemas.otlp.parts import EventReader, Wanted, joined_parts, read_links
from tailrace.schemas.otlp.patterns import PatternAttributes
from tailrace.schemas.otlp.slim import parser
from tailrace.schemas.otlp.wire import framed
from tailrace.schemas.spans import (
    KIND_CLIENT,
    KIND_CONSUMER,
    KIND_PRODUCER,
    AttributeColumn,
    Events,
    Links,
    Reason,
    Rejected,
)
from tailrace.schemas.strings import ABSENT, Strings, Values

_LAST_KIND = 5
_LAST_STATUS = 2

Ids = npt.NDArray[np.int32]
_LISTS = ("messages", "rejected", "trace_id", "span_id", "parent_span_id")
_ARRAYS = (
    "start",
    "end",
    "kind",
    "status",
    "service",
    "name",
    "resource",
    "malformed",
    "trace_state",
    "flags",
    "scope_name",
    "scope_version",
)


@dataclass(slots=True)
class Columns:
    """The spans of some messages in their order, the bad ones too; see `SpanBatch`."""

    messages: list[int]  # those that have spans
    first_rows: list[int]  # of each
    rejected: list[Rejected]  # malformed messages, whose spans are not here
    trace_id: list[bytes]
    span_id: list[bytes]
    parent_span_id: list[bytes]
    start: npt.NDArray[np.int64]
    end: npt.NDArray[np.int64]
    kind: npt.NDArray[np.uint8]
    status: npt.NDArray[np.uint8]
    service: Ids
    name: Ids
    resource: Ids
    attributes: dict[AttributeColumn, Ids]
    malformed: npt.NDArray[np.bool_]  # a wanted attribute of the span is
    trace_state: Ids  # this and the next are empty where they were not asked for
    flags: npt.NDArray[np.uint32]
    scope_name: Ids  # this and what follows likewise
    scope_version: Ids
    events: Events | None
    links: Links | None

    @classmethod
    def joined(cls, parts: Sequence[Columns]) -> Columns:
        """All *parts*, of which there is at least one, as one."""
        if len(parts) == 1:
            return parts[0]
        bounds = np.cumsum([0, *(len(part.start) for part in parts)]).tolist()
        joined: dict[str, Any] = {
            name: np.concatenate([getattr(part, name) for part in parts]) for name in _ARRAYS
        }
        for name in _LISTS:
            joined[name] = list(chain.from_iterable(getattr(part, name) for part in parts))
        joined["first_rows"] = [
            bound + row
            for bound, part in zip(bounds, parts, strict=False)
            for row in part.first_rows
        ]
        joined["attributes"] = {
            column: np.concatenate([part.attributes[column] for part in parts])
            for column in parts[0].attributes
        }
        joined["events"] = joined_parts([part.events for part in parts], bounds)
        joined["links"] = joined_parts([part.links for part in parts], bounds)
        return cls(**joined)


@dataclass(slots=True)
class _Parsed:
    """Spans in order, and at which row each message and each resource begins."""

    spans: list[Any] = field(default_factory=list)
    messages: list[int] = field(default_factory=list)
    first_rows: list[int] = field(default_factory=list)
    resources: list[tuple[int, ...]] = field(default_factory=list)
    resource_first_rows: list[int] = field(default_factory=list)
    scopes: list[tuple[int, int]] = field(default_factory=list)
    scope_first_rows: list[int] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)


class Reader:
    """Reads the fixed columns and those asked for; ids stay the same for as long as it lives.

    Where only *client* columns are asked for, no attribute of other kinds of span is looked at.
    """

    def __init__(
        self,
        attributes: Sequence[AttributeColumn],
        client_attributes: Sequence[AttributeColumn],
        memo_limit_bytes: int,
        asked: Wanted,
    ) -> None:
        self._plain = _distinct(attributes, "span")
        patterns = _distinct(attributes, "span", is_pattern=True)
        self._client = [
            column for column in _distinct(client_attributes, "span") if column not in self._plain
        ]
        self._of_resources = _distinct(attributes, "resource")
        wanted = [*self._plain, *self._client]
        self._asked = asked
        self._parse = parser(asked.parts(has_attributes=bool(wanted or patterns)))
        self.strings = Strings()
        self.values = Values()
        self._codes = SpanAttributes([each.key for each in wanted], self.values, memo_limit_bytes)
        self._resources = Resources(
            [each.key for each in self._of_resources], self.strings, self.values, memo_limit_bytes
        )
        self._patterns = PatternAttributes(patterns, self.values, memo_limit_bytes)
        of_events = [each for each in dict.fromkeys(attributes) if each.scope == "event"]
        self._events = EventReader(of_events, self.strings, self.values, memo_limit_bytes)

    @property
    def size_bytes(self) -> int:
        """About the memory that interned texts and values hold."""
        return self.strings.size_bytes + self.values.size_bytes

    def read(self, values: Sequence[bytes | None], messages: range) -> Columns:
        """The spans of *messages*, which are indices into *values*."""
        parsed = self._parse_all(values, messages)
        spans = parsed.spans
        kind = _codes(spans, "kind", _LAST_KIND)
        attributes, malformed = self._span_attributes(spans, kind)
        service, resource, of_resources = self._resource_attributes(parsed)
        scope_name, scope_version = self._scopes(parsed)
        return Columns(
            messages=parsed.messages,
            first_rows=parsed.first_rows,
            rejected=parsed.rejected,
            trace_id=list(map(attrgetter("trace_id"), spans)),
            span_id=list(map(attrgetter("span_id"), spans)),
            parent_span_id=list(map(attrgetter("parent_span_id"), spans)),
            start=_integers(spans, "start_time_unix_nano"),
            end=_integers(spans, "end_time_unix_nano"),
            kind=kind,
            status=_codes(spans, "status.code", _LAST_STATUS),
            service=service,
            name=self.strings.intern_all(map(attrgetter("name"), spans), len(spans)),
            resource=resource,
            attributes=attributes | of_resources,
            malformed=malformed,
            trace_state=self._trace_states(spans if self._asked.trace_state else []),
            flags=_unsigned(spans if self._asked.flags else [], "flags"),
            scope_name=scope_name,
            scope_version=scope_version,
            events=self._events.read(spans, malformed) if self._asked.events else None,
            links=(
                read_links(spans, np.flatnonzero(kind == KIND_CONSUMER), malformed)
                if self._asked.links
                else None
            ),
        )

    def _parse_all(self, values: Sequence[bytes | None], messages: range) -> _Parsed:
        parsed = _Parsed()
        given = [message for message in messages if values[message]]
        requests = self._requests([values[message] or b"" for message in given])
        for message, request in zip(given, requests, strict=True):
            rows, blocks = len(parsed.spans), len(parsed.resources)
            scopes = len(parsed.scopes)
            if request is None or not self._add(request, parsed):
                del parsed.spans[rows:], parsed.resources[blocks:]
                del parsed.resource_first_rows[blocks:]
                del parsed.scopes[scopes:], parsed.scope_first_rows[scopes:]
                whole = values[message] or b""
                parsed.rejected.append(Rejected(message, Reason.MALFORMED, whole, 0))
            elif len(parsed.spans) > rows:
                parsed.messages.append(message)
                parsed.first_rows.append(rows)
        return parsed

    def _requests(self, values: list[bytes]) -> list[Any]:
        """Each value parsed, None for the malformed; all at once, if all are well formed."""
        try:
            return list(self._parse(framed(values)).requests[:])
        except DecodeError:
            if len(values) == 1:
                return [None]
            return [request for value in values for request in self._requests([value])]

    def _add(self, request: Any, parsed: _Parsed) -> bool:
        """Add the spans of *request*; False if a resource of theirs is malformed."""
        spans, has_scopes = parsed.spans, self._asked.scopes
        # Slices: iterating over a protobuf container ends in an exception, which is slow.
        for block in request.resource_spans[:]:
            first_row = len(spans)
            for scope in block.scope_spans[:]:
                if has_scopes:
                    self._add_scope(scope.scope, parsed)
                spans += scope.spans[:]
            if len(spans) == first_row:
                continue
            row = self._resources[b"".join(block.resource[:])]
            if not row:
                return False
            parsed.resources.append(row)
            parsed.resource_first_rows.append(first_row)
        return True

    def _add_scope(self, scope: Any, parsed: _Parsed) -> None:
        name, version = self.strings.intern(scope.name), self.strings.intern(scope.version)
        parsed.scopes.append((name, version))
        parsed.scope_first_rows.append(len(parsed.spans))

    def _scopes(self, parsed: _Parsed) -> tuple[Ids, Ids]:
        """The columns of the names and versions of scopes."""
        bounds = np.array([*parsed.scope_first_rows, len(parsed.spans)], np.int64)
        table = np.array(parsed.scopes, np.int32).reshape(-1, 2)
        columns = np.repeat(table.T, bounds[1:] - bounds[:-1], axis=1)
        return columns[0], columns[1]

    def _trace_states(self, spans: list[Any]) -> Ids:
        states = list(map(attrgetter("trace_state"), spans))
        if any(states):
            return self.strings.intern_all(states, len(states))
        return np.full(len(states), self.strings.intern("") if states else 0, np.int32)

    def _span_attributes(
        self, spans: list[Any], kind: npt.NDArray[np.uint8]
    ) -> tuple[dict[AttributeColumn, Ids], npt.NDArray[np.bool_]]:
        """A column for each span attribute asked for, and whether one of a span is malformed."""
        malformed = np.zeros(len(spans), np.bool_)
        wanted = [*self._plain, *self._client]
        patterns = self._patterns.columns
        if not (wanted or patterns):
            return {}, malformed
        calls = (kind == KIND_CLIENT) | (kind == KIND_PRODUCER)
        looks_at_all = bool(self._plain or patterns)
        rows = np.arange(len(spans)) if looks_at_all else np.flatnonzero(calls)
        looked_at = spans if looks_at_all else [spans[row] for row in rows.tolist()]
        lists = [each[:] for each in map(attrgetter("attributes"), looked_at)]
        encoded = list(chain.from_iterable(lists))
        owners = np.repeat(rows, np.fromiter(map(len, lists), np.int64, len(lists)))
        table = self._codes.table(encoded, owners, len(spans), malformed)
        table[len(self._plain) :, ~calls] = ABSENT
        columns = dict(zip(wanted, table, strict=True))
        if patterns:
            columns |= self._patterns.read(encoded, owners, len(spans), malformed)
        return columns, malformed

    def _resource_attributes(self, parsed: _Parsed) -> tuple[Ids, Ids, dict[AttributeColumn, Ids]]:
        """The columns of services and resources, and of each resource attribute asked for."""
        width = 2 + len(self._of_resources)
        table = np.array(parsed.resources, np.int32).reshape(-1, width)
        bounds = np.array([*parsed.resource_first_rows, len(parsed.spans)], np.int64)
        columns = np.repeat(table.T, bounds[1:] - bounds[:-1], axis=1)
        return columns[0], columns[1], dict(zip(self._of_resources, columns[2:], strict=True))


def _distinct(
    attributes: Sequence[AttributeColumn], scope: str, *, is_pattern: bool = False
) -> list[AttributeColumn]:
    wanted = (scope, is_pattern)
    return [each for each in dict.fromkeys(attributes) if (each.scope, each.is_pattern) == wanted]


def _integers(spans: list[Any], name: str) -> npt.NDArray[np.int64]:
    return np.fromiter(map(attrgetter(name), spans), np.int64, len(spans))


def _unsigned(spans: list[Any], name: str) -> npt.NDArray[np.uint32]:
    return np.fromiter(map(attrgetter(name), spans), np.uint32, len(spans))


def _codes(spans: list[Any], name: str, last: int) -> npt.NDArray[np.uint8]:
    codes = _integers(spans, name)
    codes[(codes < 0) | (codes > last)] = 0
    return codes.astype(np.uint8)
