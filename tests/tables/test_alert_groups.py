"""Alert groups: what survives, what a checkpoint writes, and what a hundred thousand weigh."""

from __future__ import annotations

import random
import tracemalloc
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tailrace.schemas.alert_events import EvidenceSpan
from tailrace.schemas.matches import encode_group
from tailrace.tables.alert_groups import CHANGED_BUCKETS, AlertGroup, AlertGroups
from tailrace.tables.store import MemoryDisk, PartitionStore

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
BEGIN_MS = 1_700_000_000_000
OWNER, OTHER, COUNTED, AGAIN = b"owner--1", b"owner--0", b"bad.", b"slow"
SLO_LENGTHS = [
    5 * MINUTE, 30 * MINUTE, HOUR, 2 * HOUR, 6 * HOUR, DAY, 3 * DAY, 7 * DAY, 30 * DAY,
]  # fmt: skip


class Partition:
    """Groups on a disk that outlives them."""

    def __init__(self) -> None:
        self.disk = MemoryDisk()
        self.begin()

    def begin(self) -> None:
        self.store = PartitionStore(self.disk)
        self.groups = AlertGroups(self.store, b"a")
        self.groups.restore()

    def checkpoint(self) -> dict[bytes, bytes | None]:
        self.groups.seal()
        written = dict(self.store.begin_checkpoint())
        self.store.finish_checkpoint(0)
        return written

    def count(self, group: AlertGroup, lengths: list[int], now: int, count: int = 1) -> None:
        for length in lengths:
            window = group.window(COUNTED, length)
            window.advance(now)
            window.add(now // 1000, count, 1)
        group.saw(COUNTED, now)
        self.groups.mark(group)

    def do(self, what: str, group: AlertGroup, now: int) -> None:
        if what == "count":
            self.count(group, [10_000, 5 * MINUTE], now)
        elif what == "evidence":
            group.add_evidence([span(now % 20_000)], 3)
        elif what == "alert":
            group.alerts["critical"] = [1, "firing", now, None]
        elif what == "drop window":
            group.windows.pop((COUNTED, 5 * MINUTE), None)
        else:
            self.groups.delete(group)


def told(groups: AlertGroups) -> list[Any]:
    """All that a logic can see of *groups*."""
    return [
        [
            group.owner, group.group, group.first_seen_ms, group.last_event_ms, group.alerts,
            group.evidence,
            {
                key: (each.encode(), each.all, each.matched, each.next_change_ms)
                for key, each in group.windows.items()
            },
        ]
        for group in groups
    ]  # fmt: skip


def span(number: int, trace: str = "", sampled: bool | None = None) -> EvidenceSpan:
    trace_id = trace or f"{number:032x}"
    return EvidenceSpan(trace_id, f"{number:016x}", "api", "GET /", 10, number, sampled)


_STEPS = st.lists(
    st.tuples(
        st.sampled_from([OWNER, OTHER]),
        st.sampled_from([b'["a"]', b'["b"]', b""]),
        st.sampled_from(["count", "count", "count", "evidence", "alert", "drop window", "delete"]),
        st.integers(0, 20_000),
        st.sampled_from(["", "", "", "checkpoint", "new process"]),
    ),
    max_size=40,
)


@settings(max_examples=150, deadline=None)
@given(_STEPS)
def test_groups_survive_every_checkpoint_whatever_came_in_between(steps: list[Any]) -> None:
    plain, restarted = Partition(), Partition()
    now = BEGIN_MS
    for owner, name, what, ms, event in steps:
        now += ms
        for partition in (plain, restarted):
            group = partition.groups.meet(owner, name, now)
            partition.groups.mark(group)
            partition.do(what, group, now)
        if event:
            restarted.checkpoint()
        if event == "new process":
            restarted.begin()
        assert told(restarted.groups) == told(plain.groups)
    for partition in (plain, restarted):
        for group in list(partition.groups):
            partition.groups.delete(group)
        partition.checkpoint()
        assert list(partition.store.scan(b"a")) == []
        assert partition.groups.owners == []


def test_what_is_not_marked_is_not_written() -> None:
    partition = Partition()
    one = partition.groups.meet(OWNER, b"1", 5)
    two = partition.groups.meet(OWNER, b"2", 6)
    partition.groups.mark(one)
    partition.groups.mark(two)
    assert len(partition.checkpoint()) == 2
    one.saw(COUNTED, 7)
    two.saw(COUNTED, 8)
    partition.groups.mark(two)
    assert [key[-1:] for key in partition.checkpoint()] == [b"2"]
    assert partition.checkpoint() == {}
    partition.begin()
    assert [group.last_event_ms for group in partition.groups] == [{}, {COUNTED: 8}]


def test_groups_come_by_owner_and_name_whoever_was_met_first() -> None:
    partition = Partition()
    for name in (b"c", b"a", b"b"):
        for owner in (OWNER, OTHER):
            partition.groups.mark(partition.groups.meet(owner, name, 0))
    names = [(group.owner, group.group) for group in partition.groups]
    assert names == sorted(names)
    assert [group.group for group in partition.groups.of(OWNER)] == [b"a", b"b", b"c"]
    partition.checkpoint()
    partition.begin()
    assert [(group.owner, group.group) for group in partition.groups] == names
    assert partition.groups.owners == [OTHER, OWNER]
    assert partition.groups.of(b"nobody--") == []
    assert partition.groups.get(OWNER, b"d") is None
    assert partition.groups.get(b"nobody--", b"a") is None
    assert len(partition.groups) == 6


def test_a_group_is_first_seen_once_and_last_seen_at_its_newest_event() -> None:
    partition = Partition()
    group = partition.groups.meet(OWNER, b"", 5)
    assert partition.groups.meet(OWNER, b"", 9) is group
    assert group.first_seen_ms == 5
    for at in (-3, 7, 4):
        group.saw(COUNTED, at)
    group.saw(AGAIN, 1)
    assert group.last_event_ms == {COUNTED: 7, AGAIN: 1}


# Evidence


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.builds(span, st.integers(0, 12), st.sampled_from(["", "t"])), max_size=12),
    st.integers(0, 5),
    st.randoms(use_true_random=False),
)
def test_evidence_is_the_newest_spans_in_whatever_order_they_came(
    spans: list[EvidenceSpan], limit: int, shuffling: random.Random
) -> None:
    expected = sorted(set(spans), key=lambda each: (each.at, each.span_id, each.trace_id))
    for _ in range(2):
        group = AlertGroup(OWNER, b"", 0)
        for each in spans:
            group.add_evidence([each], limit)
        assert group.evidence == expected[max(0, len(expected) - limit) :]
        shuffling.shuffle(spans)


def test_a_decision_is_said_of_all_spans_of_the_trace_and_of_those_that_come_later() -> None:
    group = AlertGroup(OWNER, b"", 0)
    assert group.add_evidence([span(1, "t"), span(2, "t"), span(3, "u")], 10)
    assert group.set_sampled("t", is_sampled=True)
    assert not group.set_sampled("t", is_sampled=True)
    assert not group.set_sampled("v", is_sampled=True)
    assert [each.sampled for each in group.evidence] == [True, True, None]
    assert not group.add_evidence([span(1, "t")], 10)
    assert group.add_evidence([span(4, "t"), span(3, "u", sampled=False)], 10)
    assert [each.sampled for each in group.evidence] == [True, True, False, True]


def test_with_no_room_for_evidence_there_is_none() -> None:
    group = AlertGroup(OWNER, b"", 0)
    assert not group.add_evidence([span(1)], 0)
    assert group.evidence == []


# Size


def test_a_checkpoint_of_a_long_window_writes_what_changed() -> None:
    partition = Partition()
    group = partition.groups.meet(OWNER, b'["api"]', BEGIN_MS)
    group.add_evidence([span(number) for number in range(10)], 10)
    sizes = []
    for step in range(61):
        partition.count(group, SLO_LENGTHS, BEGIN_MS + step * 5000, count=1 << 20)
        written = partition.checkpoint()
        sizes.append(sum(len(value or b"") for value in written.values()))
        assert max(len(value or b"") for value in written.values()) < 4096
    assert sorted(sizes)[30] < 3000
    expected = told(partition.groups)
    partition.begin()
    assert told(partition.groups) == expected


def test_a_group_of_full_windows_and_huge_counts_fits_into_small_values() -> None:
    partition = Partition()
    group = partition.groups.meet(OWNER, b'["api"]', BEGIN_MS)
    for length in SLO_LENGTHS:
        window = group.window(COUNTED, length)
        window.advance(BEGIN_MS)
        for bucket in range(61):
            window.add((BEGIN_MS - bucket * window.resolution_ms) // 1000, 1 << 40, 1 << 40)
    partition.groups.mark(group)
    written = [value for value in partition.checkpoint().values() if value is not None]
    assert len(written) == 1 + len(SLO_LENGTHS)
    assert max(map(len, written)) < 1600
    assert sum(map(len, written)) < 15_000
    expected = told(partition.groups)
    partition.begin()
    assert told(partition.groups) == expected
    partition.groups.delete(partition.groups.meet(OWNER, b'["api"]', 0))
    partition.checkpoint()
    assert list(partition.store.scan(b"a")) == []


def test_a_window_that_is_dropped_leaves_nothing_even_if_it_comes_back() -> None:
    partition = Partition()
    group = partition.groups.meet(OWNER, b"", BEGIN_MS)
    for step in range(CHANGED_BUCKETS + 1):
        partition.count(group, [5 * MINUTE], BEGIN_MS + step * 5000)
    partition.checkpoint()
    assert len(list(partition.store.scan(b"aw"))) == 1
    del group.windows[COUNTED, 5 * MINUTE]
    partition.count(group, [5 * MINUTE], BEGIN_MS + 60_000)
    partition.checkpoint()
    assert list(partition.store.scan(b"aw")) == []
    partition.begin()
    [group] = partition.groups
    assert group.window(COUNTED, 5 * MINUTE).all == 1


def _filled(count: int) -> Partition:
    partition = Partition()
    for number in range(count):
        group = partition.groups.meet(OWNER, encode_group([f"service-{number:06}"]), BEGIN_MS)
        for step in range(5):
            partition.count(group, [5 * MINUTE], BEGIN_MS + step * 5000)
    return partition


@pytest.mark.parametrize("is_restored", [False, True], ids=["when it is new", "after a restart"])
def test_a_group_weighs_no_more_than_stated(*, is_restored: bool) -> None:
    count = 2000
    if is_restored:
        partition = _filled(count)
        partition.checkpoint()
        partition.groups = AlertGroups(partition.store, b"a")
        tracemalloc.start()
        partition.begin()
    else:
        tracemalloc.start()
        partition = _filled(count)
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(partition.groups) == count
    assert size / count < 1400


def test_evidence_weighs_no_more_than_stated() -> None:
    groups = [AlertGroup(OWNER, b"", 0) for _ in range(2000)]
    spans = [replace(span(1), at=BEGIN_MS * 10**6 + number) for number in range(10)]
    tracemalloc.start()
    for group in groups:
        group.add_evidence(spans, 10)
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert 1000 < size / len(groups) < 1800


def test_state_of_another_version_is_refused_with_what_to_do() -> None:
    partition = Partition()
    partition.store.put(b"ag" + OWNER, b"\x07")
    with pytest.raises(ValueError, match="state of version 7; this tailrace reads version 1"):
        partition.groups.restore()


def test_tables_of_one_store_are_apart() -> None:
    partition = Partition()
    partition.groups.mark(partition.groups.meet(OWNER, b"", 0))
    partition.checkpoint()
    other = AlertGroups(partition.store, b"b")
    other.restore()
    assert len(other) == 0
