"""`drop`: a trace that every policy in it samples is dropped; with none in it, every trace.

A trace for which one of them is an error is not dropped.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tailrace.agents.sampling.facts import Facts, Trace
from tailrace.agents.sampling.policies.conjunction import Conjunction
from tailrace.agents.sampling.votes import DROPPED, SAMPLED, Policy, Vote
from tailrace.schemas.config.policies import DropPolicy, PolicyConfig


class Drop(Conjunction):
    """Drops what all `parts` sample."""

    may_drop = True

    def vote(self, trace: Trace, at: int) -> Vote:
        vote = super().vote(trace, at)
        return DROPPED if vote is SAMPLED else vote

    def votes(self, traces: Sequence[Trace], at: Sequence[int]) -> list[Vote]:
        votes = super().votes(traces, at)
        return [DROPPED if vote is SAMPLED else vote for vote in votes]


def builder(
    build_part: Callable[[PolicyConfig, Facts], Policy],
) -> Callable[[DropPolicy, Facts], Drop]:
    """What builds a drop, given what builds its parts."""

    def build(config: DropPolicy, facts: Facts) -> Drop:
        return Drop([build_part(part, facts) for part in config.drop.drop_sub_policy])

    return build
