"""Aging rows: small rows by key that leave in the order in which they were put.

Laws:

- Rows leave oldest first and in no other order, when they are due or when there are too many.
  Whoever puts rows puts them in the order of their due times.
- A row that is put under the key of another takes its place, and is the newest.
- A checkpoint writes the rows that were put or touched since the last one and are still here; a
  row that comes and goes between two checkpoints is never written. No row is deleted by itself.
- After a restart the rows, their order and their number are as they were at the checkpoint.

In the store: blocks under the prefix and a number (u64, big endian); under the prefix alone, a byte
of version and the serial (i64) of the oldest row that may be here. A block is dropped when all in
it have left. A block's value: one byte of version, then zstd of: the length of the head (u32), the
head, how many rows (u32), their serials and due times (i64 each), the sizes of values (u32 each),
keys (of one size), values. Little endian. The head says in what terms the values speak.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from typing import Generic, Protocol, TypeVar

import cramjam
import numpy as np

from tailrace.tables.store import PartitionStore

_VERSION = 1
_ZSTD_LEVEL = 1
_FIRST = struct.Struct("<Bq")
_BLOCK_BYTES = 512 << 10


@dataclass(slots=True, eq=False)
class Row:
    """What leaves when stream time is past `due` (ms)."""

    key: bytes
    due: int
    serial: int = field(default=-1, init=False)


AnyRow = TypeVar("AnyRow", bound=Row)
Decoder = Callable[[bytes, int, bytes], AnyRow | None]
"""Of key, due time and value; None if nothing of the row is wanted any more."""


class Codec(Protocol[AnyRow]):
    """How rows are stored. Values are in the terms of `head`."""

    head: bytes

    def encode(self, row: AnyRow) -> bytes:
        """Return the value of *row*."""
        ...

    def decoder(self, head: bytes) -> Decoder[AnyRow]:
        """Return what reads values that were written under *head*."""
        ...


class Unsaid:
    """The codec of rows that say nothing but that they are here."""

    head = b""

    def encode(self, row: Row) -> bytes:
        return b""

    def decoder(self, head: bytes) -> Decoder[Row]:
        return lambda key, due, value: Row(key, due)


class AgingRows(Generic[AnyRow]):
    """The rows of one table, whose keys are *key_bytes* long; no other prefix begins with its."""

    def __init__(
        self, store: PartitionStore, prefix: bytes, key_bytes: int, codec: Codec[AnyRow]
    ) -> None:
        self._store = store
        self._prefix = prefix
        self._key_bytes = key_bytes
        self._codec = codec
        self._rows: dict[bytes, AnyRow] = {}
        self._by_age: deque[AnyRow] = deque()  # with rows whose place others have taken
        self._changed: dict[bytes, None] = {}
        self._next = 0
        self._first = self._sealed_first = 0
        self._blocks: deque[tuple[int, bytes]] = deque()  # the last serial in each, and its key
        self._number = 0
        self.get = self._rows.get

    def __len__(self) -> int:
        return len(self._rows)

    def __contains__(self, key: bytes) -> bool:
        return key in self._rows

    def __iter__(self) -> Iterator[AnyRow]:
        """Yield the rows, oldest first."""
        rows = self._rows
        return (row for row in self._by_age if rows.get(row.key) is row)

    def put(self, row: AnyRow) -> None:
        """Add *row*, a new object, as the newest."""
        row.serial = self._next
        self._next += 1
        self._rows[row.key] = row
        self._by_age.append(row)
        self._changed[row.key] = None

    def touch(self, row: AnyRow) -> None:
        """Write *row* again, which has changed."""
        self._changed[row.key] = None

    def take_due(self, now: int) -> AnyRow | None:
        """Remove the oldest row if it is due before *now*, and return it."""
        by_age, rows = self._by_age, self._rows
        while by_age:
            row = by_age[0]
            is_here = rows.get(row.key) is row
            if is_here and row.due >= now:
                return None
            by_age.popleft()
            if is_here:
                return self._left(row)
        return None

    def take_oldest(self) -> AnyRow:
        """Remove the oldest row, of at least one, and return it."""
        rows = self._rows
        while rows.get((row := self._by_age.popleft()).key) is not row:
            pass
        return self._left(row)

    def _left(self, row: AnyRow) -> AnyRow:
        del self._rows[row.key]
        self._changed.pop(row.key, None)
        self._first = row.serial + 1
        return row

    def seal(self) -> None:
        """Put into the store what is only in memory."""
        rows, encode = self._rows, self._codec.encode
        changed = sorted((rows[key] for key in self._changed), key=lambda row: row.serial)
        self._changed = {}
        part: list[tuple[AnyRow, bytes]] = []
        size = 0
        for row in changed:
            value = encode(row)
            if size and size + len(value) > _BLOCK_BYTES:
                self._write(part)
                part, size = [], 0
            part.append((row, value))
            size += len(value) + self._key_bytes + 20
        if part:
            self._write(part)
        while self._blocks and self._blocks[0][0] < self._first:
            self._store.delete(self._blocks.popleft()[1])
        if self._first != self._sealed_first:
            self._sealed_first = self._first
            self._store.put(self._prefix, _FIRST.pack(_VERSION, self._first))

    def _write(self, part: list[tuple[AnyRow, bytes]]) -> None:
        key = self._prefix + self._number.to_bytes(8, "big")
        self._number += 1
        self._store.put(key, _encode(self._codec.head, part))
        self._blocks.append((part[-1][0].serial, key))

    def restore(self) -> None:
        """Read what is in the store; once, before anything else.

        If rows were written in other terms than today's, all are read in today's and written anew.
        """
        found: dict[bytes, tuple[int, AnyRow | None]] = {}
        is_foreign = False
        for key, value in list(self._store.scan(self._prefix)):
            if key == self._prefix:
                version, self._first = _FIRST.unpack(value)
                _check(version)
                continue
            head, rows = _decode(value, self._key_bytes)
            is_foreign |= head != self._codec.head
            decode = self._codec.decoder(head)
            last = -1
            for serial, due, row_key, content in rows:
                last = max(last, serial)
                if serial >= self._first:
                    found[row_key] = serial, decode(row_key, due, content)
            self._blocks.append((last, key))
            self._number = int.from_bytes(key[len(self._prefix) :], "big") + 1
        self._sealed_first = self._first
        self._fill(found)
        if is_foreign:
            self._forget_blocks()

    def _fill(self, found: dict[bytes, tuple[int, AnyRow | None]]) -> None:
        self._next = max([self._first, *(serial + 1 for serial, _ in found.values())])
        for serial, row in sorted(found.values(), key=lambda each: each[0]):
            if row is not None:
                row.serial = serial
                self._rows[row.key] = row
                self._by_age.append(row)

    def _forget_blocks(self) -> None:
        for _, key in self._blocks:
            self._store.delete(key)
        self._blocks.clear()
        self._changed = dict.fromkeys(self._rows)


def erase(store: PartitionStore, prefix: bytes) -> None:
    """Remove all that a table under *prefix* had stored."""
    for key, _ in list(store.scan(prefix)):
        store.delete(key)


def _encode(head: bytes, part: list[tuple[AnyRow, bytes]]) -> bytes:
    raw = b"".join(
        (
            struct.pack("<I", len(head)),
            head,
            struct.pack("<I", len(part)),
            np.array([row.serial for row, _ in part], "<i8").tobytes(),
            np.array([row.due for row, _ in part], "<i8").tobytes(),
            np.array([len(value) for _, value in part], "<u4").tobytes(),
            *(row.key for row, _ in part),
            *(value for _, value in part),
        )
    )
    return bytes([_VERSION]) + bytes(cramjam.zstd.compress(raw, _ZSTD_LEVEL))


def _decode(value: bytes, key_bytes: int) -> tuple[bytes, list[tuple[int, int, bytes, bytes]]]:
    _check(value[0])
    raw = bytes(cramjam.zstd.decompress(value[1:]))
    (length,) = struct.unpack_from("<I", raw)
    head, at = raw[4 : 4 + length], 4 + length
    (count,) = struct.unpack_from("<I", raw, at)
    at += 4
    serials = np.frombuffer(raw, "<i8", count, at).tolist()
    dues = np.frombuffer(raw, "<i8", count, at + 8 * count).tolist()
    sizes = np.frombuffer(raw, "<u4", count, at + 16 * count).tolist()
    at += 20 * count
    keys = [raw[at + key_bytes * n : at + key_bytes * (n + 1)] for n in range(count)]
    edges = accumulate(sizes, initial=at + key_bytes * count)
    values = [raw[start:end] for start, end in pairwise(edges)]
    return head, list(zip(serials, dues, keys, values, strict=True))


def _check(version: int) -> None:
    if version != _VERSION:
        raise ValueError(
            f"aging rows of version {version} are not known to this tailrace; run the version "
            f"that wrote them"
        )
