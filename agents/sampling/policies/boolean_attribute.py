"""`boolean_attribute`: a trace is sampled if an attribute of a resource or a span has the value.

A value that is not true reads as false, whatever its type. Inverted: the traces in which nothing
matches.
"""

from dataclasses import dataclass

from tailrace.agents.sampling.facts import AttributeFact, Facts
from tailrace.agents.sampling.policies.observed import Observed
from tailrace.schemas.config.span_policies import BooleanAttributePolicy
from tailrace.schemas.strings import AttributeValue


@dataclass(frozen=True, slots=True)
class Is:
    """The value is true, or is not."""

    wanted: bool

    def __call__(self, value: AttributeValue) -> bool:
        return (value is True) is self.wanted


def build(config: BooleanAttributePolicy, facts: Facts) -> Observed:
    body = config.boolean_attribute
    return Observed(facts.bit(AttributeFact.of(body.key, Is(body.value))), body.invert_match)
