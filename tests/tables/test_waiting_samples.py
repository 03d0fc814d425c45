"""Samples that wait for their time."""

from __future__ import annotations

from tailrace.schemas.metric_samples import Meaning, Sample, SampleBatch, encoded_bytes
from tailrace.tables.store import MemoryDisk, PartitionStore
from tailrace.tables.waiting_samples import WaitingSamples

PREFIX = b"aq"


def sample(stream: bytes, time_ns: int = 1) -> Sample:
    return Sample(b"owner678", b"what", b"[]", stream * 8, time_ns, Meaning.TOTAL, 0, 1.5)


A, B, C = (sample(each) for each in (b"a", b"b", b"c"))


def test_those_that_came_first_come_out_first_in_the_order_of_what_they_are() -> None:
    waiting = WaitingSamples(PartitionStore(MemoryDisk()), PREFIX)
    assert waiting.first_ms is None
    waiting.add(SampleBatch(7, [A]), 0)
    waiting.add(SampleBatch(5, [C, B]), 1)
    waiting.add(SampleBatch(5, [A]), 2)
    assert (waiting.first_ms, len(waiting)) == (5, 4)
    assert waiting.take() == [A, B, C]
    assert (waiting.first_ms, len(waiting)) == (7, 1)
    assert waiting.take() == [A]
    assert (waiting.first_ms, len(waiting)) == (None, 0)


def test_what_waits_is_there_after_a_restart_and_what_came_out_is_not() -> None:
    disk = MemoryDisk()
    store = PartitionStore(disk)
    waiting = WaitingSamples(store, PREFIX)
    waiting.add(SampleBatch(5, [A]), 0)
    waiting.add(SampleBatch(6, [B]), 1)
    waiting.add(SampleBatch(6, [C]), 2)
    waiting.take()
    store.begin_checkpoint()
    store.finish_checkpoint(1)
    again = WaitingSamples(PartitionStore(disk), PREFIX)
    again.restore()
    assert (again.first_ms, len(again)) == (6, 2)
    assert again.take() == [B, C]


def test_what_never_waited_over_a_checkpoint_is_never_written() -> None:
    store = PartitionStore(MemoryDisk())
    waiting = WaitingSamples(store, PREFIX)
    waiting.add(SampleBatch(5, [A]), 0)
    waiting.take()
    assert store.begin_checkpoint() == {}


def test_it_is_full_when_more_waits_than_may() -> None:
    waiting = WaitingSamples(PartitionStore(MemoryDisk()), PREFIX, held_bytes=encoded_bytes(A))
    waiting.add(SampleBatch(5, [A]), 0)
    assert not waiting.is_full
    waiting.add(SampleBatch(5, [B]), 1)
    assert waiting.is_full
    waiting.take()
    assert not waiting.is_full
