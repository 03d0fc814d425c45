"""Exemplars of series that wait for their flush: of each series the newest, by how long they took.

They come after their traces were decided, long after what they are examples of was counted, and
stand at the points of the flush whose period has the time at which they were offered. Laws:

- What is shown depends on the exemplars of a period and on their order, never on when checkpoints
  were, nor on whether some of the next period came early.
- Of a series there is at most one for each power of two of nanoseconds, so that whatever buckets
  there are, the rare long ones are not crowded out.

In the store, under the table's prefix, the end of a period (ms) and a number: the batches that came
for that period, as they came.
"""

from __future__ import annotations

import struct
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from tailrace.schemas.exemplars import (
    Exemplar,
    ExemplarBatch,
    decode_exemplars,
    encode_exemplars,
)
from tailrace.tables.store import PartitionStore

_KEY: Final = struct.Struct(">QI")  # the period's end, and a number

_Newest = dict[bytes, dict[int, Exemplar]]
"""By the key of the series, and the bits of the duration."""


def _as_it_is(key: bytes) -> bytes:
    return key


class SeriesExemplars:
    """Those of one family in one partition. *prefix* is this table's in *store*."""

    def __init__(self, store: PartitionStore, prefix: bytes, period_ms: int) -> None:
        self._store = store
        self._prefix = prefix
        self._period_ms = period_ms
        self._open: dict[int, _Newest] = {}
        self._unstored: list[tuple[int, ExemplarBatch]] = []
        self._stored: Counter[int] = Counter()

    def restore(self) -> None:
        """Read what waits; once, before anything else."""
        for key, value in self._store.scan(self._prefix):
            end, _ = _KEY.unpack_from(key, len(self._prefix))
            _take(self._open.setdefault(end, {}), decode_exemplars(value))
            self._stored[end] += 1

    def add(self, batch: ExemplarBatch, at: int) -> None:
        """Have the exemplars of *batch* too, which were offered up to *at* (ms)."""
        end = -(-at // self._period_ms) * self._period_ms
        _take(self._open.setdefault(end, {}), batch)
        self._unstored.append((end, batch))

    def flush(
        self,
        at: int,
        bounds: Sequence[int],
        most: int,
        counted_as: Callable[[bytes], bytes] = _as_it_is,
    ) -> Mapping[bytes, Sequence[Exemplar]]:
        """Return the exemplars of periods that end by *at* (ms), by series and how long they took.

        The newest of each bucket with *bounds* (ns), and of those the newest, *most* at most. Then
        these periods have none. *counted_as*: the key under which another is counted.
        """
        newest: _Newest = {}
        for end in sorted(each for each in self._open if each <= at):
            for key, found in self._open.pop(end).items():
                of_series = newest.setdefault(counted_as(key), {})
                for exemplar in found.values():
                    _meet(of_series, exemplar)
            for number in range(self._stored.pop(end, 0)):
                self._store.delete(self._prefix + _KEY.pack(end, number))
        self._unstored = [each for each in self._unstored if each[0] > at]
        return {key: _shown(found, bounds, most) for key, found in newest.items()}

    def seal(self) -> None:
        """Put into the store what came since the last time."""
        for end, batch in self._unstored:
            self._store.put(
                self._prefix + _KEY.pack(end, self._stored[end]), encode_exemplars(batch)
            )
            self._stored[end] += 1
        self._unstored = []


def _take(newest: _Newest, batch: ExemplarBatch) -> None:
    for key, exemplars in batch.by_key.items():
        for exemplar in exemplars:
            _meet(newest.setdefault(key, {}), exemplar)


def _meet(newest: dict[int, Exemplar], exemplar: Exemplar) -> None:
    magnitude = exemplar.value_ns.bit_length()
    known = newest.get(magnitude)
    if known is None or exemplar.time_ns >= known.time_ns:
        newest[magnitude] = exemplar


def _shown(newest: Mapping[int, Exemplar], bounds: Sequence[int], most: int) -> list[Exemplar]:
    buckets: dict[int, Exemplar] = {}
    for magnitude, exemplar in sorted(newest.items()):
        bucket = bisect_left(bounds, exemplar.value_ns) if bounds else magnitude
        known = buckets.get(bucket)
        if known is None or exemplar.time_ns >= known.time_ns:
            buckets[bucket] = exemplar
    latest = sorted(buckets.values(), key=lambda each: (each.time_ns, each.value_ns))
    return sorted(latest[-most:] if most else [], key=lambda each: each.value_ns)
