"""Rules among policies: what they say together, and with which chance."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.agents.sampling.panels import decide, decide_many
from tailrace.agents.sampling.policies import SamplingPolicies, build_policies
from tailrace.agents.sampling.rules.keys import Keys
from tailrace.agents.sampling.rules.rules import build_rules
from tailrace.agents.sampling.votes import NOT_KEPT, Verdict
from tailrace.schemas.config.policies import policy
from tailrace.schemas.config.rules import RuleConfig
from tests.agents.sampling.rules.test_rules import Seen, trace_ids

LOW = bytes(15) + b"\x01"
QUARTER = {"name": "quarter", "sampler": {"type": "deterministic", "sample_rate": 4}}


def _sampling(
    rules: list[dict[str, Any]], policies: list[dict[str, Any]], *, first: bool = False
) -> SamplingPolicies:
    configs = [RuleConfig.model_validate(rule) for rule in rules]
    return build_policies(
        [policy(each) for each in policies],
        lambda facts: [("rules", build_rules(configs, facts, Keys()))],
        sample_on_first_match=first,
    )


ALWAYS = {"name": "always", "type": "always_sample"}
HALF = {"name": "half", "type": "probabilistic", "probabilistic": {"sampling_percentage": 50}}
LIMIT = {"name": "limit", "type": "rate_limiting", "rate_limiting": {"spans_per_second": 10}}
DROP = {"name": "drop", "type": "drop", "drop": {"drop_sub_policy": [ALWAYS]}}
NEVER = {"name": "never", "type": "span_count", "span_count": {"min_spans": 99}}
KEEP = {"name": "all", "keep": True}
REFUSE = {"name": "none", "drop": True}

CASES: dict[str, tuple[list[dict[str, Any]], list[dict[str, Any]], Verdict]] = {
    "a rule that keeps": ([KEEP], [], Verdict("sampled", "rules/all", 1.0, 1.0)),
    "a rule that keeps before a policy that does": (
        [KEEP],
        [ALWAYS],
        Verdict("sampled", "rules/all", 1.0, 1.0),
    ),
    "a rule that drops": ([REFUSE], [ALWAYS], Verdict("dropped", "rules/none", None, None)),
    "a policy that drops what a rule keeps": (
        [KEEP],
        [DROP],
        Verdict("dropped", "drop", None, None),
    ),
    "no rule that is met, and a policy that samples": (
        [],
        [ALWAYS],
        Verdict("sampled", "always", 1.0, 1.0),
    ),
    "no rule that is met, and none that samples": ([], [NEVER], NOT_KEPT),
    "a limit that keeps what no rule does": ([], [LIMIT], Verdict("sampled", "limit", None, None)),
}


@pytest.mark.parametrize("case", CASES)
def test_rules_and_policies_make_one_verdict(case: str) -> None:
    rules, policies, verdict = CASES[case]
    trace = Seen(trace_id=LOW, spans=1)

    assert decide(_sampling(rules, policies).panel, trace, 0) == verdict
    assert _sampling(rules, policies).decide([trace], [0]) == [verdict]


def test_what_a_sampler_keeps_is_stated_with_its_share() -> None:
    traces = [Seen(trace_id=each, spans=1) for each in trace_ids(64)]
    verdicts = _sampling([QUARTER], []).decide(traces, [0] * 64)

    assert set(verdicts) == {NOT_KEPT, Verdict("sampled", "rules/quarter", 0.25, 0.25)}


@pytest.mark.parametrize("first", [False, True])
def test_the_chance_of_a_trace_that_rule_or_policy_may_keep_is_that_of_either(first: bool) -> None:
    traces = [Seen(trace_id=each, spans=1) for each in trace_ids(4000)]
    verdicts = _sampling([QUARTER], [HALF], first=first).decide(traces, [0] * 4000)
    kept = [verdict for verdict in verdicts if verdict.decision == "sampled"]

    assert {verdict.inclusion for verdict in kept} == {1 - 0.75 * 0.5}
    assert {verdict.policy for verdict in kept} == {"rules/quarter", "half"}
    assert len(kept) / 0.625 == pytest.approx(4000, rel=0.05)


EMA = {"name": "ema", "sampler": {"type": "ema_dynamic", "adjustment_interval": "1s"}}


@given(
    steps=st.lists(st.tuples(st.integers(0, 400), st.integers(1, 20)), max_size=50),
    policies=st.lists(st.sampled_from([HALF, LIMIT, NEVER]), unique_by=lambda each: each["name"]),
    first=st.booleans(),
)
def test_many_traces_at_once_get_the_verdicts_that_each_would_get_alone(
    steps: list[tuple[int, int]], policies: list[dict[str, Any]], first: bool
) -> None:
    at, times, traces = 0, [], []
    for (step, spans), trace_id in zip(steps, trace_ids(len(steps)), strict=True):
        at += step
        times.append(at)
        traces.append(Seen(trace_id=trace_id, spans=spans))
    many, alone = (_sampling([EMA], policies, first=first).panel for _ in range(2))

    assert decide_many(many, traces, times) == [
        decide(alone, trace, now) for trace, now in zip(traces, times, strict=True)
    ]
    assert many.state() == alone.state()


def test_a_trace_that_a_policy_drops_is_not_counted_by_a_sampler() -> None:
    panel = _sampling([EMA], [DROP]).panel
    before = panel.state()
    decide_many(panel, [Seen(trace_id=LOW, spans=1)], [0])

    assert panel.state() == before
    assert list(before["rules"]) == ["ema"]


def test_a_goal_of_the_cluster_is_a_budget_of_the_panel() -> None:
    goal = {"name": "rest", "sampler": {"type": "ema_throughput"}}
    panel = _sampling([goal, EMA], [LIMIT]).panel
    decide_many(panel, [Seen(trace_id=LOW, spans=7)], [0])

    assert list(panel.budgets) == ["rules/rest", "limit"]
    assert panel.budgets["rules/rest"].asked == 7


def test_a_rule_drops_what_the_first_policy_that_matches_would_keep() -> None:
    verdict = Verdict("dropped", "rules/none", None, None)

    assert _sampling([REFUSE], [ALWAYS], first=True).decide([Seen(LOW)], [0]) == [verdict]


@pytest.mark.parametrize("first", [False, True])
def test_what_only_a_rule_keeps_has_the_chance_of_the_rule(first: bool) -> None:
    traces = [Seen(trace_id=each) for each in trace_ids(64)]
    verdicts = _sampling([QUARTER], [], first=first).decide(traces, [0] * 64)

    assert {each.inclusion for each in verdicts if each.policy is not None} == {0.25}
