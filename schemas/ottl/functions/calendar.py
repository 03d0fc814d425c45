"""Days, months and years of times, in the proleptic Gregorian calendar.

The arithmetic is that of http://howardhinnant.github.io/date_algorithms.html.
"""

from typing import Final, NamedTuple

from tailrace.schemas.ottl.values import SECOND_NS, Moment

DAY_S: Final = 86_400
_ERA_DAYS: Final = 146_097
_EPOCH_DAYS: Final = 719_468


class Fields(NamedTuple):
    """A time as a calendar and a clock show it."""

    year: int
    month: int
    day: int
    hour: int
    minute: int
    second: int
    nanosecond: int
    weekday: int  # 0 is Sunday


def fields(moment: Moment) -> Fields:
    """*moment* in its zone."""
    seconds, nanosecond = divmod(moment.nanos, SECOND_NS)
    days, second = divmod(seconds + moment.offset_s, DAY_S)
    year, month, day = _date(days)
    return Fields(
        year,
        month,
        day,
        second // 3600,
        second // 60 % 60,
        second % 60,
        nanosecond,
        (days + 4) % 7,
    )


def days_since_1970(year: int, month: int, day: int) -> int:
    """The days from 1970-01-01 to a date."""
    year -= month <= 2
    era, year_of_era = divmod(year, 400)
    day_of_year = (153 * ((month - 3) % 12) + 2) // 5 + day - 1
    day_of_era = year_of_era * 365 + year_of_era // 4 - year_of_era // 100 + day_of_year
    return era * _ERA_DAYS + day_of_era - _EPOCH_DAYS


def days_of_month(year: int, month: int) -> int:
    """How many days a month has."""
    following = (year + 1, 1) if month == 12 else (year, month + 1)
    return days_since_1970(*following, 1) - days_since_1970(year, month, 1)


def rfc3339(moment: Moment) -> str:
    """*moment* as RFC 3339 has it, with as many digits as it needs."""
    at = fields(moment)
    fraction = f".{at.nanosecond:09}".rstrip("0") if at.nanosecond else ""
    minutes = moment.offset_s // 60
    zone = "Z" if not minutes else f"{'-' if minutes < 0 else '+'}{_clock(abs(minutes))}"
    clock = f"{at.hour:02}:{at.minute:02}:{at.second:02}"
    return f"{at.year:04}-{at.month:02}-{at.day:02}T{clock}{fraction}{zone}"


def _clock(minutes: int) -> str:
    return f"{minutes // 60:02}:{minutes % 60:02}"


def _date(days: int) -> tuple[int, int, int]:
    era, day_of_era = divmod(days + _EPOCH_DAYS, _ERA_DAYS)
    year_of_era = (
        day_of_era - day_of_era // 1460 + day_of_era // 36_524 - day_of_era // 146_096
    ) // 365
    day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    shifted = (5 * day_of_year + 2) // 153
    month = (shifted + 2) % 12 + 1
    return era * 400 + year_of_era + (month <= 2), month, day_of_year - (153 * shifted + 2) // 5 + 1
