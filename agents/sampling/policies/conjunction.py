"""`and`: a trace that every policy in it samples is sampled; with none in it, every trace."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import ClassVar

from tailrace.agents.sampling.facts import Facts, Trace
from tailrace.agents.sampling.policies.probabilistic import Probabilistic
from tailrace.agents.sampling.votes import SAMPLED, Policy, Vote
from tailrace.schemas.config.policies import AndPolicy, PolicyConfig


@dataclass(frozen=True, slots=True)
class Conjunction:
    """Samples what all `parts` sample; an error of one that is asked is its own."""

    parts: tuple[Policy, ...]
    share: float | None

    may_drop: ClassVar[bool] = False

    def vote(self, trace: Trace) -> Vote:
        for part in self.parts:
            vote = part.vote(trace)
            if vote is not SAMPLED:
                return vote
        return SAMPLED

    def votes(self, traces: Sequence[Trace]) -> list[Vote]:
        result = [SAMPLED] * len(traces)
        sampled: Sequence[int] = range(len(traces))
        for part in self.parts:
            votes = part.votes([traces[index] for index in sampled])
            still = []
            for index, vote in zip(sampled, votes, strict=True):
                result[index] = vote
                if vote is SAMPLED:
                    still.append(index)
            sampled = still
        return result


def builder(
    build_part: Callable[[PolicyConfig, Facts], Policy],
) -> Callable[[AndPolicy, Facts], Conjunction]:
    """What builds a conjunction, given what builds its parts."""

    def build(config: AndPolicy, facts: Facts) -> Conjunction:
        parts = tuple(build_part(part, facts) for part in config.and_.and_sub_policy)
        return Conjunction(parts, _share(parts))

    return build


def _share(parts: Sequence[Policy]) -> float | None:
    """Hashes with one salt are one draw, so its smallest share counts; salts are independent."""
    draws: dict[int, float] = {}
    others: list[float] = []
    for part in parts:
        if part.share is None:
            return None
        if isinstance(part, Probabilistic):
            draws[part.salted] = min(part.share, draws.get(part.salted, 1.0))
        else:
            others.append(part.share)
    return prod((*draws.values(), *others))
