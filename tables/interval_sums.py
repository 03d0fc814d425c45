"""Interval sums: what a capability has counted in the open interval of stream time.

Intervals are aligned stretches of stream time. An interval closes when stream time passes its end;
then its sums go to the rollup topic, each series to the partition that its key hashes to, and the
watermark of this source goes to every partition. Laws:

- What is sent is a function of what was added at which stream time, and of when the source was
  declared idle; never of checkpoints.
- A source that is idle says so, after everything that it had to say, and again every hour for
  listeners that have lost what they heard; when it is not any more, it says that before anything
  else.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from tailrace.schemas.records import Outbox, Output
from tailrace.schemas.sums import Ints, Layout, Rollup, decode, encode, rebucketed
from tailrace.schemas.watermarks import Watermark
from tailrace.tables.store import PartitionStore

_OPEN = b"o"
_IDLE = b"i"
IDLE_MS = 3_600_000
"""How often a source that is idle says so: well within the rollup topic's retention."""
_VALUE_BYTES = 512 << 10
"""About the largest value in the store."""
_KEPT_SERIES = 20_000
"""With more, the series of a closed interval are forgotten; the next one meets them again."""


@dataclass(frozen=True, slots=True)
class RollupTopic:
    """Where rollups go: `partitions` of it, records of up to `record_bytes`; intervals in ms."""

    name: str
    partitions: int
    record_bytes: int
    interval_ms: int


class IntervalSums:
    """The open interval of one source. *prefix* is this table's in *store*, one byte.

    *place*: the hash of a key that decides its partition.
    *closed* is told
    what an interval had when that closes. `generation` changes when slots lose their meaning; a
    memo of slots is then worthless.
    """

    def __init__(
        self,
        store: PartitionStore,
        prefix: bytes,
        layout: Layout,
        topic: RollupTopic,
        source: str,
        place: Callable[[bytes], int] = zlib.crc32,
        closed: Callable[[Rollup], None] | None = None,
    ) -> None:
        self.layout = layout
        self.generation = 0
        self._store = store
        self._prefix = prefix
        self._topic = topic
        self._source = source
        self._place = place
        self._interval = 0
        self._is_idle = False
        self._idle_since = 0
        self._stored_parts = 0
        self._is_changed = False
        self._tell_closed = closed
        self._forget()

    def _forget(self) -> None:
        self.generation += 1
        self._slots: dict[bytes, int] = {}
        self._keys: list[bytes] = []
        self._places: list[int] = []
        self._rows = self.layout.empty(64)
        self._is_open = np.zeros(64, np.bool_)

    def restore(self, now: int) -> None:
        """Read the open interval, at stream time *now* (ms)."""
        self._interval = now // self._topic.interval_ms
        idle = self._store.get(self._prefix + _IDLE)
        self._is_idle = idle is not None
        self._idle_since = int(idle or 0)
        for _, value in self._store.scan(self._prefix + _OPEN):
            rollup = decode(value)
            slots = np.array([self.slot(key) for key in rollup.keys], np.int64)
            self.add(slots, rebucketed(rollup.rows, rollup.layout, self.layout))
            self._stored_parts += 1
        self._is_changed = False

    @property
    def is_idle(self) -> bool:
        """True if this source said that nothing more is known."""
        return self._is_idle

    def __len__(self) -> int:
        """The number of series with something in the open interval."""
        return int(np.count_nonzero(self._is_open))

    def keys(self) -> list[bytes]:
        """Return the keys of the series with something in the open interval."""
        return [self._keys[slot] for slot in self._open_slots().tolist()]

    def slot(self, key: bytes) -> int:
        """Return the slot of the series *key*, which may be new."""
        slot = self._slots.get(key)
        if slot is None:
            slot = self._slots[key] = len(self._keys)
            self._keys.append(key)
            self._places.append(self._place(key) % self._topic.partitions)
            if slot == len(self._rows):
                self._rows = np.concatenate([self._rows, self.layout.empty(slot)])
                self._is_open = np.concatenate([self._is_open, np.zeros(slot, np.bool_)])
        return slot

    def add(self, slots: Ints, rows: Ints) -> None:
        """Add `rows[i]` to the slot `slots[i]`; each slot is there once."""
        self._rows[slots] += rows
        self._is_open[slots] = True
        self._is_changed = True

    def roll(self, now: int, outbox: Outbox) -> None:
        """Close the open interval if *now* (ms) lies after it; call before adding at *now*."""
        interval = now // self._topic.interval_ms
        if interval > self._interval or self._is_idle:
            self._send(interval, outbox, is_idle=False)

    def idle(self, now: int, outbox: Outbox) -> None:
        """Close the open interval if *now* lies after it, and say that nothing more is known."""
        interval = now // self._topic.interval_ms
        is_said = self._is_idle and now - self._idle_since < IDLE_MS
        if is_said or (interval == self._interval and len(self)):
            self._interval = max(interval, self._interval)
            return
        self._idle_since = now
        self._send(interval, outbox, is_idle=True)
        self._store.put(self._prefix + _IDLE, b"%d" % now)

    def seal(self) -> None:
        """Put the open interval into the store."""
        if not self._is_changed:
            return
        self._is_changed = False
        parts = list(self._parts(self._open_slots(), _VALUE_BYTES))
        for number, part in enumerate(parts):
            self._store.put(self._open_key(number), encode(self._rollup(part)))
        for number in range(len(parts), self._stored_parts):
            self._store.delete(self._open_key(number))
        self._stored_parts = len(parts)

    def _open_key(self, part: int) -> bytes:
        return self._prefix + _OPEN + part.to_bytes(4, "big")

    def _open_slots(self) -> Ints:
        return np.flatnonzero(self._is_open)

    def _rollup(self, slots: Ints) -> Rollup:
        start = self._interval * self._topic.interval_ms
        keys = [self._keys[slot] for slot in slots.tolist()]
        return Rollup(self.layout, start, start + self._topic.interval_ms, keys, self._rows[slots])

    def _send(self, interval: int, outbox: Outbox, *, is_idle: bool) -> None:
        watermark = Watermark(self._source, interval * self._topic.interval_ms, is_idle)
        # By key, because slots are given in another order by every process.
        in_order = sorted(self._open_slots().tolist(), key=self._keys.__getitem__)
        slots, stamp = np.array(in_order, np.int64), watermark.time
        if self._tell_closed is not None and len(slots):
            self._tell_closed(self._rollup(slots))
        places = np.array([self._places[slot] for slot in in_order], np.int64)
        for partition in range(self._topic.partitions):
            # Only the last record of a partition says that this was all.
            # What a part exceeds half of a record by is less than the other half.
            parts = self._parts(slots[places == partition], self._topic.record_bytes // 2)
            values = [encode(self._rollup(part)) for part in parts]
            for value in values[:-1]:
                outbox.send(self._topic.name, Output(None, value, stamp, (), partition))
            last = values[-1] if values else b""
            headers = (watermark.header(),)
            outbox.send(self._topic.name, Output(None, last, stamp, headers, partition))
        self._close(slots)
        self._interval = interval
        if self._is_idle and not is_idle:
            self._store.delete(self._prefix + _IDLE)
        self._is_idle = is_idle

    def _parts(self, slots: Ints, room: int) -> Iterator[Ints]:
        """Yield *slots*, as many at a time as fit into *room*, or one more."""
        if not len(slots):
            return
        sizes = np.array([len(self._keys[slot]) for slot in slots.tolist()], np.int64)
        ends = np.cumsum(sizes + 4 + 8 * self.layout.width)
        if ends[-1] <= room:
            yield slots
        else:
            yield from np.split(slots, np.flatnonzero(np.diff(ends // room)) + 1)

    def _close(self, slots: Ints) -> None:
        if len(self._keys) > _KEPT_SERIES:
            self._forget()
        else:
            self._rows[slots] = 0
            self._is_open[slots] = False
        self._is_changed |= bool(len(slots))
