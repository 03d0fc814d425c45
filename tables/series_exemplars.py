"""Exemplars of series that wait for their flush: of each series the newest, by how long they took.

They come after their traces were decided, long after what they are examples of was counted, and
stand at the points of the next flush. Laws:

- What is shown depends on the exemplars that came since the last flush and on their order, never
  on when checkpoints were.
- Of a series there is at most one for each power of two of nanoseconds, so that whatever buckets
  there are, the rare long ones are not crowded out.

In the store, under the table's prefix and a number: the batches that came since the last flush, as
they came.
"""

from __future__ import annotations

import struct
from bisect import bisect_left
from collections.abc import Mapping, Sequence

from tailrace.schemas.exemplars import (
    Exemplar,
    ExemplarBatch,
    decode_exemplars,
    encode_exemplars,
)
from tailrace.tables.store import PartitionStore


class SeriesExemplars:
    """Those of one family in one partition. *prefix* is this table's in *store*."""

    def __init__(self, store: PartitionStore, prefix: bytes) -> None:
        self._store = store
        self._prefix = prefix
        self._newest: dict[bytes, dict[int, Exemplar]] = {}
        self._unstored: list[ExemplarBatch] = []
        self._stored = 0

    def restore(self) -> None:
        """Read what came since the last flush; once, before anything else."""
        for _, value in self._store.scan(self._prefix):
            self._take(decode_exemplars(value))
            self._stored += 1

    def add(self, batch: ExemplarBatch) -> None:
        """Have the exemplars of *batch*, too."""
        self._take(batch)
        self._unstored.append(batch)

    def _take(self, batch: ExemplarBatch) -> None:
        for key, exemplars in batch.by_key.items():
            newest = self._newest.setdefault(key, {})
            for exemplar in exemplars:
                magnitude = exemplar.value_ns.bit_length()
                known = newest.get(magnitude)
                if known is None or exemplar.time_ns >= known.time_ns:
                    newest[magnitude] = exemplar

    def flush(self, bounds: Sequence[int], most: int) -> Mapping[bytes, Sequence[Exemplar]]:
        """Return the exemplars of each series, by how long they took; then there are none.

        The newest of each bucket with *bounds* (ns), and of those the newest, *most* at most.
        """
        shown = {key: _shown(newest, bounds, most) for key, newest in self._newest.items()}
        for number in range(self._stored):
            self._store.delete(self._key(number))
        self._newest, self._unstored, self._stored = {}, [], 0
        return shown

    def seal(self) -> None:
        """Put into the store what came since the last time."""
        for batch in self._unstored:
            self._store.put(self._key(self._stored), encode_exemplars(batch))
            self._stored += 1
        self._unstored = []

    def _key(self, number: int) -> bytes:
        return self._prefix + struct.pack(">I", number)


def _shown(newest: Mapping[int, Exemplar], bounds: Sequence[int], most: int) -> list[Exemplar]:
    buckets: dict[int, Exemplar] = {}
    for magnitude, exemplar in sorted(newest.items()):
        bucket = bisect_left(bounds, exemplar.value_ns) if bounds else magnitude
        known = buckets.get(bucket)
        if known is None or exemplar.time_ns >= known.time_ns:
            buckets[bucket] = exemplar
    latest = sorted(buckets.values(), key=lambda each: (each.time_ns, each.value_ns))
    return sorted(latest[-most:] if most else [], key=lambda each: each.value_ns)
