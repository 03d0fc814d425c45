"""What many policies are: a trace in which a fact was observed, or was not, is sampled."""

from collections.abc import Sequence
from dataclasses import dataclass

from tailrace.agents.sampling.facts import Trace
from tailrace.agents.sampling.votes import NOT_SAMPLED, SAMPLED, Certain, Vote


@dataclass(frozen=True, slots=True)
class Observed(Certain):
    """Samples traces that have one of the bits of `facts`; inverted, those that have none."""

    facts: int
    is_inverted: bool = False

    def vote(self, trace: Trace, at: int) -> Vote:
        return SAMPLED if bool(trace.facts & self.facts) is not self.is_inverted else NOT_SAMPLED

    def votes(self, traces: Sequence[Trace], at: Sequence[int]) -> list[Vote]:
        facts = self.facts
        seen, unseen = (NOT_SAMPLED, SAMPLED) if self.is_inverted else (SAMPLED, NOT_SAMPLED)
        return [seen if trace.facts & facts else unseen for trace in traces]
