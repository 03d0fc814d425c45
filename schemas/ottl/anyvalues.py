"""Attributes of OTLP messages as plain values. Of equal keys the first counts."""

from collections.abc import Iterable
from typing import Any, Final

ABSENT: Final = object()
"""Instead of the value of a key that is not there."""


def plain(value: Any) -> Any:
    """What an AnyValue holds: texts, numbers, bytes, lists, dicts, or nil."""
    kind = value.WhichOneof("value")
    if kind is None or kind == "string_value_strindex":  # an index into a table that spans lack
        return None
    if kind == "array_value":
        return [plain(item) for item in value.array_value.values]
    if kind == "kvlist_value":
        return mapping(value.kvlist_value.values)
    return getattr(value, kind)


def mapping(attributes: Iterable[Any]) -> dict[str, Any]:
    """KeyValues as a dict."""
    found: dict[str, Any] = {}
    for attribute in attributes:
        if attribute.key not in found:
            found[attribute.key] = plain(attribute.value)
    return found


def named(attributes: Iterable[Any], key: str) -> Any:
    """The value of *key* among KeyValues, or ABSENT."""
    for attribute in attributes:
        if attribute.key == key:
            return plain(attribute.value)
    return ABSENT
