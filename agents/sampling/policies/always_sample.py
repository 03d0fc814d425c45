"""`always_sample`: every trace is sampled."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from tailrace.agents.sampling.facts import Facts, Trace
from tailrace.agents.sampling.votes import SAMPLED, Vote
from tailrace.schemas.config.policies import AlwaysSamplePolicy


@dataclass(frozen=True, slots=True)
class Always:
    """Samples."""

    share: ClassVar[float] = 1.0
    may_drop: ClassVar[bool] = False

    def vote(self, trace: Trace) -> Vote:  # every trace
        return SAMPLED

    def votes(self, traces: Sequence[Trace]) -> list[Vote]:
        return [SAMPLED] * len(traces)


def build(config: AlwaysSamplePolicy, facts: Facts) -> Always:  # as every builder
    return Always()
