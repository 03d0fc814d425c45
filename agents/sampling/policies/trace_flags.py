"""`trace_flags`: a trace is sampled if the W3C trace flags of one of its spans say "sampled"."""

from dataclasses import dataclass
from typing import ClassVar

from tailrace.agents.sampling.facts import Answers, Bools, ContextField, Facts
from tailrace.agents.sampling.policies.observed import Observed
from tailrace.schemas.config.span_policies import TraceFlagsPolicy
from tailrace.schemas.spans import AttributeColumn, SpanBatch

_SAMPLED = 1


@dataclass(frozen=True, slots=True)
class HasSampledFlag:
    """The lowest bit of the span's flags is set."""

    attributes: ClassVar[tuple[AttributeColumn, ...]] = ()
    context: ClassVar[tuple[ContextField, ...]] = ("flags",)

    def holds(self, batch: SpanBatch, answers: Answers) -> Bools:  # as every fact
        return (batch.flags & _SAMPLED).astype("bool")


def build(config: TraceFlagsPolicy, facts: Facts) -> Observed:  # as every builder
    return Observed(facts.bit(HasSampledFlag()))
