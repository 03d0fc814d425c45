"""Comparisons: values of different types are different, and neither is less.

Only integers and doubles compare with each other, as doubles. Nil is equal to nil alone. A list or
map has no order.
"""

from collections.abc import Callable
from operator import eq, ge, gt, le, lt, ne
from typing import Any, Final

from tailrace.schemas.ottl.values import Duration, Moment, Texts, Written, as_bytes

Operator = Callable[[Any, Any], bool]

OPERATORS: Final[dict[str, Operator]] = {
    "==": eq,
    "!=": ne,
    "<": lt,
    "<=": le,
    ">": gt,
    ">=": ge,
}
_NUMBERS: Final = frozenset({int, float})
_LISTS: Final = frozenset({list, Written})


def compare(left: Any, right: Any, operator: Operator) -> bool:
    """Whether *left* stands in the relation *operator* to *right*."""
    kind, other = type(left), type(right)
    if kind is not other:
        if kind in _NUMBERS and other in _NUMBERS:
            return operator(float(left), float(right))
        if kind in _LISTS and other in _LISTS and operator in (eq, ne):
            return same(left, right) is (operator is eq)
        return operator is ne
    if kind in _ORDERED:
        return operator(left, right)
    if kind is str:
        if operator in (eq, ne):
            return operator(left, right)
        return operator(as_bytes(left), as_bytes(right))
    if kind is type(None):
        return operator in (eq, le, ge)
    if kind is Moment or kind is Duration:
        return operator(left.nanos, right.nanos)
    if operator is eq or operator is ne:
        return same(left, right) is (operator is eq)
    return False


_ORDERED: Final = frozenset({bool, int, float, bytes})


def same(left: Any, right: Any) -> bool:
    """Whether two values are of one type and equal, with all that is in them."""
    kind, other = type(left), type(right)
    if kind in _LISTS and other in _LISTS:
        if kind is not other and dict in (*map(type, left), *map(type, right)):
            return False
        return len(left) == len(right) and all(map(same, left, right))
    if kind is not other or kind is Texts:
        return False
    if kind is dict:
        return left.keys() == right.keys() and all(
            same(value, right[key]) for key, value in left.items()
        )
    return bool(left == right)
