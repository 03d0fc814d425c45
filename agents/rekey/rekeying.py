"""Sends each trace's part of a message to the partition that the trace ID hashes to.

Laws:

- Every good span comes out once, and all of a trace's in one partition, in their order.
- A record carries its source's watermark; where a source has nothing to say, it says at least
  that: once an interval, when it falls idle, and every hour as long as it is.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

from tailrace.schemas.records import Arrivals, Headers, Outbox, Output, Totals
from tailrace.schemas.spans import SpanBatch
from tailrace.schemas.watermarks import Watermark
from tailrace.tables.source_marks import SourceMarks
from tailrace.tables.store import PartitionStore

_IDLE_KEY = b"i"


@dataclass(frozen=True, slots=True)
class RekeyedTopic:
    """Where spans go by trace ID; a watermark goes to all `partitions` every `interval_ms`."""

    name: str
    partitions: int
    interval_ms: int


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
        for now, fragments in zip(times, parts, strict=True):
            self._marks.roll(now, outbox)
            headers: Headers = (Watermark(self._source, now).header(),)
            for trace_id, raw in fragments:
                place = partition_of(trace_id, topic.partitions)
                outbox.send(topic.name, Output(trace_id, raw, now, headers, place))

    def advance(self, now: int, outbox: Outbox, totals: Totals) -> None:
        self._marks.idle(now, outbox)

    def before_checkpoint(self) -> None:
        """All is in the store already."""

    def close(self) -> None:
        """Nothing to release."""

    def problems(self, totals: Totals) -> Sequence[str]:
        """Nothing is kept back, so nothing can be missing."""
        return []
