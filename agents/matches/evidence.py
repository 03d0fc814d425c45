"""Evidence: some of the spans that matched, as many of each series as its tokens allow.

A series has a bucket of tokens in stream time: it is full at first, a span takes one, and each
interval brings one back. Which spans are taken is a function of the order of records alone.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import Final, TypeVar

from tailrace.schemas.matches import (
    Evidence,
    EvidenceBatch,
    Series,
    SignalId,
    TraceOutcome,
    decode_evidence,
    encode_evidence,
    place,
)
from tailrace.schemas.records import Output
from tailrace.tables.interval_sums import RollupTopic
from tailrace.tables.store import PartitionStore

_FULL_AT: Final = struct.Struct(">q")
_SPAN_BYTES: Final = 300
"""About what a span takes in a record beside its group and its names."""
_PART_BYTES: Final = 256 << 10
"""About the largest value in the store."""


class Tokens:
    """Buckets by key, each of *capacity* tokens. Only those are kept that are not full."""

    def __init__(
        self, store: PartitionStore, prefix: bytes, capacity: int, interval_ms: int
    ) -> None:
        self._store = store
        self._prefix = prefix
        self._capacity = capacity
        self._interval_ms = interval_ms
        # The interval in which each is full again. What is stored is that in ms.
        self._full_at: dict[bytes, int] = {}
        self._changed: set[bytes] = set()
        self._stored: set[bytes] = set()

    def restore(self) -> None:
        """Read what is stored; once, before anything else."""
        for key, value in self._store.scan(self._prefix):
            of = key[len(self._prefix) :]
            self._full_at[of] = _FULL_AT.unpack(value)[0] // self._interval_ms
            self._stored.add(of)

    def take(self, key: bytes, interval: int) -> int:
        """Take a token of *key*; return how many are left then, -1 if there was none."""
        full_at = max(self._full_at.get(key, interval), interval)
        left = self._capacity - (full_at - interval) - 1
        if left < 0:
            return -1
        self._full_at[key] = full_at + 1
        self._changed.add(key)
        return left

    def seal(self, interval: int) -> None:
        """Put into the store what changed, and forget the buckets that are full."""
        for key in [key for key, full_at in self._full_at.items() if full_at <= interval]:
            del self._full_at[key]
            if key in self._stored:
                self._stored.discard(key)
                self._store.delete(self._prefix + key)
        for key in self._changed & self._full_at.keys():
            at_ms = self._full_at[key] * self._interval_ms
            self._store.put(self._prefix + key, _FULL_AT.pack(at_ms))
            self._stored.add(key)
        self._changed.clear()


class HeldEvidence:
    """The evidence of the open interval, in the order in which it came."""

    def __init__(self, store: PartitionStore, prefix: bytes) -> None:
        self._store = store
        self._prefix = prefix
        self._held: list[Evidence] = []
        self._sealed = 0
        self._parts = 0

    def __len__(self) -> int:
        return len(self._held)

    def restore(self) -> None:
        """Read what is stored; once, before anything else."""
        for _, value in self._store.scan(self._prefix):
            self._held += decode_evidence(value).spans
            self._parts += 1
        self._sealed = len(self._held)

    def add(self, evidence: Evidence) -> None:
        """Hold *evidence*."""
        self._held.append(evidence)

    def take(self) -> list[Evidence]:
        """Return what is held, which is not held any more."""
        held, self._held, self._sealed = self._held, [], 0
        for part in range(self._parts):
            self._store.delete(self._key(part))
        self._parts = 0
        return held

    def seal(self) -> None:
        """Put into the store what is not there yet."""
        for spans in _parts(self._held[self._sealed :], _PART_BYTES):
            self._store.put(self._key(self._parts), encode_evidence(EvidenceBatch(spans, ())))
            self._parts += 1
        self._sealed = len(self._held)

    def _key(self, part: int) -> bytes:
        return self._prefix + part.to_bytes(4, "big")


def evidence_outputs(
    spans: Sequence[Evidence], outcomes: Sequence[TraceOutcome], topic: RollupTopic, stamp: int
) -> Iterator[Output]:
    """Yield the records of evidence, each for the partition of its groups."""
    spans_of: dict[int, list[Evidence]] = {}
    outcomes_of: dict[int, list[TraceOutcome]] = {}
    for span in spans:
        spans_of.setdefault(_partition(span.signal, span.group, topic), []).append(span)
    for each in outcomes:
        outcomes_of.setdefault(_partition(each.signal, each.group, topic), []).append(each)
    room = topic.record_bytes // 2
    for partition in sorted(spans_of.keys() | outcomes_of.keys()):
        values = [
            *(EvidenceBatch(part, ()) for part in _parts(spans_of.get(partition, []), room)),
            *(EvidenceBatch((), part) for part in _parts(outcomes_of.get(partition, []), room)),
        ]
        for value in values:
            yield Output(None, encode_evidence(value), stamp, (), partition)


def _partition(signal: SignalId, group: bytes, topic: RollupTopic) -> int:
    return place(Series(signal, group).encode()) % topic.partitions


Said = TypeVar("Said", Evidence, TraceOutcome)


def _parts(all: Sequence[Said], room: int) -> Iterator[list[Said]]:
    """Yield *all* in order, as many at a time as surely fit into *room*, or one."""
    part: list[Said] = []
    size = 0
    for each in all:
        # A byte of a group, which is JSON, may take two in a record, a character of a name six.
        needed = _SPAN_BYTES + 2 * len(each.group)
        if isinstance(each, Evidence):
            needed += 6 * (len(each.span.service) + len(each.span.name))
        if part and size + needed > room:
            yield part
            part, size = [], 0
        part.append(each)
        size += needed
    if part:
        yield part
