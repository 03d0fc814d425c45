"""The allocator: parts by demand that add up exactly, one allocation after the other."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.agents.sampling.allocator import FLOOR, Allocator, allotted
from tailrace.agents.sampling.budgets import TENANTS, named_tenant
from tailrace.agents.sampling.shares import Shares
from tailrace.agents.sampling.tenant_budget import TenantBudgetSettings
from tailrace.schemas.control import (
    MAX_BYTES,
    NAMED_BYTES,
    PART_BYTES,
    WHOLE,
    Allocation,
    Report,
    decode,
    encode,
)
from tailrace.schemas.tenants import LONGEST_TENANT
from tests.agents.sampling.control_cluster import Spending

DEMANDS = st.lists(st.integers(0, 10**12), min_size=1, max_size=200)


@given(DEMANDS)
def test_parts_add_up_to_the_whole(demand: list[int]) -> None:
    assert sum(allotted(demand)) == WHOLE


@given(DEMANDS)
def test_who_asks_for_more_gets_no_less(demand: list[int]) -> None:
    parts = allotted(demand)
    order = sorted(range(len(demand)), key=lambda each: (demand[each], -each))
    assert [parts[each] for each in order] == sorted(parts)


@given(DEMANDS)
def test_everybody_gets_a_tenth_of_an_equal_part(demand: list[int]) -> None:
    assert min(allotted(demand)) >= FLOOR // len(demand)


@pytest.mark.parametrize(
    ("demand", "parts"),
    [
        pytest.param([0, 0, 0], [333_334, 333_333, 333_333], id="equal parts of no demand"),
        pytest.param([7], [WHOLE], id="all of it for the only one"),
        pytest.param([1, 0], [950_000, 50_000], id="the floor for who asks for nothing"),
        pytest.param([3, 1], [725_000, 275_000], id="nine tenths of it by demand"),
        pytest.param([1, 1, 1], [333_334, 333_333, 333_333], id="what is left over goes first"),
    ],
)
def test_a_budget_is_divided(demand: list[int], parts: list[int]) -> None:
    assert allotted(demand) == parts


def report(partition: int, second: int, holds: int = 0, since: int = 0, **asked: int) -> Report:
    return Report(partition, 2, second, asked, holds, since)


def test_an_allocation_stands_when_all_hold_it_from_the_last_second_on() -> None:
    allocator = Allocator(2)
    first = allocator.hear(report(0, 10, rate=100))
    assert first == Allocation(1, 2, {"rate": [950_000, 50_000]}, None)
    assert allocator.hear(report(0, 10, holds=1, since=13)) is None
    assert allocator.hear(report(0, 15, holds=1, since=13, rate=100)) is None
    stands = allocator.hear(report(1, 5, holds=1, since=9))
    assert stands is not None
    assert stands == first._replace(since=13)


def test_until_an_allocation_stands_there_is_no_other() -> None:
    allocator = Allocator(2)
    assert allocator.hear(report(0, 10, rate=100)) is not None
    said = [allocator.hear(report(1, second, rate=10_000)) for second in range(15, 200, 5)]
    assert {each.number for each in said if each is not None} == {1}


@given(
    st.lists(
        st.builds(
            Report,
            st.integers(0, 2),
            st.just(3),
            st.integers(0, 200),
            st.dictionaries(st.sampled_from("ab"), st.integers(0, 1000)),
            st.integers(0, 3),
            st.integers(0, 200),
        ),
        max_size=40,
    ),
    st.integers(0, 40),
)
def test_what_is_said_is_a_function_of_the_reports(reports: list[Report], cut: int) -> None:
    whole = Allocator(3)
    said = [whole.hear(each) for each in reports]
    before, after = Allocator(3), Allocator(3)
    first = [before.hear(each) for each in reports[:cut]]
    after.load(orjson.loads(orjson.dumps(before.state())))
    again = first + [after.hear(each) for each in reports[cut:]]
    assert [each and encode(each) for each in said] == [each and encode(each) for each in again]
    for each in said:
        assert each is None or decode(encode(each)) is not None  # which looks at its sums


def test_a_report_that_is_heard_again_counts_once() -> None:
    twice, once = Allocator(2), Allocator(2)
    for allocator in (once, twice, twice):
        allocator.hear(report(0, 5, rate=100))
        allocator.hear(report(1, 5, rate=60))
    assert twice.state() == once.state()


def test_policies_that_a_record_has_no_room_for_stay_equal() -> None:
    partitions = NAMED_BYTES // PART_BYTES // 2 - 10
    allocator = Allocator(partitions)
    allocation = allocator.hear(Report(0, partitions, 10, {"a": 5, "b": 9, "c": 7}, 0, 0))
    assert allocation is not None
    assert sorted(allocation.parts) == ["b", "c"]


def test_who_is_asked_for_nothing_any_more_gives_way() -> None:
    allocator = Allocator(2)
    assert allocator.hear(report(0, 10, rate=100)) is not None
    allocator.hear(report(0, 10, holds=1, since=11))
    assert allocator.hear(report(1, 10, holds=1, since=11)) is not None
    allocator.hear(report(0, 15, holds=1, since=11))
    moved = allocator.hear(report(1, 20, holds=1, since=11, rate=10))
    assert moved is not None
    assert moved.parts["rate"] == [50_000, 950_000]


def test_what_nobody_asks_for_any_more_is_forgotten_though_other_things_are_asked_for() -> None:
    allocator = Allocator(2)
    allocator.hear(report(0, 5, rate=100, gone=1_000_000))
    allocator.hear(report(1, 5, rate=100, gone=1))
    for second in range(10, 200, 5):
        for partition in range(2):
            allocator.hear(report(partition, second, rate=100))
    assert allocator.state()["demand"].keys() == {"rate"}


def test_a_budget_of_which_little_is_asked_is_not_forgotten() -> None:
    allocator = Allocator(2)
    for second in range(5, 200, 5):
        allocator.hear(report(0, second, rate=1))
    assert allocator.state()["demand"] == {"rate": [1, 0]}


def test_tenants_that_are_gone_draw_no_part_to_where_they_were() -> None:
    """Of 2,000 tenants each asked once in the second partition; in the first, one asks for much."""
    allocator, last = Allocator(2, TenantBudgetSettings(1000, 2000, {})), None
    for second in range(5, 600, 5):
        first = {TENANTS: 5000, named_tenant("shop"): 5000}
        others = {TENANTS: 50, named_tenant("small"): 50}
        for n in range(second * 20, min(2000, second * 20 + 100)):
            others[named_tenant(f"once {n}")] = 1
        for partition, asked in enumerate((first, others)):
            holds = (0, 0) if last is None else (last.number, second)
            last = allocator.hear(Report(partition, 2, second, asked, *holds)) or last
    assert last is not None
    assert last.parts[TENANTS][0] > 9 * WHOLE // 10


@pytest.mark.parametrize("letter", ["x", "ß", "😀", '"'])
def test_however_many_tenants_come_all_that_is_said_and_remembered_is_bounded(letter: str) -> None:
    partitions, holds, largest, names = 8, (0, 0), 0, 0
    allocator = Allocator(partitions, TenantBudgetSettings(1000, 2000, {}))
    for second in range(5, 150, 5):
        for partition in range(partitions):
            asked = {
                named_tenant(f"{second} {partition} {n}".ljust(LONGEST_TENANT, letter)): 20
                for n in range(40)
            }
            asked |= {TENANTS: 500 * second * partition, "rate": 100, "\n@stays": 70}
            said = allocator.hear(Report(partition, partitions, second, asked, *holds))
            names = max(names, len(allocator.state()["demand"]))
            if said is not None:
                largest, holds = max(largest, len(encode(said))), (said.number, second)
                assert {TENANTS, "rate", "\n@stays"} <= said.parts.keys()
    assert largest < MAX_BYTES * 7 // 8
    assert names < NAMED_BYTES // (LONGEST_TENANT + partitions * PART_BYTES)


def test_a_report_names_what_most_is_asked_of_where_there_is_no_room_for_all() -> None:
    budgets = {f"\t{n}\t".ljust(LONGEST_TENANT, "ß"): Spending() for n in range(2000)}
    most = [*budgets][-1]
    shares = Shares(0, 2)
    shares.allot(budgets, 0)
    for budget in budgets.values():
        budget.asked += 10**15
    budgets[most].asked += 1
    shares.reach(0, budgets)
    [said] = shares.reports
    assert most in said.asked
    assert len(encode(said)) < MAX_BYTES * 7 // 8
