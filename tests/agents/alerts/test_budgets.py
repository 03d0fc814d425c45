"""Error budgets in events and in minutes, their forecast, and the periods of the calendar."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tailrace.agents.alerts.budgets import Budget, forecast, freezing, freshness_slices, rolling
from tailrace.agents.alerts.calendars import (
    Calendar,
    civil_from_days,
    days_from_civil,
    period_at,
    period_start,
)
from tailrace.agents.alerts.counts import Counts, exact

DAY_MS = 86_400_000
HOUR_MS = 3_600_000
MONTH_MS = 30 * DAY_MS
SHARE = Fraction(1, 1000)

PUBLISHED_MINUTES = {
    "99.9 % of 30 days": (99.9, 30, 43.2),
    "99.95 % of 30 days": (99.95, 30, 21.6),
    "99.5 % of 30 days": (99.5, 30, 216.0),
    "99.99 % of 30 days": (99.99, 30, 4.32),
    "99 % of 30 days": (99.0, 30, 432.0),
    "99.9 % of 7 days": (99.9, 7, 10.08),
    "99.9 % of 28 days": (99.9, 28, 40.32),
    "99.9 % of 90 days": (99.9, 90, 129.6),
}


@pytest.mark.parametrize(
    ("objective", "days", "minutes"), PUBLISHED_MINUTES.values(), ids=PUBLISHED_MINUTES
)
def test_minutes_are_exactly(objective: float, days: int, minutes: float) -> None:
    share = 1 - exact(objective) / 100
    assert rolling(Counts(0, 0), share, days * DAY_MS).minutes == minutes


def test_a_budget_says_what_is_allowed_consumed_and_left() -> None:
    budget = rolling(Counts(1_000_000, 250), SHARE, MONTH_MS)
    assert (budget.allowed, budget.consumed, budget.left) == (1000.0, 0.25, 0.75)
    assert budget.minutes_left == pytest.approx(32.4)
    assert not budget.is_spent


def test_without_events_nothing_is_consumed() -> None:
    budget = rolling(Counts(0, 0), SHARE, MONTH_MS)
    assert (budget.allowed, budget.consumed, budget.is_spent) == (0.0, 0.0, False)


def test_a_budget_can_be_overspent() -> None:
    budget = rolling(Counts(1000, 3), SHARE, MONTH_MS)
    assert (budget.consumed, budget.left, budget.is_spent) == (3.0, -2.0, True)


@pytest.mark.parametrize(("bad", "is_spent"), [(999, False), (1000, True), (1001, True)])
def test_a_budget_is_spent_at_the_last_bad_event_that_it_allows(bad: int, is_spent: bool) -> None:
    assert rolling(Counts(1_000_000, bad), SHARE, MONTH_MS).is_spent is is_spent


def test_the_first_failure_of_a_month_does_not_spend_it() -> None:
    budget = Budget(Counts(1000, 10), SHARE, MONTH_MS, elapsed_ms=DAY_MS)
    assert budget.allowed == 30
    assert budget.consumed == pytest.approx(1 / 3)
    assert not budget.is_spent
    at_the_start = Budget(Counts(1, 1), SHARE, MONTH_MS, elapsed_ms=0)
    assert not at_the_start.is_spent


@pytest.mark.parametrize(
    ("burning", "hours"), [(14.4, 50), (6.0, 120), (3.0, 240)], ids=["fast", "medium", "slow"]
)
def test_a_full_budget_is_spent_when_the_workbook_says(burning: float, hours: int) -> None:
    full = rolling(Counts(10_000, 0), SHARE, MONTH_MS)
    recent = Counts(10_000, round(burning * 10))
    assert forecast(full, recent, now=7) == 7 + hours * HOUR_MS
    assert forecast(full, recent, now=7, ends_at=7 + MONTH_MS) == 7 + hours * HOUR_MS


def test_a_budget_that_rolls_is_never_spent_at_a_burn_rate_of_1() -> None:
    half = rolling(Counts(10_000, 5), SHARE, MONTH_MS)
    assert forecast(half, Counts(1000, 1), now=0) is None
    assert forecast(half, Counts(1000, 2), now=0) == MONTH_MS // 3
    assert forecast(half, Counts(1000, 0), now=0) is None
    assert forecast(half, Counts(0, 0), now=0) is None


def test_a_month_that_ends_before_its_budget_never_spends_it() -> None:
    half = Budget(Counts(10_000, 10), SHARE, MONTH_MS, elapsed_ms=MONTH_MS // 2)
    left = MONTH_MS // 2
    assert forecast(half, Counts(1000, 1), now=0, ends_at=left) is None
    assert forecast(half, Counts(1000, 2), now=0, ends_at=left) == MONTH_MS // 4
    assert forecast(half, Counts(1000, 0), now=0, ends_at=left) is None


def test_what_is_spent_was_spent_by_now() -> None:
    assert forecast(rolling(Counts(1000, 1), SHARE, MONTH_MS), Counts(0, 0), now=5) == 5


FREEZES = {
    "spent freezes": (Counts(1000, 1), False, "frozen"),
    "frozen stays so, and is said once": (Counts(1000, 2), True, None),
    "recovered thaws": (Counts(1001, 1), True, "thawed"),
    "not spent stays so": (Counts(1001, 1), False, None),
    "an empty period thaws": (Counts(0, 0), True, "thawed"),
    "too few freeze nothing": (Counts(19, 19), False, None),
}


@pytest.mark.parametrize(("counts", "was_frozen", "said"), FREEZES.values(), ids=FREEZES)
def test_freezing(counts: Counts, was_frozen: bool, said: str | None) -> None:
    assert freezing(rolling(counts, SHARE, MONTH_MS), was_frozen, minimum_events=20) == said


# Calendar

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def ms(*parts: int) -> int:
    """That time in UTC."""
    return int(datetime(*parts, tzinfo=UTC).timestamp()) * 1000  # type: ignore[arg-type, misc]


PERIODS: dict[str, tuple[Calendar, int, int, int]] = {
    "a Monday begins a week": ("week", ms(2024, 2, 26), ms(2024, 2, 26), ms(2024, 3, 4)),
    "a Sunday ends it": ("week", ms(2024, 3, 3, 23, 59), ms(2024, 2, 26), ms(2024, 3, 4)),
    "a leap month": ("month", ms(2024, 2, 29), ms(2024, 2, 1), ms(2024, 3, 1)),
    "a century without a leap day": ("month", ms(2100, 2, 28), ms(2100, 2, 1), ms(2100, 3, 1)),
    "December": ("month", ms(2023, 12, 31), ms(2023, 12, 1), ms(2024, 1, 1)),
    "the last quarter": ("quarter", ms(2023, 11, 1), ms(2023, 10, 1), ms(2024, 1, 1)),
    "the first quarter": ("quarter", ms(2024, 3, 31), ms(2024, 1, 1), ms(2024, 4, 1)),
    "before 1970": ("week", -1, ms(1969, 12, 29), ms(1970, 1, 5)),
}


@pytest.mark.parametrize(("calendar", "now", "start", "end"), PERIODS.values(), ids=PERIODS)
def test_period(calendar: Calendar, now: int, start: int, end: int) -> None:
    assert period_at(calendar, now) == (start, end)


@given(
    st.integers(ms(2, 1, 1), ms(9000, 1, 1)),
    st.sampled_from(["week", "month", "quarter"]),
)
def test_now_is_in_its_period_and_the_end_begins_the_next(now: int, calendar: Calendar) -> None:
    start, end = period_at(calendar, now)
    assert start <= now < end
    assert (period_start(calendar, start), period_start(calendar, end)) == (start, end)
    first = EPOCH + timedelta(milliseconds=start)
    assert first.time() == datetime.min.time()
    assert first.weekday() == 0 if calendar == "week" else first.day == 1
    assert calendar != "quarter" or first.month in (1, 4, 7, 10)


@given(st.dates())
@example(date(1900, 3, 1))
@example(date(2000, 2, 29))
@example(date(2000, 3, 1))
@example(date(2100, 2, 28))
@example(date(2100, 3, 1))
def test_dates_are_those_of_the_calendar(day: date) -> None:
    days = (day - EPOCH.date()).days
    assert days_from_civil(day.year, day.month, day.day) == days
    assert civil_from_days(days) == (day.year, day.month, day.day)


# Freshness


SLICES = {
    "fresh all along": (0, 0, 300, Counts(5, 0)),
    "as old as it may be": (60, 60, 180, Counts(2, 0)),
    "older": (59, 60, 180, Counts(2, 1)),
    "long gone": (0, 1000, 1121, Counts(2, 2)),
    "between two ends": (0, 61, 119, Counts(0, 0)),
}


@pytest.mark.parametrize(("last", "start", "end", "said"), SLICES.values(), ids=SLICES)
def test_slices(last: int, start: int, end: int, said: Counts) -> None:
    max_age = 300 if last == start == 0 else 120
    assert freshness_slices(last, start, end, every_ms=60, max_age_ms=max_age) == said


TIMES = st.integers(0, 5000)


@given(TIMES, TIMES, TIMES, TIMES, st.integers(1, 300), st.integers(1, 2000))
def test_slices_add_up_however_time_is_cut(
    a: int, b: int, c: int, d: int, every: int, max_age: int
) -> None:
    last, start, middle, end = sorted((a, b, c, d))
    first = freshness_slices(last, start, middle, every, max_age)
    second = freshness_slices(last, middle, end, every, max_age)
    whole = freshness_slices(last, start, end, every, max_age)
    assert (first.all + second.all, first.matched + second.matched) == whole
    ends = [at for at in range(start + 1, end + 1) if at % every == 0]
    assert whole == (len(ends), sum(at - last > max_age for at in ends))
