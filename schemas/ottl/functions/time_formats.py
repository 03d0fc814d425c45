"""Times as texts, in the formats of strptime.

A number may have fewer digits than its place, and spaces before it; after seconds there may be a
fraction, which has a place of its own only to be written.
"""

import re
from collections.abc import Callable
from typing import Final

from tailrace.schemas.ottl.functions.calendar import (
    DAY_S,
    Fields,
    days_of_month,
    days_since_1970,
    fields,
)
from tailrace.schemas.ottl.problems import show
from tailrace.schemas.ottl.values import SECOND_NS, Moment

_MONTHS: Final = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)
_DAYS: Final = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")
_SHORT_MONTHS: Final = [month[:3] for month in _MONTHS]
_SHORT_DAYS: Final = [day[:3] for day in _DAYS]

_TOGETHER: Final = {
    "%D": "%m/%d/%Y",
    "%x": "%m/%d/%Y",
    "%F": "%Y-%m-%d",
    "%T": "%H:%M:%S",
    "%X": "%H:%M:%S",
    "%R": "%H:%M",
    "%h": "%b",
}
# What is possessive (*+) has one way to match, so that a text takes no longer than it is long.
_TWO: Final = r"\s*+([0-9]{1,2})"
_PATTERNS: Final = {
    "%Y": r"\s*+([0-9]{4})",
    "%m": _TWO,
    "%d": _TWO,
    "%e": _TWO,
    "%H": _TWO,
    "%I": _TWO,
    "%M": _TWO,
    "%S": _TWO + r"(?:[.,]([0-9]+))?",
    "%p": "(AM|PM)",
    "%b": f"({'|'.join(_SHORT_MONTHS)})",
    "%B": f"({'|'.join(_MONTHS)})",
    "%a": f"({'|'.join(_SHORT_DAYS)})",
    "%A": f"({'|'.join(_DAYS)})",
    "%z": r"\s*+(Z|[+-][0-9]{2}(?::?[0-9]{2})?)",
    "%%": "%",
}
_SPELT: Final[dict[str, Callable[[Fields, Moment], str]]] = {
    "%Y": lambda at, _: f"{at.year:04}",
    "%m": lambda at, _: f"{at.month:02}",
    "%d": lambda at, _: f"{at.day:02}",
    "%e": lambda at, _: f"{at.day:2}",
    "%H": lambda at, _: f"{at.hour:02}",
    "%I": lambda at, _: f"{(at.hour + 11) % 12 + 1:02}",
    "%M": lambda at, _: f"{at.minute:02}",
    "%S": lambda at, _: f"{at.second:02}",
    "%p": lambda at, _: "PM" if at.hour >= 12 else "AM",
    "%b": lambda at, _: _SHORT_MONTHS[at.month - 1],
    "%B": lambda at, _: _MONTHS[at.month - 1],
    "%a": lambda at, _: _SHORT_DAYS[at.weekday],
    "%A": lambda at, _: _DAYS[at.weekday],
    "%z": lambda _, moment: _zone(moment.offset_s),
    "%%": lambda *_: "%",
}
_FRACTIONS: Final = {"L": 3, "f": 6, "s": 9}
_DIRECTIVE: Final = re.compile(r"(?P<fraction>[.,]%[Lfs])|(?P<other>%.)| +|.", re.DOTALL)
_SPACE: Final = r"\s+"
_SPACES: Final = re.compile(rf"(?:{re.escape(_SPACE)})+")


class WrongTime(ValueError):
    """A text is no time of a format."""


class TimeFormat:
    """A format; ValueError if it is none, with the rest of a sentence about a function."""

    def __init__(self, format: str) -> None:
        if not format:
            raise ValueError("has an empty format; give it one, as %Y-%m-%d")
        if re.search("[0-9]", format):
            raise ValueError(f"has the format {show(format)}, which may have no digits")
        self._written = format
        spelt = re.sub("%.", lambda short: _TOGETHER.get(short[0], short[0]), format)
        self._parts = [part[0] for part in _DIRECTIVE.finditer(spelt)]
        for part in self._parts:
            if part[0] == "%" and part not in _PATTERNS:
                known = ", ".join([*_PATTERNS, *_TOGETHER, ".%L", ".%f", ".%s"])
                raise ValueError(f"has {part} in its format; not yet: any but {known}")

    def spell(self, moment: Moment) -> str:
        """*moment* in this format."""
        at = fields(moment)
        return "".join(
            _fraction(part, at.nanosecond)
            if part[0] in ".," and part[1:]
            else _SPELT[part](at, moment)
            if part in _SPELT
            else part
            for part in self._parts
        )

    def read_dated(self) -> Callable[[str], Moment]:
        """What reads texts of this format; ValueError without a year in it."""
        if "%Y" not in self._parts:
            raise ValueError(
                f"has the format {show(self._written)} without %Y: the year would be that of the "
                f"clock, and decisions must come out the same when they are made again"
            )
        places = [part for part in self._parts if part in _PATTERNS and part != "%%"]
        spelt = _SPACES.sub(_at_once, "".join(map(_pattern, self._parts)))
        pattern = re.compile(spelt, re.ASCII)
        groups = [name for part in places for name in ((part, "%L") if part == "%S" else (part,))]

        def read(text: str) -> Moment:
            found = pattern.fullmatch(text)
            if found is None:
                raise WrongTime(f"{show(text)} is no time of the format {show(self._written)}")
            return _moment(dict(zip(groups, found.groups(), strict=True)), text)

        return read


def _pattern(part: str) -> str:
    if part[0] in ".," and part[1:]:
        return ""  # what follows seconds is read with them
    if part.isspace():
        return _SPACE
    return _PATTERNS.get(part) or re.escape(part)


def _at_once(spaces: re.Match[str]) -> str:
    """What matches as many *spaces* or more, all that there are."""
    return rf"\s{{{len(spaces[0]) // len(_SPACE)},}}+"


def _fraction(part: str, nanosecond: int) -> str:
    digits = f"{nanosecond:09}"[: _FRACTIONS[part[2]]].rstrip("0")
    return part[0] + digits if digits else ""


def _zone(offset_s: int) -> str:
    minutes = abs(offset_s) // 60
    sign = "-" if offset_s < 0 else "+"
    return f"{sign}{minutes // 60:02}{minutes % 60:02}" if minutes else "Z"


def _moment(read: dict[str, str | None], text: str) -> Moment:
    year = int(read["%Y"] or 0)
    month = _month(read)
    day = int(read.get("%d") or read.get("%e") or 1)
    hour = _hour(read)
    minute, second = int(read.get("%M") or 0), int(read.get("%S") or 0)
    is_date = 1 <= month <= 12 and 1 <= day <= days_of_month(year, month)
    if not is_date or hour > 23 or minute > 59 or second > 59:
        raise WrongTime(f"{show(text)} is no time: a part of it is out of range")
    offset_s = _offset(read.get("%z"))
    seconds = days_since_1970(year, month, day) * DAY_S + hour * 3600 + minute * 60 + second
    nanos = int((read.get("%L") or "").ljust(9, "0")[:9])
    return Moment((seconds - offset_s) * SECOND_NS + nanos, offset_s)


def _month(read: dict[str, str | None]) -> int:
    for place, names in (("%b", _SHORT_MONTHS), ("%B", _MONTHS)):
        name = read.get(place)
        if name is not None:
            return names.index(name) + 1
    return int(read.get("%m") or 1)


def _hour(read: dict[str, str | None]) -> int:
    hour = int(read.get("%H") or read.get("%I") or 0)
    half = read.get("%p")
    if half is None:
        return hour
    if half == "AM":
        return 0 if hour == 12 else hour
    return hour + 12 if hour < 12 else hour


def _offset(zone: str | None) -> int:
    if zone in (None, "Z"):
        return 0
    digits = str(zone)[1:].replace(":", "").ljust(4, "0")
    seconds = int(digits[:2]) * 3600 + int(digits[2:]) * 60
    return -seconds if str(zone)[0] == "-" else seconds
