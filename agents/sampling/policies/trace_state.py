"""`trace_state`: a trace is sampled if a span has one of the values in its W3C tracestate.

A tracestate that is not valid, in whatever part, has none.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from tailrace.agents.sampling.facts import Answers, Bools, ContextField, Facts
from tailrace.agents.sampling.policies.observed import Observed
from tailrace.schemas.config.span_policies import TraceStatePolicy
from tailrace.schemas.spans import AttributeColumn, SpanBatch
from tailrace.schemas.tracestate import parse


@dataclass(frozen=True, slots=True)
class HasTraceState:
    """The member `key` of the span's tracestate is one of `values`, which are sorted."""

    key: str
    values: tuple[str, ...]

    attributes: ClassVar[tuple[AttributeColumn, ...]] = ()
    context: ClassVar[tuple[ContextField, ...]] = ("trace_state",)

    def holds(self, batch: SpanBatch, answers: Answers) -> Bools:  # as every fact
        texts, which = np.unique(batch.trace_state, return_inverse=True)
        strings = batch.strings
        true = np.array([self._is_in(strings[text]) for text in texts.tolist()], np.bool_)
        found: Bools = true[which]
        return found

    def _is_in(self, text: str) -> bool:
        if self.key not in text:
            return False
        members = parse(text)
        return members is not None and dict(members).get(self.key) in self.values


def build(config: TraceStatePolicy, facts: Facts) -> Observed:
    body = config.trace_state
    values = tuple(sorted({value for value in body.values if value and body.fits(value)}))
    return Observed(facts.bit(HasTraceState(body.key, values)))
