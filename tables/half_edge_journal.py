"""The journal of half edges: blocks in the store, one or few a checkpoint.

In the store: blocks under the prefix and a number (u64, big endian); under the prefix alone, a
byte of version and the serial (i64) of the oldest half that has not expired. A block is dropped
when all in it has.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Iterator

from tailrace.tables.half_edge_blocks import Block, decode, encode
from tailrace.tables.store import PartitionStore

PREFIX = b"h"
_FIRST = struct.Struct("<Bq")
_VERSION = 1
_BLOCK_BYTES = 512 << 10


class HalfEdgeJournal:
    """Blocks, oldest first, and how far halves have expired."""

    def __init__(self, store: PartitionStore, prefix: bytes = PREFIX) -> None:
        self._store = store
        self._prefix = prefix
        self._blocks: deque[tuple[int, bytes]] = deque()
        self._number = 0
        self._first = 0

    def read(self) -> tuple[int, list[Block]]:
        """Return the serial of the oldest half that has not expired, and all blocks."""
        blocks = []
        for key, value in self._store.scan(self._prefix):
            if key == self._prefix:
                version, self._first = _FIRST.unpack(value)
                if version != _VERSION:
                    raise ValueError(f"half edges of version {version} are not known")
                continue
            block = decode(value)
            self._number = int.from_bytes(key[len(self._prefix) :], "big") + 1
            self._blocks.append((block.end, key))
            blocks.append(block)
        return self._first, blocks

    def write(self, block: Block, first: int) -> None:
        """Add *block*; halves with serials before *first* have expired."""
        for value in _values(block):
            key = self._prefix + self._number.to_bytes(8, "big")
            self._number += 1
            self._store.put(key, value)
            self._blocks.append((block.end, key))
        while self._blocks and self._blocks[0][0] <= first:
            self._store.delete(self._blocks.popleft()[1])
        if first != self._first:
            self._first = first
            self._store.put(self._prefix, _FIRST.pack(_VERSION, first))


def _values(block: Block) -> Iterator[bytes]:
    """Yield *block* in values that a record holds; one half alone is as large as it is."""
    halves, paired = len(block.serials), len(block.paired)
    if not halves and not paired:
        return
    value = encode(block)
    if len(value) <= _BLOCK_BYTES or halves + paired <= 1:
        yield value
        return
    middle, split = halves // 2, paired // 2
    for rows, pairings in (
        (slice(None, middle), slice(None, split)),
        (slice(middle, None), slice(split, None)),
    ):
        yield from _values(
            Block(
                block.end,
                block.serials[rows],
                block.prototypes[rows],
                block.durations[rows],
                block.times[rows],
                block.states[rows],
                block.keys[rows],
                block.paired[pairings],
            )
        )
