"""Durations, as Go reads them."""

import re
from typing import Final

from tailrace.schemas.ottl.problems import show
from tailrace.schemas.ottl.values import MAX_INT, Duration

_UNITS: Final = {
    "ns": 1,
    "us": 10**3,
    "µs": 10**3,  # U+00B5, micro symbol
    "μs": 10**3,  # U+03BC, Greek letter mu
    "ms": 10**6,
    "s": 10**9,
    "m": 60 * 10**9,
    "h": 3600 * 10**9,
}
_PART: Final = re.compile(r"([0-9]*)(?:\.([0-9]*))?(ns|us|µs|μs|ms|s|m|h)")
_WHOLE_DIGITS: Final = 19
_FRACTION_DIGITS: Final = 18


class NotADuration(ValueError):
    """A text spells no duration, or one that is too long."""


def duration_of(text: str) -> Duration:
    """The duration that *text* spells."""
    rest = text[1:] if text[:1] in ("+", "-") else text
    if rest == "0":
        return Duration(0)
    nanos = _nanos(rest)
    is_negative = text.startswith("-")
    if nanos is None or nanos > MAX_INT + is_negative:
        raise NotADuration(f"{show(text)} is no duration, as 1m30s is")
    return Duration(-nanos if is_negative else nanos)


def _nanos(rest: str) -> int | None:
    nanos, position = 0, 0
    while position < len(rest):
        part = _PART.match(rest, position)
        if part is None or not (part[1] or part[2]):
            return None
        unit = _UNITS[part[3]]
        whole = part[1].lstrip("0") or "0"
        if len(whole) > _WHOLE_DIGITS:
            return None
        nanos += int(whole) * unit
        if part[2]:
            digits = part[2][:_FRACTION_DIGITS]
            nanos += int(float(int(digits)) * (unit / 10.0 ** len(digits)))
        position = part.end()
    return nanos if rest else None
