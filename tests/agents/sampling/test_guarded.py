"""Policies with a defect: what it touches is an error, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.agents.sampling.facts import Facts, Trace
from tailrace.agents.sampling.judge import Judge
from tailrace.agents.sampling.panels import Panel, decide, decide_many
from tailrace.agents.sampling.policies import SamplingPolicies, build_policies
from tailrace.agents.sampling.policies.always_sample import Always
from tailrace.agents.sampling.policies.conjunction import Conjunction
from tailrace.agents.sampling.policies.drop import Drop
from tailrace.agents.sampling.policies.limited import Limited
from tailrace.agents.sampling.policies.token_buckets import TokenBucket
from tailrace.agents.sampling.rules.keys import Keys
from tailrace.agents.sampling.rules.rules import Rules, build_rules
from tailrace.agents.sampling.standing import StandingPolicies
from tailrace.agents.sampling.votes import ERROR, SAMPLED, Certain, Policy, Verdict, Vote
from tailrace.schemas.config.tail_sampling import PolicySet
from tailrace.tables.store import MemoryDisk, PartitionStore
from tests.agents.sampling.policies.spans import SeenTrace
from tests.agents.sampling.rules.test_rules import Seen


@dataclass
class Broken(Certain):
    """Samples every trace, but for those of 13 spans: these bring out its defect."""

    asked: list[int] = field(default_factory=list)

    def vote(self, trace: Trace, at: int) -> Vote:
        self.asked.append(trace.spans)
        return SAMPLED if trace.spans != 13 else [SAMPLED][trace.spans]

    def votes(self, traces: Sequence[Trace], at: Sequence[int]) -> list[Vote]:
        return [self.vote(trace, when) for trace, when in zip(traces, at, strict=True)]


def limited() -> Limited:
    return Limited(TokenBucket(5, 40), lambda trace: trace.spans)


def broken_after_a_budget() -> Policy:
    """What it samples costs first, and the defect comes then."""
    return Conjunction([limited(), Broken()])


def traces(spans: Sequence[int]) -> list[SeenTrace]:
    return [SeenTrace(number.to_bytes(16, "big"), spans=n) for number, n in enumerate(spans)]


@given(st.lists(st.sampled_from([1, 2, 5, 13, 30]), max_size=12))
def test_a_defect_is_an_error_of_that_trace_and_takes_nothing_from_a_budget(
    spans: list[int],
) -> None:
    panel = Panel([("broken", broken_after_a_budget())])
    whole = [each for each in traces(spans) if each.spans != 13]
    sound = Panel([("broken", Conjunction([limited()]))])
    times = list(range(len(spans)))
    found = decide_many(panel, traces(spans), times)
    at = [when for when, count in zip(times, spans, strict=True) if count != 13]
    expected = [each.decision for each in decide_many(sound, whole, at)]
    of_others = [each.decision for each, count in zip(found, spans, strict=True) if count != 13]
    assert of_others == expected
    assert _level(panel) == _level(sound)
    budgeted = limited()
    tried = 0
    for trace, when in zip(traces(spans), times, strict=True):
        state = budgeted.state()
        if budgeted.vote(trace, when) is SAMPLED and trace.spans == 13:
            budgeted.load(state)
            tried += 1
    assert panel.errors == ({"broken": tried} if tried else {})


def _level(panel: Panel) -> Any:
    """What is left of the budget, brought to one time."""
    [seat] = panel.seats
    [bucket] = [part.bucket for part in seat.policy.parts if isinstance(part, Limited)]  # type: ignore[attr-defined]
    return bucket.take(0, 10**6) and bucket.state()["level"]


@pytest.mark.parametrize("is_alone", [True, False], ids=["one at a time", "many at once"])
def test_the_next_policy_goes_on_where_one_has_a_defect(is_alone: bool) -> None:
    panel = Panel([("broken", Broken()), ("all", Always())])
    seen = traces([1, 13, 2])
    if is_alone:
        verdicts = [decide(panel, trace, 0) for trace in seen]
    else:
        verdicts = decide_many(panel, seen, [0] * 3)
    assert [each.policy for each in verdicts] == ["broken", "all", "broken"]
    assert panel.errors == {"broken": 1}


def test_a_trace_whose_key_brings_out_a_defect_is_not_counted_by_its_rule() -> None:
    rules, twin = (_rules() for _ in range(2))
    good = [Seen(trace_id=bytes(15) + bytes([n]), keys=frozenset({(0, "x")})) for n in range(3)]
    bad = Seen(trace_id=b"b" * 16, keys=None)  # type: ignore[arg-type]
    votes = rules.votes([*good[:2], bad, good[2]], [0] * 4)
    assert votes[2] is ERROR
    assert [votes[0], votes[1], votes[3]] == twin.votes(good, [0] * 3)
    assert rules.state() == twin.state()


def _rules() -> Rules:
    sampler = {"type": "ema_dynamic", "goal_sample_rate": 2, "fields": ["name"]}
    policies = PolicySet.model_validate({"rules": [{"name": "rest", "sampler": sampler}]})
    return build_rules(policies.rules, Facts(), Keys())


def half() -> Policy:
    config = {
        "name": "half",
        "type": "probabilistic",
        "probabilistic": {"sampling_percentage": 50},
    }
    [seat] = build_policies(PolicySet.model_validate({"policies": [config]}).policies).panel.seats
    return seat.policy


BROKEN: tuple[str, Policy] = ("broken", Broken())
DROPS: tuple[str, Policy] = ("drops", Drop([Broken(), half()]))
CHANCES = {
    "of a policy that drops": ([DROPS, ("all", Always())], Verdict("sampled", "all", 1.0, 1.0)),
    "before a rate limit": ([BROKEN, ("rate", limited())], Verdict("sampled", "rate", None, None)),
    "beside one that draws": ([("half", half()), BROKEN], Verdict("sampled", "half", 0.5, 0.5)),
}


@pytest.mark.parametrize(("policies", "expected"), CHANCES.values(), ids=CHANCES)
def test_a_defect_takes_no_part_in_the_chance_of_what_others_sample(
    policies: list[tuple[str, Policy]], expected: Verdict
) -> None:
    panel = Panel(policies, sample_on_first_match=True)
    seen = (SeenTrace(bytes([number]) * 16, spans=13) for number in range(256))
    drawn = next(each for each in seen if half().vote(each, 0) is SAMPLED)
    assert decide(panel, drawn, 0) == expected
    assert decide_many(panel, [drawn], [0]) == [expected]


def test_a_message_is_kept_where_the_policy_that_drops_has_a_defect() -> None:
    panel = Panel([("drops", Drop([Broken()])), ("all", Always())], sample_on_first_match=True)
    policies = StandingPolicies(SamplingPolicies(panel, Facts()))
    judge = Judge(policies, PartitionStore(MemoryDisk()))
    [message] = traces([13])
    outcome = judge.alone(message, message, 1)
    assert outcome is not None
    assert (outcome.decision, outcome.policy) == ("sampled", "all")


def test_what_a_defect_left_of_a_chance_is_not_told_as_none_at_all() -> None:
    """One whose chance alone is broken samples a trace: nobody knows how often it would."""

    class Unsure(Always):
        share = 0.5

        def chance(self, trace: Trace) -> None:
            raise ValueError(trace)

    [trace] = traces([1])
    verdict = decide(Panel([("unsure", Unsure())]), trace, 0)
    assert verdict == Verdict("sampled", "unsure", 0.5, None)
