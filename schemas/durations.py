"""Durations as Go writes them, in whole nanoseconds; in days and weeks too where that is said."""

import re
from collections.abc import Mapping
from typing import TypeAlias

Nanos: TypeAlias = int
"""A duration or an instant in nanoseconds."""

MICROSECOND = 1_000
MILLISECOND = 1_000_000
SECOND = 1_000_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE

_UNITS = {
    "ns": 1,
    "us": MICROSECOND,
    "µs": MICROSECOND,  # U+00B5, micro sign
    "μs": MICROSECOND,  # U+03BC, Greek mu
    "ms": MILLISECOND,
    "s": SECOND,
    "m": MINUTE,
    "h": HOUR,
}
_LONG_UNITS = {**_UNITS, "d": 24 * HOUR, "w": 7 * 24 * HOUR}
_PART = re.compile(r"([0-9]*)(?:\.([0-9]*))?([^0-9.]+)")
_BARE_NUMBER = re.compile(r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)")
_LONGEST = 2**63 - 1


def parse(text: str) -> Nanos:
    """The duration that *text* says: `10s`, `1m30s`, `1.5h`, `300ms`; `0` needs no unit.

    Raises ValueError with the rest of a sentence that begins with the name of the setting.
    """
    return _parse(text, _UNITS)


def parse_long(text: str) -> Nanos:
    """As `parse`, but of days of 24 hours (`30d`) and weeks of 7 (`1w`) too, as in Prometheus."""
    return _parse(text, _LONG_UNITS)


def _parse(text: str, units: Mapping[str, Nanos]) -> Nanos:
    if text == "0":
        return 0
    if _BARE_NUMBER.fullmatch(text):
        raise ValueError(f"is {text} without a unit; say the unit, as in {text}s or {text}ms")
    sign = -1 if text.startswith("-") else 1
    rest = text[1:] if text[:1] in ("-", "+") else text
    parts = list(_PART.finditer(rest))
    if not parts or "".join(part[0] for part in parts) != rest:
        raise _not_a_duration(text, units)
    total = sum(_nanos(part, text, units) for part in parts)
    if total > _LONGEST:
        raise ValueError(f'is "{text}"; the longest duration is {spell(_LONGEST)}')
    return sign * total


def _nanos(part: re.Match[str], text: str, units: Mapping[str, Nanos]) -> Nanos:
    whole, fraction, unit = part[1], part[2] or "", part[3]
    if unit not in units or not whole + fraction:
        raise _not_a_duration(text, units)
    size = units[unit]
    # A double, as in Go: 0.3333333333333333333h is 20m there.
    return int(whole or 0) * size + int(int(fraction or 0) * (size / 10 ** len(fraction)))


def _not_a_duration(text: str, units: Mapping[str, Nanos]) -> ValueError:
    names = ", ".join(name for name in units if name.isascii())
    return ValueError(
        f'is "{text}", which is not a duration; write it as in 10s, 1m30s or 300ms (units: {names})'
    )


def spell(duration: Nanos) -> str:
    """The shortest text in hours, minutes and seconds, or one smaller unit, that `parse` reads."""
    if duration < 0:
        return f"-{spell(-duration)}"
    if duration < SECOND:
        return _spell_short(duration)
    hours, rest = divmod(duration, HOUR)
    minutes, rest = divmod(rest, MINUTE)
    parts = [f"{hours}h"] if hours else []
    parts += [f"{minutes}m"] if minutes else []
    parts += [f"{_decimal(rest, SECOND)}s"] if rest else []
    return "".join(parts)


def _spell_short(duration: Nanos) -> str:
    if not duration:
        return "0s"
    for unit in ("ms", "us"):
        if duration >= _UNITS[unit]:
            return f"{_decimal(duration, _UNITS[unit])}{unit}"
    return f"{duration}ns"


def _decimal(amount: int, unit: int) -> str:
    whole, rest = divmod(amount, unit)
    digits = str(rest).zfill(len(str(unit)) - 1).rstrip("0")
    return f"{whole}.{digits}" if digits else str(whole)
