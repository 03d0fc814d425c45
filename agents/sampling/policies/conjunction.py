"""`and`: a trace that every policy in it samples is sampled; with none in it, every trace.

Parts are asked in order, and of a trace that one does not sample none after it: what those spend is
not spent on it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tailrace.agents.sampling.budgets import Budget, numbered
from tailrace.agents.sampling.chances import EVERYWHERE, NOWHERE, Box, box, volume
from tailrace.agents.sampling.facts import Facts, Trace
from tailrace.agents.sampling.votes import SAMPLED, Policy, Vote
from tailrace.schemas.config.policies import AndPolicy, PolicyConfig


class Conjunction:
    """Samples what all `parts` sample; an error of one that is asked is its own."""

    may_drop = False

    def __init__(self, parts: Sequence[Policy]) -> None:
        self.parts = tuple(parts)
        self.is_stateful = any(part.is_stateful for part in self.parts)
        self.box = _common([part.box for part in self.parts])
        self.share = None if self.box is None else volume(self.box)

    def vote(self, trace: Trace, at: int) -> Vote:
        for part in self.parts:
            vote = part.vote(trace, at)
            if vote is not SAMPLED:
                return vote
        return SAMPLED

    def votes(self, traces: Sequence[Trace], at: Sequence[int]) -> list[Vote]:
        result = [SAMPLED] * len(traces)
        sampled: Sequence[int] = range(len(traces))
        for part in self.parts:
            votes = part.votes(
                [traces[index] for index in sampled], [at[index] for index in sampled]
            )
            still = []
            for index, vote in zip(sampled, votes, strict=True):
                result[index] = vote
                if vote is SAMPLED:
                    still.append(index)
            sampled = still
        return result

    def chance(self, trace: Trace) -> Box | None:
        return _common([part.chance(trace) for part in self.parts])

    def budgets(self) -> dict[str, Budget]:
        return numbered([part.budgets() for part in self.parts])

    def allot(self, numerator: int, denominator: int, at: int) -> None:
        for part in self.parts:
            part.allot(numerator, denominator, at)

    def state(self) -> Any:
        return {"parts": [part.state() for part in self.parts]}

    def load(self, state: Any) -> None:
        owns = state.get("parts", ()) if isinstance(state, dict) else ()
        if len(owns) == len(self.parts):
            for part, own in zip(self.parts, owns, strict=True):
                part.load(own)


def _common(boxes: Sequence[Box | None]) -> Box | None:
    """Return the draws that are in all of *boxes*; None if that is not known."""
    if NOWHERE in boxes:
        return NOWHERE
    if None in boxes:
        return None
    return box(interval for each in boxes for interval in each or EVERYWHERE)


def builder(
    build_part: Callable[[PolicyConfig, Facts], Policy],
) -> Callable[[AndPolicy, Facts], Conjunction]:
    """What builds a conjunction, given what builds its parts."""

    def build(config: AndPolicy, facts: Facts) -> Conjunction:
        return Conjunction([build_part(part, facts) for part in config.and_.and_sub_policy])

    return build
