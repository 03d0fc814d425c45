"""Functions of lists and maps: their length, items and order."""

import math
from typing import Any, Final

from tailrace.schemas.ottl.comparison import OPERATORS, compare
from tailrace.schemas.ottl.compiled import Compiled, Getter
from tailrace.schemas.ottl.containers import raw
from tailrace.schemas.ottl.functions.conversions import list_
from tailrace.schemas.ottl.functions.declaration import Declared
from tailrace.schemas.ottl.functions.kinds import (
    ANY,
    LIST,
    MAP,
    WRITTEN_TEXT,
    Several,
    optional,
    required,
)
from tailrace.schemas.ottl.problems import EvaluationError
from tailrace.schemas.ottl.values import Part, Texts, Written, as_bytes, kind_of
from tailrace.schemas.strings import text_of

DECLARED: Final = Declared()

_EQUAL: Final = OPERATORS["=="]
_TEXT_PATH: Final = Several(WRITTEN_TEXT)


@DECLARED.plain("Len", required("Target", ANY))
def len_(target: Any) -> int:
    if type(target) is str:
        return len(as_bytes(target))
    if isinstance(target, Part) and target.length is not None:
        return target.length
    if type(target) in (bytes, list, dict, Written, Texts):
        return len(target)
    raise EvaluationError(f"{kind_of(target)} has no length")


@DECLARED.made("Coalesce", required("Values", Several(ANY)))
def coalesce(values: list[Compiled]) -> Getter:
    if not values:
        raise ValueError("has no values; give it one")
    getters = [value.get for value in values]

    def get(at: Any) -> Any:
        return next((value for each in getters if (value := each(at)) is not None), None)

    return get


@DECLARED.plain("ContainsValue", required("Target", LIST), required("Item", ANY))
def contains_value(target: list[Any], item: Any) -> bool:
    return any(compare(each, item, _EQUAL) for each in target)


@DECLARED.plain("Index", required("Target", ANY), required("Value", ANY))
def index(target: Any, value: Any) -> int:
    if type(target) is str:
        if type(value) is not str:
            raise EvaluationError(f"{kind_of(value)} is where a text must be")
        return as_bytes(target).find(as_bytes(value))
    for number, each in enumerate(list_(target)):
        if compare(each, value, _EQUAL):
            return number
    return -1


@DECLARED.plain("Keys", required("Target", MAP))
def keys(target: dict[str, Any]) -> list[str]:
    return list(target)


@DECLARED.plain("Values", required("Target", MAP))
def values(target: dict[str, Any]) -> list[Any]:
    return list(target.values())


@DECLARED.made("Sort", required("Target", ANY), optional("Order", WRITTEN_TEXT))
def sort(target: Compiled, order: str | None) -> Getter:
    if order not in (None, "asc", "desc"):
        raise ValueError(f'has the order {order}, which must be "asc" or "desc"')
    get = target.get
    return lambda at: _sorted(get(at), is_reversed=order == "desc")


def _sorted(items: Any, is_reversed: bool) -> Any:
    if type(items) is Texts:
        return Texts(sorted(items, key=as_bytes, reverse=is_reversed))
    if type(items) not in (list, Written):
        raise EvaluationError(f"{kind_of(items)} is where a list must be")
    plain: list[Any] = raw(items) if type(items) is Written else items
    kinds = set(map(type, plain))
    if not plain or not kinds <= {type(None), str, bool, int, float}:
        return plain
    if kinds <= {int}:
        return Written(sorted(plain, reverse=is_reversed))
    if kinds <= {int, float}:
        return Written(sorted(plain, key=_double, reverse=is_reversed))
    return Written(sorted(plain, key=_text, reverse=is_reversed))


def _double(value: float) -> tuple[bool, float]:
    return (not math.isnan(value), float(value))  # not a number is less than any


def _text(value: Any) -> bytes:
    return as_bytes(text_of(value))


@DECLARED.plain(
    "SliceToMap",
    required("Target", LIST),
    optional("KeyPath", _TEXT_PATH),
    optional("ValuePath", _TEXT_PATH),
)
def slice_to_map(
    target: list[Any], key_path: list[str] | None, value_path: list[str] | None
) -> dict[str, Any]:
    made = {}
    for number, item in enumerate(target):
        if (key_path is not None or value_path is not None) and type(item) is not dict:
            raise EvaluationError(f"{kind_of(item)} is where a map must be")
        key = str(number) if key_path is None else _found(item, key_path)
        if type(key) is not str:
            raise EvaluationError(f"{kind_of(key)} is where a text must be")
        made[key] = item if value_path is None else _found(item, value_path)
    return made


def _found(item: Any, path: list[str]) -> Any:
    if not path:
        raise EvaluationError("the path in a list's maps is empty")
    for key in path:
        if type(item) is not dict or key not in item:
            raise EvaluationError(f"a list's map has no {'.'.join(path)}")
        item = item[key]
    return item
