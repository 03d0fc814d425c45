"""The period of an OpenSLO document: one that rolls, or one of the calendar."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from tailrace.schemas import durations
from tailrace.schemas.config.scalars import Flag
from tailrace.schemas.config.section import Remark, Section
from tailrace.schemas.config.wording import show
from tailrace.schemas.durations import HOUR, MINUTE, Nanos

_UNITS: Final = {"m": MINUTE, "h": HOUR, "d": 24 * HOUR, "w": 7 * 24 * HOUR}
_CALENDAR: Final = {"1w": "week", "7d": "week", "1M": "month", "1Q": "quarter", "3M": "quarter"}
_STARTS: Final = {
    "week": "on a Monday",
    "month": "on the first of a month",
    "quarter": "on the first of January, April, July or October",
}
_UTC: Final = ("UTC", "Etc/UTC", "GMT", "Z")


class Calendar(Section):
    """Since when a period of the calendar repeats."""

    startTime: str  # noqa: N815
    timeZone: str = "UTC"  # noqa: N815

    def contradictions(self) -> Iterator[Remark]:
        if self.timeZone not in _UTC:
            yield ("timeZone",), f"is {show(self.timeZone)}; periods of the calendar are in UTC"


class TimeWindow(Section):
    """A period that rolls, or is of the calendar."""

    duration: str
    isRolling: Flag = False  # noqa: N815
    calendar: Calendar | None = None

    def contradictions(self) -> Iterator[Remark]:
        if self.isRolling and self.calendar is not None:
            yield ("calendar",), "is for periods that do not roll; remove it, or isRolling"
        elif self.isRolling and self._rolling is None:
            yield (
                ("duration",),
                f"is {show(self.duration)}; a period that rolls has minutes, hours, days or weeks, "
                f"as in 30d or 4w",
            )
        elif not self.isRolling:
            yield from self._calendar_problems()

    def _calendar_problems(self) -> Iterator[Remark]:
        name = _CALENDAR.get(self.duration)
        if name is None:
            yield ("duration",), f"is {show(self.duration)}; of the calendar are 1w, 1M and 1Q"
        elif self.calendar is None:
            yield ("calendar",), "is missing; add it, or isRolling: true"
        elif not _is_start(self.calendar.startTime, name):
            yield (
                ("calendar", "startTime"),
                f"is {show(self.calendar.startTime)}; a {name} begins {_STARTS[name]}, at 00:00:00",
            )

    @property
    def _rolling(self) -> Nanos | None:
        told = re.fullmatch(r"([1-9][0-9]*)([mhdw])", self.duration)
        return int(told[1]) * _UNITS[told[2]] if told else None

    @property
    def period(self) -> dict[str, Any]:
        """What an SLO says of its period."""
        if self._rolling is not None and self.isRolling:
            return {"period": durations.spell(self._rolling)}
        return {"calendar": _CALENDAR[self.duration]}


def _is_start(text: str, calendar: str) -> bool:
    told = re.fullmatch(r"(\d{4})-(\d\d)-(\d\d)(?:[ T]00:00(?::00)?)?Z?", text)
    if told is None:
        return False
    year, month, day = map(int, told.groups())
    if not (1 <= month <= 12 and 1 <= day <= 31):
        return False
    if calendar == "week":
        return _weekday(year, month, day) == 0
    return day == 1 and (calendar == "month" or month % 3 == 1)


def _weekday(year: int, month: int, day: int) -> int:
    """The day of the week, Monday 0, by Zeller's congruence."""
    if month < 3:
        year, month = year - 1, month + 12
    return (day + 13 * (month + 1) // 5 + year + year // 4 - year // 100 + year // 400 + 5) % 7
