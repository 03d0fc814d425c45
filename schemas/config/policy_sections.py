"""What every policy's model has."""

from collections.abc import Iterable
from typing import get_args

from tailrace.schemas.config.section import Section

TYPES = (
    "always_sample",
    "latency",
    "numeric_attribute",
    "probabilistic",
    "status_code",
    "string_attribute",
    "rate_limiting",
    "bytes_limiting",
    "span_count",
    "trace_state",
    "trace_flags",
    "boolean_attribute",
    "ottl_condition",
    "not",
    "and",
    "drop",
    "composite",
)
"""Of policies, as the collector has them."""


class PolicySection(Section):
    """A policy: its name, its type, and its settings under a key named as the type.

    `name` may be left out in a policy inside another.
    """

    name: str = ""

    @property
    def is_stateful(self) -> bool:
        """Whether the collector says that its votes depend on what it was asked before."""
        return False

    @classmethod
    def _refusal(cls, key: str, known: Iterable[str]) -> str:
        if key in TYPES and key not in cls.refusals:
            return f"is the body of a policy of type {key}; this one's type is {cls.kind()}"
        return super()._refusal(key, known)

    @classmethod
    def kind(cls) -> str:
        """The `type` that selects this model."""
        return str(get_args(cls.model_fields["type"].annotation)[0])
