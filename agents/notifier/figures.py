"""Figures on the alerts themselves: what each definition cost its people, week by week."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from tailrace.schemas.notifications import Figures, WeekOfPages
from tailrace.tables.notifications import Alert, Notifications

HOUR_MS: Final = 3_600_000
DAY_MS: Final = 24 * HOUR_MS
WEEKS_KEPT: Final = 8
_THURSDAY_MS: Final = 3 * DAY_MS
"""1970 began on a Thursday; weeks begin on Mondays."""


@dataclass(frozen=True, slots=True)
class OfficeHours:
    """From hour to hour on the first *days* days of the week, at *offset_ms* from UTC."""

    begins: int = 9
    ends: int = 18
    days: int = 5
    offset_ms: int = 0

    def contain(self, at: int) -> bool:
        """True if *at* (ms) is within them."""
        day, of_day = divmod(at + self.offset_ms + _THURSDAY_MS, DAY_MS)
        return day % 7 < self.days and self.begins <= of_day // HOUR_MS < self.ends


def week_of(at: int) -> int:
    """Return the number of the week of *at* (ms), in UTC."""
    return (at + _THURSDAY_MS) // (7 * DAY_MS)


def count_page(table: Notifications, alert: Alert, at: int, office: OfficeHours) -> None:
    """Add that somebody was told of *alert* for the first time."""
    _add(table, alert, at, (1, int(not office.contain(at)), int(alert.is_flapping), 0))


def count_unacted(table: Notifications, alert: Alert, at: int) -> None:
    """Add that *alert*, which somebody was told of, ended by itself."""
    _add(table, alert, at, (0, 0, 0, 1))


def _add(table: Notifications, alert: Alert, at: int, counts: tuple[int, int, int, int]) -> None:
    key = alert.event.tenant, alert.event.name
    weeks = {each.week: each for each in table.figures.get(key, ())}
    number = week_of(at)
    old = weeks.get(number, WeekOfPages(number))
    weeks[number] = replace(
        old,
        pages=old.pages + counts[0],
        out_of_hours=old.out_of_hours + counts[1],
        flapping=old.flapping + counts[2],
        unacted=old.unacted + counts[3],
    )
    kept = sorted(weeks)[-WEEKS_KEPT:]
    table.put_figures(Figures(*key, tuple(weeks[each] for each in kept)))
