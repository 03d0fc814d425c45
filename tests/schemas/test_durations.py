"""Durations as Go's own parser reads them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.schemas.durations import parse, parse_long, spell

READ = {
    "10s": 10_000_000_000,
    "1m30s": 90_000_000_000,
    "1.5h": 5_400_000_000_000,
    "300ms": 300_000_000,
    "0": 0,
    "0s": 0,
    "-5s": -5_000_000_000,
    "+5s": 5_000_000_000,
    ".5s": 500_000_000,
    "1.s": 1_000_000_000,
    "5µs": 5_000,
    "5μs": 5_000,
    "100us": 100_000,
    "1.000000001s": 1_000_000_001,
    "0.3333333333333333333h": 1_200_000_000_000,
    "1h1m1s1ms": 3_661_001_000_000,
    "9223372036854775807ns": 2**63 - 1,
    "2562047h47m16.854775807s": 2**63 - 1,
}


@pytest.mark.parametrize(("text", "nanos"), READ.items(), ids=READ)
def test_read(text: str, nanos: int) -> None:
    assert parse(text) == nanos


REFUSED = {
    "a bare number": ("10", "is 10 without a unit; say the unit, as in 10s or 10ms"),
    "a bare fraction": ("1.5", "is 1.5 without a unit; say the unit, as in 1.5s or 1.5ms"),
    "nothing": ("", 'is "", which is not a duration'),
    "a number without a unit at the end": ("1h1", 'is "1h1", which is not a duration'),
    "a unit without a number": ("s", 'is "s", which is not a duration'),
    "a point without digits": (".s", 'is ".s", which is not a duration'),
    "a day": ("1d", "units: ns, us, ms, s, m, h"),
    "a capital unit": ("1H", 'is "1H", which is not a duration'),
    "a space": (" 1s", 'is " 1s", which is not a duration'),
    "digits that are not ASCII": ("\u0661s", "which is not a duration"),
    "too long": ("9223372036854775808ns", "the longest duration is 2562047h47m16.854775807s"),
}


@pytest.mark.parametrize(("text", "message"), REFUSED.values(), ids=REFUSED)
def test_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match="is ") as error:
        parse(text)
    assert message in str(error.value)


DAY = 86_400_000_000_000
LONG = {**READ, "30d": 30 * DAY, "1w": 7 * DAY, "1d12h": DAY + DAY // 2, "0.5d": DAY // 2}


@pytest.mark.parametrize(("text", "nanos"), LONG.items(), ids=LONG)
def test_read_where_days_and_weeks_may_be_said(text: str, nanos: int) -> None:
    assert parse_long(text) == nanos


def test_months_and_years_are_refused_with_the_units_that_there_are() -> None:
    for text in ("1M", "1y", "1mo"):
        with pytest.raises(ValueError, match=r"units: ns, us, ms, s, m, h, d, w\)"):
            parse_long(text)


SPELLED = {
    0: "0s",
    1: "1ns",
    1_500: "1.5us",
    300_000_000: "300ms",
    90_000_000_000: "1m30s",
    3_600_000_000_000: "1h",
    3_600_500_000_000: "1h0.5s",
    -5_000_000_000: "-5s",
}


@pytest.mark.parametrize(("nanos", "text"), SPELLED.items(), ids=SPELLED.values())
def test_spelled(nanos: int, text: str) -> None:
    assert spell(nanos) == text


@given(st.integers(-(2**63) + 1, 2**63 - 1))
def test_what_is_spelled_is_read_back(nanos: int) -> None:
    assert parse(spell(nanos)) == nanos
