"""Budgets as policies have them: by name, with what was asked of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.agents.sampling.panels import Panel, decide_many
from tailrace.agents.sampling.policies import build_policies
from tailrace.agents.sampling.policies.second_budgets import SecondBudget
from tailrace.agents.sampling.policies.token_buckets import TokenBucket
from tailrace.schemas.config.tail_sampling import PolicySet
from tailrace.tables.traces import OpenTrace

RATE = {"type": "rate_limiting", "rate_limiting": {"spans_per_second": 10}}
ALWAYS = {"name": "all", "type": "always_sample"}
NESTED: list[dict[str, Any]] = [
    {"name": "rate", **RATE},
    {"name": "both", "type": "and", "and": {"and_sub_policy": [ALWAYS, {"name": "r", **RATE}]}},
    {"name": "bytes", "type": "bytes_limiting", "bytes_limiting": {"bytes_per_second": 100}},
    ALWAYS,
    {
        "name": "parts",
        "type": "composite",
        "composite": {
            "max_total_spans_per_second": 100,
            "policy_order": ["r", "all"],
            "composite_sub_policy": [{"name": "r", **RATE}, ALWAYS],
            "rate_allocation": [{"policy": "r", "percent": 60}, {"policy": "all", "percent": 40}],
        },
    },
]


def panel(policies: list[dict[str, Any]]) -> Panel:
    return build_policies(PolicySet.model_validate({"policies": policies}).policies).panel


def trace(number: int, spans: int) -> OpenTrace:
    return OpenTrace(number.to_bytes(16, "big"), 0, 0, 0, spans=spans, size=9 * spans)


def test_each_budget_has_a_name_and_counts_what_it_was_asked_for() -> None:
    found = panel(NESTED)
    decide_many(found, [trace(1, 2), trace(2, 9), trace(3, 500)], [0, 0, 0])
    assert {name: budget.asked for name, budget in found.budgets.items()} == {
        "rate": 11,
        "both/1": 11,
        "bytes": 18 + 81,
        "parts/0": 11,
        "parts/0.own": 11,
        "parts/1.own": 0,
    }


BUDGETS = [
    pytest.param(lambda: TokenBucket(10, 25), id="a bucket"),
    pytest.param(lambda: SecondBudget(10), id="a budget a second"),
]
STEPS = st.lists(
    st.tuples(st.integers(0, 30), st.integers(0, 900), st.sampled_from([None, 1, 3, 4])),
    max_size=40,
)


@pytest.mark.parametrize("build", BUDGETS)
@given(STEPS, st.integers(0, 40))
def test_a_part_that_is_told_again_changes_nothing(
    build: Callable[[], TokenBucket | SecondBudget],
    steps: list[tuple[int, int, int | None]],
    restart: int,
) -> None:
    once, again = build(), build()
    at, part = 0, (1, 1)
    for number, (count, by, moved) in enumerate(steps):
        at += by
        if moved is not None:
            part = (moved, 4)
            once.allot(*part, at)
        if number == restart:
            state = orjson.loads(orjson.dumps(again.state()))
            again = build()
            again.load(state)
            assert again.asked == once.asked
        again.allot(10 * part[0], 10 * part[1], at)
        assert once.take(count, at) == again.take(count, at)
