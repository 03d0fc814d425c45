"""The chance that a kept trace had, against keeping many like it."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from math import sqrt
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.agents.sampling.policies import SamplingPolicies, build_policies
from tailrace.agents.sampling.votes import Verdict, Vote
from tailrace.schemas.config import parse
from tests.agents.sampling.policies.spans import SeenTrace

Policies = Sequence[dict[str, Any]]

ALL = {"name": "all", "type": "always_sample"}
BIG = {"name": "big", "type": "span_count", "span_count": {"min_spans": 5}}
LIMIT = {"name": "limit", "type": "rate_limiting", "rate_limiting": {"spans_per_second": 10}}
COMPOSITE = {
    "name": "composite",
    "type": "composite",
    "composite": {
        "max_total_spans_per_second": 10,
        "composite_sub_policy": [ALL],
        "rate_allocation": [{"policy": "all", "percent": 100}],
    },
}


def _share(name: str, percentage: float, salt: str = "") -> dict[str, Any]:
    body = {"sampling_percentage": percentage, "hash_salt": salt}
    return {"name": name, "type": "probabilistic", "probabilistic": body}


def _and(name: str, *parts: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "type": "and", "and": {"and_sub_policy": list(parts)}}


def _not(part: dict[str, Any]) -> dict[str, Any]:
    return {"name": "not", "type": "not", "not": {"not_sub_policy": part}}


def _drop(*parts: dict[str, Any]) -> dict[str, Any]:
    return {"name": "drop", "type": "drop", "drop": {"drop_sub_policy": list(parts)}}


def _built(policies: Policies, *, is_first_enough: bool = False) -> SamplingPolicies:
    config = parse(json.dumps({"tail_sampling": {"policies": policies}}))
    return build_policies(config.tail_sampling.policies, sample_on_first_match=is_first_enough)


def _many(spans: int, count: int, seed: int) -> list[SeenTrace]:
    ids = random.Random(seed)
    return [SeenTrace(ids.randbytes(16), 0, 1, spans) for _ in range(count)]


CASES: dict[str, tuple[Policies, int, float]] = {
    "one share": ([_share("a", 25)], 1, 0.25),
    "of one salt the largest share": ([_share("a", 25), _share("b", 40)], 1, 0.4),
    "two salts are two chances": ([_share("a", 25), _share("b", 40, "x")], 1, 0.55),
    "a share that does not apply does not count": (
        [_share("a", 25), _and("b", BIG, _share("b", 90))],
        1,
        0.25,
    ),
    "a share that applies counts": ([_share("a", 25), _and("b", BIG, _share("b", 90))], 5, 0.9),
    "two salts in one policy must both be lucky": (
        [_and("a", _share("a", 50), _share("b", 50, "x"))],
        1,
        0.25,
    ),
    "what is not in a share": ([_not(_share("a", 25))], 1, 0.75),
    "a share and what is not in it is everything": (
        [_share("a", 25), _not(_share("b", 25))],
        1,
        1.0,
    ),
    "between two shares": ([_and("a", _share("a", 50), _not(_share("b", 20)))], 1, 0.3),
    "a share of what is not dropped": ([_share("a", 80), _drop(_share("d", 50, "x"))], 1, 0.4),
    "of one salt, what is dropped is the first of what is kept": (
        [_share("a", 80), _drop(_share("d", 50))],
        1,
        0.3,
    ),
    "certain but for what is dropped": ([ALL, _drop(_share("d", 20))], 1, 0.8),
    "a drop that does not apply takes nothing": (
        [_share("a", 25), _drop(BIG, _share("d", 50, "x"))],
        1,
        0.25,
    ),
    "three salts": ([_share("a", 10), _share("b", 10, "x"), _share("c", 10, "y")], 1, 0.271),
    "certain": ([_share("a", 10), BIG], 5, 1.0),
}


@pytest.mark.parametrize("is_first_enough", [False, True])
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_of_many_traces_that_share_is_kept(
    case: tuple[Policies, int, float], is_first_enough: bool
) -> None:
    policies, spans, expected = case
    traces = _many(spans, 4000, 1)
    built = _built(policies, is_first_enough=is_first_enough)
    kept = [
        verdict
        for verdict in built.decide(traces, [0] * len(traces))
        if verdict.decision == "sampled"
    ]
    [inclusion] = {verdict.inclusion for verdict in kept}
    assert inclusion == pytest.approx(expected, abs=1e-12)
    deviation = sqrt(expected * (1 - expected) * len(traces))
    assert abs(len(kept) - expected * len(traces)) <= 4 * deviation


@pytest.mark.parametrize("is_first_enough", [False, True])
@pytest.mark.parametrize(
    ("policies", "verdict"),
    [
        pytest.param([LIMIT], ("limit", None, None), id="nobody knows"),
        pytest.param([COMPOSITE], ("composite", None, None), id="of a composite, neither"),
        pytest.param(
            [_not({**LIMIT, "rate_limiting": {}})], ("not", None, None), id="nor inverted"
        ),
        pytest.param(
            [_and("a", ALL, LIMIT)], ("a", None, None), id="with others, as long as all must agree"
        ),
        pytest.param(
            [LIMIT, _and("a", BIG, _share("b", 50))],
            ("limit", None, None),
            id="beside a share that does not apply",
        ),
        pytest.param(
            [LIMIT, _share("a", 0.0001)], ("limit", None, None), id="beside a share without luck"
        ),
    ],
)
def test_of_what_only_a_budget_kept_it_is_not_known(
    policies: Policies, verdict: tuple[str, None, None], is_first_enough: bool
) -> None:
    [found] = _built(policies, is_first_enough=is_first_enough).decide(_many(1, 1, 2), [0])
    assert found == Verdict("sampled", *verdict)


@pytest.mark.parametrize("is_first_enough", [False, True])
@pytest.mark.parametrize("last", [ALL, _share("b", 99.9999)])
def test_beside_a_budget_the_others_say_it(last: dict[str, Any], is_first_enough: bool) -> None:
    policies = _built([LIMIT, last], is_first_enough=is_first_enough)
    [found] = policies.decide(_many(1, 1, 2), [0])
    assert found.inclusion == pytest.approx(1.0, abs=2e-6)
    assert (found.probability is None) is is_first_enough


def test_what_a_budget_might_have_dropped_is_not_known() -> None:
    [found] = _built([ALL, _drop(_not(LIMIT))]).decide(_many(1, 1, 2), [0])
    assert found == Verdict("sampled", "all", 1.0, None)


def test_what_a_budget_would_not_have_dropped_is_known() -> None:
    [found] = _built([ALL, _drop(BIG, LIMIT)]).decide(_many(1, 1, 2), [0])
    assert found == Verdict("sampled", "all", 1.0, 1.0)


def test_asking_for_a_chance_spends_nothing() -> None:
    built = _built([ALL, _drop(_not(LIMIT)), {**_not(LIMIT), "name": "other"}])
    before = built.panel.state()
    [trace] = _many(1, 1, 2)
    assert built.panel.inclusion(trace, 1.0) is None
    assert built.panel.state() == before


def test_a_policy_without_an_answer_keeps_nothing() -> None:
    condition = {"error_mode": "propagate", "span": ['ParseInt("x", 10) == 1']}
    asking = {"name": "asking", "type": "ottl_condition", "ottl_condition": condition}
    built = _built([_share("a", 99.99999), _not(asking)], is_first_enough=True)
    [trace] = _many(1, 1, 2)
    trace.facts = 2  # no answer
    assert [seat.policy.vote(trace, 0) for seat in built.panel.seats] == [
        Vote.SAMPLED,
        Vote.ERROR,
    ]
    [found] = built.decide([trace], [0])
    assert found.inclusion == found.probability


def test_the_reciprocals_of_what_is_kept_estimate_what_came() -> None:
    policies = [
        _share("rest", 20),
        _and("big", BIG, _share("half", 50)),
        _and("huge", {**BIG, "span_count": {"min_spans": 8}}, _share("more", 40, "x")),
        _drop({**BIG, "span_count": {"max_spans": 1}}, _share("d", 50, "y")),
    ]
    ids = random.Random(3)
    traces = [SeenTrace(ids.randbytes(16), 0, 1, ids.randint(1, 10)) for _ in range(100_000)]
    kept = [
        verdict.inclusion
        for verdict in _built(policies).decide(traces, [0] * len(traces))
        if verdict.decision == "sampled"
    ]
    chances = [chance for chance in kept if chance is not None]
    assert len(chances) == len(kept)
    deviation = sqrt(sum((1 - chance) / chance**2 for chance in chances))
    assert abs(sum(1 / chance for chance in chances) - len(traces)) <= 4 * deviation


PERCENTAGES = st.one_of(st.integers(0, 100), st.floats(0, 100))
MIXED = st.lists(
    st.one_of(
        PERCENTAGES.map(lambda each: _share("p", each)),
        PERCENTAGES.map(lambda each: _and("a", BIG, _share("p", each))),
        st.tuples(PERCENTAGES, PERCENTAGES).map(
            lambda pair: _and("a", _share("p", pair[0]), _share("q", pair[1]))
        ),
        st.sampled_from([BIG, _and("a", BIG)]),
    ),
    max_size=5,
)


@given(MIXED, st.lists(st.binary(min_size=16, max_size=16), max_size=20), st.integers(4, 5))
def test_with_one_salt_it_is_the_probability(
    policies: list[dict[str, Any]], trace_ids: list[bytes], spans: int
) -> None:
    named = [{**policy, "name": f"{index}"} for index, policy in enumerate(policies)]
    traces = [SeenTrace(trace_id, 0, 1, spans) for trace_id in trace_ids]
    for verdict in _built(named).decide(traces, [0] * len(traces)):
        assert verdict.inclusion == verdict.probability
