"""Comparisons: values of different types are different, and neither is less.

Only integers and doubles compare with each other, as doubles. Nil is equal to nil alone, and to no
bytes, which are nil where they are compared. A list or map has no order.
"""

from collections.abc import Callable
from operator import eq, ge, gt, le, lt, ne
from typing import Any, Final

from tailrace.schemas.ottl.values import Duration, Moment, Written, as_bytes

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
    if bytes in (kind, other):
        left, right = _nil_if_no_bytes(left), _nil_if_no_bytes(right)
        kind, other = type(left), type(right)
    if kind is not other:
        return _of_types(kind, other, left, right, operator)
    if kind in _ORDERED or (kind is str and operator in _EQUALITY):
        return operator(left, right)
    key = _KEYS.get(kind)
    if key is not None:
        return operator(key(left), key(right))
    return same(left, right) is (operator is eq) if operator in _EQUALITY else False


_ORDERED: Final = frozenset({bool, int, float, bytes})
_EQUALITY: Final = frozenset({eq, ne})
_KEYS: Final[dict[type, Callable[[Any], Any]]] = {
    str: as_bytes,
    Duration: lambda value: value.nanos,
    Moment: lambda value: value.nanos,
    type(None): lambda _: 0,
}


def _nil_if_no_bytes(value: Any) -> Any:
    return None if type(value) is bytes and not value else value


def _of_types(kind: type, other: type, left: Any, right: Any, operator: Operator) -> bool:
    if kind in _NUMBERS and other in _NUMBERS:
        return operator(float(left), float(right))
    if kind in _LISTS and other in _LISTS and operator in _EQUALITY:
        return same(left, right) is (operator is eq)
    return operator is ne


def same(left: Any, right: Any) -> bool:
    """Whether two values are of one type and equal, with all that is in them."""
    kind, other = type(left), type(right)
    if kind in _LISTS and other in _LISTS:
        if kind is not other and dict in (*map(type, left), *map(type, right)):
            return False
        return len(left) == len(right) and all(map(same, left, right))
    if kind is not other:
        return False
    if kind is dict:
        return left.keys() == right.keys() and all(
            same(value, right[key]) for key, value in left.items()
        )
    return bool(left == right)
