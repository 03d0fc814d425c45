"""Lists and maps that a condition writes out.

What a map may hold is what an attribute may, save that a span's list does not fit into one, as in
the collector.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from tailrace.schemas.ottl.compiled import Compiled, constant
from tailrace.schemas.ottl.problems import EvaluationError
from tailrace.schemas.ottl.values import Written, kind_of


def listed_values(items: Sequence[Compiled]) -> Compiled:
    """A list of what *items* evaluate to."""
    if all(item.is_constant for item in items):
        return constant(Written(item.constant for item in items))
    getters = [item.get for item in items]
    return Compiled(lambda at: Written(get(at) for get in getters))


def mapped_values(items: Mapping[str, Compiled]) -> Compiled:
    """A map to what *items* evaluate to; EvaluationError if constants do not fit into one."""
    if all(item.is_constant for item in items.values()):
        return constant({key: _in_map(item.constant) for key, item in items.items()})
    getters = {key: item.get for key, item in items.items()}
    return Compiled(lambda at: {key: _in_map(get(at)) for key, get in getters.items()})


def raw(value: Any) -> Any:
    """*value*, which was written out, as a span would hold it."""
    if type(value) is Written:
        return [raw(item) for item in value]
    if type(value) not in _PLAIN:
        raise EvaluationError(f"{kind_of(value)} does not fit into a list or map")
    return value


_PLAIN: Final = frozenset({type(None), str, bytes, bool, int, float})


def _in_map(value: Any) -> Any:
    if type(value) is dict:
        return value
    if type(value) is Written:
        return [item if type(item) is dict else raw(item) for item in value]
    return raw(value)
