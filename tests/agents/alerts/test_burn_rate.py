"""Burn rates as the SRE workbook publishes them, and who is not woken for nothing."""

from __future__ import annotations

from fractions import Fraction
from math import ceil
from statistics import NormalDist
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.agents.alerts.burn_rate import (
    BurnRate,
    Health,
    Quiet,
    burn,
    by_severity,
    health,
    is_sure,
    windows_of,
)
from tailrace.agents.alerts.counts import Counts
from tailrace.schemas.definitions.slo import SloSpec

MINUTE_MS, HOUR_MS = 60_000, 3_600_000
DAY_MS = 24 * HOUR_MS
NONE = Counts(0, 0)


def slo(**said: Any) -> SloSpec:
    """An SLO of 99.9 % in 30 days, but for what is *said*."""
    return SloSpec.model_validate({"sli": {"availability": {"of": {}}}, "objective": 99.9} | said)


PUBLISHED = {
    "99.9 % of 30 days": ({}, "14.4 6 3 1", "0.0144 0.006 0.003 0.001"),
    "99.95 % of 30 days": ({"objective": 99.95}, "14.4 6 3 1", "0.0072 0.003 0.0015 0.0005"),
    "99.5 % of 30 days": ({"objective": 99.5}, "14.4 6 3 1", "0.072 0.03 0.015 0.005"),
    "28 days": ({"period": "672h"}, "13.44 5.6 2.8 14/15", "0.01344 0.0056 0.0028 7/7500"),
    "7 days": ({"period": "168h"}, "3.36 1.4 0.7 7/30", "0.00336 0.0014 0.0007 7/30000"),
    "a month of the calendar": ({"calendar": "month"}, "14.4 6 3 1", "0.0144 0.006 0.003 0.001"),
    "a week of the calendar": (
        {"calendar": "week"}, "3.36 1.4 0.7 7/30", "0.00336 0.0014 0.0007 7/30000",
    ),
    "own budgets of a week, as Sloth's example has them": (
        {
            "period": "168h",
            "tiers": [
                {"severity": "page", "long": "1h", "short": "5m", "budget": 0.08},
                {"severity": "page", "long": "6h", "short": "30m", "budget": 0.125},
                {"severity": "ticket", "long": "24h", "short": "2h", "budget": 0.2},
                {"severity": "ticket", "long": "72h", "short": "6h", "budget": 0.42},
            ],
        },
        "13.44 3.5 1.4 0.98", "0.01344 0.0035 0.0014 0.00098",
    ),
    "an own factor": (
        {"tiers": [{"severity": "page", "long": "1h", "short": "5m", "factor": 14.4}]},
        "14.4", "0.0144",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("said", "factors", "limits"), PUBLISHED.values(), ids=PUBLISHED)
def test_factors_and_limits_are_exactly(said: dict[str, Any], factors: str, limits: str) -> None:
    rate = BurnRate.of(slo(**said))
    assert [tier.factor for tier in rate.tiers] == list(map(Fraction, factors.split()))
    assert [tier.limit for tier in rate.tiers] == list(map(Fraction, limits.split()))
    assert len(rate.warnings) == sum(tier.factor < 1 for tier in rate.tiers)


def test_the_four_tiers_have_the_workbooks_windows_and_severities() -> None:
    assert [(t.severity, t.long_ms, t.short_ms) for t in BurnRate.of(slo()).tiers] == [
        ("page", HOUR_MS, 5 * MINUTE_MS),
        ("page", 6 * HOUR_MS, 30 * MINUTE_MS),
        ("ticket", DAY_MS, 2 * HOUR_MS),
        ("ticket", 3 * DAY_MS, 6 * HOUR_MS),
    ]


def test_windows_are_those_of_the_tiers_and_the_period_unless_it_is_of_the_calendar() -> None:
    minutes = {5, 60, 30, 6 * 60, 2 * 60, 24 * 60, 3 * 24 * 60}
    tiers = {each * MINUTE_MS for each in minutes}
    assert windows_of(slo()) == tiers | {30 * DAY_MS}
    assert windows_of(slo(calendar="month")) == tiers


def test_tiers_that_look_back_longer_than_the_period_are_left_out_and_said() -> None:
    rate = BurnRate.of(slo(period="24h"))
    assert [tier.long_ms for tier in rate.tiers] == [HOUR_MS, 6 * HOUR_MS, DAY_MS]
    assert rate.warnings[-1:] == (
        "the ticket tier of 72h and 6h is left out: it looks back longer than the period, 24h",
    )
    assert windows_of(slo(period="24h")) == rate.windows_ms


def test_tiers_that_alert_though_the_budget_would_last_are_said() -> None:
    rate = BurnRate.of(slo(period="168h"))
    assert len(rate.tiers) == 4
    assert rate.warnings == (
        "the ticket tier of 24h and 2h alerts above a burn rate of 0.7, at which the period's "
        "budget is never spent; give tiers of your own for a period of 168h",
        "the ticket tier of 72h and 6h alerts above a burn rate of 0.233, at which the period's "
        "budget is never spent; give tiers of your own for a period of 168h",
    )
    assert not BurnRate.of(slo()).warnings


def test_tiers_that_could_never_be_breached_are_left_out_and_said() -> None:
    rate = BurnRate.of(slo(objective=90))
    assert [float(tier.factor) for tier in rate.tiers] == [6, 3, 1]
    assert rate.warnings == (
        "the page tier of 1h and 5m is left out: a burn rate above 14.4 would need more than "
        "144% bad events; lower its factor or raise the objective",
    )
    all_bad = {"tiers": [{"severity": "page", "long": "1h", "short": "5m", "factor": 1000}]}
    assert not BurnRate.of(slo(**all_bad)).tiers


def judged(rate: BurnRate, index: int, long: Counts, short: Counts) -> Quiet | None:
    """What the tier at *index* says of its windows."""
    tier = rate.tiers[index]
    windows = dict.fromkeys(rate.windows_ms, NONE) | {tier.long_ms: long, tier.short_ms: short}
    return rate.judge(windows)[index].quiet


BOUNDARIES = [(0, 144), (1, 60), (2, 30), (3, 10)]


@pytest.mark.parametrize(
    ("index", "allowed"), BOUNDARIES, ids=["fast", "medium", "slow", "slowest"]
)
def test_each_tier_is_breached_just_above_its_factor(index: int, allowed: int) -> None:
    rate = BurnRate.of(slo(confidence=0))
    under, at, above = (Counts(10_000, allowed + each) for each in (-1, 0, 1))
    assert judged(rate, index, under, above) is Quiet.BELOW
    assert judged(rate, index, at, above) is Quiet.BELOW
    assert judged(rate, index, above, at) is Quiet.RECOVERED
    assert judged(rate, index, above, NONE) is Quiet.SILENT
    assert judged(rate, index, above, above) is None


def test_at_the_factor_no_rounding_breaches() -> None:
    # In doubles, 14.4 * (1 - 0.9995) is 0.007199999999999873: below 72 of 10,000.
    rate = BurnRate.of(slo(objective=99.95, confidence=0))
    assert judged(rate, 0, Counts(10_000, 72), Counts(10_000, 72)) is Quiet.BELOW
    huge = Counts(10**18, 72 * 10**14)
    assert judged(rate, 0, huge, huge) is Quiet.BELOW
    more = huge._replace(matched=huge.matched + 1)
    assert judged(rate, 0, more, more) is None


def test_the_burn_is_the_share_in_multiples_of_the_budget() -> None:
    rate = BurnRate.of(slo())
    windows = dict.fromkeys(rate.windows_ms, Counts(10_000, 144))
    assert [each.burn for each in rate.judge(windows)] == [14.4] * 4
    assert burn(NONE, rate.budget) is None


QUIET_NIGHTS = {
    "one failed of ten": (Counts(10, 1), Quiet.TOO_FEW),
    "one failed of twenty": (Counts(20, 1), Quiet.NOT_SURE),
    "one failed of forty": (Counts(40, 1), Quiet.NOT_SURE),
    "nothing at all": (NONE, Quiet.NO_TRAFFIC),
    "nothing failed": (Counts(1000, 0), Quiet.BELOW),
    "all of nineteen failed": (Counts(19, 19), Quiet.TOO_FEW),
}


@pytest.mark.parametrize(("night", "quiet"), QUIET_NIGHTS.values(), ids=QUIET_NIGHTS)
def test_nobody_is_paged_when(night: Counts, quiet: Quiet) -> None:
    rate = BurnRate.of(slo())
    for index in (0, 1):
        assert judged(rate, index, night, night) is quiet


def test_an_outage_of_as_few_events_as_the_minimum_pages() -> None:
    rate = BurnRate.of(slo())
    assert judged(rate, 0, Counts(20, 20), Counts(1, 1)) is None


def test_one_failed_of_ten_is_not_sure_even_without_a_minimum() -> None:
    rate = BurnRate.of(slo(minimum_events=1))
    assert judged(rate, 0, Counts(10, 1), Counts(10, 1)) is Quiet.NOT_SURE
    assert (
        judged(BurnRate.of(slo(minimum_events=1, confidence=0)), 0, Counts(10, 1), Counts(9, 1))
        is None
    )


# Newcombe 1998, table I, method 4: lower bounds, two-sided 95 %.
NEWCOMBE = {
    "81 of 263": (263, 81, 0.2535),
    "15 of 148": (148, 15, 0.0598),
    "1 of 29": (29, 1, 0.0018),
}


@pytest.mark.parametrize(("all_events", "bad", "bound"), NEWCOMBE.values(), ids=NEWCOMBE)
def test_the_guard_turns_at_the_published_lower_bound(
    all_events: int, bad: int, bound: float
) -> None:
    z = NormalDist().inv_cdf(0.975)
    assert is_sure(Counts(all_events, bad), bound - 0.00006, z)
    assert not is_sure(Counts(all_events, bad), bound + 0.00006, z)


def test_of_one_severity_the_breached_tier_speaks_then_the_loudest_then_the_first() -> None:
    rate = BurnRate.of(slo())
    long, bad = Counts(10_000, 100), Counts(10_000, 100)
    windows = dict.fromkeys(rate.windows_ms, Counts(10_000, 0))
    slow_page = windows | {HOUR_MS: long, 6 * HOUR_MS: bad, 30 * MINUTE_MS: bad}
    loudest = by_severity(rate.judge(slow_page))
    assert list(loudest) == ["page", "ticket"]
    assert loudest["page"].is_breached
    assert loudest["page"].tier.long_ms == 6 * HOUR_MS
    assert not loudest["ticket"].is_breached
    assert by_severity(rate.judge(windows))["page"].tier.long_ms == HOUR_MS
    worse_but_over = slow_page | {HOUR_MS: Counts(10_000, 5000)}
    assert by_severity(rate.judge(worse_but_over))["page"].tier.long_ms == 6 * HOUR_MS


HEALTH = {
    "no input is not no traffic": (NONE, False, Health.NO_INPUT),
    "no input is not no errors": (Counts(5, 0), False, Health.NO_INPUT),
    "no traffic is not no errors": (NONE, True, Health.NO_TRAFFIC),
    "no errors": (Counts(5, 0), True, Health.NO_ERRORS),
    "errors": (Counts(5, 1), True, Health.ERRORS),
}


@pytest.mark.parametrize(("counts", "has_input", "said"), HEALTH.values(), ids=HEALTH)
def test_health(counts: Counts, has_input: bool, said: Health) -> None:
    assert health(counts, has_input) is said


COUNTS = st.integers(0, 3000).flatmap(
    lambda all_events: st.builds(Counts, st.just(all_events), st.integers(0, all_events))
)
SLOS = st.builds(
    slo,
    objective=st.sampled_from([50, 90, 99, 99.5, 99.9, 99.99]),
    minimum_events=st.integers(1, 200),
    confidence=st.sampled_from([0, 0.2, 0.5, 0.9, 0.95, 0.999]),
)


@given(SLOS, COUNTS, COUNTS)
def test_more_bad_events_never_calm_a_tier(spec: SloSpec, long: Counts, short: Counts) -> None:
    rate = BurnRate.of(spec)
    for index in range(len(rate.tiers)):
        if judged(rate, index, long, short) is None:
            for worse in (long.matched + 1, ceil((long.matched + long.all) / 2), long.all):
                worst = long._replace(matched=min(worse, long.all))
                assert judged(rate, index, worst, short) is None
            assert judged(rate, index, long, short._replace(matched=short.all)) is None


@given(SLOS, COUNTS, COUNTS)
def test_no_tier_is_breached_by_fewer_events_than_the_minimum(
    spec: SloSpec, long: Counts, short: Counts
) -> None:
    rate = BurnRate.of(spec)
    for index in range(len(rate.tiers)):
        if long.all < spec.minimum_events:
            assert judged(rate, index, long, short) in (Quiet.TOO_FEW, Quiet.NO_TRAFFIC)


@given(SLOS, COUNTS, COUNTS)
def test_the_guard_only_removes_alerts(spec: SloSpec, long: Counts, short: Counts) -> None:
    guarded = BurnRate.of(spec)
    free = BurnRate.of(spec.model_copy(update={"confidence": 0.0}))
    for index in range(len(free.tiers)):
        said, without = judged(guarded, index, long, short), judged(free, index, long, short)
        assert said == without or (said, without) == (Quiet.NOT_SURE, None)


def _surprise(counts: Counts, limit: float) -> float:
    """How likely so many bad events are, or more, if the true share is *limit*: summed exactly."""
    total, term = 0.0, (1 - limit) ** counts.all
    for bad in range(counts.all + 1):
        total += term if bad >= counts.matched else 0.0
        term *= (counts.all - bad) / (bad + 1) * limit / (1 - limit)
    return total


@given(st.integers(20, 600), st.integers(1, 12), st.sampled_from([0.0144, 0.006, 0.003, 0.001]))
def test_what_the_guard_is_sure_of_is_seldom_chance(
    all_events: int, bad: int, limit: float
) -> None:
    """The normal approximation of the exact test: never far off for the 5 % it promises."""
    counts = Counts(all_events, min(bad, all_events))
    if is_sure(counts, limit, NormalDist().inv_cdf(0.95)):
        assert _surprise(counts, limit) < 0.075
