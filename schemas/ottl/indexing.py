"""Indexing: parts of maps by texts, parts of lists by integers."""

from collections.abc import Sequence
from typing import Any

from tailrace.schemas.ottl.anyvalues import ABSENT
from tailrace.schemas.ottl.compiled import Getter, Key
from tailrace.schemas.ottl.problems import EvaluationError
from tailrace.schemas.ottl.values import Texts, Written, kind_of


def text_key(key: Key, at: Any) -> str:
    """*key* for a map; EvaluationError if it is no text."""
    value = key.get(at)
    if type(value) is not str:
        raise EvaluationError(f"{kind_of(value)} indexes a map, which takes a text")
    return value


def part_of_attribute(value: Any, keys: Sequence[Key], at: Any) -> Any:
    """The part of an attribute's value; nil where a map has no such key."""
    for key in keys:
        if type(value) is dict:
            value = value.get(text_key(key, at), ABSENT)
            if value is ABSENT:
                return None
        elif type(value) is list:
            value = _item(value, key.get(at))
        else:
            raise EvaluationError(f"{kind_of(value)} has no parts")
    return value


def indexed(value: Getter, keys: Sequence[Key]) -> Getter:
    """The part of a function's result; an EvaluationError where there is none."""
    if not keys:
        return value

    def get(at: Any) -> Any:
        part = value(at)
        for key in keys:
            index = key.get(at)
            if type(index) is str and type(part) is dict:
                if index not in part:
                    raise EvaluationError(f"the map has no key {index}")
                part = part[index]
            elif type(part) in (list, Written, Texts, bytes):
                part = _item(part, index)
            else:
                raise EvaluationError(f"{kind_of(index)} indexes {kind_of(part)}")
        return part

    return get


def _item(items: Sequence[Any], index: Any) -> Any:
    if type(index) is not int:
        raise EvaluationError(f"{kind_of(index)} indexes a list, which takes an integer")
    if not 0 <= index < len(items):
        raise EvaluationError(f"index {index} is out of bounds")
    return items[index]
