"""OTLP protobuf to span batches, column by column.

Each message is parsed once, by protobuf and as far as columns need it; then every column is read
from all spans at once. Only a message that mixes traces or has bad spans is taken apart.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any

import numpy as np
import numpy.typing as npt
from google.protobuf.message import DecodeError

from tailrace.schemas.otlp.attributes import MALFORMED, Resources, SpanAttributes
from tailrace.schemas.otlp.fragments import cut
from tailrace.schemas.otlp.slim import parse_attributed_spans, parse_spans
from tailrace.schemas.otlp.validation import Identifiers, fault
from tailrace.schemas.otlp.wire import framed
from tailrace.schemas.spans import AttributeColumn, Reason, Rejected, SpanBatch
from tailrace.schemas.strings import ABSENT, Strings, Values

_LAST_KIND = 5
_LAST_STATUS = 2
_MEMO_SHARE = 4  # each memo may hold a quarter of what the interned values may


@dataclass(slots=True)
class _Parsed:
    """Spans in order, and at which row each message and each resource begins."""

    spans: list[Any] = field(default_factory=list)
    messages: list[int] = field(default_factory=list)
    first_rows: list[int] = field(default_factory=list)
    resources: list[tuple[int, ...]] = field(default_factory=list)
    resource_first_rows: list[int] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)


class Decoder:
    """Reads the fixed columns and those of *attributes*; span ids only if *ids*.

    What no column reads is passed on in `raw` without validation. Interned ids stay the same from
    batch to batch until they hold *interned_limit_bytes*; then the next batch starts afresh.
    """

    def __init__(
        self,
        attributes: Sequence[AttributeColumn] = (),
        *,
        ids: bool = False,
        interned_limit_bytes: int = 32 << 20,
    ) -> None:
        self._span_columns = _distinct(attributes, "span")
        self._resource_columns = _distinct(attributes, "resource")
        self._parse = parse_attributed_spans if self._span_columns else parse_spans
        self._ids = ids
        self._limit_bytes = interned_limit_bytes
        self._renew()

    def _renew(self) -> None:
        memo_bytes = self._limit_bytes // _MEMO_SHARE
        span_keys = [column.key for column in self._span_columns]
        resource_keys = [column.key for column in self._resource_columns]
        self._strings = Strings()
        self._values = Values()
        self._attribute_codes = SpanAttributes(span_keys, self._values, memo_bytes)
        self._resource_rows = Resources(resource_keys, self._strings, self._values, memo_bytes)

    def decode(self, values: Sequence[bytes | None]) -> SpanBatch:
        """Every good span of *values*, and what had to be left out, in order of message.

        Never raises on what a message holds. None and messages without spans add nothing.
        """
        if self._strings.size_bytes + self._values.size_bytes > self._limit_bytes:
            self._renew()
        parsed = self._parse_all(values)
        spans = parsed.spans
        start, end = _column(spans, "start_time_unix_nano"), _column(spans, "end_time_unix_nano")
        attributes, malformed = self._span_attributes(spans)
        service, resource, resource_attributes = self._resource_attributes(parsed)
        identifiers = Identifiers.of(spans)
        faults = identifiers.faults(start, end)
        faults[malformed] = fault(Reason.MALFORMED)
        row_bounds = [*parsed.first_rows, len(spans)]
        fragments = cut(values, parsed.messages, row_bounds, identifiers, faults)
        batch = SpanBatch(
            start=start,
            end=end,
            kind=_codes(spans, "kind", _LAST_KIND),
            status=_codes(spans, "status.code", _LAST_STATUS),
            is_root=identifiers.is_root(),
            service=service,
            name=self._strings.intern_all(map(attrgetter("name"), spans), len(spans)),
            resource=resource,
            attributes=attributes | resource_attributes,
            span_id=identifiers.span_id if self._ids else [],
            parent_span_id=identifiers.parent_span_id if self._ids else [],
            fragment_trace_id=fragments.trace_id,
            fragment_message=np.array(fragments.message, np.int32),
            fragment_start=np.array([*fragments.start, fragments.rows], np.int32),
            raw=fragments.raw,
            rejected=sorted(parsed.rejected + fragments.rejected, key=attrgetter("message")),
            strings=self._strings,
            values=self._values,
        )
        if fragments.order is not None:
            _reorder(batch, fragments.order)
        return batch

    def _parse_all(self, values: Sequence[bytes | None]) -> _Parsed:
        parsed = _Parsed()
        given = [message for message, value in enumerate(values) if value]
        requests = self._requests([values[message] or b"" for message in given])
        for message, request in zip(given, requests, strict=True):
            rows, blocks = len(parsed.spans), len(parsed.resources)
            if request is None or not self._add(request, parsed):
                del parsed.spans[rows:], parsed.resources[blocks:]
                del parsed.resource_first_rows[blocks:]
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
        spans = parsed.spans
        # Slices: iterating over a protobuf container ends in an exception, which is slow.
        for block in request.resource_spans[:]:
            first_row = len(spans)
            for scope in block.scope_spans[:]:
                spans += scope.spans[:]
            if len(spans) == first_row:
                continue
            row = self._resource_rows[b"".join(block.resource[:])]
            if not row:
                return False
            parsed.resources.append(row)
            parsed.resource_first_rows.append(first_row)
        return True

    def _span_attributes(
        self, spans: list[Any]
    ) -> tuple[dict[AttributeColumn, npt.NDArray[np.int32]], npt.NDArray[np.intp]]:
        """A column for each span attribute asked for, and the rows with a malformed one."""
        if not self._span_columns:
            return {}, np.zeros(0, np.intp)
        encoded: list[bytes] = []
        bounds = [0]
        for span in spans:
            encoded += span.attributes[:]
            bounds.append(len(encoded))
        codes = self._attribute_codes.codes(encoded)
        counts = _lengths(bounds)
        rows = np.repeat(np.arange(len(spans)), counts)
        # Last to first, so that of equal keys the first is what stays.
        found = np.flatnonzero(codes >= 0)[::-1]
        table = np.full((len(self._span_columns), len(spans)), ABSENT, np.int32)
        table[codes[found] >> 32, rows[found]] = codes[found] & 0xFFFFFFFF
        columns = dict(zip(self._span_columns, table, strict=True))
        return columns, rows[codes == MALFORMED]

    def _resource_attributes(
        self, parsed: _Parsed
    ) -> tuple[
        npt.NDArray[np.int32], npt.NDArray[np.int32], dict[AttributeColumn, npt.NDArray[np.int32]]
    ]:
        """The columns of services and resources, and of each resource attribute asked for."""
        width = 2 + len(self._resource_columns)
        table = np.array(parsed.resources, np.int32).reshape(-1, width)
        counts = _lengths([*parsed.resource_first_rows, len(parsed.spans)])
        columns = np.repeat(table.T, counts, axis=1)
        asked_for = dict(zip(self._resource_columns, columns[2:], strict=True))
        return columns[0], columns[1], asked_for


def _distinct(attributes: Sequence[AttributeColumn], scope: str) -> list[AttributeColumn]:
    return list(dict.fromkeys(column for column in attributes if column.scope == scope))


def _lengths(bounds: list[int]) -> npt.NDArray[np.int64]:
    array = np.array(bounds, np.int64)
    return array[1:] - array[:-1]


def _column(spans: list[Any], name: str) -> npt.NDArray[np.int64]:
    return np.fromiter(map(attrgetter(name), spans), np.int64, len(spans))


def _codes(spans: list[Any], name: str, last: int) -> npt.NDArray[np.uint8]:
    codes = _column(spans, name)
    codes[(codes < 0) | (codes > last)] = 0
    return codes.astype(np.uint8)


def _reorder(batch: SpanBatch, order: npt.NDArray[np.intp]) -> None:
    for name in ("start", "end", "kind", "status", "is_root", "service", "name", "resource"):
        setattr(batch, name, getattr(batch, name)[order])
    batch.attributes = {column: ids[order] for column, ids in batch.attributes.items()}
    if batch.span_id:
        batch.span_id = [batch.span_id[row] for row in order]
        batch.parent_span_id = [batch.parent_span_id[row] for row in order]
