"""Interning: equal texts and equal typed values get one small integer each.

An id means something only together with the object that gave it.
"""

import base64
import math
import struct
import sys
from collections.abc import Hashable, Iterable
from decimal import Decimal
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import orjson

AttributeValue: TypeAlias = str | bool | int | float | bytes | list[Any] | dict[str, Any] | None
"""What an OTLP AnyValue holds; None is an AnyValue in which nothing is set."""

ABSENT = -1
_ENTRY_BYTES = 100  # a dict entry, a list slot and an int, about


class _Ids(dict[str, int]):
    """Text to id; a text not seen before gets the next id."""

    __slots__ = ("size_bytes", "texts")

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.size_bytes = 0

    def __missing__(self, text: str) -> int:
        number = self[text] = len(self.texts)
        self.texts.append(text)
        self.size_bytes += sys.getsizeof(text) + _ENTRY_BYTES
        return number


class Strings:
    """Texts by id, ids by text. Ids count from 0 in order of first appearance."""

    __slots__ = ("_ids",)

    def __init__(self) -> None:
        self._ids = _Ids()

    def intern(self, text: str) -> int:
        return self._ids[text]

    def intern_all(self, texts: Iterable[str], count: int) -> npt.NDArray[np.int32]:
        """The ids of *count* texts, in their order."""
        return np.fromiter(map(self._ids.__getitem__, texts), np.int32, count)

    def __getitem__(self, number: int) -> str:
        return self._ids.texts[number]

    def __len__(self) -> int:
        return len(self._ids.texts)

    @property
    def size_bytes(self) -> int:
        """About the memory held."""
        return self._ids.size_bytes


class Values:
    """Attribute values by id. Typed: True, 1, 1.0 and "1" are four values, 0.0 and -0.0 two."""

    __slots__ = ("_ids", "_values", "size_bytes")

    def __init__(self) -> None:
        self._ids: dict[Hashable, int] = {}
        self._values: list[AttributeValue] = []
        self.size_bytes = 0

    def intern(self, value: AttributeValue) -> int:
        key = _key(value)
        number = self._ids.get(key)
        if number is None:
            number = self._ids[key] = len(self._values)
            self._values.append(value)
            held = _size(value) if isinstance(value, list | dict) else sys.getsizeof(value)
            self.size_bytes += held + _ENTRY_BYTES
        return number

    def __getitem__(self, number: int) -> AttributeValue:
        return self._values[number]

    def __len__(self) -> int:
        return len(self._values)


def _key(value: AttributeValue) -> Hashable:
    if isinstance(value, str | bytes):
        return value
    if isinstance(value, float):
        return float, struct.pack("<d", value)
    if isinstance(value, list):
        return list, tuple(map(_key, value))
    if isinstance(value, dict):
        return dict, frozenset((key, _key(item)) for key, item in value.items())
    return type(value), value


def _size(value: AttributeValue) -> int:
    size = sys.getsizeof(value)
    if isinstance(value, list):
        return 2 * (size + sum(map(_size, value)))  # twice: the key has the same shape
    if isinstance(value, dict):
        return 2 * (size + sum(_size(key) + _size(item) for key, item in value.items()))
    return size


def text_of(value: AttributeValue) -> str:
    """*value* as the collector (0.155) writes it where text is wanted.

    Numbers in their shortest form (2.0 is `2`), bytes as base64, lists and maps as JSON. In these,
    bytes of no length are null.
    """
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, float) and not math.isfinite(value):
        return _NOT_FINITE.get(value, "NaN")
    try:
        return _json(value)
    except _NotFinite:
        return ""


def typed(text: str) -> AttributeValue:
    """The number or boolean whose text is *text*, or else *text* itself.

    Values of equal text have one type then, whichever type each of them came with.
    """
    if text in _BOOLEANS:
        return _BOOLEANS[text]
    for kind in (int, float):
        try:
            value = kind(text)
        except ValueError:
            continue
        if -(1 << 63) <= value < 1 << 63 and text_of(value) == text:
            return value
    return text


_BOOLEANS = {"true": True, "false": False}
_NOT_FINITE = {math.inf: "Infinity", -math.inf: "-Infinity"}
_SEPARATORS = str.maketrans({"\u2028": "\\u2028", "\u2029": "\\u2029"})


class _NotFinite(ValueError):
    """A double inside a list or map that JSON cannot hold; the whole text is then empty."""


def _json(value: AttributeValue) -> str:
    if isinstance(value, bytes):
        return f'"{base64.b64encode(value).decode()}"' if value else "null"
    if isinstance(value, float):
        return _float_text(value)
    if isinstance(value, list):
        return f"[{','.join(map(_json, value))}]"
    if isinstance(value, dict):
        return f"{{{','.join(f'{_json(key)}:{_json(value[key])}' for key in sorted(value))}}}"
    return orjson.dumps(value).decode().translate(_SEPARATORS)


def _float_text(value: float) -> str:
    """As ECMAScript writes a number: plain digits from 1e-6 up to 1e21, else an exponent."""
    if not math.isfinite(value):
        raise _NotFinite
    digits = repr(value)
    if value == 0 or 1e-6 <= abs(value) < 1e21:
        return format(Decimal(digits), "f").removesuffix(".0")
    mantissa, _, exponent = digits.partition("e")
    return f"{mantissa}e{exponent[0]}{exponent[1:].lstrip('0')}"
