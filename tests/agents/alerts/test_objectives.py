"""SLOs from matches to events: each tier at its second, budgets, calendars, freshness."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from fractions import Fraction
from itertools import accumulate
from types import MappingProxyType
from typing import Any, NamedTuple

import pytest

from tailrace.agents.alerts.burn_rate import Health
from tailrace.agents.alerts.objectives import BudgetReport, SloRule
from tailrace.agents.alerts.rules import Moment
from tailrace.schemas.alert_events import AlertEvent
from tailrace.schemas.definitions import Definition
from tailrace.schemas.definitions.slo import FREEZE
from tests.agents.alerts.alert_partition import (
    BEGIN,
    AlertPartition,
    Row,
    alert,
    changes,
    slo,
    window_counts,
)

MINUTE, HOUR, DAY = 60, 3600, 86_400
A_SECOND = 10_000
"""Events; of which 10 are bad at a burn rate of 1."""
Told = list[tuple[str, int]]


class Counted:
    """Seconds of events, and what their windows have by the docstring of windows."""

    def __init__(self, rows: Iterable[Row]) -> None:
        self.rows = sorted(rows)
        self._seconds = [BEGIN + row.second for row in self.rows]
        self._all = [0, *accumulate(row.all for row in self.rows)]
        self._bad = [0, *accumulate(row.matched for row in self.rows)]

    def share(self, now: int, length: int) -> Fraction:
        """The share that is bad of the *length* seconds before *now*."""
        size = max(1, length // 60)
        # The first bucket whose end is after now - length; and the seconds that are over.
        first = ((BEGIN + now - length) // size) * size
        begin, end = (bisect_left(self._seconds, each) for each in (first, BEGIN + now))
        everything = self._all[end] - self._all[begin]
        return (
            Fraction(self._bad[end] - self._bad[begin], everything) if everything else Fraction(0)
        )


TIERS = {
    "fast": ("page", HOUR, 5 * MINUTE, Fraction(144, 10)),
    "medium": ("page", 6 * HOUR, 30 * MINUTE, Fraction(6)),
    "slow": ("ticket", DAY, 2 * HOUR, Fraction(3)),
    "slowest": ("ticket", 3 * DAY, 6 * HOUR, Fraction(1)),
}


def expected(counted: Counted, severity: str, ticks: Iterable[int]) -> Told:
    """When *severity* fires and resolves, of an objective of 99.9 % in 30 days."""
    found: Told = []
    tiers = [each[1:] for each in TIERS.values() if each[0] == severity]
    for tick in ticks:
        is_bad = any(
            counted.share(tick, long) > factor / 1000 and counted.share(tick, short) > factor / 1000
            for long, short, factor in tiers
        )
        if is_bad != (found[-1:] != [] and found[-1][0] == "firing"):
            found.append(("firing" if is_bad else "resolved", tick))
    return found


class Incident(NamedTuple):
    """Steady traffic for three days; then a burn rate of *burn* for *lasts* seconds."""

    burn: Fraction
    lasts: int
    step: int
    """Events come once in so many seconds."""
    calm: int = 4 * HOUR
    """How long it is good again."""

    def rows(self) -> Iterator[Row]:
        for second in range(-3 * DAY, 0, MINUTE):
            yield Row(second, A_SECOND * MINUTE, 0)
        for second in range(0, self.lasts + self.calm, self.step):
            burn = self.burn if second < self.lasts else 0
            yield Row(second, A_SECOND * self.step, int(burn * A_SECOND * self.step / 1000))


def lived(definition: Definition[Any], rows: Iterable[Row]) -> AlertPartition:
    partition = AlertPartition(definition)
    partition.begin_at(-4 * DAY)
    for row in rows:
        partition.count(definition, row)
    return partition


def of_severity(events: Iterable[AlertEvent], severity: str) -> Told:
    return changes(event for event in events if event.severity == severity)


def summaries(events: Iterable[AlertEvent], severity: str) -> dict[str, str]:
    """What the last event of each status says."""
    return {
        each.status: each.annotations["summary"] for each in events if each.severity == severity
    }


def test_who_is_told_that_a_burn_is_over_is_told_why() -> None:
    incident, *_ = INCIDENTS["fast"]
    said = summaries(lived(slo(confidence=0), incident.rows()).events, "page")
    assert said["firing"].endswith("the alert is on more than 14.4 over both 1h and 5m.")
    assert said["resolved"].startswith(
        "The error budget burns slowly enough again: at 14.4 times its pace or less over 5m, "
        "though still at "
    )


# Of windows that slide by the second; ours have up to a sixtieth more.
INCIDENTS = {
    # 60 min × 14.4/20 = 43:12; 5 min × (1 - 14.4/20) = 84 s
    "fast": (Incident(Fraction(20), HOUR, 1, 1200), 2592, 84),
    # 6 h × 6/10; 30 min × (1 - 6/10)
    "medium": (Incident(Fraction(10), 5 * HOUR, 10, HOUR), 12_960, 720),
    # 24 h × 3/4, which is 72 h × 1/4: both tiers are of one severity; 6 h × (1 - 1/4)
    "slow": (Incident(Fraction(4), 20 * HOUR, 30, 6 * HOUR), 64_800, 16_200),
    # 72 h × 1/2; 6 h × (1 - 1/2)
    "slowest": (Incident(Fraction(2), 40 * HOUR, 60), 129_600, 10_800),
}


@pytest.mark.parametrize("name", INCIDENTS)
def test_a_tier_fires_and_resolves_at_the_computed_second(name: str) -> None:
    incident, begins, ends_after = INCIDENTS[name]
    severity, long, *_ = TIERS[name]
    partition = lived(slo(confidence=0), incident.rows())
    whole = incident.lasts + incident.calm
    ticks = sorted({*range(0, whole, 5), *range(1, whole, incident.step)})
    truth = expected(Counted(incident.rows()), severity, ticks)
    assert of_severity(partition.events, severity) == truth
    (_, fired), (_, resolved) = truth
    assert begins < fired <= begins + long // 60 + incident.step
    assert ends_after <= resolved - incident.lasts <= ends_after * 61 / 60 + 360
    others = {event.severity for event in partition.events} - {severity}
    # Who pages for it has opened a ticket by then only if it burns for hours.
    assert others <= {"ticket"} if name == "medium" else not others


@pytest.mark.parametrize(
    ("name", "lasts"), [("fast", 2), ("medium", 7), ("slow", 24), ("slowest", 73)]
)
def test_at_its_factor_a_tier_says_nothing_and_just_above_it_does(name: str, lasts: int) -> None:
    severity, *_, factor = TIERS[name]
    step = 10 if lasts < 10 else MINUTE
    at = lived(slo(confidence=0), Incident(factor, lasts * HOUR, step, 0).rows())
    assert at.events == []
    above = Incident(factor + Fraction(1, 10), lasts * HOUR, step, 0)
    assert of_severity(lived(slo(confidence=0), above.rows()).events, severity)[0][0] == "firing"


@pytest.mark.parametrize(
    "sli",
    [
        {"availability": {"of": {"service": "cart"}}},
        {"latency": {"of": {}, "threshold": "300ms"}},
        {"correctness": {"of": {}, "good": {"attributes": {"right": "yes"}}}},
    ],
    ids=lambda sli: next(iter(sli)),
)
def test_an_outage_of_whatever_kind_pages_within_a_minute(sli: dict[str, Any]) -> None:
    definition = slo(sli=sli)
    partition = AlertPartition(definition)
    partition.begin_at(-4 * DAY)
    for second in range(-3 * DAY, 0, MINUTE):
        partition.count(definition, Row(second, 6000, 0))
    for second in range(100):
        partition.count(definition, Row(second, 100, 100))
    # 61 min × 14.4/1000 = 52.7 s, and the guard's 2 at most
    (page,) = [event for event in partition.events if event.severity == "page"]
    assert 52 <= page.starts_at // 1000 - BEGIN <= 55
    assert (page.kind, page.window_ms, page.threshold) == ("burn_rate", HOUR * 1000, 14.4)


def test_one_failed_of_ten_at_night_pages_nobody() -> None:
    def nights(an_hour: int) -> set[str]:
        rows = [Row(n * HOUR // an_hour, 1, n == an_hour // 2) for n in range(an_hour)]
        return {event.severity for event in lived(slo(), rows).events}

    assert nights(10) == set()
    # One of thirty is more than the three days' 0.1 %, for somebody to look at when it is day.
    assert nights(30) == {"ticket"}


# Budgets


def report(partition: AlertPartition, definition: Definition[Any], second: int) -> BudgetReport:
    (rule,), (group,) = partition.logic.rules.values(), list(partition.logic.groups)
    assert isinstance(rule, SloRule)
    return rule.report(group, Moment((BEGIN + second) * 1000, partition.logic.has_input))


def test_a_young_slo_has_spent_the_share_of_its_age() -> None:
    definition = slo()
    rows = [Row(second, 1000, second == 1800) for second in range(0, HOUR, 60)]
    partition = lived(definition, rows)
    assert partition.events == []
    told = report(partition, definition, HOUR)
    # 1 of 60,000 is a sixtieth of 0.1 %, for an hour of thirty days.
    assert told.budget.consumed == pytest.approx(1 / 60 / 720, rel=1e-3)
    assert told.budget.counts == (60_000, 1)


def test_no_traffic_no_errors_and_no_input_are_three_things() -> None:
    definition, other = slo(), alert()
    partition = AlertPartition(definition)
    partition.count(definition, Row(0, 10, 0))
    assert report(partition, definition, 1).health is Health.NO_ERRORS
    partition.count(definition, Row(1, 10, 1))
    assert report(partition, definition, 2).health is Health.ERRORS
    partition.advance(60)
    assert report(partition, definition, 60).health is Health.NO_INPUT
    partition.count(other, Row(2 * HOUR, 1, 1))
    assert report(partition, definition, 2 * HOUR).health is Health.NO_TRAFFIC


def test_a_spent_budget_freezes_and_thaws_when_the_errors_are_out_of_the_period() -> None:
    definition = slo(objective=90, period="1h", tiers=[])
    rows = [Row(second, 100, 50 if 1200 <= second < 2400 else 0) for second in range(0, 7200, 10)]
    partition = lived(definition, rows)
    seconds = {BEGIN + row.second: (row.all, row.matched) for row in rows}
    truth: Told = []
    for tick in range(1, 7200):
        known = {second: counts for second, counts in seconds.items() if second < BEGIN + tick}
        if tick % 10 != 1 and (BEGIN + tick) % 60:
            continue
        everything, bad = window_counts(known, BEGIN + tick, HOUR)
        is_spent = bad * 10 * min(tick - 1, HOUR) >= everything * HOUR
        if is_spent != (truth[-1:] != [] and truth[-1][0] == "firing"):
            truth.append(("firing" if is_spent else "resolved", tick))
    assert [status for status, _ in truth] == ["firing", "resolved"]
    assert of_severity(partition.events, FREEZE) == truth
    assert {event.severity for event in partition.events} == {FREEZE}
    assert "There is error budget" not in summaries(partition.events, FREEZE)["firing"]
    assert summaries(partition.events, FREEZE)["resolved"].startswith("There is error budget: ")


DECEMBER, JANUARY = 1_701_388_800 - BEGIN, 1_704_067_200 - BEGIN


def test_a_month_begins_with_a_whole_budget() -> None:
    definition = slo(calendar="month", tiers=[])
    partition = AlertPartition(definition)
    partition.count(definition, Row(0, 100, 50))
    partition.count(definition, Row(2 * HOUR, 1, 0))  # 50 of 101 is all of a month's in 1:28 h
    # A source that is ahead is in December already.
    partition.count(definition, Row(DECEMBER, 100, 0), at=3 * HOUR)
    partition.restart()
    assert report(partition, definition, 3 * HOUR).budget.counts == (101, 50)
    partition.advance(DECEMBER + 1000)
    assert partition.told() == [("firing", 2 * HOUR + 1), ("resolved", DECEMBER)]
    assert report(partition, definition, DECEMBER + 1000).budget.counts == (100, 0)
    partition.advance(JANUARY + HOUR)
    assert len(partition.logic.groups) == 0


# Freshness

FRESH = [{"severity": "page", "long": "5m", "short": "1m", "factor": 1.5}]


def fresh(
    max_age: str,
    group_by: Iterable[str] = (),
    spec: Mapping[str, Any] = MappingProxyType({}),
    **freshness: str,
) -> Definition[Any]:
    said = {"of": {"service": "backup"}, "max_age": max_age, "every": "30s", **freshness}
    few = {"objective": 50, "tiers": FRESH, "minimum_events": 1, "confidence": 0, "freeze": False}
    return slo(**{"sli": {"freshness": said}, "group_by": [*group_by], **few, **spec})


def stale_slices(good: Iterable[int], max_age: int, until: int) -> dict[int, tuple[int, int]]:
    """The slices of 30 seconds, each in its last second; good and times in whole seconds."""
    found, spans = {}, sorted(good)
    for end in range((BEGIN + spans[0] + 1) // 30 * 30 + 30, BEGIN + until + 1, 30):
        last = max(BEGIN + second for second in spans if BEGIN + second < end)
        found[end - 1] = (1, int(end - last > max_age))
    return found


def test_what_is_stale_fires_at_the_computed_second_and_resolves_when_it_is_fresh_again() -> None:
    definition = fresh("90s")
    good = [*range(0, 300, 10), *range(900, 1200, 10)]
    partition = AlertPartition(definition)
    for second in good:
        partition.count(definition, Row(second, 1, 1))
    slices = stale_slices(good, 90, 1200)
    truth: Told = []
    for tick in range(1, 1201):
        known = {second: counts for second, counts in slices.items() if second < BEGIN + tick}
        windows = [window_counts(known, BEGIN + tick, length) for length in (300, 60)]
        is_bad = all(total and 4 * bad > 3 * total for total, bad in windows)
        if is_bad != (truth[-1:] != [] and truth[-1][0] == "firing"):
            truth.append(("firing" if is_bad else "resolved", tick))
    assert [status for status, _ in truth] == ["firing", "resolved"]
    assert partition.told() == truth


def test_a_span_at_the_end_of_each_slice_is_fresh_however_late_its_source() -> None:
    definition = fresh("5s")
    partition = AlertPartition(definition)
    good = [second for second in range(1200) if (BEGIN + second) % 30 == 29]
    for early, late in zip(good[1::2], good[::2], strict=False):
        partition.count(definition, Row(early, 1, 1), at=late)
        partition.restart()
        partition.count(definition, Row(late, 1, 1), at=early + 1)
    assert partition.told() == []
    (group,) = partition.logic.groups
    assert {(window.matched, window.all > 0) for window in group.windows.values()} == {(0, True)}


@pytest.mark.parametrize(
    ("said", "hours"),
    [({"gone_after": "1h"}, 1), ({}, 24), ({"max_age": "3h"}, 30)],
    ids=["as is said", "after a day", "after ten times a bound of hours"],
)
def test_a_group_of_which_nothing_comes_any_more_is_given_up(
    said: dict[str, str], hours: int
) -> None:
    definition = fresh(**{"max_age": "90s", "group_by": ["service"], **said})  # type: ignore[arg-type]
    partition = AlertPartition(definition)
    partition.count(definition, Row(0, 1, 1, ("old",)))
    partition.restart()
    partition.advance(hours * HOUR - 30)
    assert [status for status, _ in partition.told()] == ["firing"]
    partition.advance(hours * HOUR + HOUR)
    (_, (status, resolved)) = partition.told()
    assert (status, 0 <= resolved - hours * HOUR <= 30) == ("resolved", True)
    assert partition.events[-1].annotations["summary"].endswith(": the group is given up.")
    assert len(partition.logic.groups) == 0
    assert partition.totals.counts["alert_groups_forgotten"] == 1
    assert not any(key.startswith(b"ag") for key, _ in partition.store.scan(b""))


def test_a_budget_of_the_calendar_is_forgotten_with_the_group_that_spent_it() -> None:
    spec = {"calendar": "month", "freeze": True, "objective": 99.9, "tiers": []}
    definition = fresh("90s", ["service"], spec, gone_after="1h")
    partition = AlertPartition(definition)
    partition.count(definition, Row(0, 1, 1, ("old",)))
    partition.advance(2 * HOUR)
    assert of_severity(partition.events, FREEZE)[0][0] == "firing"
    assert of_severity(partition.events, FREEZE)[-1][0] == "resolved"
    assert len(partition.logic.groups) == 0


def test_a_group_that_comes_back_after_it_was_given_up_begins_anew() -> None:
    definition = fresh("90s", ["service"], gone_after="1h")
    partition = AlertPartition(definition)
    partition.count(definition, Row(0, 1, 1, ("old",)))
    partition.advance(HOUR + 60)
    assert [status for status, _ in partition.told()] == ["firing", "resolved"]
    for second in range(HOUR + 600, HOUR + 1200, 10):
        partition.count(definition, Row(second, 1, 1, ("old",)))
    assert len(partition.told()) == 2
    (group,) = partition.logic.groups
    assert {window.matched for window in group.windows.values()} == {0}


def test_what_never_came_is_stale_from_when_its_objective_was_first_there() -> None:
    definition = fresh("90s")
    partition = AlertPartition(definition)
    partition.advance(10)
    partition.restart()
    partition.advance(600)
    ((status, fired),) = partition.told()
    slices = stale_slices([10], 90, 600)
    assert status == "firing"
    assert fired == next(
        tick
        for tick in range(1, 600)
        if all(
            total and 4 * bad > 3 * total
            for total, bad in (
                window_counts(
                    {s: n for s, n in slices.items() if s < BEGIN + tick}, BEGIN + tick, w
                )
                for w in (300, 60)
            )
        )
    )
    partition.count(definition, Row(600, 1, 1))
    (group,) = partition.logic.groups
    assert group.first_seen_ms == (BEGIN + 10) * 1000
    partition.advance(700)
    assert [status for status, _ in partition.told()] == ["firing", "resolved"]


def test_of_what_never_came_one_partition_tells() -> None:
    definition = fresh("90s")
    told = []
    for number in range(3):
        partition = AlertPartition(definition, rollups=(number, 3))
        partition.advance(10)
        partition.advance(600)
        told += partition.told()
        first = AlertPartition(fresh("90s", ["service"]), rollups=(number, 3))
        first.advance(600)
        assert len(first.logic.groups) == 0
    assert [status for status, _ in told] == ["firing"]


def test_freshness_without_groups_is_never_given_up() -> None:
    definition = fresh("90s")
    partition = AlertPartition(definition)
    partition.count(definition, Row(0, 1, 1))
    partition.advance(30 * DAY)
    assert [status for status, _ in partition.told()] == ["firing"]
