"""`always_sample`: every trace is sampled."""

from collections.abc import Sequence
from dataclasses import dataclass

from tailrace.agents.sampling.facts import Facts, Trace
from tailrace.agents.sampling.votes import SAMPLED, Certain, Vote
from tailrace.schemas.config.trace_policies import AlwaysSamplePolicy


@dataclass(frozen=True, slots=True)
class Always(Certain):
    """Samples."""

    def vote(self, trace: Trace, at: int) -> Vote:  # every trace
        return SAMPLED

    def votes(self, traces: Sequence[Trace], at: Sequence[int]) -> list[Vote]:
        return [SAMPLED] * len(traces)


def build(config: AlwaysSamplePolicy, facts: Facts) -> Always:  # as every builder
    return Always()
