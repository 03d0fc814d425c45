"""Policies with a state: the same verdicts however traces are cut, and after restarts."""

from __future__ import annotations

import json
from itertools import accumulate, pairwise
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tailrace.agents.sampling.panels import decide
from tailrace.agents.sampling.policies import SamplingPolicies, build_policies
from tailrace.agents.sampling.votes import Verdict
from tailrace.schemas.config import parse
from tests.agents.sampling.policies.spans import SeenTrace

MANY = {"type": "span_count", "span_count": {"min_spans": 4}}
LEAVES: list[dict[str, Any]] = [
    {"type": "always_sample"},
    MANY,
    {"type": "span_count", "span_count": {"min_spans": 2, "max_spans": 3}},
    {"type": "rate_limiting", "rate_limiting": {"spans_per_second": 4}},
    {"type": "rate_limiting", "rate_limiting": {"spans_per_second": 3, "burst_capacity": 9}},
    {"type": "bytes_limiting", "bytes_limiting": {"bytes_per_second": 300}},
    {"type": "probabilistic", "probabilistic": {"sampling_percentage": 50}},
]
LEAF = st.sampled_from(LEAVES)
NOT = LEAF.map(lambda part: {"type": "not", "not": {"not_sub_policy": part}})
PARTS = st.lists(st.one_of(LEAF, NOT), min_size=1, max_size=3)
AND = PARTS.map(lambda parts: {"type": "and", "and": {"and_sub_policy": parts}})
DROP = PARTS.map(lambda parts: {"type": "drop", "drop": {"drop_sub_policy": [MANY, *parts]}})


def _composite(parts: list[dict[str, Any]]) -> dict[str, Any]:
    named = [{**part, "name": f"{index}"} for index, part in enumerate(parts)]
    return {
        "type": "composite",
        "composite": {
            "max_total_spans_per_second": 9,
            "composite_sub_policy": named,
            "rate_allocation": [{"policy": part["name"]} for part in named],
        },
    }


COMPOSITE = st.lists(st.one_of(LEAF, AND), min_size=1, max_size=3).map(_composite)
POLICIES = st.lists(st.one_of(LEAF, NOT, AND, DROP, COMPOSITE), min_size=1, max_size=5)
TRACES = st.lists(
    st.tuples(
        st.one_of(st.integers(0, 3), st.integers(0, 2000)),
        st.binary(min_size=16, max_size=16),
        st.integers(1, 6),
        st.integers(50, 400),
    ),
    max_size=25,
)


def _built(policies: list[dict[str, Any]], *, is_first_enough: bool) -> SamplingPolicies:
    named = [{**policy, "name": f"{index}"} for index, policy in enumerate(policies)]
    config = parse(json.dumps({"tail_sampling": {"policies": named}}))
    return build_policies(config.tail_sampling.policies, sample_on_first_match=is_first_enough)


@settings(max_examples=100, deadline=None)
@given(
    POLICIES, TRACES, st.lists(st.tuples(st.integers(0, 25), st.booleans()), max_size=5),
    st.integers(1, 4), st.booleans(),
)  # fmt: skip
def test_cuts_and_restarts_change_nothing(
    policies: list[dict[str, Any]],
    told: list[tuple[int, bytes, int, int]],
    cuts: list[tuple[int, bool]],
    partitions: int,
    is_first_enough: bool,
) -> None:
    at = list(accumulate(gap for gap, *_ in told))
    traces = [SeenTrace(trace_id, 0, 1, spans, size) for _, trace_id, spans, size in told]
    alone = _built(policies, is_first_enough=is_first_enough)
    alone.panel.allot(1, partitions, 0)
    expected = [decide(alone.panel, trace, when) for trace, when in zip(traces, at, strict=True)]
    standing = _built(policies, is_first_enough=is_first_enough)
    standing.panel.allot(1, partitions, 0)
    found: list[Verdict] = []
    restarts = {cut for cut, is_restart in cuts if is_restart}
    for first, last in pairwise(sorted({0, len(traces), *(cut for cut, _ in cuts)})):
        if first in restarts:
            states = json.loads(json.dumps(standing.panel.state()))
            standing = _built(policies, is_first_enough=is_first_enough)
            standing.panel.load(states)
        found += standing.decide(traces[first:last], at[first:last])
    assert found == expected
    assert standing.panel.state() == alone.panel.state()


@given(POLICIES, POLICIES, TRACES)
def test_the_state_of_other_policies_does_no_harm(
    before: list[dict[str, Any]],
    after: list[dict[str, Any]],
    told: list[tuple[int, bytes, int, int]],
) -> None:
    at = list(accumulate(gap for gap, *_ in told))
    traces = [SeenTrace(trace_id, 0, 1, spans, size) for _, trace_id, spans, size in told]
    old, new = (_built(policies, is_first_enough=False) for policies in (before, after))
    old.decide(traces, at)
    new.panel.load(json.loads(json.dumps(old.panel.state())))
    assert len(new.decide(traces, [when + 5000 for when in at])) == len(traces)
    assert new.panel.state().keys() == {
        seat.name for seat in new.panel.seats if seat.policy.is_stateful
    }
