"""Budgets a second: what passes, against a counter, and over all partitions together."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.agents.sampling.policies.second_budgets import SecondBudget

GAPS = st.one_of(st.integers(0, 5), st.integers(0, 3000))
ARRIVALS = st.lists(st.tuples(GAPS, st.integers(1, 15), st.integers(0, 4)), max_size=40)


@given(st.integers(0, 20), ARRIVALS, st.integers(0, 2**41))
def test_with_all_of_the_budget_it_is_a_counter(
    whole: int, gaps: list[tuple[int, int, int]], at: int
) -> None:
    budget, second, spent = SecondBudget(whole), -1, 0
    for gap, count, _ in gaps:
        at += gap
        if at // 1000 != second:
            second, spent = at // 1000, 0
        assert budget.take(count, at) is (spent + count <= whole)
        spent += count if spent + count <= whole else 0


@given(st.integers(0, 20), st.integers(1, 5), ARRIVALS)
def test_the_partitions_together_hold_the_budget_over_any_seconds(
    whole: int, partitions: int, gaps: list[tuple[int, int, int]]
) -> None:
    budgets = [SecondBudget(whole) for _ in range(partitions)]
    for budget in budgets:
        budget.allot(1, partitions, 0)
    at, passed = 0, []
    for gap, count, number in gaps:
        at += gap
        if budgets[number % partitions].take(count, at):
            assert count <= whole
            passed.append((at // 1000, count))
    largest = max([count for _, count in passed], default=0)
    for index, (first, _) in enumerate(passed):
        total = 0
        for last, count in passed[index:]:
            total += count
            seconds = last - first + 1
            if partitions == 1:
                assert total <= whole * seconds
            # A part may be a whole number more than its fraction.
            assert total <= whole * seconds + partitions * (largest + 1)


@given(st.integers(1, 20), st.integers(1, 7), st.integers(0, 2**31))
def test_the_parts_of_the_seconds_add_up(whole: int, partitions: int, second: int) -> None:
    def spent(part: int) -> int:
        budget = SecondBudget(whole)
        budget.allot(1, part, second * 1000)
        times = range(second, second + part)
        return sum(budget.take(1, at * 1000) for at in times for _ in range(whole))

    owed = spent(partitions) - whole  # one that passes a part of 0 is paid for later
    assert 0 <= owed <= 1


@given(st.integers(0, 20), ARRIVALS, ARRIVALS, st.integers(1, 4))
def test_it_goes_on_from_its_state(
    whole: int,
    before: list[tuple[int, int, int]],
    after: list[tuple[int, int, int]],
    parts: int,
) -> None:
    first, second = SecondBudget(whole), SecondBudget(whole)
    first.allot(1, parts, 0)
    at = 0
    for gap, count, _ in before:
        at += gap
        first.take(count, at)
    second.load(json.loads(json.dumps(first.state())))
    for gap, count, _ in after:
        at += gap
        assert second.take(count, at) is first.take(count, at)
    assert second.state() == first.state()


def test_what_is_larger_than_a_part_passes_first_and_is_paid_back() -> None:
    budget = SecondBudget(12)
    budget.allot(1, 4, 0)
    arrivals = [(0, 13), (0, 10), (0, 1), (1000, 1), (2999, 1), (3000, 2), (3000, 1), (4000, 3)]
    assert [budget.take(count, at) for at, count in arrivals] == [
        False,  # more than the whole budget
        True,  # 3 a second, 7 are owed
        False,
        False,  # 7 of this second
        False,  # 4 of this one
        True,  # 1 of this one
        False,
        True,
    ]


@pytest.mark.parametrize("state", [None, [], {"level": 5}, "x"])
def test_a_state_of_something_else_is_as_none(state: object) -> None:
    budget = SecondBudget(5)
    budget.load(state)
    assert budget.state() == SecondBudget(5).state()


def test_without_a_part_nothing_passes() -> None:
    budget = SecondBudget(10)
    budget.allot(0, 4, 0)
    assert not budget.take(1, 0)
