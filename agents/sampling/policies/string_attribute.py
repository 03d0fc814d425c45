"""`string_attribute`: a trace is sampled if an attribute of a resource or a span matches.

Exactly, or by RE2 expressions that may match anywhere in the text. A value that is not text reads
as "": on a resource "" can match an expression, on a span it is passed over; as an exact value it
never matches. Inverted: the traces in which nothing matches.
"""

from dataclasses import dataclass

from tailrace.agents.sampling.facts import AttributeFact, Facts
from tailrace.agents.sampling.policies.observed import Observed
from tailrace.schemas.config.scalars import regex
from tailrace.schemas.config.span_policies import StringAttributePolicy
from tailrace.schemas.spans import AttributeColumn
from tailrace.schemas.strings import AttributeValue


@dataclass(frozen=True, slots=True)
class IsOneOf:
    """The value is one of `texts`, which are sorted and not empty."""

    texts: tuple[str, ...]

    def __call__(self, value: AttributeValue) -> bool:
        return isinstance(value, str) and value in self.texts


@dataclass(frozen=True, slots=True)
class Matches:
    """One of the `expressions`, which are sorted, matches somewhere in the value."""

    expressions: tuple[str, ...]
    takes_empty: bool

    def __call__(self, value: AttributeValue) -> bool:
        text = value if isinstance(value, str) else ""
        if not text and not self.takes_empty:
            return False
        return any(regex(expression).search(text) for expression in self.expressions)


def build(config: StringAttributePolicy, facts: Facts) -> Observed:
    body = config.string_attribute
    resource, span = AttributeColumn("resource", body.key), AttributeColumn("span", body.key)
    texts = tuple(sorted(set(body.values)))
    if body.enabled_regex_matching:
        fact = AttributeFact(
            (
                (resource, Matches(texts, takes_empty=True)),
                (span, Matches(texts, takes_empty=False)),
            )
        )
    else:
        exact = IsOneOf(tuple(filter(None, texts)))
        fact = AttributeFact(((resource, exact), (span, exact)))
    return Observed(facts.bit(fact), body.invert_match)
