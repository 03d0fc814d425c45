"""Keeps: which traces are wanted, and who is told what became of them."""

from __future__ import annotations

import tracemalloc
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tailrace.schemas.matches import (
    Series,
    SignalId,
    TraceOutcome,
    decode_evidence,
    encode_group,
    place,
)
from tailrace.schemas.records import Outbox, Output
from tailrace.tables.interval_sums import RollupTopic
from tailrace.tables.keeps import Keeps
from tailrace.tables.store import MemoryDisk, PartitionStore

RETENTION, INTERVAL = 20_000, 1000
ONE, TWO = SignalId(b"owner--1", b"all."), SignalId(b"owner--2", b"bad.")
A, B = b"a" * 16, b"b" * 16
API, WEB = encode_group(["api"]), encode_group(["web"])


class Partition:
    """Marks on a disk that outlives them."""

    def __init__(self, partitions: int = 1, record_bytes: int = 1 << 20) -> None:
        self.topic = RollupTopic("rollups", partitions, record_bytes, INTERVAL)
        self.store = PartitionStore(MemoryDisk())
        self.outbox = Outbox()
        self.begin()

    def begin(self) -> None:
        self.keeps = Keeps(self.store, b"k", RETENTION, self.topic)
        self.keeps.restore()

    def checkpoint(self, now: int) -> dict[bytes, bytes | None]:
        self.keeps.seal(now)
        written = dict(self.store.begin_checkpoint())
        self.store.finish_checkpoint(0)
        return written

    @property
    def sent(self) -> list[Output]:
        return self.outbox.topics.get("rollups", [])

    @property
    def told(self) -> list[TraceOutcome]:
        return [each for output in self.sent for each in decode_evidence(output.value).outcomes]


@pytest.mark.parametrize(
    ("by", "expected"),
    [
        pytest.param(999, False, id="before it was marked, it is not"),
        pytest.param(1000, True, id="at the time of its mark"),
        pytest.param(1000 + RETENTION, True, id="to the last millisecond of the retention"),
        pytest.param(1001 + RETENTION, False, id="and not after it"),
    ],
)
def test_a_trace_is_wanted(by: int, *, expected: bool) -> None:
    partition = Partition()
    partition.keeps.mark(A, 1000, ONE, API)
    assert partition.keeps.is_wanted(A, by) is expected
    assert not partition.keeps.is_wanted(B, by)
    partition.checkpoint(1000)
    partition.begin()
    assert partition.keeps.is_wanted(A, by) is expected
    assert not partition.keeps.is_wanted(B, by)


def test_a_later_mark_takes_nothing_from_an_earlier_one() -> None:
    partition = Partition()
    partition.keeps.mark(A, 9000, TWO, WEB)
    partition.keeps.mark(A, 1000, ONE, API)
    assert partition.keeps.is_wanted(A, 1000)
    assert partition.keeps.is_wanted(A, 9000 + RETENTION)


def test_each_group_is_told_once_in_the_interval_after_the_decision() -> None:
    partition = Partition()
    for at in (100, 200, 300):
        partition.keeps.mark(A, at, TWO, WEB)
        partition.keeps.mark(A, at, ONE, API)
    partition.keeps.mark(B, 300, ONE, API)
    partition.keeps.decided(A, 1500, is_sampled=True)
    partition.keeps.tell(1999, partition.outbox)
    assert partition.sent == []
    partition.keeps.tell(2000, partition.outbox)
    assert partition.told == [
        TraceOutcome(ONE, API, A.hex(), True),
        TraceOutcome(TWO, WEB, A.hex(), True),
    ]
    [output] = partition.sent
    assert (output.key, output.timestamp, output.headers, output.partition) == (None, 2000, (), 0)
    partition.keeps.decided(A, 2500, is_sampled=True)
    partition.keeps.tell(9000, partition.outbox)
    assert len(partition.told) == 2


def test_of_a_mark_after_the_decision_they_are_told_when_its_spans_follow_it() -> None:
    partition = Partition()
    partition.keeps.mark(A, 100, ONE, API)
    partition.keeps.mark(A, 1700, TWO, WEB)
    partition.keeps.decided(A, 1500, is_sampled=False)
    partition.keeps.tell(2000, partition.outbox)
    assert partition.told == [TraceOutcome(ONE, API, A.hex(), False)]
    partition.keeps.decided(A, 1700, is_sampled=False)
    partition.keeps.tell(2000, partition.outbox)
    assert partition.told[1:] == [TraceOutcome(TWO, WEB, A.hex(), False)]


def test_nobody_is_told_of_traces_that_nobody_marked() -> None:
    partition = Partition()
    partition.keeps.decided(A, 1500, is_sampled=True)
    partition.keeps.tell(9000, partition.outbox)
    assert partition.sent == []
    assert not partition.keeps
    partition.keeps.mark(A, 100, ONE, API)
    assert partition.keeps


def test_every_group_is_told_in_its_own_partition_in_records_that_fit() -> None:
    partition = Partition(partitions=3, record_bytes=4096)
    groups = [encode_group([f'"{number}"' * 10]) for number in range(100)]
    for group in groups:
        partition.keeps.mark(A, 1, ONE, group)
    partition.keeps.decided(A, 2, is_sampled=True)
    partition.keeps.tell(1000, partition.outbox)
    assert {each.group for each in partition.told} == set(groups)
    assert len(partition.told) == len(groups)
    for output in partition.sent:
        for each in decode_evidence(output.value).outcomes:
            key = Series(each.signal, each.group).encode()
            assert place(key) % 3 == output.partition
        assert len(output.value) <= 4096 // 2
    assert len(partition.sent) < 20


# The laws, with time cut into batches


@dataclass(frozen=True)
class Event:
    """At *at*, spans of *trace* come; *mark* is what they match; or it is *decided*."""

    at: int
    trace: bytes
    mark: SignalId | None


def run(events: Sequence[Event], cuts: set[int], restarts: set[int]) -> Partition:
    """All marks of a batch are made first, then the sampler goes through it.

    A trace is decided 1.5 s after the first of its spans; later spans follow that.
    """
    partition, due, at = Partition(), dict[bytes, int](), 0
    edges = [0, *sorted(cut for cut in cuts if 0 < cut < len(events)), len(events)]
    for first, last in pairwise(edges):
        for event in events[first:last]:
            if event.mark is not None:
                partition.keeps.mark(event.trace, event.at, event.mark, API)
        for event in events[first:last]:
            at = event.at
            decide(partition, due, at)
            if due.setdefault(event.trace, at + 1500) < at:
                partition.keeps.decided(event.trace, at, is_sampled=True)
        partition.keeps.tell(at, partition.outbox)
        if last in restarts:
            partition.checkpoint(at)
            partition.begin()
    decide(partition, due, at + 5000)
    partition.keeps.tell(at + 5000, partition.outbox)
    return partition


def decide(partition: Partition, due: dict[bytes, int], now: int) -> None:
    for trace, until in sorted(due.items(), key=lambda item: item[1]):
        if until < now and (trace, until) not in seen(partition):
            seen(partition).add((trace, until))
            is_sampled = partition.keeps.is_wanted(trace, until)
            partition.keeps.decided(trace, until, is_sampled=is_sampled)


def seen(partition: Partition) -> set[Any]:
    decided: set[Any] = partition.__dict__.setdefault("decided", set())
    return decided


@st.composite
def _events(draw: st.DrawFn) -> list[Event]:
    at, events = 0, []
    steps = st.tuples(
        st.sampled_from([0, 0, 1, 499, 500, 1000, 1500, 1501, 7000]),
        st.sampled_from([A, B]),
        st.sampled_from([None, ONE, TWO]),
    )
    for ms, trace, mark in draw(st.lists(steps, max_size=15)):
        at += ms
        events.append(Event(at, trace, mark))
    return events


_CUTS = st.sets(st.integers(0, 15))


@settings(max_examples=400, deadline=None)
@given(_events(), _CUTS, _CUTS)
def test_what_is_told_does_not_depend_on_batches_and_restarts(
    events: list[Event], cuts: set[int], restarts: set[int]
) -> None:
    expected = run(events, set(), set())
    found = run(events, cuts, restarts)
    assert found.sent == expected.sent
    assert seen(found) == seen(expected)
    assert not found.keeps
    found.checkpoint(events[-1].at + 5000 if events else 0)
    assert list(found.store.scan(b"k")) == []


def test_marks_are_forgotten_when_they_count_for_nothing() -> None:
    partition = Partition()
    partition.keeps.mark(A, 1000, ONE, API)
    partition.checkpoint(1000)
    partition.checkpoint(1000 + RETENTION + INTERVAL)
    partition.begin()
    assert partition.keeps
    written = partition.checkpoint(1001 + RETENTION + INTERVAL)
    assert list(written.values()) == [None]
    assert not partition.keeps
    partition.begin()
    assert not partition.keeps


def test_a_checkpoint_writes_what_changed() -> None:
    partition = Partition()
    partition.keeps.mark(A, 1000, ONE, API)
    partition.keeps.mark(B, 1000, ONE, API)
    assert len(partition.checkpoint(1000)) == 2
    assert partition.checkpoint(1001) == {}
    partition.keeps.mark(B, 1001, ONE, API)
    partition.keeps.mark(B, 1001, ONE, API)
    assert [key[2:] for key in partition.checkpoint(1002)] == [B]
    partition.keeps.decided(A, 1003, is_sampled=True)
    assert list(partition.checkpoint(1004)) == [b"kq"]
    partition.keeps.tell(2000, partition.outbox)
    assert partition.checkpoint(2000) == {b"kq": None, b"km" + A: None}
    partition.keeps.mark(A, 2100, ONE, API)
    partition.keeps.decided(A, 2200, is_sampled=True)
    partition.keeps.tell(3000, partition.outbox)
    assert partition.checkpoint(3000) == {}


def test_tables_of_one_store_are_apart() -> None:
    partition = Partition()
    partition.keeps.mark(A, 1, ONE, API)
    partition.checkpoint(1)
    other = Keeps(partition.store, b"l", RETENTION, partition.topic)
    other.restore()
    assert not other


def test_state_of_another_version_is_refused_with_what_to_do() -> None:
    partition = Partition()
    partition.store.put(b"km" + A, b"\x05[]")
    with pytest.raises(ValueError, match="state of version 5; this tailrace reads version 1"):
        partition.begin()


def test_a_mark_weighs_no_more_than_stated() -> None:
    partition = Partition()
    tracemalloc.start()
    for number in range(5000):
        partition.keeps.mark(number.to_bytes(16, "big"), 1000, ONE, API)
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size / 5000 < 400
