"""Trace buffers: the raw fragments of traces that wait for their decision.

Fragments are appended to segments. A full segment is compressed and becomes one value of the
store; a segment whose fragments are all released is dropped whole, so that a fragment costs a
share of one changelog record, and one that is released before a checkpoint costs nothing.

A segment's value: one byte of version, then zstd of: count (u32), the arrival times (i64 each, ms
of stream time), the sizes (u32 each, 0 for a fragment that was released), the fragments. Little
endian. Its key: `s` and the segment's number (u64, big endian). Version 2 is written if a fragment
is of a trace of another tenant than `default`: after the fragments stands JSON, by tenant the
indexes of its fragments.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, count
from typing import NamedTuple

import numpy as np
import orjson
import zstandard

from tailrace.schemas.definitions.definition import DEFAULT_TENANT
from tailrace.tables.store import PartitionStore

SEGMENT_PREFIX = b"s"
SEGMENT_BYTES = 1 << 20
"""Raw bytes after which a segment is full; it is longer only by its last fragment."""
_VERSION, _OF_TENANTS = b"\x01", b"\x02"
_COMPRESSOR = zstandard.ZstdCompressor(level=-1)
"""A tenth larger than level 1, for a tenth less CPU time. Its tables are kept: to have new ones for
every segment costs a fifth of compressing it."""
_DECOMPRESSOR = zstandard.ZstdDecompressor()
_INDEX_BITS = 24

FragmentRef = int
"""Where a fragment is: the segment's number, and its index there."""


class Block:
    """The fragments of a segment in one piece; they are cut out when they are asked for."""

    __slots__ = ("_content", "_ends", "tenants", "times")

    def __init__(self, content: bytes, *, has_tenants: bool = False) -> None:
        rows = int(np.frombuffer(content, "<u4", 1)[0])
        sizes = np.frombuffer(content, "<u4", rows, 4 + 8 * rows)
        self._content = content
        self.times: list[int] = np.frombuffer(content, "<i8", rows, 4).tolist()
        first = 4 + 12 * rows
        self._ends: list[int] = [first, *(first + np.cumsum(sizes, dtype=np.int64)).tolist()]
        said = orjson.loads(content[self._ends[-1] :]) if has_tenants else {}
        self.tenants: dict[int, str] = {at: name for name, places in said.items() for at in places}

    def __len__(self) -> int:
        """The number of fragments."""
        return len(self.times)

    @property
    def size(self) -> int:
        """The bytes of all fragments."""
        return self._ends[-1] - self._ends[0]

    def __getitem__(self, index: int) -> bytes:
        return self._content[self._ends[index] : self._ends[index + 1]]


Fragments = Block | list[bytes]


class StoredFragment(NamedTuple):
    """A fragment that came at `at` (ms of stream time), of a trace of `tenant`."""

    ref: FragmentRef
    at: int
    raw: bytes
    tenant: str


class SegmentCache:
    """Segments that were read back lately, of all buffers of a worker, within *capacity* bytes."""

    def __init__(self, capacity: int = 32 << 20) -> None:
        self._capacity = capacity
        self._segments: OrderedDict[tuple[int, int], Fragments] = OrderedDict()
        self._sizes: dict[tuple[int, int], int] = {}
        self.bytes = 0
        self.owners = count()

    def get(self, owner: int, number: int) -> Fragments | None:
        """Return the fragments of a segment if they are here."""
        key = (owner, number)
        fragments = self._segments.get(key)
        if fragments is not None:
            self._segments.move_to_end(key)
        return fragments

    def put(self, owner: int, number: int, fragments: Fragments, size: int) -> None:
        """Keep *fragments*, of *size* bytes, until others need the space."""
        key = (owner, number)
        self.drop(owner, number)
        self._segments[key] = fragments
        self._sizes[key] = size
        self.bytes += self._sizes[key]
        while self.bytes > self._capacity and len(self._segments) > 1:
            self.drop(*next(iter(self._segments)))

    def drop(self, owner: int, number: int) -> None:
        """Forget a segment."""
        if self._segments.pop((owner, number), None) is not None:
            self.bytes -= self._sizes.pop((owner, number))


class TraceBuffers:
    """The fragments of one partition's undecided traces."""

    def __init__(self, store: PartitionStore, cache: SegmentCache) -> None:
        self._store = store
        self._cache = cache
        self._owner = next(cache.owners)
        self._number = 0
        self._open: list[bytes] = []
        self._open_times: list[int] = []
        self._open_tenants: dict[int, str] = {}
        self._open_bytes = 0
        self._live: dict[int, int] = {}
        self._live_open = 0

    @property
    def open_bytes(self) -> int:
        """Raw bytes that are in no segment of the store yet."""
        return self._open_bytes

    def append(self, raw: bytes, now: int, tenant: str = DEFAULT_TENANT) -> FragmentRef:
        """Keep *raw*, which came at *now* (ms of stream time), of a trace of *tenant*."""
        if self._open_bytes >= SEGMENT_BYTES:
            self.seal()
        index = len(self._open)
        self._open.append(raw)
        self._open_times.append(now)
        if tenant != DEFAULT_TENANT:
            self._open_tenants[index] = tenant
        self._open_bytes += len(raw)
        self._live_open += 1
        return self._number << _INDEX_BITS | index

    def read(self, refs: Iterable[FragmentRef]) -> list[bytes]:
        """Return the fragments at *refs*."""
        mask, number, found = (1 << _INDEX_BITS) - 1, -1, []
        fragments: Fragments = []
        for ref in refs:
            if ref >> _INDEX_BITS != number:
                number = ref >> _INDEX_BITS
                fragments = self._fragments(number)
            found.append(fragments[ref & mask])
        return found

    def read_many(self, several: Sequence[Sequence[FragmentRef]]) -> list[list[bytes]]:
        """Return the fragments at each of *several* lists; each segment is looked at once."""
        refs = sorted(chain.from_iterable(several))
        if not refs:
            return [[] for _ in several]
        found = dict(zip(refs, self.read(refs), strict=True))
        return [[found[ref] for ref in each] for each in several]

    def release(self, refs: Iterable[FragmentRef]) -> None:
        """Give up the fragments at *refs*; a segment without others is dropped."""
        live, number = self._live, self._number
        for ref in refs:
            segment = ref >> _INDEX_BITS
            if segment == number:
                index = ref & ((1 << _INDEX_BITS) - 1)
                self._open_bytes -= len(self._open[index])
                self._open[index] = b""
                self._live_open -= 1
            else:
                live[segment] -= 1
                if not live[segment]:
                    del live[segment]
                    self._store.delete(_key(segment))
                    self._cache.drop(self._owner, segment)

    def seal(self) -> None:
        """Write the open segment to the store, unless all of it was released."""
        if self._live_open:
            value = _encode(self._open, self._open_times, self._open_tenants)
            self._store.put(_key(self._number), value)
            self._live[self._number] = self._live_open
            self._cache.put(self._owner, self._number, self._open, self._open_bytes)
        if self._open:
            self._number += 1
            self._open, self._open_times, self._open_tenants = [], [], {}
            self._open_bytes = self._live_open = 0

    def restore(self) -> Iterator[list[StoredFragment]]:
        """Yield each stored segment's fragments with their arrival times, and whose they are.

        Release what is not wanted of a segment before the next one is taken.
        """
        for key, value in list(self._store.scan(SEGMENT_PREFIX)):
            number = int.from_bytes(key[1:], "big")
            block = _decode(value)
            base = number << _INDEX_BITS
            found = (
                StoredFragment(
                    base | index, at, block[index], block.tenants.get(index, DEFAULT_TENANT)
                )
                for index, at in enumerate(block.times)
            )
            rows = [row for row in found if row.raw]
            self._live[number] = len(rows)
            self._number = number + 1
            yield rows

    def _fragments(self, number: int) -> Fragments:
        if number == self._number:
            return self._open
        fragments = self._cache.get(self._owner, number)
        if fragments is None:
            value = self._store.get(_key(number))
            assert value is not None, f"segment {number} is gone although fragments refer to it"
            fragments = _decode(value)
            self._cache.put(self._owner, number, fragments, fragments.size)
        return fragments


def _key(number: int) -> bytes:
    return SEGMENT_PREFIX + number.to_bytes(8, "big")


def _encode(fragments: list[bytes], times: list[int], tenants: dict[int, str]) -> bytes:
    said: dict[str, list[int]] = {}
    for index, tenant in tenants.items():
        if fragments[index]:
            said.setdefault(tenant, []).append(index)
    head = np.array([len(fragments)], "<u4").tobytes()
    sizes = np.fromiter(map(len, fragments), "<u4", len(fragments)).tobytes()
    block = b"".join((head, np.array(times, "<i8").tobytes(), sizes, *fragments))
    block += orjson.dumps(said) if said else b""
    return (_OF_TENANTS if said else _VERSION) + _COMPRESSOR.compress(block)


def _decode(value: bytes) -> Block:
    if value[:1] not in (_VERSION, _OF_TENANTS):
        raise ValueError(f"a trace segment of version {value[0]} is not known to this tailrace")
    content = _DECOMPRESSOR.decompress(memoryview(value)[1:])
    return Block(content, has_tenants=value[:1] == _OF_TENANTS)
