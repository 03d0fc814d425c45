"""The budget of all tenants: what passes in all, who gets it, and the same after a restart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from fractions import Fraction
from random import Random
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tailrace.agents.sampling.budgets import Budget, named_for, named_tenant, tenant_of
from tailrace.agents.sampling.control import Control, ControlSettings
from tailrace.agents.sampling.tenant_budget import (
    FORGOTTEN_AFTER_S,
    MAX_TENANTS,
    STEP_MS,
    TenantBudget,
    TenantBudgetSettings,
    fair_shares,
)
from tailrace.schemas.control import ControlRecord, Heard, decode
from tailrace.schemas.records import Outbox, Totals
from tailrace.tables.store import MemoryDisk, PartitionStore

MILLION = 1_000_000
NAMES = "abcd"
WEIGHTS = st.dictionaries(
    st.sampled_from(NAMES), st.sampled_from([MILLION // 2, 2 * MILLION, 5 * MILLION])
)
ASKED = st.dictionaries(st.sampled_from(NAMES), st.integers(0, 500), min_size=1)
BEGIN_MS = 1_700_000_000_000


def nothing(budgets: Mapping[str, Budget]) -> None:
    """There is one partition: all of it is its own."""


@given(st.integers(0, 1000), ASKED, WEIGHTS)
def test_shares_are_max_min_fair(
    whole: int, asked: dict[str, int], weights: dict[str, int]
) -> None:
    shares = fair_shares(whole, asked, weights)
    assert sum(shares.values()) == min(whole, sum(asked.values()))
    for name, share in shares.items():
        assert share <= asked[name]
        if share < asked[name]:  # then nobody has more for its weight, but for what rounding adds
            own = Fraction(share + 1, weights.get(name, MILLION))
            for other, amount in shares.items():
                assert Fraction(amount - len(asked), weights.get(other, MILLION)) <= own


STEPS = st.lists(
    st.tuples(
        st.sampled_from([0, 0, 1, 40, 100, 900, 5000, 70_000]),
        st.sampled_from(NAMES),
        st.sampled_from([1, 1, 2, 7, 30, 90]),
        st.sampled_from([None, None, None, 1, 3, 4]),
    ),
    max_size=60,
)


def spent(budget: TenantBudget, steps: Sequence[Any], begin: int = 0) -> list[tuple[int, str, int]]:
    """What passes, when and whose; each step waits, perhaps moves the part, and asks."""
    passed, at = [], BEGIN_MS + begin
    for wait, tenant, count, moved in steps:
        at += wait
        if moved is not None:
            budget.allot(moved, 4, at)
        if budget.take(tenant, count, at, nothing):
            passed.append((at, tenant, count))
    return passed


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 40), st.integers(1, 80), WEIGHTS, STEPS)
def test_no_more_passes_in_any_time_than_the_rate_the_burst_and_what_was_too_large(
    rate: int, burst: int, weights: dict[str, int], steps: list[Any]
) -> None:
    passed = spent(TenantBudget(TenantBudgetSettings(rate, burst, weights)), steps)
    largest: Counter[str] = Counter()
    for _, tenant, count in passed:
        largest[tenant] = max(largest[tenant], count)
    for first, (since, *_) in enumerate(passed):
        for last in range(first, len(passed)):
            until = passed[last][0]
            total = sum(count for _, _, count in passed[first : last + 1])
            assert total <= rate * (until - since + STEP_MS) / 1000 + burst + largest.total()


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 40), WEIGHTS, STEPS, st.integers(0, 60))
def test_a_restart_changes_nothing(
    rate: int, weights: dict[str, int], steps: list[Any], restart: int
) -> None:
    configured = TenantBudgetSettings(rate, 2 * rate, weights)
    once, before = TenantBudget(configured), TenantBudget(configured)
    expected = spent(once, steps)
    found = spent(before, steps[:restart])
    after = TenantBudget(configured)
    after.load(orjson.loads(orjson.dumps(before.state())))
    found += spent(after, steps[restart:], sum(wait for wait, *_ in steps[:restart]))
    assert found == expected
    assert after.state() == once.state()
    assert sorted(after.budgets) == sorted(once.budgets)


SECONDS = 60


@settings(max_examples=40, deadline=None)
@given(
    st.integers(10, 30),
    st.dictionaries(st.sampled_from(NAMES), st.integers(1, 60), min_size=1),
    WEIGHTS,
    st.integers(0, 2**32),
)
def test_each_tenant_gets_what_it_asks_for_or_its_fair_share(
    rate: int, asked: dict[str, int], weights: dict[str, int], seed: int
) -> None:
    """If each asks evenly, whenever it begins: of a bunch, a bucket holds its part of a burst."""
    budget = TenantBudget(TenantBudgetSettings(rate, 4 * rate, weights))
    passed: Counter[str] = Counter()
    begins = {tenant: Random(f"{seed} {tenant}").random() for tenant in asked}
    wanted = sorted(
        (BEGIN_MS + int(1000 * (number + begins[tenant]) / count), tenant)
        for tenant, count in asked.items()
        for number in range(SECONDS * count)
    )
    for at, tenant in wanted:
        passed[tenant] += budget.take(tenant, 1, at, nothing)
    fair = fair_shares(rate * MILLION, {name: n * MILLION for name, n in asked.items()}, weights)
    for tenant, share in fair.items():
        # Less its part of two seconds at the begin, and of what is not used at once at the end.
        assert passed[tenant] >= (SECONDS - 3) * share / MILLION * 0.95 - 3
        assert passed[tenant] <= SECONDS * share / MILLION * 1.05 + 5 * rate


def test_a_tenant_that_asks_seldom_is_not_starved_by_one_that_always_asks() -> None:
    budget = TenantBudget(TenantBudgetSettings(100, 200, {}))
    kept: Counter[str] = Counter()
    for second in range(200):
        at = BEGIN_MS + second * 1000
        for number in range(1000):
            kept["noisy"] += budget.take("noisy", 1, at + number, nothing)
        if second % 20 == 19:
            kept["quiet"] += sum(budget.take("quiet", 30, at + 999, nothing) for _ in range(3))
    assert kept["quiet"] == 3 * 9  # all but at the first time, when nothing had come in for it yet
    assert kept["noisy"] >= 200 * 100 - 10 * 90 - 200


def test_a_trace_that_is_larger_than_a_tenants_part_passes_once_and_is_paid_later() -> None:
    budget = TenantBudget(TenantBudgetSettings(10, 20, {}))
    assert budget.take("a", 1, BEGIN_MS, nothing)
    assert not budget.take("b", 15, BEGIN_MS, nothing)  # its bucket has 1 by then, and holds 10
    later = BEGIN_MS + 10_000
    assert budget.take("b", 15, later, nothing)
    assert not budget.take("b", 1, later + 400, nothing)  # it owes 1 of 5
    assert not budget.take("b", 21, later + 60_000, nothing)


def test_more_tenants_than_have_buckets_share_one_and_all_are_forgotten_in_time() -> None:
    budget = TenantBudget(TenantBudgetSettings(1000, 2000, {}))
    for number in range(3 * MAX_TENANTS):
        budget.take(f"tenant {number}", 1, BEGIN_MS, nothing)
    assert len(budget.budgets) == MAX_TENANTS + 2  # the whole, and the others
    budget.take("last", 1, BEGIN_MS + FORGOTTEN_AFTER_S * 1000 + 60_000, nothing)
    assert len(budget.budgets) == 2


def test_no_policy_has_the_name_of_what_is_the_tenants() -> None:
    tenants = ("default", "a", "a/b", "b")
    policies = ("a", "\n", "\na", "\t", "\ta\tb", "b/c", "\t\n")
    names = [named_for(tenant, name) for tenant in tenants for name in policies]
    names += [named_tenant(""), *map(named_tenant, tenants)]
    assert len(set(names)) == len(names)
    assert [tenant_of(named_tenant(tenant)) for tenant in tenants] == list(tenants)


class Partition:
    """A partition's end of the control log, and what its tenants keep."""

    def __init__(self, settings: ControlSettings) -> None:
        assert settings.tenant_budget is not None
        self.control = Control(settings, PartitionStore(MemoryDisk()))
        self.budget = TenantBudget(settings.tenant_budget)
        self.control.allot(self.budget.budgets)
        self.outbox = Outbox()
        self.kept: Counter[tuple[int, str]] = Counter()

    def second(self, second: int, asked: Mapping[str, int]) -> None:
        """Ask for traces of one span, spread over the second."""
        traces = sorted((n / count, name) for name, count in asked.items() for n in range(count))
        times = [BEGIN_MS + 1000 * second + int(1000 * when) for when, _ in traces]
        for piece in self.control.stretches(times, self.budget.budgets):
            for at, (_, name) in zip(times[piece], traces[piece], strict=True):
                is_kept = self.budget.take(name, 1, at, self.control.allot)
                self.kept[second, name] += is_kept
        end = BEGIN_MS + 1000 * second + 1000
        self.control.reach(end, self.budget.budgets, self.outbox)

    def said(self) -> list[ControlRecord]:
        found = [decode(each.value) for each in self.outbox.topics.get("control", [])]
        self.outbox = Outbox()
        return found


def cluster(rate: int, partitions: int, weights: dict[str, int]) -> list[Partition]:
    budget = TenantBudgetSettings(rate, rate, weights)
    return [
        Partition(ControlSettings("control", number, partitions, tenant_budget=budget))
        for number in range(partitions)
    ]


def run(members: list[Partition], seconds: int, asked: Sequence[Mapping[str, int]]) -> None:
    """Let all be asked for so long; every second all hear what all said."""
    log: list[ControlRecord] = []
    for second in range(seconds):
        for member, wanted in zip(members, asked, strict=True):
            member.second(second, wanted)
            log += member.said()
        for member in members:
            start = member.control.heard
            heard = [Heard(start + row, each) for row, each in enumerate(log[start:])]
            member.control.hear(heard, BEGIN_MS + 1000 * second + 1000, member.outbox, Totals())


def rates(members: list[Partition], first: int, last: int) -> dict[str, float]:
    found: Counter[str] = Counter()
    for member in members:
        for (second, name), kept in member.kept.items():
            found[name] += kept if first <= second < last else 0
    return {name: kept / (last - first) for name, kept in found.items()}


@pytest.mark.parametrize(
    ("weights", "asked"),
    [
        pytest.param({}, [{"a": 400}, {"a": 400, "b": 60}], id="one is noisy"),
        pytest.param(
            {}, [{"a": 300, "b": 300}, {"b": 300}], id="one is only where another is, too"
        ),
        pytest.param({}, [{"a": 20, "b": 300}, {"c": 300}], id="what one leaves is divided"),
        pytest.param(
            {"b": 3 * MILLION}, [{"a": 300, "b": 300}, {"a": 300, "b": 300}], id="by weight"
        ),
        pytest.param({}, [{"a": 300}, {}], id="a partition has none"),
    ],
)  # fmt: skip
def test_a_cluster_is_divided_as_one_bucket_would_be(
    weights: dict[str, int], asked: list[dict[str, int]]
) -> None:
    rate = 100
    members = cluster(rate, len(asked), weights)
    run(members, 120, asked)
    found = rates(members, 60, 120)
    totals: Counter[str] = Counter()
    for wanted in asked:
        totals.update(wanted)
    fair = fair_shares(rate, totals, weights)
    for tenant, share in fair.items():
        # A tenth of all is in equal parts, wherever it is asked for.
        assert found[tenant] >= 0.88 * share
    for second in range(10, 120):
        seen = rates(members, 0, second)
        assert sum(seen.values()) * second <= rate * (second + 1) + rate


def test_while_parts_move_the_cluster_keeps_no_more_than_its_budget() -> None:
    members = cluster(100, 3, {})
    asked = [{"a": 300}, {"b": 300}, {"a": 10}]
    run(members, 60, asked)
    total = sum(rates(members, 2, 60).values())
    assert total <= 100 + 100 / 58
    assert total > 80


WEIGHED = st.tuples(st.sampled_from(NAMES), st.integers(0, 4))
"""Whose weight becomes how many quarters of itself."""


def held(budget: TenantBudget) -> int:
    state = budget.state()
    return int(sum(level for level, *_ in state["buckets"].values()) + state["unclaimed"])


@given(st.integers(1, 80), WEIGHTS, STEPS, st.lists(WEIGHED, min_size=1, max_size=8))
def test_weights_that_move_take_nothing_from_the_whole(
    burst: int, weights: dict[str, int], steps: list[Any], moves: list[tuple[str, int]]
) -> None:
    budget = TenantBudget(TenantBudgetSettings(1, burst, weights))
    spent(budget, steps)
    at = BEGIN_MS + sum(wait for wait, *_ in steps) + STEP_MS
    budget.take("a", 0, at, nothing)
    for tenant, quarters in moves:
        before, at = held(budget), at + STEP_MS
        moved = budget.budgets.get(named_tenant(tenant))
        if moved is not None:
            moved.allot(quarters, 4, at)
        budget.take("a", 0, at, nothing)
        assert held(budget) >= before - len(NAMES)  # millionths, which rounding takes


def test_what_one_has_too_much_of_when_its_weight_falls_goes_to_another() -> None:
    budget = TenantBudget(TenantBudgetSettings(10, 1000, {}))
    for tenant in "ab":
        budget.take(tenant, 400, BEGIN_MS, nothing)
    budget.take("a", 0, BEGIN_MS + 20_000, nothing)
    before = held(budget)
    budget.budgets[named_tenant("a")].allot(1, 10, BEGIN_MS + 20_000)
    budget.take("b", 0, BEGIN_MS + 20_010, nothing)
    assert held(budget) >= before


def test_a_restart_loses_nothing_of_what_weights_that_move_left_over() -> None:
    configured = TenantBudgetSettings(10, 1000, {})
    budget, again = TenantBudget(configured), TenantBudget(configured)
    for tenant in "ab":
        budget.take(tenant, 1, BEGIN_MS, nothing)
    later = BEGIN_MS + 100_000
    for tenant in "ab":
        budget.take(tenant, 1, later - 1000, nothing)
    budget.budgets[named_tenant("a")].allot(1, 10, later)
    again.load(orjson.loads(orjson.dumps(budget.state())))
    for each in (budget, again):
        each.take("b", 1, later + STEP_MS, nothing)
    assert again.state() == budget.state()


def test_a_budget_that_became_smaller_in_the_config_holds_no_more_than_itself() -> None:
    budget = TenantBudget(TenantBudgetSettings(10, 1000, {}))
    for tenant in "ab":
        budget.take(tenant, 1, BEGIN_MS, nothing)
    again = TenantBudget(TenantBudgetSettings(10, 100, {}))
    again.load(orjson.loads(orjson.dumps(budget.state())))
    assert held(again) <= 100 * MILLION


def test_a_trace_of_more_spans_than_the_burst_neither_passes_nor_draws_a_part() -> None:
    budget = TenantBudget(TenantBudgetSettings(100, 200, {}))
    assert not any(budget.take("a", 201, BEGIN_MS + 60_000 * n, nothing) for n in range(3))
    assert {each.asked for each in budget.budgets.values()} == {0}


def test_a_part_that_becomes_smaller_holds_less_for_everybody() -> None:
    budget = TenantBudget(TenantBudgetSettings(10, 80, {}))
    for tenant in NAMES:
        budget.take(tenant, 1, BEGIN_MS, nothing)
    later = BEGIN_MS + 60_000
    budget.allot(1, 4, later)
    passed = sum(budget.take(tenant, 1, later, nothing) for tenant in NAMES for _ in range(80))
    assert passed == 80 // 4
