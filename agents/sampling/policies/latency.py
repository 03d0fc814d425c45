"""`latency`: a trace is sampled by the time from its first start to its last end.

Times are compared in milliseconds, truncated. Without an upper bound: `threshold ≤ ms`. With one:
`threshold < ms ≤ upper`, tested after each span in order of arrival, so a trace that grew longer
later is still sampled.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from tailrace.agents.sampling.facts import EnvelopeFact, Facts, Trace
from tailrace.agents.sampling.policies.observed import Observed
from tailrace.agents.sampling.votes import NOT_SAMPLED, SAMPLED, Certain, Policy, Vote
from tailrace.schemas.config.trace_policies import LatencyPolicy
from tailrace.schemas.durations import MILLISECOND, Nanos


@dataclass(frozen=True, slots=True)
class Lasted(Certain):
    """Samples traces that lasted `shortest` or longer, in ns."""

    shortest: Nanos

    def vote(self, trace: Trace, at: int) -> Vote:
        return SAMPLED if trace.end - trace.start >= self.shortest else NOT_SAMPLED

    def votes(self, traces: Sequence[Trace], at: Sequence[int]) -> list[Vote]:
        shortest = self.shortest
        return [SAMPLED if trace.end - trace.start >= shortest else NOT_SAMPLED for trace in traces]


def build(config: LatencyPolicy, facts: Facts) -> Policy:
    lower, upper = config.latency.threshold_ms, config.latency.upper_threshold_ms
    if not upper:
        return Lasted(_shortest(lower))
    return Observed(facts.bit(EnvelopeFact(_shortest(lower + 1), _shortest(upper + 1))))


def _shortest(milliseconds: int) -> Nanos:
    """The shortest duration of *milliseconds* or more after truncation towards zero."""
    return milliseconds * MILLISECOND if milliseconds else 1 - MILLISECOND
