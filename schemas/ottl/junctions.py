"""and, or, not: from left to right, no further than needed.

What is written out decides before anything is evaluated: `x and false` is false even where x has
no answer.
"""

from collections.abc import Sequence
from typing import Any

from tailrace.schemas.ottl.compiled import Compiled, constant
from tailrace.schemas.ottl.problems import EvaluationError
from tailrace.schemas.ottl.values import kind_of


def all_of(operands: Sequence[Compiled]) -> Compiled:
    """True where every operand is."""
    if any(operand.constant is False for operand in operands):
        return constant(False)
    getters = tuple(operand.get for operand in operands if not operand.is_constant)
    if not getters:
        return constant(True)
    return Compiled(lambda at: all(get(at) for get in getters))


def any_of(operands: Sequence[Compiled]) -> Compiled:
    """True where an operand is."""
    if any(operand.constant is True for operand in operands):
        return constant(True)
    getters = tuple(operand.get for operand in operands if not operand.is_constant)
    if not getters:
        return constant(False)
    return Compiled(lambda at: any(get(at) for get in getters))


def denied(operand: Compiled) -> Compiled:
    """True where *operand* is false."""
    if operand.is_constant:
        return constant(not operand.constant)
    get = operand.get
    return Compiled(lambda at: not get(at))


def boolean(value: Compiled) -> Compiled:
    """The result of a function as a condition."""
    get = value.get

    def holds(at: Any) -> bool:
        result = get(at)
        if type(result) is not bool:
            raise EvaluationError(f"a function gives {kind_of(result)} where a boolean is needed")
        return result

    return Compiled(holds)
