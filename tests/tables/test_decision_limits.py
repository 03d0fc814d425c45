"""The newest decisions, when a limit is set."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tailrace.tables.decision_limits import NewestDecisions
from tailrace.tables.decisions import DecisionTable, Outcome
from tailrace.tables.store import MemoryDisk, PartitionStore

KEPT = Outcome("sampled", "errors", 1.0)
NOT_KEPT = Outcome("not_sampled", None, None)
WAITS = st.lists(st.sampled_from([0, 1, 400, 1000, 2500]), max_size=60)


@given(waits=WAITS, limit=st.integers(1, 8), cut=st.integers(0, 60))
def test_at_least_the_limit_is_remembered_and_at_most_a_second_more(
    waits: list[int], limit: int, cut: int
) -> None:
    newest, times, now = NewestDecisions(limit), list[int](), 0
    for index, wait in enumerate(waits):
        now += wait
        times.append(now)
        newest.add(now)
        if index == cut:
            successor = NewestDecisions(limit)
            successor.load(newest.cells())
            newest = successor
        held = [at for at in times if at >= newest.since_ms]
        first = held[0] // 1000
        assert len(held) >= min(limit, len(times))
        assert len([at for at in held if at // 1000 != first]) < limit


def test_without_a_limit_nothing_is_forgotten() -> None:
    newest = NewestDecisions(None)
    for at in range(0, 100_000, 500):
        newest.add(at)
    assert newest.since_ms < 0
    assert newest.cells() == []


def test_those_that_sampled_and_the_others_are_counted_apart_and_go_on_after_a_restart() -> None:
    store = PartitionStore(MemoryDisk())
    table = DecisionTable(store, 3_600_000, 1000, newest=(1, 2))
    ids = [number.to_bytes(16, "big") for number in range(8)]
    for number, trace_id in enumerate(ids):
        table.record(trace_id, KEPT if number % 2 else NOT_KEPT, number * 1000)
    table.seal(8000)
    successor = DecisionTable(store, 3_600_000, 1000, newest=(1, 2))
    successor.restore(8000)
    found = successor.find_older(ids)
    held = [
        number
        for number, each in enumerate(found)
        if each is not None and successor.is_held(*each, 8000)
    ]
    assert held == [4, 6, 7]


def test_a_block_that_only_has_forgotten_decisions_leaves_the_store() -> None:
    store = PartitionStore(MemoryDisk())
    table = DecisionTable(store, 3_600_000, 1000, newest=(1, 1))
    for number in range(4):
        for outcome in (KEPT, NOT_KEPT):
            table.record(bytes([number, outcome.is_sampled]) * 8, outcome, number * 1000)
        table.seal(number * 1000)
    table.seal(6000)
    assert len(list(store.scan(b"d"))) == 1
