"""Lists of conditions, as the policy `ottl_condition` has them: one that is true is enough."""

from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

from tailrace.schemas.ottl.columns import Column
from tailrace.schemas.ottl.subjects import Context, Subject

ErrorMode: TypeAlias = Literal["ignore", "silent", "propagate"]


class Conditions:
    """Conditions of one context. Equal if their texts, context and error mode are."""

    texts: tuple[str, ...]
    context: Context
    error_mode: ErrorMode

    @property
    def columns(self) -> tuple[Column, ...] | None:
        """What `holds_of` must be told, if that is all that the conditions look at; else None."""
        raise NotImplementedError

    def holds(self, subject: Subject) -> bool:
        """Whether a condition is true; with the mode propagate, EvaluationError if one before it
        has no answer. Other modes go on with the next condition."""
        raise NotImplementedError

    def holds_of(self, row: Sequence[Any]) -> bool:
        """As `holds`, of a span with these values, one for each of `columns`."""
        raise NotImplementedError


def parse_conditions(
    texts: Sequence[str], context: Context, error_mode: ErrorMode = "ignore"
) -> Conditions:
    """*texts* as conditions; OttlError with every problem of every text."""
    raise NotImplementedError
