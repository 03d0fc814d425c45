"""Trace buffers against a plain dictionary of fragments."""

from __future__ import annotations

import os

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from tailrace.tables.store import MemoryDisk, PartitionStore
from tailrace.tables.trace_buffers import SEGMENT_BYTES, FragmentRef, SegmentCache, TraceBuffers

CACHE_BYTES = 1000
TENANTS = st.sampled_from(["default", "default", "acme", "é"])
FRAGMENTS = st.builds(
    lambda octet, size: bytes([octet]) * size,
    st.integers(0, 255),
    st.sampled_from([1, 2, 2, 300, 300, 300, 700, 1200, SEGMENT_BYTES]),
)


def segments(store: PartitionStore) -> list[bytes]:
    return [key for key, _ in store.scan(b"s")]


class BuffersAreADictionary(RuleBasedStateMachine):
    """Fragments that come and go, checkpoints and new owners, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.store = PartitionStore(MemoryDisk())
        self.cache = SegmentCache(CACHE_BYTES)
        self.buffers = TraceBuffers(self.store, self.cache)
        self.model: dict[FragmentRef, tuple[int, bytes, str]] = {}
        self.released: dict[FragmentRef, tuple[int, bytes, str]] = {}
        self.now = 0

    @rule(fragments=st.lists(st.tuples(FRAGMENTS, TENANTS), min_size=1, max_size=4))
    def append(self, fragments: list[tuple[bytes, str]]) -> None:
        for raw, tenant in fragments:
            self.now += 1
            ref = self.buffers.append(raw, self.now, tenant)
            assert ref not in self.model
            self.model[ref] = (self.now, raw, tenant)
            self.released.pop(ref, None)

    @rule(data=st.data(), reads=st.booleans())
    def decide(self, data: st.DataObject, reads: bool) -> None:
        refs = data.draw(st.lists(st.sampled_from(sorted(self.model)), unique=True, max_size=6)
                         if self.model else st.just([]))  # fmt: skip
        if reads:
            assert self.buffers.read(refs) == [self.model[ref][1] for ref in refs]
        self.buffers.release(refs)
        self.released |= {ref: self.model.pop(ref) for ref in refs}

    @rule(is_committed=st.booleans())
    def checkpoint(self, is_committed: bool) -> None:
        self.buffers.seal()
        if is_committed:
            self.store.begin_checkpoint()
            self.store.finish_checkpoint(0)

    @rule()
    def restore(self) -> None:
        self.buffers.seal()
        self.buffers = TraceBuffers(self.store, self.cache)
        found: dict[FragmentRef, tuple[int, bytes, str]] = {}
        for rows in self.buffers.restore():
            found |= {ref: (at, raw, tenant) for ref, at, raw, tenant in rows}
            self.buffers.release([row.ref for row in rows if row.ref not in self.model])
        # What was released after its segment was written comes back until the segment goes.
        assert found | self.model == found
        assert found.items() <= (self.model | self.released).items()
        assert list(found) == sorted(found)

    @invariant()
    def every_fragment_is_read_as_it_came(self) -> None:
        assert self.buffers.read(self.model) == [raw for _, raw, _ in self.model.values()]

    @invariant()
    def the_store_has_a_segment_only_while_a_fragment_of_it_is_wanted(self) -> None:
        wanted = {ref >> 24 for ref in self.model}
        assert {int.from_bytes(key[1:], "big") for key in segments(self.store)} <= wanted

    @invariant()
    def the_cache_keeps_to_its_capacity(self) -> None:
        held = self.cache._segments.values()
        assert self.cache.bytes == sum(len(raw) for fragments in held for raw in fragments)
        assert self.cache.bytes <= CACHE_BYTES or len(held) == 1

    @invariant()
    def open_bytes_are_those_that_no_segment_has(self) -> None:
        stored = {int.from_bytes(key[1:], "big") for key in segments(self.store)}
        unwritten = [raw for ref, (_, raw, _) in self.model.items() if ref >> 24 not in stored]
        assert self.buffers.open_bytes == sum(map(len, unwritten))


TestBuffersAreADictionary = BuffersAreADictionary.TestCase
TestBuffersAreADictionary.settings = settings(
    max_examples=150, stateful_step_count=15, deadline=None
)


def test_what_is_released_before_a_checkpoint_is_never_written() -> None:
    store = PartitionStore(MemoryDisk())
    buffers = TraceBuffers(store, SegmentCache())
    buffers.release([buffers.append(b"one", 1), buffers.append(b"two", 2)])
    buffers.seal()
    assert store.begin_checkpoint() == {}


def test_a_segment_leaves_the_store_with_its_last_fragment() -> None:
    store = PartitionStore(MemoryDisk())
    buffers = TraceBuffers(store, SegmentCache())
    refs = [buffers.append(b"one", 1), buffers.append(b"two", 2)]
    buffers.seal()
    buffers.release(refs[:1])
    assert len(segments(store)) == 1
    buffers.release(refs[1:])
    assert segments(store) == []


def test_a_segment_that_is_written_and_dropped_between_checkpoints_leaves_no_trace() -> None:
    store = PartitionStore(MemoryDisk())
    buffers = TraceBuffers(store, SegmentCache())
    ref = buffers.append(b"x" * SEGMENT_BYTES, 1)
    other = buffers.append(b"next segment", 2)
    assert len(segments(store)) == 1
    buffers.release([ref, other])
    buffers.seal()
    assert store.begin_checkpoint() == {}


def test_a_fragment_that_was_released_in_memory_is_not_in_its_segment() -> None:
    store = PartitionStore(MemoryDisk())
    buffers = TraceBuffers(store, SegmentCache())
    buffers.append(b"kept", 1)
    buffers.release([buffers.append(os.urandom(100_000), 2)])
    buffers.seal()
    assert sum(len(value) for _, value in store.scan(b"s")) < 100
    restored = TraceBuffers(store, SegmentCache())
    assert [[row[1:] for row in rows] for rows in restored.restore()] == [[(1, b"kept", "default")]]


def test_segment_numbers_go_on_after_those_of_the_predecessor() -> None:
    store = PartitionStore(MemoryDisk())
    first = TraceBuffers(store, SegmentCache())
    for raw in (b"one", b"two"):
        first.append(raw, 1)
        first.seal()
    second = TraceBuffers(store, SegmentCache())
    refs = [ref for rows in second.restore() for ref, *_ in rows]
    second.append(b"three", 2)
    second.seal()
    assert len(segments(store)) == 3
    assert second.read(refs) == [b"one", b"two"]


def test_partitions_that_share_a_cache_do_not_see_each_other() -> None:
    cache = SegmentCache()
    both = [TraceBuffers(PartitionStore(MemoryDisk()), cache) for _ in range(2)]
    refs = [buffers.append(b"of %d" % number, 1) for number, buffers in enumerate(both)]
    for buffers in both:
        buffers.seal()
    assert [both[0].read([refs[0]]), both[1].read([refs[1]])] == [[b"of 0"], [b"of 1"]]


def test_a_segment_of_another_version_is_refused() -> None:
    store = PartitionStore(MemoryDisk())
    store.put(b"s" + bytes(8), b"\x07rest")
    with pytest.raises(ValueError, match="version 7"):
        list(TraceBuffers(store, SegmentCache()).restore())
