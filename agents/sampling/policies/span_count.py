"""`span_count`: a trace is sampled by how many spans it has when it is decided."""

from collections.abc import Sequence
from dataclasses import dataclass

from tailrace.agents.sampling.facts import Facts, Trace
from tailrace.agents.sampling.votes import NOT_SAMPLED, SAMPLED, Certain, Vote
from tailrace.schemas.config.trace_policies import SpanCountPolicy

_NO_BOUND = 1 << 63


@dataclass(frozen=True, slots=True)
class Counted(Certain):
    """Samples traces of `least` to `most` spans."""

    least: int
    most: int

    def vote(self, trace: Trace, at: int) -> Vote:
        return SAMPLED if self.least <= trace.spans <= self.most else NOT_SAMPLED

    def votes(self, traces: Sequence[Trace], at: Sequence[int]) -> list[Vote]:
        least, most = self.least, self.most
        return [SAMPLED if least <= trace.spans <= most else NOT_SAMPLED for trace in traces]


def build(config: SpanCountPolicy, facts: Facts) -> Counted:
    return Counted(config.span_count.min_spans, config.span_count.max_spans or _NO_BOUND)
