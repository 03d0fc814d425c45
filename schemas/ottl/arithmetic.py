"""Sums and products: of numbers, and of times and durations what makes sense."""

from collections.abc import Callable
from typing import Any, Final

from tailrace.schemas.ottl.problems import EvaluationError
from tailrace.schemas.ottl.values import (
    MAX_INT,
    MIN_INT,
    Duration,
    Moment,
    kind_of,
    wrapped,
)

Numbers = int | float


def _quotient(left: Numbers, right: Numbers) -> Numbers:
    if right == 0:
        raise EvaluationError("it divides by 0")
    if isinstance(left, float) or isinstance(right, float):
        return left / right
    quotient = abs(left) // abs(right)  # Go cuts towards zero
    return quotient if (left < 0) is (right < 0) else -quotient


_OF_NUMBERS: Final[dict[str, Callable[[Any, Any], Numbers]]] = {
    "+": lambda left, right: left + right,
    "-": lambda left, right: left - right,
    "*": lambda left, right: left * right,
    "/": _quotient,
}
_NUMBERS: Final = frozenset({int, float})


def calculate(left: Any, operator: str, right: Any) -> Any:
    """The result; EvaluationError if the operator is not for such values."""
    kind, other = type(left), type(right)
    if kind in _NUMBERS and other in _NUMBERS:
        if kind is int and other is int:
            return wrapped(int(_OF_NUMBERS[operator](left, right)))
        return _OF_NUMBERS[operator](float(left), float(right))
    if kind is Moment and other is Duration and operator in "+-":
        moved = right.nanos if operator == "+" else -right.nanos
        return Moment(left.nanos + moved, left.offset_s)
    if kind is Moment and other is Moment and operator == "-":
        return Duration(min(max(left.nanos - right.nanos, MIN_INT), MAX_INT))
    if kind is Duration and other is Duration and operator in "+-":
        return Duration(wrapped(int(_OF_NUMBERS[operator](left.nanos, right.nanos))))
    if kind is Duration and other is Moment and operator == "+":
        return Moment(left.nanos + right.nanos, right.offset_s)
    raise EvaluationError(f"{kind_of(left)} {operator} {kind_of(right)} is not defined")


def negated(value: Any) -> Numbers:
    """-*value*; EvaluationError if it is not a number."""
    if type(value) is int:
        return wrapped(-value)
    if type(value) is float:
        return -value
    raise EvaluationError(f"- {kind_of(value)} is not defined")
