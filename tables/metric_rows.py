"""Metric windows in the store: a row for each stream, so that one sample writes one row.

After the table's prefix: `m`, owner, what is counted (4 bytes), the window's length (u64), the
length of the group (u16) and the group, big endian: now and the buckets, as JSON. `s`, the same and
the stream (8 bytes): when its newest sample came, its time, its value, and whether it is over,
little endian. Both begin with a version.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

import orjson

from tailrace.tables.metric_windows import Bucket, MetricWindow, Stream
from tailrace.tables.store import PartitionStore

_KEY = struct.Struct(">8s4sQH")
_STREAM = struct.Struct("<Bqqd?")
_WINDOWS, _STREAMS = b"m", b"s"
_VERSION: Final = 1


class MetricPlace(NamedTuple):
    """Whose window: of which owner and group, of what is counted, and how long."""

    owner: bytes
    group: bytes
    counted: bytes
    length_ms: int

    def key(self) -> bytes:
        return _KEY.pack(self.owner, self.counted, self.length_ms, len(self.group)) + self.group


class MetricRows:
    """The rows of one partition. *prefix* is shared with a table that has other kinds of keys."""

    def __init__(self, store: PartitionStore, prefix: bytes) -> None:
        self._store = store
        self._windows = prefix + _WINDOWS
        self._streams = prefix + _STREAMS

    def seal(self, place: MetricPlace, window: MetricWindow) -> None:
        """Put into the store what changed of *window* since the last time."""
        if not window.is_changed:
            return
        key = place.key()
        cells = [[number, *each.cells()] for number, each in sorted(window.buckets.items())]
        self._store.put(
            self._windows + key, bytes((_VERSION,)) + orjson.dumps([window.now_ms, cells])
        )
        for name in window.changed:
            stream = window.streams.get(name)
            if stream is None:
                self._store.delete(self._streams + key + name)
            else:
                self._store.put(self._streams + key + name, _STREAM.pack(_VERSION, *stream))
        window.changed = set()
        window.is_changed = False

    def delete(self, place: MetricPlace) -> None:
        """Forget the window."""
        key = place.key()
        self._store.delete(self._windows + key)
        for name, _ in list(self._store.scan(self._streams + key)):
            self._store.delete(name)

    def restore(self) -> Iterator[tuple[MetricPlace, MetricWindow]]:
        """Yield every window that is in the store."""
        for key, value in self._store.scan(self._windows):
            _check(value)
            place, _ = _placed(key[len(self._windows) :])
            window = MetricWindow(place.length_ms)
            window.now_ms, cells = orjson.loads(value[1:])
            window.buckets = {number: Bucket.of(rest) for number, *rest in cells}
            window.streams = dict(sorted(self._read(place), key=lambda row: row[1].came_ms))
            yield place, window

    def _read(self, place: MetricPlace) -> Iterator[tuple[bytes, Stream]]:
        prefix = self._streams + place.key()
        for key, value in self._store.scan(prefix):
            _check(value)
            yield key[len(prefix) :], Stream(*_STREAM.unpack(value)[1:])


def _placed(key: bytes) -> tuple[MetricPlace, bytes]:
    """Return whose *key* it is, and what follows."""
    owner, counted, length_ms, size = _KEY.unpack_from(key)
    group, rest = key[_KEY.size : _KEY.size + size], key[_KEY.size + size :]
    return MetricPlace(owner, group, counted, length_ms), rest


def _check(value: bytes) -> None:
    if value[0] != _VERSION:
        raise ValueError(
            f"a metric window has state of version {value[0]}; this tailrace reads version "
            f"{_VERSION}. Run the version that wrote it."
        )
