"""From votes to one verdict: precedence, the policy named, the probability."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.agents.sampling.chances import NOWHERE, Box, box
from tailrace.agents.sampling.facts import Trace
from tailrace.agents.sampling.panels import Panel, decide, decide_many
from tailrace.agents.sampling.policies import build_policies
from tailrace.agents.sampling.votes import Stateless, Verdict, Vote
from tailrace.schemas.config import load
from tests.agents.sampling.policies.spans import SeenTrace

S, N, D, E = Vote.SAMPLED, Vote.NOT_SAMPLED, Vote.DROPPED, Vote.ERROR


@dataclass(frozen=True)
class Scripted(Stateless):
    """Votes by the number in the trace's last byte."""

    script: Sequence[Vote]
    share: float | None = 1.0

    @property
    def may_drop(self) -> bool:  # type: ignore[override]  # one for each here
        return D in self.script

    @property
    def box(self) -> Box | None:
        return None if self.share is None else box([(1, 0, round(self.share * 2**64) - 1)])

    def chance(self, trace: Trace) -> Box | None:
        return self.box if self.vote(trace, 0) in (S, D) else NOWHERE

    def vote(self, trace: Trace, at: int) -> Vote:
        return self.script[trace.trace_id[-1]]

    def votes(self, traces: Sequence[Trace], at: Sequence[int]) -> list[Vote]:
        return [self.vote(trace, 0) for trace in traces]


def _trace(number: int) -> SeenTrace:
    return SeenTrace(bytes(15) + bytes([number]))


Votes = list[tuple[Vote, float | None]]
CASES: dict[str, tuple[Votes, Verdict]] = {
    "nobody votes": ([], Verdict("not_sampled", None, None, None)),
    "nobody samples": ([(N, 1.0), (N, 0.1)], Verdict("not_sampled", None, None, None)),
    "any policy that samples is enough": ([(N, 1.0), (S, 1.0)], Verdict("sampled", "1", 1.0, 1.0)),
    "the first that samples is named": ([(S, 1.0), (S, 1.0)], Verdict("sampled", "0", 1.0, 1.0)),
    "the first is named though a later one is certain": (
        [(S, 0.1), (S, 1.0)],
        Verdict("sampled", "0", 1.0, 1.0),
    ),
    "a share is the probability": ([(N, 1.0), (S, 0.1)], Verdict("sampled", "1", 0.1, 0.1)),
    "the largest share of those that sampled counts": (
        [(S, 0.1), (S, 0.5), (N, 0.9)],
        Verdict("sampled", "0", 0.5, 0.5),
    ),
    "without a share there is no probability": ([(S, None)], Verdict("sampled", "0", None, None)),
    "a share beats none": ([(S, None), (S, 0.1)], Verdict("sampled", "0", 0.1, 0.1)),
    "certainty beats no share": ([(S, None), (S, 1.0)], Verdict("sampled", "0", 1.0, 1.0)),
    "a drop beats what sampled before it": (
        [(S, 1.0), (D, 1.0)],
        Verdict("dropped", "1", None, None),
    ),
    "the first that drops is named": ([(D, 1.0), (D, 1.0)], Verdict("dropped", "0", None, None)),
    "an error is no vote": ([(E, 1.0), (S, 0.1)], Verdict("sampled", "1", 0.1, 0.1)),
    "errors alone sample nothing": ([(E, 1.0)], Verdict("not_sampled", None, None, None)),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_precedence(case: tuple[Votes, Verdict]) -> None:
    votes, expected = case
    panel = Panel(
        (f"{index}", Scripted([vote], share)) for index, (vote, share) in enumerate(votes)
    )
    assert decide(panel, _trace(0), 0) == expected
    assert decide_many(panel, [_trace(0)] * 2, [0, 0]) == [expected] * 2


SHARES = st.sampled_from([None, 0.1, 0.5, 1.0])
SCRIPTS = st.one_of(
    st.lists(st.sampled_from([S, N, E]), min_size=6, max_size=6),
    st.lists(st.sampled_from([D, N, E]), min_size=6, max_size=6),
)


@given(
    st.lists(st.tuples(SCRIPTS, SHARES), max_size=5),
    st.lists(st.integers(0, 5), max_size=12),
    st.booleans(),
)
def test_many_are_decided_as_each_alone(
    policies: list[tuple[list[Vote], float | None]], numbers: list[int], is_first_enough: bool
) -> None:
    many, alone = (
        Panel(
            [
                (f"{index}", Scripted(script, share))
                for index, (script, share) in enumerate(policies)
            ],
            sample_on_first_match=is_first_enough,
        )
        for _ in range(2)
    )
    traces = [_trace(number) for number in numbers]
    assert decide_many(many, traces, [0] * len(traces)) == [
        decide(alone, trace, 0) for trace in traces
    ]
    assert many.errors == alone.errors


def test_errors_are_counted_of_what_is_asked() -> None:
    named = {"d": [E, D, N], "e": [E, E, S], "f": [S, S, E], "g": [E, E, E]}
    panel = Panel((name, Scripted(script)) for name, script in named.items())
    decide_many(panel, [_trace(number) for number in (0, 1, 2)], [0] * 3)
    assert panel.errors == {"d": 1, "e": 1}


def test_the_first_match_is_enough_where_that_is_said() -> None:
    policies = [("d", Scripted([N, D])), ("a", Scripted([S, S], 0.5)), ("b", Scripted([S, S]))]
    panel = Panel(policies, sample_on_first_match=True)
    assert decide_many(panel, [_trace(0), _trace(1)], [0, 0]) == [
        Verdict("sampled", "a", 0.5, 1.0),
        Verdict("dropped", "d", None, None),
    ]


def test_verdicts_are_shared() -> None:
    panel = Panel([("p", Scripted([S]))])
    assert decide(panel, _trace(0), 0) is decide_many(panel, [_trace(0)], [0])[0]


MS = 1_000_000
DEFAULTS: dict[str, tuple[dict[str, Any], Verdict]] = {
    "an error is kept": (
        {"facts": 1, "start": 0, "end": 1},
        Verdict("sampled", "errors", 1.0, 1.0),
    ),
    "a trace of 1 s is kept": (
        {"start": 0, "end": 1000 * MS},
        Verdict("sampled", "slow", 1.0, 1.0),
    ),
    "some of the rest is kept": (
        {"trace_id": bytes([10]) + bytes(15), "start": 0, "end": 1},
        Verdict("sampled", "rest", 0.1, 0.1),
    ),
    "most of the rest is not": (
        {"trace_id": bytes(16), "start": 0, "end": 1},
        Verdict("not_sampled", None, None, None),
    ),
}


@pytest.mark.parametrize("case", DEFAULTS.values(), ids=DEFAULTS)
def test_without_a_config(case: tuple[dict[str, Any], Verdict]) -> None:
    trace, expected = case
    policies = build_policies(load(None).tail_sampling.policies)
    assert policies.decide([SeenTrace(**trace)], [0]) == [expected]
