"""How many traces may be open when memory is short."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tailrace.streams.pressure import (
    MemoryPressure,
    OpenTraceCeiling,
    resident_bytes,
    shared_out,
)

MIB = 1 << 20


def test_below_its_limit_a_process_keeps_every_trace() -> None:
    ceiling = OpenTraceCeiling(1000 * MIB)
    assert [ceiling.observe(size * MIB, 10**6) for size in (100, 900, 999)] == [0, 0, 0]


def test_at_its_limit_a_tenth_of_the_traces_goes_and_no_more_while_the_process_does_not_grow() -> (
    None
):
    ceiling = OpenTraceCeiling(1000 * MIB)
    assert ceiling.observe(1000 * MIB, 10_000) == 1000
    assert ceiling.observe(1000 * MIB, 9000) == 0
    assert ceiling.observe(1010 * MIB, 9500) == 500
    assert ceiling.observe(1021 * MIB, 9000) == 900


def test_once_the_process_is_small_again_nothing_is_bounded() -> None:
    ceiling = OpenTraceCeiling(1000 * MIB)
    assert ceiling.observe(1000 * MIB, 10_000) == 1000
    assert ceiling.observe(790 * MIB, 50_000) == 0
    assert ceiling.observe(999 * MIB, 50_000) == 0


@given(st.integers(0, 1000), st.dictionaries(st.text(max_size=3), st.integers(0, 1000)))
def test_what_goes_is_shared_out_whole_and_by_what_each_has(
    traces: int, open_by_task: dict[str, int]
) -> None:
    shares = shared_out(traces, open_by_task)
    if sum(open_by_task.values()):
        assert traces <= sum(shares.values()) < traces + max(1, len(shares))
    for task, share in shares.items():
        assert share * sum(open_by_task.values()) >= traces * open_by_task[task]


def test_tasks_decide_early_once_a_second_what_does_not_fit() -> None:
    now, resident = [0.0], [1500 * MIB]
    pressure = MemoryPressure(1000 * MIB, lambda: resident[0], lambda: now[0])
    assert [pressure.relief("a", 900), pressure.relief("b", 100)] == [0, 0]
    now[0] = 1.0
    assert [pressure.relief("a", 900), pressure.relief("b", 100)] == [90, 10]
    assert [pressure.relief("a", 810), pressure.relief("b", 90)] == [0, 0]
    now[0] = 2.0
    assert [pressure.relief("a", 810), pressure.relief("b", 90)] == [0, 0]
    pressure.forget("a")
    resident[0] = 100 * MIB
    now[0] = 3.0
    assert pressure.relief("b", 90_000) == 0


def test_without_a_limit_nothing_is_decided_early() -> None:
    pressure = MemoryPressure(None, lambda: 1 << 60, lambda: 0.0)
    assert pressure.relief("a", 10**6) == 0


def test_a_process_says_how_large_it_is() -> None:
    size = resident_bytes()
    assert size is None or size > 10 * MIB
