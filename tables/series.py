"""Series: cumulative sums by series, and what has come for flush periods that are still open.

A flush period ends at a boundary, a multiple of its length in stream time. What comes for it is
kept apart until it is closed; then it is added to the cumulative sums. Laws:

- Cumulative sums and open periods together are everything that was ever added.
- What comes for a period that has passed counts in the first one that has not.
- Slots are given in order of first appearance; they and everything else survive a restart, so that
  what is made of a closed period does not depend on where checkpoints fell.
- A row's streams are what it becomes in the world outside, each named by the histogram that counts
  it. A stream starts with the earliest interval in the first period that has it, for ever.

In the store, after the table's prefix: `m` the layout and the last boundary, `k` and a slot the
keys from that slot on, `v` and a number a block of cumulative rows, `p` with a period's end and a
number a block of its rows. A checkpoint costs what was touched since the last.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import orjson

from tailrace.schemas.rebucketing import rebucketed
from tailrace.schemas.sums import (
    Ints,
    Layout,
    Rollup,
    carried,
    counted,
    layout_fields,
    layout_of,
    merged,
)
from tailrace.tables.series_rows import (
    BLOCK,
    NEVER,
    OpenPeriod,
    Rows,
    packed,
    packed_keys,
    unpacked,
    unpacked_keys,
)
from tailrace.tables.store import PartitionStore

LATEST_MS = NEVER // 1_000_000
"""The last time that nanoseconds can tell; after it there is only the end of time."""

_VERSION = 1
_VALUE_BYTES = 512 << 10
_META, _KEYS, _VALUES, _PERIODS = b"m", b"k", b"v", b"p"


class Closed(NamedTuple):
    """A closed period: `rows[i]` was added to slot `slots[i]`, in ascending order.

    `appeared`: the streams that started, as slot × streams of a row + number of the stream.
    """

    slots: Ints
    rows: Ints
    appeared: Ints


class SeriesTable:
    """The series of one family in one partition. *prefix* is this table's in *store*, one byte."""

    def __init__(
        self,
        store: PartitionStore,
        prefix: bytes,
        layout: Layout,
        streams: Sequence[str],
        period_ms: int,
    ) -> None:
        self.layout = layout
        self.streams = tuple(streams)
        self.period_ms = period_ms
        self.count = 0
        """What the streams have counted, in open periods too."""
        self._store = store
        self._prefix = prefix
        self._slots = _Slots()
        self._rows = Rows(layout, len(self.streams))
        self._open: dict[int, OpenPeriod] = {}
        self._passed = 0
        self._stored_keys = 0
        self._stored_meta = b""

    def __len__(self) -> int:
        """The number of series, those that are only in open periods included."""
        return len(self._slots)

    @property
    def keys(self) -> Sequence[bytes]:
        """The key of every slot."""
        return self._slots.keys_by_slot

    @property
    def rows(self) -> Ints:
        """The cumulative sums of every slot, as of the last period that was closed."""
        return self._rows.upto(len(self)).cells[: len(self)]

    @property
    def starts(self) -> Ints:
        """When each stream of every slot started (ms), or NEVER."""
        return self._rows.upto(len(self)).starts[: len(self)]

    # Time

    def add(self, rollup: Rollup) -> bool:
        """Add *rollup* to the period that has its end; True if that has passed.

        Each key is in it once.
        """
        rows = rebucketed(rollup.rows, rollup.layout, self.layout)
        slots = np.fromiter(map(self._slots.__getitem__, rollup.keys), np.int64, len(rollup.keys))
        counts = self._counts(rows)
        self.count += int(counts.sum())
        end = self._boundary(rollup.end)
        is_late = end <= self._passed
        if not len(slots):
            return is_late
        starts = np.where(counts > 0, rollup.start, NEVER)
        self._period(self._passed + self.period_ms if is_late else end).add(slots, rows, starts)
        return is_late

    def due(self, now: int) -> list[int]:
        """Return the boundaries up to *now* to flush: of periods that have news, and the last.

        A gap of an hour is no reason to say an hour's times what did not change, so boundaries
        in between are passed over.
        """
        last = now // self.period_ms * self.period_ms
        ends = sorted(end for end in self._open if end <= now)
        if last > self._passed and last not in ends and last <= LATEST_MS:
            ends.append(last)
        return ends

    def close(self, end: int) -> Closed:
        """Close the period that ends at *end*, if it has news, and let its boundary pass."""
        self._passed = max(self._passed, end)
        period = self._open.pop(end, None)
        if period is None:
            none = np.zeros(0, np.int64)
            return Closed(none, self.layout.empty(), none)
        for block in range(period.stored_blocks):
            self._store.delete(self._period_key(end, block))
        slots, rows, starts = period.sorted()
        total = self._rows.upto(len(self))
        total.cells[slots] = carried(self.layout, merged(self.layout, total.cells[slots], rows))
        has_started = total.starts[slots] == NEVER
        has_started &= starts != NEVER
        total.starts[slots] = np.where(has_started, starts, total.starts[slots])
        self._rows.is_dirty[slots // BLOCK] = True
        places, streams = np.nonzero(has_started)
        return Closed(
            slots, carried(self.layout, rows), slots[places] * len(self.streams) + streams
        )

    def _boundary(self, at: int) -> int:
        return -(-at // self.period_ms) * self.period_ms

    def _period(self, end: int) -> OpenPeriod:
        period = self._open.get(end)
        if period is None:
            period = self._open[end] = OpenPeriod(self.layout, len(self.streams))
        return period

    def _counts(self, rows: Ints) -> Ints:
        """Return what each stream counts in each of *rows*."""
        return np.stack([counted(self.layout, rows, name) for name in self.streams], axis=1)

    # Store

    def restore(self, now: int) -> None:
        """Read what the store has, at stream time *now* (ms).

        It may have been written with another layout or another length of periods.
        """
        layout, period_ms = self._restore_meta()
        self._passed = max(self._passed, now) // self.period_ms * self.period_ms
        for _, value in self._store.scan(self._prefix + _KEYS):
            for key in unpacked_keys(value):
                self._slots[key]
        self._stored_keys = len(self)
        total = self._rows.upto(len(self))
        for _, value in self._store.scan(self._prefix + _VALUES):
            slots, starts, cells = unpacked(value, layout, len(self.streams))
            total.cells[slots] = rebucketed(cells, layout, self.layout)
            total.starts[slots] = starts
            total.is_dirty[slots // BLOCK] |= layout != self.layout
        self.count = int(self._counts(self.rows).sum())
        is_as_stored = (layout, period_ms) == (self.layout, self.period_ms)
        for key, value in list(self._store.scan(self._prefix + _PERIODS)):
            slots, starts, cells = unpacked(value, layout, len(self.streams))
            rows = rebucketed(cells, layout, self.layout)
            self.count += int(self._counts(rows).sum())
            stored_end, block = struct.unpack_from(">QI", key, len(self._prefix + _PERIODS))
            period = self._period(self._boundary(stored_end))
            period.add(slots, rows, starts)
            if is_as_stored:
                period.is_stored(block)
            else:
                self._store.delete(key)

    def _restore_meta(self) -> tuple[Layout, int]:
        meta = self._store.get(self._prefix + _META)
        if meta is None:
            return self.layout, self.period_ms
        if meta[0] != _VERSION:
            raise ValueError(
                f"series have state of version {meta[0]}; this tailrace reads version {_VERSION}. "
                f"Run the version that wrote it."
            )
        self._stored_meta = meta
        *fields, period_ms, self._passed = orjson.loads(meta[1:])
        return layout_of(fields), period_ms

    def seal(self) -> None:
        """Put into the store what changed since the last time."""
        fields = [*layout_fields(self.layout), self.period_ms, self._passed]
        meta = bytes((_VERSION,)) + orjson.dumps(fields)
        if meta != self._stored_meta:
            self._store.put(self._prefix + _META, meta)
            self._stored_meta = meta
        if self._stored_keys < len(self):
            self._seal_keys()
        for block, rows in self._rows.take_dirty(len(self)):
            value = packed(np.arange(rows.start, rows.stop), *self._rows.part(rows))
            self._store.put(self._prefix + _VALUES + struct.pack(">I", block), value)
        for end, period in self._open.items():
            for block, value in period.take_dirty():
                self._store.put(self._period_key(end, block), value)

    def _seal_keys(self) -> None:
        """Put the new keys into the store, in values of about `_VALUE_BYTES` at the most."""
        new = self.keys[self._stored_keys :]
        ends = np.cumsum([len(key) for key in new])
        cuts = (np.flatnonzero(np.diff(ends // _VALUE_BYTES)) + 1).tolist()
        for start, end in pairwise([0, *cuts, len(new)]):
            first = struct.pack(">I", self._stored_keys + start)
            self._store.put(self._prefix + _KEYS + first, packed_keys(new[start:end]))
        self._stored_keys = len(self)

    def _period_key(self, end: int, block: int) -> bytes:
        return self._prefix + _PERIODS + struct.pack(">QI", end, block)


class _Slots(dict[bytes, int]):
    """Key to slot; a key not seen before gets the next slot."""

    __slots__ = ("keys_by_slot",)

    def __init__(self) -> None:
        super().__init__()
        self.keys_by_slot: list[bytes] = []

    def __missing__(self, key: bytes) -> int:
        slot = self[key] = len(self.keys_by_slot)
        self.keys_by_slot.append(key)
        return slot
