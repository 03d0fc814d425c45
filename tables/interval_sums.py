"""Interval sums: what a capability has counted in the open interval of stream time, by series.

When it closes, and what is sent then: see `interval_source`.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from tailrace.schemas.rebucketing import rebucketed
from tailrace.schemas.records import Outbox
from tailrace.schemas.sums import Ints, Layout, Rollup, decode, encode, merged
from tailrace.tables.interval_source import IDLE_MS, IntervalSource, RollupTopic
from tailrace.tables.series_keys import SeriesKeys, whole
from tailrace.tables.store import PartitionStore

__all__ = ["IDLE_MS", "IntervalSums", "RollupTopic", "give_up", "in_parts"]

_OPEN = b"o"
_VALUE_BYTES = 512 << 10
"""About the largest value in the store."""
_KEPT_SERIES = 20_000
"""With more, the series of a closed interval are forgotten; the next one meets them again."""


def give_up(store: PartitionStore, prefix: bytes) -> None:
    """Remove what the table *prefix* has in an open interval: it is not counted any more."""
    for key, _ in list(store.scan(prefix + _OPEN)):
        store.delete(key)


def in_parts(rows: Ints, key_bytes: Ints, layout: Layout, room: int) -> Iterator[Ints]:
    """Yield *rows* of *layout*, as many at a time as fit into *room* bytes, or one more."""
    if not len(rows):
        return
    ends = np.cumsum(key_bytes + 4 + 8 * layout.width)
    if ends[-1] <= room:
        yield rows
    else:
        yield from np.split(rows, np.flatnonzero(np.diff(ends // room)) + 1)


class IntervalSums:
    """The open interval of one source. *prefix* is this table's in *store*, one byte.

    *place*: the hash of a key that decides its partition. *closed* is told what an interval had
    when that closes. *split*: how much of a key is a beginning that it shares with others, which is
    kept once. `generation` changes when slots lose their meaning; a memo of slots is then
    worthless.
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
        split: Callable[[bytes], int] = whole,
    ) -> None:
        self.layout = layout
        self.generation = 0
        self._held = layout
        """What the rows are of. It is another than `layout` after a restart, until it is known
        which layout is wanted: rows must not go through one that is not."""
        self._store = store
        self._prefix = prefix
        self._topic = topic
        self._source = IntervalSource(store, prefix, topic, source, self)
        self._place = place
        self._stored_parts = 0
        self._is_changed = False
        self._tell_closed = closed
        self._split = split
        self._forget()

    def _forget(self) -> None:
        self.generation += 1
        self._keys = SeriesKeys(self._split)
        self._rows = self._held.empty(64)
        self._is_open = np.zeros(64, np.bool_)
        self._places = np.zeros(64, np.int32)
        self._key_bytes = np.zeros(64, np.int32)

    def restore(self, now: int) -> None:
        """Read the open interval, at stream time *now* (ms)."""
        self._source.restore(now)
        for _, value in self._store.scan(self._prefix + _OPEN):
            rollup = decode(value)
            if not self._stored_parts:  # all parts are of one layout
                self._held = rollup.layout
                self._forget()
            slots = np.array([self.slot(key) for key in rollup.keys], np.int64)
            self._add(slots, rollup.rows)
            self._stored_parts += 1
        self._is_changed = False

    def use(self, layout: Layout) -> None:
        """Count in rows of *layout*, of the same family, from now on; slots stay what they are.

        What the open interval has goes over, exactly as far as buckets allow. After a restart it
        goes over from what the last owner used: so the first thing to do then, if it is ever done.
        """
        assert layout.family == self.layout.family
        self.layout = layout
        self._settle()

    def _settle(self) -> None:
        if self._held != self.layout:
            self._rows = rebucketed(self._rows, self._held, self.layout)
            self._held = self.layout
            self._is_changed |= bool(len(self))

    @property
    def is_idle(self) -> bool:
        """True if this source said that nothing more is known."""
        return self._source.is_idle

    def __len__(self) -> int:
        """The number of series with something in the open interval."""
        return int(np.count_nonzero(self._is_open))

    def keys(self) -> list[bytes]:
        """Return the keys of the series with something in the open interval."""
        return [self._keys[slot] for slot in self._open_slots().tolist()]

    def slot(self, key: bytes) -> int:
        """Return the slot of the series *key*, which may be new."""
        slot = self._keys.find(key)
        if slot is None:
            slot = self._keys.add(key)
            if slot == len(self._rows):
                self._rows = np.concatenate([self._rows, self._held.empty(slot)])
                self._is_open = np.concatenate([self._is_open, np.zeros(slot, np.bool_)])
                self._places = np.concatenate([self._places, np.zeros(slot, np.int32)])
                self._key_bytes = np.concatenate([self._key_bytes, np.zeros(slot, np.int32)])
            self._places[slot] = self._place(key) % self._topic.partitions
            self._key_bytes[slot] = len(key)
        return slot

    def add(self, slots: Ints, rows: Ints) -> None:
        """Add `rows[i]`, of `layout`, to the slot `slots[i]`; each slot is there once."""
        self._settle()
        self._add(slots, rows)

    def _add(self, slots: Ints, rows: Ints) -> None:
        self._rows[slots] = merged(self._held, self._rows[slots], rows)
        self._is_open[slots] = True
        self._is_changed = True

    def roll(self, now: int, outbox: Outbox) -> None:
        """Close the open interval if *now* (ms) lies after it; call before adding at *now*."""
        self._source.roll(now, outbox)

    def idle(self, now: int, outbox: Outbox) -> None:
        """Close the open interval if *now* lies after it, and say that nothing more is known."""
        self._source.idle(now, outbox)

    def seal(self) -> None:
        """Put the open interval into the store."""
        self._settle()
        if not self._is_changed:
            return
        self._is_changed = False
        parts = list(self._parts(self._open_slots(), _VALUE_BYTES))
        for number, part in enumerate(parts):
            self._store.put(self._open_key(number), encode(self._rollup(part, self._source.start)))
        for number in range(len(parts), self._stored_parts):
            self._store.delete(self._open_key(number))
        self._stored_parts = len(parts)

    def _open_key(self, part: int) -> bytes:
        return self._prefix + _OPEN + part.to_bytes(4, "big")

    def _open_slots(self) -> Ints:
        return np.flatnonzero(self._is_open)

    def _rollup(self, slots: Ints, start: int) -> Rollup:
        keys = [self._keys[slot] for slot in slots.tolist()]
        return Rollup(self.layout, start, start + self._topic.interval_ms, keys, self._rows[slots])

    def take(self, start: int) -> Mapping[int, Sequence[bytes]]:
        """Return the records of the interval that began at *start*; it is empty afterwards."""
        self._settle()
        # By key, because slots are given in another order by every process.
        in_order = sorted(self._open_slots().tolist(), key=self._keys.__getitem__)
        slots = np.array(in_order, np.int64)
        if self._tell_closed is not None and len(slots):
            self._tell_closed(self._rollup(slots, start))
        places = self._places[slots]
        records = {}
        for partition in np.unique(places).tolist():
            # What a part exceeds half of a record by is less than the other half.
            parts = self._parts(slots[places == partition], self._topic.record_bytes // 2)
            records[partition] = [encode(self._rollup(part, start)) for part in parts]
        self._close(slots)
        return records

    def _parts(self, slots: Ints, room: int) -> Iterator[Ints]:
        return in_parts(slots, self._key_bytes[slots].astype(np.int64), self.layout, room)

    def _close(self, slots: Ints) -> None:
        if len(self._keys) > _KEPT_SERIES:
            self._forget()
        else:
            self._rows[slots] = 0
            self._is_open[slots] = False
        self._is_changed |= bool(len(slots))
