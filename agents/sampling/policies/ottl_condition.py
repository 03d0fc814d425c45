"""`ottl_condition`: a trace is sampled if a condition is true of one of its spans or their events.

With the error mode `propagate`, the first span in order of arrival of which one is true, or has no
answer, decides: without an answer that is an error. In other modes what has no answer is not true,
and traces with such spans are counted.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from tailrace.agents.sampling.facts import Answers, Bools, ContextField, Facts, Trace
from tailrace.agents.sampling.ottl_facts import PolicyFact
from tailrace.agents.sampling.policies.observed import Observed
from tailrace.agents.sampling.votes import ERROR, NOT_SAMPLED, SAMPLED, Certain, Policy, Vote
from tailrace.schemas.config.span_policies import OttlConditionPolicy
from tailrace.schemas.ottl import Conditions, parse_conditions
from tailrace.schemas.ottl.subjects import Context
from tailrace.schemas.spans import AttributeColumn, SpanBatch


@dataclass(frozen=True, slots=True)
class Says:
    """The span says yes to what is `asked`; or, with `has_none`, has no answer."""

    asked: PolicyFact
    has_none: bool = False

    context: ClassVar[tuple[ContextField, ...]] = ()

    @property
    def attributes(self) -> tuple[AttributeColumn, ...]:
        return self.asked.attributes

    def holds(self, batch: SpanBatch, answers: Answers) -> Bools:
        return self.asked.answers(batch, answers)[self.has_none]


@dataclass(frozen=True, slots=True)
class Answered(Certain):
    """Samples traces with the bit `yes`; one with the bit `unknown` is an error."""

    yes: int
    unknown: int

    def vote(self, trace: Trace, at: int) -> Vote:
        facts = trace.facts
        return SAMPLED if facts & self.yes else ERROR if facts & self.unknown else NOT_SAMPLED

    def votes(self, traces: Sequence[Trace], at: Sequence[int]) -> list[Vote]:
        return [self.vote(trace, 0) for trace in traces]


def build(config: OttlConditionPolicy, facts: Facts) -> Policy:
    body = config.ottl_condition

    def read(context: Context, texts: tuple[str, ...]) -> Conditions | None:
        return parse_conditions(texts, context, body.error_mode) if texts else None

    asked = PolicyFact(read("span", body.span), read("spanevent", body.spanevent))
    if body.error_mode != "propagate":
        facts.count(config.name, facts.bit(Says(asked, has_none=True)))
        return Observed(facts.bit(Says(asked)))
    return Answered(*facts.pair(asked))
