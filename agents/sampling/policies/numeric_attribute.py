"""`numeric_attribute`: a trace is sampled if an attribute of a resource or a span is within bounds.

A value that is not a whole number reads as 0. Inverted: the traces in which nothing matches.
"""

from dataclasses import dataclass

from tailrace.agents.sampling.facts import AttributeFact, Facts
from tailrace.agents.sampling.policies.observed import Observed
from tailrace.schemas.config.span_policies import INT64, NumericAttributePolicy
from tailrace.schemas.strings import AttributeValue


@dataclass(frozen=True, slots=True)
class IsBetween:
    """The value is one of the numbers from `lowest` to `highest`."""

    lowest: int
    highest: int

    def __call__(self, value: AttributeValue) -> bool:
        number = value if isinstance(value, int) and not isinstance(value, bool) else 0
        return self.lowest <= number <= self.highest


def build(config: NumericAttributePolicy, facts: Facts) -> Observed:
    body = config.numeric_attribute
    between = IsBetween(body.min_value or INT64[0], body.max_value or INT64[-1])
    return Observed(facts.bit(AttributeFact.of(body.key, between)), body.invert_match)
