"""Link halves that wait until every source has said what came before them. Laws:

- Halves come out interval by interval, those of one interval together and in an order that depends
  on nothing but what they are: who wrote faster decides nothing.
- Those of an interval that has passed come out with the first one that has not.
- What waits is as it was after a restart.
- What waits longer than a checkpoint takes no memory but a few words a record: who is late keeps
  the others' halves on the disk.

In the store, after the prefix: the interval's end and the offset of the record (u64 each, big
endian), and its value.
"""

from __future__ import annotations

import struct

from tailrace.schemas.half_edges import LinkHalves, decode_link_halves, encode_link_halves
from tailrace.tables.open_links import joined, order
from tailrace.tables.store import PartitionStore

_KEY = struct.Struct(">QQ")


class WaitingLinks:
    """The halves that wait in one partition. *prefix* is this table's in *store*."""

    def __init__(self, store: PartitionStore, prefix: bytes) -> None:
        self._store = store
        self._prefix = prefix
        self._count = 0
        self._records: dict[int, list[tuple[bytes, int]]] = {}  # keys, and how many halves each has

    def __len__(self) -> int:
        """How many halves wait."""
        return self._count

    @property
    def first_ms(self) -> int | None:
        """The end of the first interval with halves that wait."""
        return min(self._records, default=None)

    def restore(self) -> None:
        """Read what the store has."""
        for key, value in self._store.scan(self._prefix):
            end, _ = _KEY.unpack_from(key, len(self._prefix))
            self._remember(end, key, len(decode_link_halves(value).of))

    def add(self, halves: LinkHalves, end: int, offset: int) -> None:
        """Let *halves*, of a record at *offset*, wait for the *end* of an interval (ms)."""
        key = self._prefix + _KEY.pack(end, offset)
        self._store.put(key, encode_link_halves(halves))
        self._remember(end, key, len(halves.of))

    def _remember(self, end: int, key: bytes, count: int) -> None:
        self._records.setdefault(end, []).append((key, count))
        self._count += count

    def take(self, end: int) -> LinkHalves | None:
        """Return those that waited for *end* or before, None if there are none."""
        ends = sorted(each for each in self._records if each <= end)
        held = [record for each in ends for record in self._records.pop(each)]
        if not held:
            return None
        whole = joined([self._read(key) for key, _ in held], end)
        for key, count in held:
            self._store.delete(key)
            self._count -= count
        return whole.part(order(whole))

    def _read(self, key: bytes) -> LinkHalves:
        value = self._store.get(key)
        assert value is not None, "what waits is in the store"
        return decode_link_halves(value)
