"""Linked traces: wanted until a time, the newest ones of a limit, and the same after a restart."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tailrace.tables.linked import LinkedTraces
from tailrace.tables.store import MemoryDisk, PartitionStore

LIMIT = 4
IDS = [bytes([number]) * 16 for number in range(8)]


class Partition:
    """Linked traces on a disk that outlives them."""

    def __init__(self, limit: int = LIMIT) -> None:
        self.limit = limit
        self.disk = MemoryDisk()
        self.begin()

    def begin(self) -> None:
        self.store = PartitionStore(self.disk)
        self.linked = LinkedTraces(self.store, b"l", self.limit)
        self.linked.restore()

    def checkpoint(self, now: int) -> None:
        self.linked.seal(now)
        self.store.begin_checkpoint()
        self.store.finish_checkpoint(0)

    def hear(self, now: int, *heard: tuple[bytes, int]) -> int:
        for trace_id, until in heard:
            self.linked.add(trace_id, until)
        return self.linked.trim(now)

    def wanted(self, now: int) -> dict[bytes, int]:
        found = {each: self.linked.until(each) for each in IDS}
        return {each: until for each, until in found.items() if until is not None and until >= now}

    @property
    def rows(self) -> dict[bytes, bytes]:
        return {key: value for key, value in self.disk.values.items() if key[:1] == b"l"}


def test_a_trace_is_wanted_until_the_latest_time_that_was_said() -> None:
    partition = Partition()
    partition.hear(0, (IDS[0], 500), (IDS[1], 700))
    partition.hear(10, (IDS[0], 300))
    assert partition.wanted(0) == {IDS[0]: 500, IDS[1]: 700}
    partition.hear(20, (IDS[1], 900))
    partition.checkpoint(20)
    partition.begin()
    assert partition.wanted(0) == {IDS[0]: 500, IDS[1]: 900}


def test_those_heard_of_last_are_remembered() -> None:
    partition = Partition()
    assert partition.hear(0, *((each, 500) for each in IDS[:4])) == 0
    partition.hear(0, (IDS[0], 500))
    assert partition.hear(0, (IDS[4], 500), (IDS[5], 500)) == 2
    assert set(partition.wanted(0)) == {IDS[0], IDS[3], IDS[4], IDS[5]}


def test_what_is_over_makes_room_before_what_is_not() -> None:
    partition = Partition()
    partition.hear(0, (IDS[0], 900), (IDS[1], 100), (IDS[2], 900), (IDS[3], 900))
    assert partition.hear(101, (IDS[4], 900)) == 0
    assert set(partition.wanted(101)) == {IDS[0], IDS[2], IDS[3], IDS[4]}


def test_a_row_goes_when_nothing_counts_of_it() -> None:
    partition = Partition()
    partition.hear(0, (IDS[0], 100), (IDS[1], 200))
    partition.checkpoint(0)
    partition.hear(0, (IDS[2], 300))
    partition.checkpoint(0)
    assert len(partition.rows) == 2
    partition.checkpoint(150)
    assert len(partition.rows) == 2
    partition.checkpoint(201)
    assert len(partition.rows) == 1
    partition.hear(201, (IDS[2], 400))  # said again: it stands in a new row
    partition.checkpoint(201)
    assert len(partition.rows) == 1
    partition.checkpoint(401)
    assert not partition.rows
    assert not len(partition.linked)


def test_many_that_are_said_again_and_again_take_no_more_room() -> None:
    partition = Partition()
    for now in range(1000):
        partition.hear(now, *((each, now + 100_000) for each in IDS[:3]))
        partition.checkpoint(now)
    assert len(partition.rows) == 1
    assert len(partition.linked._by_end) <= 2 * LIMIT + 3


def test_what_was_forgotten_stays_so_and_what_comes_after_does_not() -> None:
    partition = Partition()
    partition.hear(0, *((each, 100) for each in IDS[:5]))
    for now, trace_id in ((0, IDS[5]), (101, IDS[6]), (101, IDS[7])):
        partition.checkpoint(now)
        partition.begin()
        partition.hear(now, (trace_id, now + 100))
        assert trace_id in partition.wanted(now)
        assert IDS[0] not in partition.wanted(0)
    partition.checkpoint(101)
    partition.begin()
    assert set(partition.wanted(101)) == {IDS[6], IDS[7]}


STEPS = st.lists(
    st.one_of(
        st.tuples(
            st.just("hear"),
            st.integers(0, 50),
            st.lists(st.tuples(st.sampled_from(IDS), st.integers(0, 400)), max_size=6),
        ),
        st.just(("checkpoint",)),
        st.just(("restart",)),
    ),
    max_size=40,
)


@settings(max_examples=300, deadline=None)
@given(STEPS)
def test_checkpoints_and_restarts_change_nothing(steps: list[tuple[Any, ...]]) -> None:
    one, other = Partition(), Partition()
    now = 0
    for step in steps:
        match step:
            case "hear", by, heard:
                now += by
                rows = [(each, now + until) for each, until in heard]
                assert one.hear(now, *rows) == other.hear(now, *rows)
            case ("checkpoint",):
                other.checkpoint(now)
            case ("restart",):
                other.checkpoint(now)
                other.begin()
        assert one.wanted(now) == other.wanted(now)


@settings(max_examples=200, deadline=None)
@given(STEPS)
def test_what_is_wanted_is_what_a_simple_table_says(steps: list[tuple[Any, ...]]) -> None:
    partition, simple = Partition(), dict[bytes, int]()
    now = 0
    for step in steps:
        if step[0] != "hear":
            partition.checkpoint(now)
            continue
        _, by, heard = step
        now += by
        for trace_id, until in heard:
            simple[trace_id] = max(now + until, simple.pop(trace_id, 0))
        simple = {each: until for each, until in simple.items() if until >= now}
        simple = dict(list(simple.items())[-LIMIT:])
        partition.hear(now, *((each, now + until) for each, until in heard))
        assert partition.wanted(now) == simple
