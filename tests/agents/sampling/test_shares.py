"""Shares of the cluster's budgets: never more than the whole, and soon where they are needed."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tailrace.agents.sampling.budgets import TENANTS, named_for
from tailrace.agents.sampling.shares import Shares, equal_part
from tailrace.schemas.control import WHOLE, Allocation, Report
from tests.agents.sampling.control_cluster import Cluster, Spending

NAMES = ("rate", "bytes")


@st.composite
def histories(draw: st.DrawFn) -> tuple[int, list[tuple[Any, ...]]]:
    """How many partitions there are, and what happens to them, one after the other."""
    partitions = draw(st.integers(2, 4))
    number = st.integers(0, partitions - 1)
    step = st.one_of(
        st.tuples(
            st.just("advance"),
            number,
            st.one_of(st.integers(0, 30), st.integers(0, 7_000), st.integers(0, 120_000)),
            st.fixed_dictionaries({name: st.sampled_from([0, 0, 1, 50, 9000]) for name in NAMES}),
        ),
        st.tuples(st.just("hear"), number, st.sampled_from([None, None, 1, 2])),
        st.tuples(st.just("checkpoint"), number),
        st.tuples(st.just("crash"), number),
        st.tuples(st.just("miss"), number),
        st.tuples(st.just("all"), st.integers(6, 20), number),
        st.tuples(st.just("all"), st.integers(6, 20), number),
    )
    return partitions, draw(st.lists(step, max_size=60))


def _happen(cluster: Cluster, step: tuple[Any, ...]) -> None:
    match step:
        case "advance", number, by, asked:
            partition = cluster.partitions[number]
            partition.advance(partition.now + by, asked)
        case "hear", number, count:
            cluster.hear(number, count)
        case "miss", number:
            cluster.miss(number)
        case "checkpoint", number:
            cluster.checkpoint(number)
        case "crash", number:
            cluster.partitions[number].crash()
        case "all", seconds, hot:
            for _ in range(seconds):
                asked = [{"rate": 900 if n == hot else 5} for n in range(len(cluster.partitions))]
                cluster.second(asked)


def assert_never_more_than_the_whole(cluster: Cluster, names: Sequence[str]) -> None:
    for name in names:
        spending = [each.budgets[name] for each in cluster.partitions]
        for second in {second for each in spending for second, _ in each.history}:
            assert sum(each.part(second) for each in spending) <= WHOLE, (second, name)


@settings(max_examples=200, deadline=None)
@given(histories())
def test_in_every_second_the_parts_are_the_whole_or_less(
    history: tuple[int, list[tuple[Any, ...]]],
) -> None:
    partitions, steps = history
    cluster = Cluster(partitions, NAMES)
    for step in steps:
        _happen(cluster, step)
    assert_never_more_than_the_whole(cluster, NAMES)


@settings(max_examples=100, deadline=None)
@given(histories())
def test_whatever_happened_the_whole_is_soon_given_out_again(
    history: tuple[int, list[tuple[Any, ...]]],
) -> None:
    partitions, steps = history
    cluster = Cluster(partitions, NAMES)
    for step in steps:
        _happen(cluster, step)
    behind = max(each.now for each in cluster.partitions)
    for partition in cluster.partitions:
        partition.advance(behind)
    for _ in range(120):
        cluster.second([{"rate": 100}] + [{"rate": 0}] * (partitions - 1))
    parts = cluster.part("rate")
    assert sum(parts) == WHOLE
    assert parts[0] >= WHOLE * 9 // 10


def test_a_hot_partition_has_most_of_the_budget_after_two_allocations() -> None:
    cluster = Cluster(4, NAMES)
    for _ in range(1, 31):
        cluster.second([{"rate": 1000}, {}, {"rate": 10}, {}])
    first, *others = cluster.part("rate")
    assert sum((first, *others)) == WHOLE
    assert first > WHOLE * 85 // 100
    assert min(others) >= WHOLE // 40
    assert cluster.partitions[0].totals.counts["allocations"] <= 4
    assert cluster.part("bytes") == [WHOLE // 4] * 4  # of what nobody asked for


def test_demand_that_stays_moves_nothing() -> None:
    cluster = Cluster(3, NAMES)
    asked = [{"rate": 500}, {"rate": 300}, {"rate": 200}]
    for _ in range(1, 60):
        cluster.second(asked)
    made = cluster.partitions[0].totals.counts["allocations"]
    before = cluster.part("rate")
    for _ in range(60, 110):
        cluster.second(asked)
    assert cluster.part("rate") == before
    repeats = 2 + 1  # said again every minute, and what was under way
    assert cluster.partitions[0].totals.counts["allocations"] <= made + repeats


def test_while_one_partition_is_away_none_takes_what_it_may_spend() -> None:
    cluster = Cluster(3, NAMES)
    here = cluster.partitions[:2]
    for second in range(1, 200):
        for number, partition in enumerate(here):
            partition.advance(second * 1000, {"rate": 100 * number})
            cluster.checkpoint(number)
        for number in range(2):
            cluster.hear(number)
    assert cluster.part("rate")[1] == equal_part(1, 3)
    for _ in range(200, 230):
        cluster.second([{}, {"rate": 100}, {}])
    assert cluster.part("rate")[1] > WHOLE * 9 // 10


def test_a_partition_that_is_ahead_gives_up_before_one_that_is_behind_takes() -> None:
    cluster = Cluster(2, ("rate",))
    ahead, behind = cluster.partitions
    ahead.advance(1_000_000)
    for _ in range(40):
        cluster.second([{"rate": 100}, {"rate": 1}])
    assert cluster.part("rate")[0] > WHOLE * 9 // 10
    for _ in range(40):
        cluster.second([{"rate": 1}, {"rate": 100}])
    # One has given up, and the other may take that only when its own time has come so far.
    assert max(cluster.part("rate")) < WHOLE // 10
    behind.advance(ahead.now)
    assert cluster.part("rate")[1] > WHOLE * 9 // 10
    assert_never_more_than_the_whole(cluster, ("rate",))


@pytest.mark.parametrize("since", [None, 5])
def test_an_older_allocation_that_is_heard_again_changes_nothing(since: int | None) -> None:
    shares, spending = Shares(0, 2), {"rate": Spending()}
    shares.hear(Allocation(2, 2, {"rate": [100, WHOLE - 100]}, since), 9_000)
    older = Allocation(1, 2, {"rate": [WHOLE, 0]}, 5)
    assert not shares.is_news(older)
    shares.hear(older, 9_000)
    shares.reach(20_000, spending)
    assert spending["rate"].history[-1] == (10, 100)


def test_of_one_partition_nothing_is_said() -> None:
    cluster = Cluster(1, NAMES)
    for second in range(1, 100):
        cluster.second([{"rate": second}])
    assert cluster.log == []
    assert cluster.part("rate") == [WHOLE]


def test_where_nothing_is_asked_for_nothing_is_said() -> None:
    cluster = Cluster(3, NAMES)
    for _ in range(1, 100):
        cluster.second([{}, {}, {}])
    assert cluster.log == []


@pytest.mark.parametrize("cuts", [[], [4], [1, 2, 3], [2, 5, 6]])
def test_reports_are_the_same_however_decisions_are_cut_also_by_restarts(cuts: list[int]) -> None:
    times = [1_000, 4_999, 5_000, 5_000, 26_000, 26_001, 90_000]
    shares, spending, told = Shares(1, 2), {"rate": Spending()}, list[Report]()
    for begin, end in pairwise([0, *cuts, len(times)]):
        for piece in shares.stretches(times[begin:end], spending):
            spending["rate"].asked += len(times[begin:end][piece])
        shares.reach(times[end - 1] if end < len(times) else 96_000, spending)
        told += shares.reports
        state = orjson.loads(orjson.dumps(shares.state()))
        shares = Shares(1, 2)
        shares.load(state)
    shares.reach(200_000, spending)
    assert [(each.second, dict(each.asked)) for each in told + shares.reports] == [
        (5, {"rate": 2}),
        (10, {"rate": 2}),
        (15, {}),
        (30, {"rate": 2}),
        (35, {}),
        (95, {"rate": 1}),
        (100, {}),
    ]


def test_an_allocation_of_another_number_of_partitions_is_not_heard() -> None:
    shares = Shares(0, 2)
    allocation = Allocation(7, 3, {"rate": [WHOLE, 0, 0]}, 5)
    assert not shares.is_news(allocation)
    shares.hear(allocation, 9_000)
    spending = Spending()
    shares.allot({"rate": spending}, 9_000)
    shares.reach(20_000, {"rate": spending})
    assert spending.history == [(9, WHOLE // 2)]


def test_after_the_number_of_partitions_has_changed_all_agree_again() -> None:
    cluster = Cluster(2, NAMES)
    for _ in range(1, 40):
        cluster.second([{"rate": 100}, {}])
    grown = Cluster(3, NAMES)
    grown.log = cluster.log
    for number, partition in enumerate(cluster.partitions):
        grown.partitions[number].store = partition.store
        grown.partitions[number].crash()
    for each in grown.partitions:
        each.now = 39_000
    for _ in range(40, 80):
        grown.second([{}, {}, {"rate": 100}])
    parts = grown.part("rate")
    assert sum(parts) == WHOLE
    assert parts[2] > WHOLE * 9 // 10


def test_what_was_given_up_is_not_taken_back_by_a_later_allocation_in_the_same_second() -> None:
    """A partition whose time stands hears on; others may have taken by then what it gave up."""
    shares = Shares(1, 2)
    shares.reach(10_000, {})
    for number, mine in ((1, 300_000), (2, 450_000)):
        parts = {"x": (WHOLE - mine, mine)}
        shares.hear(Allocation(number, 2, parts, None), 10_000)
        if number == 1:
            shares.hear(Allocation(number, 2, parts, 5), 10_000)
    shares.reach(11_000, {})
    assert shares.parts == {"x": 300_000}


def test_parts_are_told_by_names_to_be_read() -> None:
    budgets = {TENANTS: "tenant_budget", "rate": "rate", "both/0": "both/0"}
    budgets[named_for("acme", "some")] = "acme/some"
    budgets[named_for("default", "\todd")] = "\todd"
    cluster = Cluster(2, [*budgets])
    for _ in range(30):
        cluster.second([dict.fromkeys(budgets, 100), {}])
    assert sorted(cluster.partitions[0].control.parts) == sorted(budgets.values())
