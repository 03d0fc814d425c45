"""Samples that wait until every source has said what came before them. Laws:

- Samples come out in the order in which they came into their sources, by stream time, and then in
  that of their contents: who wrote faster decides nothing.
- What waits is as it was after a restart.
- No more than *held_bytes* wait: what came first goes out before its time, and is counted.
"""

from __future__ import annotations

from heapq import heappop, heappush
from typing import Final

from tailrace.schemas.metric_samples import (
    Sample,
    SampleBatch,
    decode_samples,
    encode_samples,
    encoded_bytes,
)
from tailrace.tables.store import PartitionStore

HELD_BYTES: Final = 32 << 20


class WaitingSamples:
    """The samples that wait in one partition. *prefix* is this table's in *store*."""

    def __init__(self, store: PartitionStore, prefix: bytes, held_bytes: int = HELD_BYTES) -> None:
        self._store = store
        self._prefix = prefix
        self._held_bytes = held_bytes
        self._batches: dict[int, list[tuple[bytes, SampleBatch]]] = {}
        self._heap: list[int] = []
        self._bytes = 0
        self._count = 0

    def __len__(self) -> int:
        """How many samples wait."""
        return self._count

    @property
    def first_ms(self) -> int | None:
        """When the first of those that wait came."""
        return self._heap[0] if self._heap else None

    @property
    def is_full(self) -> bool:
        """True if more wait than may."""
        return self._bytes > self._held_bytes

    def restore(self) -> None:
        """Read what the store has."""
        for key, value in self._store.scan(self._prefix):
            self._hold(key, decode_samples(value))

    def add(self, batch: SampleBatch, offset: int) -> None:
        """Let *batch* wait, which stood at *offset* of the log."""
        key = self._prefix + batch.came_ms.to_bytes(8, "big") + offset.to_bytes(8, "big")
        self._store.put(key, encode_samples(batch))
        self._hold(key, batch)

    def take(self) -> list[Sample]:
        """Return those that came first, in the order of what they are."""
        taken = self._batches.pop(heappop(self._heap))
        for key, batch in taken:
            self._store.delete(key)
            self._weigh(batch, -1)
        return sorted(sample for _, batch in taken for sample in batch.samples)

    def _hold(self, key: bytes, batch: SampleBatch) -> None:
        held = self._batches.get(batch.came_ms)
        if held is None:
            held = self._batches[batch.came_ms] = []
            heappush(self._heap, batch.came_ms)
        held.append((key, batch))
        self._weigh(batch, 1)

    def _weigh(self, batch: SampleBatch, sign: int) -> None:
        self._count += sign * len(batch.samples)
        self._bytes += sign * sum(map(encoded_bytes, batch.samples))
