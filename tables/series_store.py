"""Where a table of series is in the store: see `series` for which keys there are."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from tailrace.schemas.sums import Ints
from tailrace.tables import series_meta
from tailrace.tables.series_meta import Meta
from tailrace.tables.series_rows import (
    NEVER,
    OpenPeriod,
    Part,
    Rows,
    is_of_version_1,
    packed,
    unpacked,
)
from tailrace.tables.store import PartitionStore

_META, _KEYS, _VALUES, _PERIODS = b"m", b"n", b"v", b"p"
_KEYS_1 = b"k"
_KEYS_1_HEAD = struct.Struct(">BI")  # version, keys


class SeriesStore:
    """The part of *store* under *prefix*; *wanted* is how its owner would have it."""

    def __init__(self, store: PartitionStore, prefix: bytes, wanted: Meta) -> None:
        self._store = store
        self._prefix = prefix
        self._stored_meta = store.get(prefix + _META) or b""
        self.meta = wanted
        """How what is stored is to be read."""
        if self._stored_meta:
            self.meta = series_meta.decode(self._stored_meta, wanted.streams)
        self._streams = wanted.streams
        self.is_as_wanted = self.meta.version == wanted.version and (
            self.meta.streams, self.meta.period_ms
        ) == (wanted.streams, wanted.period_ms)  # fmt: skip
        """False if all of it is to be written anew."""

    def key_blocks(self) -> Iterator[bytes]:
        """Yield the blocks of keys."""
        return (value for _, value in self._store.scan(self._prefix + _KEYS))

    def take_keys_1(self) -> list[bytes]:
        """Return the keys of version 1, in order of slots, and remove them from the store."""
        found = list(self._store.scan(self._prefix + _KEYS_1))
        for key, _ in found:
            self._store.delete(key)
        return [key for _, value in found for key in _unpacked_keys_1(value)]

    def values(self) -> Iterator[Part]:
        """Yield the blocks of cumulative rows; of what is written anew none stays in the store.

        Nor does a block of version 1 beside rows of a later one: those are newer, and a block had
        fewer rows then, so that nothing else was ever written in its place.
        """
        gone = []
        for key, value in self._store.scan(self._prefix + _VALUES):
            is_leftover = is_of_version_1(value) and self.meta.version != 1
            if is_leftover or not self.is_as_wanted:
                gone.append(key)
            if not is_leftover:
                yield self._part(value)
        for key in gone:
            self._store.delete(key)

    def periods(self, passed: int) -> Iterator[tuple[int, int, Part]]:
        """Yield the blocks of open periods: end, number, rows; last those that end by *passed*."""
        at = len(self._prefix + _PERIODS)
        found = [
            (*struct.unpack_from(">QI", key, at), value)
            for key, value in self._store.scan(self._prefix + _PERIODS)
        ]
        for end, block, value in sorted(found, key=lambda each: each[0] <= passed):
            part = self._part(value)
            if self.meta.version == 1:
                part.news[:] = end
            yield end, block, part

    def _part(self, value: bytes) -> Part:
        """Return the rows of *value*, their starts by the streams that are wanted."""
        part, old = unpacked(value, self.meta.layout), self.meta.streams[:]
        old = old[: part.starts.shape[1]]
        if old == self._streams:
            return part
        starts = np.full((len(part.slots), len(self._streams)), NEVER)
        for number, name in enumerate(self._streams):
            if name in old:
                starts[:, number] = part.starts[:, old.index(name)]
        return part._replace(starts=starts)

    def put_meta(self, meta: Meta) -> None:
        value = series_meta.encode(meta)
        if value != self._stored_meta:
            self._store.put(self._prefix + _META, value)
            self._stored_meta = value

    def put_keys(self, block: int, value: bytes) -> None:
        """Set a block of keys; empty if it has none."""
        self._put(self._prefix + _KEYS + struct.pack(">I", block), value)

    def put_rows(self, rows: Rows, slots: Ints) -> None:
        """Put the blocks of *rows* that changed; *slots* are those that have a key, ascending."""
        for block, part in rows.take_dirty(slots):
            value = packed(part) if len(part.slots) else b""
            self._put(self._prefix + _VALUES + struct.pack(">I", block), value)

    def put_period(self, end: int, period: OpenPeriod) -> None:
        """Put the blocks of the period that ends at *end* that changed."""
        for block, part in period.take_dirty():
            self._store.put(self._period_key(end, block), packed(part))

    def delete_period(self, end: int, blocks: int) -> None:
        """Remove the period that ends at *end*, of which the store has so many blocks."""
        for block in range(blocks):
            self.delete_block(end, block)

    def delete_block(self, end: int, block: int) -> None:
        """Remove one block of the period that ends at *end*."""
        self._store.delete(self._period_key(end, block))

    def _put(self, key: bytes, value: bytes) -> None:
        if value:
            self._store.put(key, value)
        else:
            self._store.delete(key)

    def _period_key(self, end: int, block: int) -> bytes:
        return self._prefix + _PERIODS + struct.pack(">QI", end, block)


def _unpacked_keys_1(value: bytes) -> list[bytes]:
    _, count = _KEYS_1_HEAD.unpack_from(value)
    first = _KEYS_1_HEAD.size + 4 * count
    lengths = np.frombuffer(value, "<u4", count, _KEYS_1_HEAD.size)
    ends = first + np.cumsum(lengths, dtype=np.int64)
    return [value[start:end] for start, end in pairwise((first, *ends.tolist()))]
