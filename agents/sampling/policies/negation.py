"""`not`: a trace that the policy in it does not sample is sampled; an error stays one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tailrace.agents.sampling.budgets import Budget
from tailrace.agents.sampling.chances import EVERYWHERE, NOWHERE, Box, complement, volume
from tailrace.agents.sampling.facts import Facts, Trace
from tailrace.agents.sampling.votes import ERROR, NOT_SAMPLED, SAMPLED, Policy, Vote
from tailrace.schemas.config.policies import NotPolicy, PolicyConfig

_OPPOSITE = {SAMPLED: NOT_SAMPLED, NOT_SAMPLED: SAMPLED}


class Negation:
    """Samples what `part` does not sample."""

    may_drop = False

    def __init__(self, part: Policy) -> None:
        self.part = part
        self.is_stateful = part.is_stateful
        draws = part.box not in (None, EVERYWHERE)
        self.box = complement(part.box) if part.box is not None and draws else part.box
        self.share = None if self.box is None else volume(self.box)

    def vote(self, trace: Trace, at: int) -> Vote:
        vote = self.part.vote(trace, at)
        return _OPPOSITE.get(vote, vote)

    def votes(self, traces: Sequence[Trace], at: Sequence[int]) -> list[Vote]:
        return [_OPPOSITE.get(vote, vote) for vote in self.part.votes(traces, at)]

    def chance(self, trace: Trace) -> Box | None:
        if self.is_stateful:
            return None
        if self.part.vote(trace, 0) is ERROR:
            return NOWHERE
        box = self.part.chance(trace)
        return None if box is None else complement(box)

    def budgets(self) -> Mapping[str, Budget]:
        return self.part.budgets()

    def allot(self, numerator: int, denominator: int, at: int) -> None:
        self.part.allot(numerator, denominator, at)

    def state(self) -> Any:
        return {"not": self.part.state()}

    def load(self, state: Any) -> None:
        if isinstance(state, dict):
            self.part.load(state.get("not"))


def builder(
    build_part: Callable[[PolicyConfig, Facts], Policy],
) -> Callable[[NotPolicy, Facts], Negation]:
    """What builds a negation, given what builds its part."""

    def build(config: NotPolicy, facts: Facts) -> Negation:
        return Negation(build_part(config.not_.not_sub_policy, facts))

    return build
