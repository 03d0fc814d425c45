"""OTLP protobuf to span batches, column by column.

Each message is parsed once, by protobuf and as far as columns need it; then every column is read
from many spans at once. Only a message that mixes traces or has bad spans is taken apart.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from operator import attrgetter

import numpy as np
import numpy.typing as npt

from tailrace.schemas.adjusted_counts import adjusted_counts
from tailrace.schemas.otlp.columns import Columns, Reader
from tailrace.schemas.otlp.fragments import Fragments, cut
from tailrace.schemas.otlp.parts import Wanted, moved
from tailrace.schemas.otlp.validation import Identifiers, fault
from tailrace.schemas.spans import AttributeColumn, Reason, SpanBatch

_MEMO_SHARE = 4  # each memo may hold a quarter of what the interned values may
# Parsed at once: from a megabyte on, parsed spans are out of the processor's cache before they
# are read, which costs half as much again (4,000 messages: 3.7 µs a span, 2.4 in chunks).
_CHUNK_BYTES = 400_000


class Decoder:
    """Reads the fixed columns, and those of *attributes* and *client_attributes*.

    *client_attributes*, of scope span, are read of spans of kind client or producer, and ABSENT
    on others; a column that *attributes* has as well is read of all. Span ids only if *ids*, trace
    state and weight only if *trace_state*, flags only if *flags*, instrumentation scopes only if
    *scopes*, events with the *attributes* of scope event only if *events*, links of consumer spans
    only if *links*.

    What no column reads is passed on in `raw` without validation. Interned ids stay the same from
    batch to batch until they hold *interned_limit_bytes*; then the next batch starts afresh.
    """

    def __init__(
        self,
        attributes: Sequence[AttributeColumn] = (),
        client_attributes: Sequence[AttributeColumn] = (),
        *,
        ids: bool = False,
        trace_state: bool = False,
        flags: bool = False,
        scopes: bool = False,
        events: bool = False,
        links: bool = False,
        interned_limit_bytes: int = 32 << 20,
    ) -> None:
        foreign = [column for column in client_attributes if column.scope != "span"]
        if foreign:
            raise ValueError(f"{foreign[0]} is of no span: pass it as one of `attributes`")
        self._attributes = tuple(attributes)
        self._client_attributes = tuple(client_attributes)
        self._ids = ids
        self._asked = Wanted(trace_state, flags, scopes, events, links)
        self._limit_bytes = interned_limit_bytes
        self._reader = self._new_reader()

    def widen(
        self,
        attributes: Sequence[AttributeColumn],
        *,
        trace_state: bool = False,
        flags: bool = False,
        scopes: bool = False,
        events: bool = False,
        links: bool = False,
    ) -> None:
        """Read these too from the next batch on, which starts afresh if any are new."""
        columns = tuple(dict.fromkeys([*self._attributes, *attributes]))
        more = (trace_state, flags, scopes, events, links)
        asked = Wanted(*map(max, zip(self._asked, more, strict=True)))
        if (columns, asked) != (self._attributes, self._asked):
            self._attributes, self._asked = columns, asked
            self._reader = self._new_reader()

    def _new_reader(self) -> Reader:
        memo_bytes = self._limit_bytes // _MEMO_SHARE
        return Reader(self._attributes, self._client_attributes, memo_bytes, self._asked)

    def decode(self, values: Sequence[bytes | None]) -> SpanBatch:
        """Every good span of *values*, and what had to be left out, in order of message.

        Never raises on what a message holds. None and messages without spans add nothing.
        """
        return self._decoded(values, again=False)

    def decode_again(self, values: Sequence[bytes]) -> SpanBatch:
        """As `decode`, of what a batch had as `raw`: what was good then is good.

        An attribute that nobody asked for then may be malformed; now it is not there.
        """
        return self._decoded(values, again=True)

    def _decoded(self, values: Sequence[bytes | None], *, again: bool) -> SpanBatch:
        if self._reader.size_bytes > self._limit_bytes:
            self._reader = self._new_reader()
        columns = Columns.joined([self._reader.read(values, chunk) for chunk in _chunks(values)])
        identifiers = Identifiers.of(columns.trace_id, columns.span_id, columns.parent_span_id)
        faults = identifiers.faults(columns.start, columns.end)
        if not again:
            faults[columns.malformed] = fault(Reason.MALFORMED)
        row_bounds = [*columns.first_rows, len(columns.start)]
        fragments = cut(values, columns.messages, row_bounds, identifiers, faults)
        batch = self._batch(columns, identifiers, fragments)
        if fragments.order is not None:
            _reorder(batch, fragments.order)
        return batch

    def _batch(self, columns: Columns, identifiers: Identifiers, fragments: Fragments) -> SpanBatch:
        return SpanBatch(
            start=columns.start,
            end=columns.end,
            kind=columns.kind,
            status=columns.status,
            is_root=identifiers.is_root(),
            service=columns.service,
            name=columns.name,
            resource=columns.resource,
            attributes=columns.attributes,
            span_id=columns.span_id if self._ids else [],
            parent_span_id=columns.parent_span_id if self._ids else [],
            fragment_trace_id=fragments.trace_id,
            fragment_message=np.array(fragments.message, np.int32),
            fragment_start=np.array([*fragments.start, fragments.rows], np.int32),
            raw=fragments.raw,
            rejected=sorted(columns.rejected + fragments.rejected, key=attrgetter("message")),
            strings=self._reader.strings,
            values=self._reader.values,
            trace_state=columns.trace_state,
            flags=columns.flags,
            weight=self._weight(columns, identifiers),
            scope_name=columns.scope_name,
            scope_version=columns.scope_version,
            events=columns.events,
            links=columns.links,
        )

    def _weight(self, columns: Columns, identifiers: Identifiers) -> npt.NDArray[np.int64] | None:
        if not self._asked.trace_state:
            return None
        return adjusted_counts(columns.trace_state, self._reader.strings, identifiers.trace_words)


def _chunks(values: Sequence[bytes | None]) -> Iterator[range]:
    """The messages of *values* in their order, of about _CHUNK_BYTES together; at least one."""
    start = size = 0
    for message, value in enumerate(values):
        if value:
            size += len(value)
        if size >= _CHUNK_BYTES:
            yield range(start, message + 1)
            start, size = message + 1, 0
    if start < len(values) or not start:
        yield range(start, len(values))


def _reorder(batch: SpanBatch, order: npt.NDArray[np.intp]) -> None:
    for name in ("start", "end", "kind", "status", "is_root", "service", "name", "resource"):
        setattr(batch, name, getattr(batch, name)[order])
    for name in ("trace_state", "flags", "scope_name", "scope_version"):
        column = getattr(batch, name)
        if len(column):
            setattr(batch, name, column[order])
    if batch.weight is not None:
        batch.weight = batch.weight[order]
    batch.attributes = {column: ids[order] for column, ids in batch.attributes.items()}
    if batch.events is not None:
        batch.events = moved(batch.events, order)
    if batch.links is not None:
        batch.links = moved(batch.links, order)
    if batch.span_id:
        batch.span_id = [batch.span_id[row] for row in order]
        batch.parent_span_id = [batch.parent_span_id[row] for row in order]
