"""Which rule decides, with which chance, and what samplers come to know."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tailrace.agents.sampling.chances import EVERYWHERE, NOWHERE, volume
from tailrace.agents.sampling.facts import Facts
from tailrace.agents.sampling.policies.probabilistic import fnv1a
from tailrace.agents.sampling.rules.keys import NO_VALUES, FieldValues, Keys
from tailrace.agents.sampling.rules.rules import NO_RULE, Rules, build_rules
from tailrace.agents.sampling.votes import Vote
from tailrace.schemas.config.rules import RuleConfig

S, N, D = Vote.SAMPLED, Vote.NOT_SAMPLED, Vote.DROPPED


@dataclass
class Seen:
    """A trace as rules are told of it."""

    trace_id: bytes = bytes(16)
    facts: int = 0
    keys: FieldValues = NO_VALUES
    spans: int = 1
    start: int = 0
    end: int = 0
    size: int = 0
    tenant: str = "default"


def _rules(*bodies: dict[str, Any]) -> Rules:
    """Rules, the n-th named n, whose conditions are letters: the first asked for is bit A."""
    configs = []
    for number, body in enumerate(bodies):
        conditions = [f'attributes["{letter}"] == 1' for letter in body.get("conditions", "")]
        named = {**body, "name": f"{number}", "conditions": conditions}
        configs.append(RuleConfig.model_validate(named))
    return build_rules(configs, Facts(), Keys())


def trace_ids(count: int) -> list[bytes]:
    return [fnv1a(number.to_bytes(4, "big")).to_bytes(8, "big") * 2 for number in range(count)]


A, B = 1, 2
FIRST_MATCH: dict[str, tuple[list[dict[str, Any]], int, tuple[Vote, str | None]]] = {
    "a rule that keeps": ([{"keep": True}], 0, (S, "rules/0")),
    "a rule that drops": ([{"drop": True}], 0, (D, "rules/0")),
    "a condition that is not met": ([{"conditions": "a", "keep": True}], B, (N, None)),
    "a condition that is met": ([{"conditions": "a", "keep": True}], A | B, (S, "rules/0")),
    "conditions of which one is not met": (
        [{"conditions": "ab", "keep": True}],
        B,
        (N, None),
    ),
    "conditions that are all met": ([{"conditions": "ab", "keep": True}], A | B, (S, "rules/0")),
    "the first of two that are met": ([{"keep": True}, {"drop": True}], 0, (S, "rules/0")),
    "the second if the first is not met": (
        [{"conditions": "a", "drop": True}, {"keep": True}],
        0,
        (S, "rules/1"),
    ),
    "no rule at all": ([], A, (N, None)),
    "a sampler that keeps everything": (
        [{"sampler": {"type": "deterministic"}}],
        0,
        (S, "rules/0"),
    ),
    "a sampler that keeps next to nothing, and the rules after it": (
        [{"sampler": {"type": "deterministic", "sample_rate": 1 << 60}}, {"keep": True}],
        0,
        (N, "rules/0"),
    ),
}


@pytest.mark.parametrize("case", FIRST_MATCH)
def test_the_first_rule_that_is_met_decides(case: str) -> None:
    bodies, facts, (vote, rule) = FIRST_MATCH[case]
    rules = _rules(*map(dict, bodies))
    trace = Seen(facts=facts)

    assert rules.vote(trace, 0) is vote
    assert rules.answer(trace).rule == rule


@pytest.mark.parametrize("rate", [1, 2, 3, 10, 1000])
def test_of_rate_n_the_lowest_nth_of_hashes_is_kept_and_that_is_the_chance(rate: int) -> None:
    rules = _rules({"sampler": {"type": "deterministic", "sample_rate": rate}})
    traces = [Seen(trace_id) for trace_id in trace_ids(400)]
    answers = rules.answers(traces, [0] * 400)

    kept = [answer.vote is S for answer in answers]

    assert kept == [fnv1a(t.trace_id, fnv1a(b"0")) * rate < 1 << 64 for t in traces]
    assert {answer.share for answer in answers} == {1 / rate}
    assert {volume(answer.box) for answer in answers} == {1 / rate}
    assert sum(kept) == pytest.approx(400 / rate, abs=3 * (400 / rate) ** 0.5)


def test_what_is_kept_at_a_rate_is_kept_at_every_lower_one() -> None:
    def kept(rate: int) -> set[bytes]:
        rules = _rules({"sampler": {"type": "deterministic", "sample_rate": rate}})
        traces = [Seen(trace_id) for trace_id in trace_ids(200)]
        votes = rules.votes(traces, [0] * 200)
        return {t.trace_id for t, vote in zip(traces, votes, strict=True) if vote is S}

    assert kept(2) > kept(5) > kept(20) > set()


def test_rules_of_different_names_draw_independently() -> None:
    half = {"sampler": {"type": "deterministic", "sample_rate": 2}}
    rules = _rules({"conditions": "a", **half}, half)
    ids = trace_ids(400)
    first = rules.votes([Seen(trace_id, A) for trace_id in ids], [0] * 400)
    second = rules.votes([Seen(trace_id) for trace_id in ids], [0] * 400)

    both = sum(one is two is S for one, two in zip(first, second, strict=True))

    assert both == pytest.approx(100, abs=30)


def test_the_chance_is_that_of_the_rule_that_the_trace_met() -> None:
    rules = _rules(
        {"conditions": "a", "keep": True},
        {"conditions": "b", "sampler": {"type": "deterministic", "sample_rate": 4}},
    )
    certain, drawn, unmet = Seen(b"1" * 16, A), Seen(b"2" * 16, B), Seen(b"3" * 16)
    rules.votes([certain, drawn, unmet], [0, 0, 0])

    box = rules.chance(drawn)

    assert rules.said(certain) == ("rules/0", 1.0)
    assert rules.said(drawn) == ("rules/1", 0.25)
    assert rules.chance(Seen(b"4" * 16)) is None
    assert rules.chance(certain) == EVERYWHERE
    assert rules.chance(unmet) == NOWHERE
    assert box == ((fnv1a(b"1"), 0, (1 << 62) - 1),)


EMA = {"type": "ema_dynamic", "goal_sample_rate": 5, "adjustment_interval": "2s"}
ADAPTIVE: list[dict[str, Any]] = [
    {"conditions": "a", "sampler": {**EMA, "fields": ["name"], "max_keys": 2}},
    {
        "conditions": "b",
        "sampler": {
            "type": "windowed_throughput",
            "goal_throughput_per_sec": 3,
            "lookback_frequency": "3s",
            "fields": ["kind", "name"],
            "use_trace_length": True,
        },
    },
    {"sampler": {"type": "ema_throughput", "goal_throughput_per_sec": 2, "fields": ["kind"]}},
]
TRACES = st.lists(
    st.tuples(
        st.integers(0, 900),
        st.integers(0, 3),
        st.frozensets(st.tuples(st.integers(0, 1), st.sampled_from("xyz")), max_size=2),
        st.integers(1, 30),
    ),
    max_size=80,
)


def _timed(drawn: Sequence[tuple[int, int, FieldValues, int]]) -> tuple[list[Seen], list[int]]:
    at, traces, times = 10**12, [], []
    for (step, facts, keys, spans), trace_id in zip(drawn, trace_ids(len(drawn)), strict=True):
        at += step
        traces.append(Seen(trace_id, facts, keys, spans))
        times.append(at)
    return traces, times


def _adaptive() -> Rules:
    return _rules(*map(dict, ADAPTIVE))


@settings(deadline=None)
@given(drawn=TRACES, cuts=st.lists(st.integers(0, 80), max_size=4))
def test_answers_do_not_depend_on_how_traces_were_cut_into_batches_or_when_states_were_stored(
    drawn: list[tuple[int, int, FieldValues, int]], cuts: list[int]
) -> None:
    traces, times = _timed(drawn)
    whole, parts = _adaptive(), _adaptive()
    expected = whole.answers(traces, times)

    found = []
    edges = [0, *sorted(cuts), len(traces)]
    for first, last in pairwise(edges):
        found += parts.answers(traces[first:last], times[first:last])
        state = json.loads(json.dumps(parts.state()))
        parts = _adaptive()
        parts.load(state)

    assert found == expected
    assert parts.state() == whole.state()


@settings(deadline=None)
@given(drawn=TRACES)
def test_many_traces_at_once_get_what_each_would_get_alone(
    drawn: list[tuple[int, int, FieldValues, int]],
) -> None:
    traces, times = _timed(drawn)
    alone = _adaptive()

    assert _adaptive().votes(traces, times) == [
        alone.vote(trace, at) for trace, at in zip(traces, times, strict=True)
    ]


def test_a_sampler_counts_the_traces_of_its_rule_and_no_other() -> None:
    rules = _adaptive()
    values = frozenset({(0, "x")})
    rules.votes([Seen(facts=A, keys=values, spans=7), Seen(facts=A | B, spans=2)], [0, 0])

    state = rules.state()

    assert state["0"]["state"]["keys"] == ['[["x"]]', "[[]]"]
    assert state["0"]["state"]["counts"] == [7, 2]
    assert state["1"]["state"]["keys"] == state["2"]["state"]["keys"] == []


def test_the_number_of_spans_is_part_of_a_key_where_it_is_asked_for() -> None:
    rules = _adaptive()
    rules.votes([Seen(facts=B, spans=2), Seen(facts=B, spans=3)], [0, 0])
    rules.votes([Seen(spans=2), Seen(spans=3)], [0, 0])

    assert rules.state()["1"]["state"]["keys"] == ["[[],[],2]", "[[],[],3]"]
    assert rules.state()["2"]["state"]["keys"] == ["[[]]"]


def test_keys_that_are_too_many_are_counted_by_rule() -> None:
    rules = _adaptive()
    rules.votes([Seen(facts=A, keys=frozenset({(0, name)})) for name in "wxyzz"], [0] * 5)

    assert rules.overflowed == {"0": 3, "1": 0, "2": 0}


def test_parts_of_goals_reach_the_samplers() -> None:
    whole, half = _adaptive(), _adaptive()
    half.allot(1, 2, 0)
    traces = [Seen(trace_id, keys=frozenset({(0, "x")})) for trace_id in trace_ids(1000)]
    times = [index * 30 for index in range(1000)]

    shares = [rules.answers(traces, times)[-1].share for rules in (whole, half)]

    assert shares[0] == pytest.approx(2 * shares[1], rel=0.1)


def test_a_state_of_a_sampler_of_another_type_is_left_alone() -> None:
    rules = _adaptive()
    rules.votes([Seen(facts=A, spans=100)], [0])
    other = _rules(*reversed([dict(body) for body in ADAPTIVE]))

    other.load(rules.state())

    assert other.state() == _rules(*reversed([dict(body) for body in ADAPTIVE])).state()


@pytest.mark.parametrize("state", [None, [], {"0": 1}, {"0": {"type": "ema_dynamic"}}])
def test_a_state_that_is_none_of_rules_is_left_alone(state: Any) -> None:
    rules = _adaptive()

    rules.load(state)

    assert rules.state() == _adaptive().state()


def test_a_trace_that_meets_no_rule_changes_nothing() -> None:
    rules = _rules({"conditions": "a", "sampler": {**EMA}})
    before = rules.state()

    assert rules.answers([Seen(facts=B)], [0]) == [NO_RULE]
    assert rules.state() == before
