"""Periods of the calendar in UTC, in whole milliseconds since 1970.

Days and dates convert as in Howard Hinnant's "chrono-compatible low-level date algorithms"
(`days_from_civil`, `civil_from_days`): March is the first month, so that the leap day is the last.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple, TypeAlias

from tailrace.schemas.definitions.slo import DAY, SloSpec
from tailrace.schemas.durations import MILLISECOND, Nanos

Calendar: TypeAlias = Literal["week", "month", "quarter"]

DAY_MS: Final = DAY // MILLISECOND
_ERA_DAYS: Final = 146_097  # 400 years
_EPOCH: Final = 719_468  # days from 0000-03-01 to 1970-01-01
_MONTHS: Final = {"month": 1, "quarter": 3}
_NOMINAL_DAYS: Final[dict[str, int]] = {"week": 7, "month": 30, "quarter": 90}


class Span(NamedTuple):
    """From `start` up to, and without, `end`; ms."""

    start: int
    end: int


def period_of(spec: SloSpec) -> Nanos:
    """Return the length of the period; of a month 30 days and of a quarter 90, whichever it is.

    So burn rates' factors are the same in every month.
    """
    return _NOMINAL_DAYS[spec.calendar] * DAY if spec.calendar else spec.period


def period_at(calendar: Calendar, now: int) -> Span:
    """Return the week (from Monday), month or quarter that *now* is in."""
    today = now // DAY_MS
    if calendar == "week":
        monday = today - (today + 3) % 7  # 1970-01-01 was a Thursday
        return Span(monday * DAY_MS, (monday + 7) * DAY_MS)
    year, month, _ = civil_from_days(today)
    length = _MONTHS[calendar]
    first = year * 12 + (month - 1) // length * length
    return Span(_month_start(first), _month_start(first + length))


def period_start(calendar: Calendar, now: int) -> int:
    """Return when the week, month or quarter began that *now* is in."""
    return period_at(calendar, now).start


def _month_start(months: int) -> int:
    return days_from_civil(months // 12, months % 12 + 1, 1) * DAY_MS


def days_from_civil(year: int, month: int, day: int) -> int:
    """Return the days from 1970-01-01 to a date."""
    years = year - (month <= 2)
    era, year_of_era = divmod(years, 400)
    day_of_year = (153 * ((month + 9) % 12) + 2) // 5 + day - 1
    day_of_era = year_of_era * 365 + year_of_era // 4 - year_of_era // 100 + day_of_year
    return era * _ERA_DAYS + day_of_era - _EPOCH


def civil_from_days(days: int) -> tuple[int, int, int]:
    """Return year, month and day of a day counted from 1970-01-01."""
    era, day = divmod(days + _EPOCH, _ERA_DAYS)
    year = (day - day // 1460 + day // 36_524 - day // 146_096) // 365
    day -= 365 * year + year // 4 - year // 100
    month = (5 * day + 2) // 153  # from March
    day -= (153 * month + 2) // 5 - 1
    return year + era * 400 + (month >= 10), (month + 2) % 12 + 1, day
