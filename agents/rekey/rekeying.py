"""Sends each trace's part of a message to the partition that the trace ID hashes to.

Laws:

- Every good span comes out once, and all of a trace's in one partition, in their order.
- All parts of a message have the header that says its tenant, as it came, if it came with one.
- A record carries its source's watermark; where a source has nothing to say, it says at least
  that: once an interval, when it falls idle, and every hour as long as it is.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

from tailrace.schemas.records import Arrivals, Headers, Outbox, Output, Totals
from tailrace.schemas.spans import SpanBatch
from tailrace.schemas.tenants import header_of
from tailrace.schemas.watermarks import Watermark
from tailrace.tables.source_marks import SourceMarks
from tailrace.tables.store import PartitionStore

_IDLE_KEY = b"i"


@dataclass(frozen=True, slots=True)
class RekeyedTopic:
    """Where spans go by trace ID; a watermark goes to all `partitions` every `interval_ms`.

    `tenant_header`: the header that goes with each part of a message.
    """

    name: str
    partitions: int
    interval_ms: int
    tenant_header: str | None = None


def partition_of(trace_id: bytes, partitions: int) -> int:
    """Return the partition of *trace_id*; bits of IDs may be constant, hence a hash."""
    return zlib.crc32(trace_id) % partitions


class RekeyLogic:
    """A Logic of the re-keying stage; *source* names this partition in watermarks."""

    def __init__(self, store: PartitionStore, topic: RekeyedTopic, source: str) -> None:
        self._topic = topic
        self._source = source
        self._marks = SourceMarks(store, _IDLE_KEY, topic, source)

    def restore(self, now: int) -> None:
        self._marks.restore(now)

    def process(self, arrivals: Arrivals[SpanBatch], outbox: Outbox, totals: Totals) -> None:
        batch, times, topic = arrivals.decoded, arrivals.times, self._topic
        totals.add("spans_decoded", len(batch))
        parts: list[list[tuple[bytes, bytes]]] = [[] for _ in times]
        messages = batch.fragment_message.tolist()
        for message, *part in zip(messages, batch.fragment_trace_id, batch.raw, strict=True):
            parts[message].append((part[0], part[1]))
        for record, now, fragments in zip(arrivals.records, times, parts, strict=True):
            self._marks.roll(now, outbox)
            headers = (Watermark(self._source, now).header(), *self._passed_on(record.headers))
            for trace_id, raw in fragments:
                place = partition_of(trace_id, topic.partitions)
                outbox.send(topic.name, Output(trace_id, raw, now, headers, place))

    def _passed_on(self, headers: Headers) -> Headers:
        name = self._topic.tenant_header
        found = None if name is None else header_of(name, headers)
        return () if found is None else (found,)

    def advance(self, now: int, outbox: Outbox, totals: Totals) -> None:
        self._marks.idle(now, outbox)

    def before_checkpoint(self) -> None:
        """All is in the store already."""

    def close(self) -> None:
        """Nothing to release."""

    def problems(self, totals: Totals) -> Sequence[str]:
        """Nothing is kept back, so nothing can be missing."""
        return []
