"""Values as functions take them: of the type that is needed, or made into it.

What is made is as the collector makes it: nil stays nil.
"""

import struct
from typing import Any, Final

from tailrace.schemas.ottl.containers import raw
from tailrace.schemas.ottl.functions.go_json import NotJson, json_of
from tailrace.schemas.ottl.functions.numerals import (
    NotANumber,
    boolean_of,
    double_of,
    integer_of,
)
from tailrace.schemas.ottl.problems import EvaluationError
from tailrace.schemas.ottl.values import (
    MIN_INT,
    Duration,
    Moment,
    Texts,
    Written,
    as_bytes,
    kind_of,
)


def _wrong(value: Any, wanted: str) -> EvaluationError:
    return EvaluationError(f"{kind_of(value)} is where {wanted} must be")


def text(value: Any) -> str:
    if type(value) is str:
        return value
    raise _wrong(value, "a text")


def integer(value: Any) -> int:
    if type(value) is int:
        return value
    raise _wrong(value, "an integer")


def double(value: Any) -> float:
    if type(value) is float:
        return value
    raise _wrong(value, "a double")


def boolean(value: Any) -> bool:
    if type(value) is bool:
        return value
    raise _wrong(value, "a boolean")


def moment(value: Any) -> Moment:
    if type(value) is Moment:
        return value
    raise _wrong(value, "a time")


def duration(value: Any) -> Duration:
    if type(value) is Duration:
        return value
    raise _wrong(value, "a duration")


def map_(value: Any) -> dict[str, Any]:
    if type(value) is dict:
        return value
    raise _wrong(value, "a map")


def list_(value: Any) -> list[Any]:
    if type(value) is list:
        return value
    if type(value) is Texts:
        return list(value)
    if type(value) is Written:
        plain: list[Any] = raw(value)
        return plain
    raise _wrong(value, "a list")


def text_like(value: Any) -> str | None:
    """Bytes as hexadecimal digits, all else that is no text as JSON."""
    if value is None or type(value) is str:
        return value
    if type(value) is bytes:
        return value.hex()
    try:
        return json_of(value)
    except NotJson as error:
        raise EvaluationError(str(error)) from None


def double_like(value: Any) -> float | None:
    """Texts as the numbers they spell, true as 1."""
    if value is None:
        return None
    if type(value) in (int, float, bool):
        return float(value)
    if type(value) is str:
        read: float = _spelt(double_of, value)
        return read
    raise _wrong(value, "a number")


def integer_like(value: Any) -> int | None:
    """Doubles cut towards zero, true as 1, texts as the integers they spell; nil for others."""
    if value is None:
        return None
    if type(value) in (int, bool):
        return int(value)
    if type(value) is float:
        is_held = -(2.0**63) <= value < 2.0**63
        return int(value) if is_held else MIN_INT
    if type(value) is str:
        try:
            return integer_of(value)
        except NotANumber:
            return None
    raise _wrong(value, "a number")


def boolean_like(value: Any) -> bool | None:
    """Numbers as whether they are not 0, texts as the booleans they spell."""
    if value is None:
        return None
    if type(value) in (int, float, bool):
        return bool(value != 0)
    if type(value) is str:
        spelt: bool = _spelt(boolean_of, value)
        return spelt
    raise _wrong(value, "a boolean")


def bytes_like(value: Any) -> bytes | None:
    """Texts as UTF-8, numbers as their eight bytes, the highest first."""
    if value is None or type(value) is bytes:
        return value
    if type(value) is str:
        return as_bytes(value)
    layout = _LAYOUTS.get(type(value))
    if layout is None:
        raise _wrong(value, "a text, a number or bytes")
    return struct.pack(layout, value)


_LAYOUTS: Final[dict[type, str]] = {int: ">q", float: ">d", bool: ">?"}


def _spelt(read: Any, value: str) -> Any:
    try:
        return read(value)
    except NotANumber as error:
        raise EvaluationError(str(error)) from None
