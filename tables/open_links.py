"""Open links: halves of the open interval that are looked for in other traces.

They are sent to the partition that their key hashes to; when, see `interval_source`. What is sent
is a function of what came and when: each kind of half has an order of its own, in which it always
comes, and they are sent kind after kind.

In the store, after the prefix and `o`: the kind and the number of a part, and that part.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from enum import IntEnum

import numpy as np

from tailrace.schemas.half_edges import (
    KEY_BYTES,
    Ints,
    LinkHalves,
    Prototype,
    decode_link_halves,
    encode_link_halves,
    encoded_bytes,
    places,
    shortened,
)
from tailrace.tables.half_edge_rows import Halves, Prototypes
from tailrace.tables.interval_sums import RollupTopic
from tailrace.tables.store import PartitionStore

_OPEN = b"o"
_VALUE_BYTES = 512 << 10
"""About the largest value in the store."""
_NAME_BYTES = 1 << 10
_HALF_BYTES = 13 + KEY_BYTES


class Kind(IntEnum):
    """Halves that come in one order, whenever somebody looks."""

    CONSUMERS = 0
    MET = 1
    """Producers that met a consumer in their own trace."""
    ALONE = 2
    """Producers that did not."""


class OpenLinks:
    """The open interval of one source. *prefix* is this table's in *store*, one byte."""

    def __init__(self, store: PartitionStore, prefix: bytes, topic: RollupTopic) -> None:
        self._store = store
        self._prefix = prefix + _OPEN
        self._topic = topic
        self._parts: dict[Kind, list[LinkHalves]] = {kind: [] for kind in Kind}
        self._stored: list[bytes] = []
        self._is_changed = False

    def __len__(self) -> int:
        return sum(len(part.of) for parts in self._parts.values() for part in parts)

    def add(self, kind: Kind, halves: Halves, prototypes: Prototypes) -> None:
        """Add *halves*, in terms of *prototypes*, to the open interval."""
        if not len(halves.keys):
            return
        used, of = np.unique(halves.prototypes, return_inverse=True)
        common = [self._fitted(prototypes[number]) for number in used.tolist()]
        self._parts[kind].append(
            LinkHalves(0, common, of, halves.durations, halves.states, halves.keys)
        )
        self._is_changed = True

    def _fitted(self, prototype: Prototype) -> Prototype:
        """Return *prototype* cut so that a record can hold it.

        Its names are, and if that is not enough it has no dimensions.
        """
        limit, room, fitted = _NAME_BYTES, self._topic.record_bytes // 2, prototype
        while limit and encoded_bytes(fitted) > room:
            limit //= 2
            fitted = shortened(fitted, limit)
        if encoded_bytes(fitted) > room and fitted.dimensions:
            return self._fitted(prototype._replace(dimensions=()))
        return fitted

    def restore(self, now: int) -> None:
        """Read the open interval."""
        for key, value in self._store.scan(self._prefix):
            self._parts[Kind(key[len(self._prefix)])].append(decode_link_halves(value))
            self._stored.append(key)

    def seal(self) -> None:
        """Put the open interval into the store."""
        if not self._is_changed:
            return
        self._is_changed = False
        stored = []
        for kind, halves in self._whole(0):
            for number, part in enumerate(_parted(halves, _VALUE_BYTES)):
                stored.append(self._prefix + bytes((kind,)) + number.to_bytes(4, "big"))
                self._store.put(stored[-1], encode_link_halves(part))
        for key in set(self._stored).difference(stored):
            self._store.delete(key)
        self._stored = stored

    def take(self, start: int) -> Mapping[int, Sequence[bytes]]:
        """Return the records of the interval that began at *start*; it is empty afterwards."""
        records: dict[int, list[bytes]] = {}
        for kind, halves in self._whole(start + self._topic.interval_ms):
            of_each = places(halves.keys, self._topic.partitions)
            for partition in np.unique(of_each).tolist():
                mine = halves.part(np.flatnonzero(of_each == partition))
                # The other half of a record is room for what is around them.
                for part in _parted(mine, self._topic.record_bytes // 2):
                    records.setdefault(partition, []).append(encode_link_halves(part))
            self._parts[kind] = []
            self._is_changed = True
        return records

    def _whole(self, end: int) -> Iterator[tuple[Kind, LinkHalves]]:
        """Yield all halves of each kind that has some."""
        for kind, parts in self._parts.items():
            if parts:
                yield kind, joined(parts, end)


def joined(parts: Sequence[LinkHalves], end: int) -> LinkHalves:
    """Return *parts*, one or more, one after the other, in which no prototype is there twice."""
    numbers: dict[Prototype, int] = {}
    of = [
        np.array([numbers.setdefault(each, len(numbers)) for each in part.prototypes], np.int64)[
            part.of
        ]
        for part in parts
    ]
    return LinkHalves(
        end,
        list(numbers),
        np.concatenate(of),
        np.concatenate([part.durations for part in parts]),
        np.concatenate([part.states for part in parts]),
        np.concatenate([part.keys for part in parts]),
    )


def _parted(halves: LinkHalves, room: int) -> Iterator[LinkHalves]:
    """Yield *halves*, as many at a time as fit into *room*, or one.

    Each part has the prototypes of its halves, so one that many parts use counts in each of them.
    """
    sizes = np.array([encoded_bytes(each) + 1 for each in halves.prototypes], np.int64)
    before, start, most = _uses_before(halves.of), 0, room // _HALF_BYTES + 1
    while start < len(halves.of):
        rows = np.arange(start, min(start + most, len(halves.of)))
        adds = np.where(before[rows] < start, sizes[halves.of[rows]], 0) + _HALF_BYTES
        count = max(1, int(np.searchsorted(np.cumsum(adds), room, "right")))
        yield halves.part(rows[:count])
        start += count


def _uses_before(of: Ints) -> Ints:
    """Return for each of *of* where the same number stood last before, -1 if nowhere."""
    rows = np.argsort(of, kind="stable")
    before = np.full(len(of), -1, np.int64)
    is_again = of[rows[1:]] == of[rows[:-1]]
    before[rows[1:][is_again]] = rows[:-1][is_again]
    return before


def order(halves: LinkHalves) -> Ints:
    """Return the rows of *halves* in an order that depends on nothing but what they are."""
    by_prototype = sorted(range(len(halves.prototypes)), key=halves.prototypes.__getitem__)
    ranks = np.empty(len(by_prototype), np.int64)
    ranks[by_prototype] = np.arange(len(by_prototype))
    words = np.frombuffer(halves.keys.tobytes(), ">u8").reshape(-1, KEY_BYTES // 8)
    columns = (ranks[halves.of], halves.durations, halves.states, *words.T[::-1])
    rows: Ints = np.lexsort(columns)
    return rows
