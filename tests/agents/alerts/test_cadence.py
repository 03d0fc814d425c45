"""When a group is evaluated."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.agents.alerts.cadence import LONGEST_BACKOFF_MS, Cadence
from tailrace.schemas.alert_events import fingerprint
from tailrace.schemas.durations import MILLISECOND, MINUTE, SECOND

cadences = st.builds(Cadence, st.integers(1, 900).map(lambda s: s * 1000), st.integers(0, 1 << 60))
instants = st.integers(0, 1 << 41)
levels = st.integers(0, 12)


def group(number: int) -> str:
    return fingerprint("default", "checkout", "", {"service": str(number)})


TICKS = {
    "a group ticks in its own second": (Cadence(10_000, 13), 20_000, 0, 23_000),
    "a tick is not after itself": (Cadence(10_000, 13), 23_000, 0, 33_000),
    "the next is in the same second of the period": (Cadence(10_000, 13), 22_999, 0, 23_000),
    "every second has no phase": (Cadence(1000, 13), 20_500, 0, 21_000),
    "backing off doubles the period": (Cadence(10_000, 13), 23_000, 1, 33_000),
    "and doubles it again": (Cadence(10_000, 13), 23_000, 2, 53_000),
}


@pytest.mark.parametrize(("cadence", "after", "level", "tick"), TICKS.values(), ids=TICKS)
def test_next_tick(cadence: Cadence, after: int, level: int, tick: int) -> None:
    assert cadence.next_tick(after, level) == tick


PERIODS = {
    "as stated": (1000, 0, 1000),
    "twice as long": (1000, 1, 2000),
    "four times as long": (1000, 2, 4000),
    "no longer than the longest": (1000, 60, 256_000),
    "to the longest": (75_000, 2, LONGEST_BACKOFF_MS),
    "a longer cadence as stated": (600_000, 3, 600_000),
}


@pytest.mark.parametrize(("every_ms", "level", "period"), PERIODS.values(), ids=PERIODS)
def test_period(every_ms: int, level: int, period: int) -> None:
    assert Cadence(every_ms).period_ms(level) == period


def test_a_cadence_is_rounded_up_to_whole_seconds() -> None:
    assert Cadence.of(1500 * MILLISECOND, group(1)).every_ms == 2000
    assert Cadence.of(SECOND, group(1)).every_ms == 1000


@given(cadences, instants, levels)
def test_ticks_are_whole_seconds_a_period_apart(cadence: Cadence, after: int, level: int) -> None:
    tick = cadence.next_tick(after, level)
    assert tick % 1000 == 0
    assert after < tick <= after + cadence.period_ms(level)
    assert cadence.next_tick(tick, level) == tick + cadence.period_ms(level)
    assert cadence.next_tick(tick - 1, level) == cadence.newest_tick(tick, level) == tick
    assert cadence.tick_from(tick, level) == tick


@given(cadences, instants, st.integers(0, 1 << 22), levels)
def test_of_missed_ticks_the_newest_is_evaluated(
    cadence: Cadence, evaluated_at: int, waited: int, level: int
) -> None:
    now, tick = evaluated_at + waited, cadence.next_tick(evaluated_at, level)
    ticks = range(tick, now + 1, cadence.period_ms(level))
    assert cadence.due_tick(evaluated_at, now, level) == (ticks[-1] if ticks else None)


@given(cadences, instants, levels)
def test_ticks_when_backing_off_are_ticks_without(cadence: Cadence, after: int, level: int) -> None:
    tick = cadence.next_tick(after, level + 1)
    assert cadence.newest_tick(tick, level) == tick
    assert tick >= cadence.next_tick(after, level)


@pytest.mark.parametrize("level", [0, 2])
def test_groups_are_spread_over_the_period(level: int) -> None:
    cadences = [Cadence.of(MINUTE, group(number)) for number in range(2400)]
    seconds = Counter(cadence.next_tick(0, level) for cadence in cadences)
    mean = 2400 / (60 << level)
    assert len(seconds) == 60 << level
    assert max(seconds.values()) < 3 * mean + 5
