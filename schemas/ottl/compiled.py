"""Parts of a condition that can be evaluated."""

from collections.abc import Callable
from typing import Any, Final, NamedTuple, TypeAlias

Getter: TypeAlias = Callable[[Any], Any]
"""From what a condition is asked about to a value, or EvaluationError."""

NOT_CONSTANT: Final = object()


class Compiled(NamedTuple):
    """A part, and its value if that is written out and so always the same."""

    get: Getter
    constant: Any = NOT_CONSTANT

    @property
    def is_constant(self) -> bool:
        return self.constant is not NOT_CONSTANT


def constant(value: Any) -> Compiled:
    """*value*, always."""
    return Compiled(lambda at: value, value)


class Key(NamedTuple):
    """What indexes a value: a text or an integer that is written out, or what an expression gives.

    An integer that is written out indexes no map, a text no list.
    """

    is_expression: bool
    get: Getter
