"""Values as JSON, as Go writes it: keys in order, <, > and & escaped, bytes as base64."""

import base64
import math
from typing import Any, Final

import orjson

from tailrace.schemas.ottl.functions.calendar import rfc3339
from tailrace.schemas.ottl.values import (
    Duration,
    Moment,
    Part,
    ProfileId,
    SpanId,
    Texts,
    TraceId,
    Written,
)
from tailrace.schemas.strings import text_of

_ESCAPED: Final = str.maketrans(
    {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}
)


class NotJson(ValueError):
    """A double that JSON has no number for."""


def json_of(value: Any) -> str:
    """*value* as JSON; NotJson if it cannot be."""
    if type(value) is float:
        return _of_double(value)
    if type(value) in (list, Written, Texts):
        return f"[{','.join(map(json_of, value))}]"
    if type(value) is dict:
        items = (f"{json_of(key)}:{json_of(value[key])}" for key in sorted(value))
        return f"{{{','.join(items)}}}"
    return _of_special(value) if type(value) in _SPECIAL else _of_plain(value)


_SPECIAL: Final = frozenset({TraceId, SpanId, ProfileId, Duration, Moment, Part})


def _of_double(value: float) -> str:
    if not math.isfinite(value):
        raise NotJson(f"{value} cannot be written as JSON")
    digits = repr(value)
    return digits if value and not 1e-6 <= abs(value) < 1e21 else text_of(value)


def _of_special(value: Any) -> str:
    if type(value) is Duration:
        return str(value.nanos)
    if type(value) is Moment:
        return f'"{rfc3339(value)}"'
    if type(value) is Part:
        return "{}"
    return f"[{','.join(map(str, value.id))}]"


def _of_plain(value: Any) -> str:
    if type(value) is bytes:
        if not value:
            return "null"
        return f'"{base64.b64encode(value).decode()}"'
    if type(value) is str:
        value = value.encode("utf-8", "replace").decode()
    return orjson.dumps(value).decode().translate(_ESCAPED)
