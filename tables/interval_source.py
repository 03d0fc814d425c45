"""Interval sources: how what was counted in an interval of stream time is sent, and told apart.

Intervals are aligned stretches of stream time. An interval closes when stream time passes its end;
then what it has goes to the rollup topic, each series to the partition that its key hashes to, and
the watermark of this source goes to every partition. Laws:

- What is sent is a function of what was added at which stream time, and of when the source was
  declared idle; never of checkpoints.
- A source that is idle says so, after everything that it had to say, and again every hour for
  listeners that have lost what they heard; when it is not any more, it says that before anything
  else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from tailrace.schemas.records import Outbox, Output
from tailrace.schemas.watermarks import Watermark
from tailrace.tables.store import PartitionStore

_IDLE = b"i"
IDLE_MS = 3_600_000
"""How often a source that is idle says so: well within the rollup topic's retention."""


@dataclass(frozen=True, slots=True)
class RollupTopic:
    """Where rollups go: `partitions` of it, records of up to `record_bytes`; intervals in ms."""

    name: str
    partitions: int
    record_bytes: int
    interval_ms: int


class Content(Protocol):
    """What is counted in the open interval."""

    def __len__(self) -> int:
        """The number of series with something in it."""
        ...

    def take(self, start: int) -> Mapping[int, Sequence[bytes]]:
        """Return the records of the interval that began at *start*, by partition; it is empty
        afterwards."""
        ...


class IntervalSource:
    """One source and its open interval. *prefix* is its table's in *store*, one byte."""

    def __init__(
        self,
        store: PartitionStore,
        prefix: bytes,
        topic: RollupTopic,
        source: str,
        content: Content,
    ) -> None:
        self._store = store
        self._key = prefix + _IDLE
        self._topic = topic
        self._source = source
        self._content = content
        self._interval = 0
        self._idle_since = 0
        self.is_idle = False
        """True if this source said that nothing more is known."""

    def restore(self, now: int) -> None:
        """Go on at stream time *now* (ms)."""
        self._interval = now // self._topic.interval_ms
        idle = self._store.get(self._key)
        self.is_idle = idle is not None
        self._idle_since = int(idle or 0)

    @property
    def start(self) -> int:
        """When the open interval began, ms."""
        return self._interval * self._topic.interval_ms

    def roll(self, now: int, outbox: Outbox) -> None:
        """Close the open interval if *now* (ms) lies after it; call before adding at *now*."""
        interval = now // self._topic.interval_ms
        if interval > self._interval or self.is_idle:
            self._send(interval, outbox, is_idle=False)

    def idle(self, now: int, outbox: Outbox) -> None:
        """Close the open interval if *now* lies after it, and say that nothing more is known."""
        interval = now // self._topic.interval_ms
        is_said = self.is_idle and now - self._idle_since < IDLE_MS
        if is_said or (interval == self._interval and len(self._content)):
            self._interval = max(interval, self._interval)
            return
        self._idle_since = now
        self._send(interval, outbox, is_idle=True)
        self._store.put(self._key, b"%d" % now)

    def _send(self, interval: int, outbox: Outbox, *, is_idle: bool) -> None:
        watermark = Watermark(self._source, interval * self._topic.interval_ms, is_idle)
        stamp, records = watermark.time, self._content.take(self.start)
        for partition in range(self._topic.partitions):
            # Only the last record of a partition says that this was all.
            values = records.get(partition, ())
            for value in values[:-1]:
                outbox.send(self._topic.name, Output(None, value, stamp, (), partition))
            last = values[-1] if values else b""
            headers = (watermark.header(),)
            outbox.send(self._topic.name, Output(None, last, stamp, headers, partition))
        self._interval = interval
        if self.is_idle and not is_idle:
            self._store.delete(self._key)
        self.is_idle = is_idle
