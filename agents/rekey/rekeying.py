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
from tailrace.tables.store import PartitionStore

_IDLE_KEY = b"i"
_IDLE_MS = 3_600_000


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
        self._store = store
        self._topic = topic
        self._source = source
        self._interval = 0
        self._is_idle = False
        self._idle_since = 0

    def restore(self, now: int) -> None:
        self._interval = now // self._topic.interval_ms
        idle = self._store.get(_IDLE_KEY)
        self._is_idle = idle is not None
        self._idle_since = int(idle or 0)

    def process(self, arrivals: Arrivals[SpanBatch], outbox: Outbox, totals: Totals) -> None:
        batch, times, topic = arrivals.decoded, arrivals.times, self._topic
        totals.add("spans_decoded", len(batch))
        parts: list[list[tuple[bytes, bytes]]] = [[] for _ in times]
        messages = batch.fragment_message.tolist()
        for message, *part in zip(messages, batch.fragment_trace_id, batch.raw, strict=True):
            parts[message].append((part[0], part[1]))
        for now, fragments in zip(times, parts, strict=True):
            self._roll(now, outbox)
            headers: Headers = (Watermark(self._source, now).header(),)
            for trace_id, raw in fragments:
                place = partition_of(trace_id, topic.partitions)
                outbox.send(topic.name, Output(trace_id, raw, now, headers, place))

    def advance(self, now: int, outbox: Outbox, totals: Totals) -> None:
        self._interval = now // self._topic.interval_ms
        if not self._is_idle or now - self._idle_since >= _IDLE_MS:
            self._is_idle, self._idle_since = True, now
            self._store.put(_IDLE_KEY, b"%d" % now)
            self._tell(now, outbox)

    def before_checkpoint(self) -> None:
        """All is in the store already."""

    def close(self) -> None:
        """Nothing to release."""

    def problems(self, totals: Totals) -> Sequence[str]:
        """Nothing is kept back, so nothing can be missing."""
        return []

    def _roll(self, now: int, outbox: Outbox) -> None:
        """Tell all partitions what time it is, when an interval has begun or idleness has ended.

        Told is the interval's beginning: at *now* itself there may be more to come.
        """
        interval = now // self._topic.interval_ms
        if interval > self._interval or self._is_idle:
            self._interval = interval
            if self._is_idle:
                self._is_idle = False
                self._store.delete(_IDLE_KEY)
            self._tell(interval * self._topic.interval_ms, outbox)

    def _tell(self, time: int, outbox: Outbox) -> None:
        headers = (Watermark(self._source, time, self._is_idle).header(),)
        for partition in range(self._topic.partitions):
            outbox.send(self._topic.name, Output(None, b"", time, headers, partition))
