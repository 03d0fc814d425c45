"""Source marks: how far a source has come, told to every partition of a topic. Laws:

- It is told once an interval of stream time, and when the source falls idle; then again every hour,
  for listeners that have lost what they heard. When it is idle no more, that is told first.
- What is told is a function of stream time and of when the source was declared idle; never of
  checkpoints.
"""

from __future__ import annotations

from typing import Protocol

from tailrace.schemas.records import Outbox, Output
from tailrace.schemas.watermarks import Watermark
from tailrace.tables.interval_sums import IDLE_MS
from tailrace.tables.store import PartitionStore


class MarkedTopic(Protocol):
    """A topic whose partitions are all told, once every `interval_ms`."""

    @property
    def name(self) -> str: ...
    @property
    def partitions(self) -> int: ...
    @property
    def interval_ms(self) -> int: ...


class SourceMarks:
    """The watermarks of *source*; *key* is this table's only one in *store*."""

    def __init__(self, store: PartitionStore, key: bytes, topic: MarkedTopic, source: str) -> None:
        self._store = store
        self._key = key
        self._topic = topic
        self._source = source
        self._interval = 0
        self._is_idle = False
        self._idle_since = 0

    def restore(self, now: int) -> None:
        """Read the store, at stream time *now* (ms)."""
        self._interval = now // self._topic.interval_ms
        idle = self._store.get(self._key)
        self._is_idle = idle is not None
        self._idle_since = int(idle or 0)

    def roll(self, now: int, outbox: Outbox) -> None:
        """Tell that an interval has begun, or idleness has ended; call before sending at *now*.

        Told is the interval's beginning: at *now* itself there may be more to come.
        """
        interval = now // self._topic.interval_ms
        if interval > self._interval or self._is_idle:
            self._interval = interval
            if self._is_idle:
                self._is_idle = False
                self._store.delete(self._key)
            self._tell(interval * self._topic.interval_ms, outbox)

    def idle(self, now: int, outbox: Outbox) -> None:
        """Tell that nothing more is known at *now*, unless that was told within the hour."""
        self._interval = now // self._topic.interval_ms
        if not self._is_idle or now - self._idle_since >= IDLE_MS:
            self._is_idle, self._idle_since = True, now
            self._store.put(self._key, b"%d" % now)
            self._tell(now, outbox)

    def _tell(self, time: int, outbox: Outbox) -> None:
        headers = (Watermark(self._source, time, self._is_idle).header(),)
        for partition in range(self._topic.partitions):
            outbox.send(self._topic.name, Output(None, b"", time, headers, partition))
