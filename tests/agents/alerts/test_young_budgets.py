"""Budgets of SLOs that are young, or were changed, and of services that say nothing any more."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from tests.agents.alerts.alert_partition import AlertPartition, Row, slo
from tests.agents.alerts.test_objectives import (
    DAY,
    HOUR,
    MINUTE,
    lived,
    of_severity,
    report,
    summaries,
)


def minutes(begin: int, end: int, bad: Iterable[int] = ()) -> list[Row]:
    """1000 events a minute, all bad in the minutes *bad*."""
    bad = set(bad)
    return [Row(at * MINUTE, 1000, 1000 * (at in bad)) for at in range(begin, end)]


def test_an_slo_that_is_new_in_the_middle_of_a_month_has_what_it_saw_and_no_more() -> None:
    definition = slo(calendar="month", tiers=[])
    partition = AlertPartition(definition)
    partition.count(definition, *minutes(0, 120, bad=[30]))
    assert partition.events == []
    # One of the 43.2 minutes of November.
    consumed = report(partition, definition, 2 * HOUR).budget.consumed
    assert consumed == pytest.approx(1 / 43.2, rel=1e-2)


@pytest.mark.parametrize("period", [{"period": "1h"}, {"calendar": "month"}], ids=repr)
def test_a_budget_of_what_was_not_counted_before_begins_anew(period: dict[str, str]) -> None:
    before = slo(objective=90, tiers=[], **period)
    after = slo(objective=90, tiers=[], sli={"availability": {"of": {"service": "a"}}}, **period)
    partition = AlertPartition(before)
    partition.count(before, *minutes(0, 120, bad=range(5)))
    partition.inform(after)
    partition.restart()
    partition.count(after, *minutes(121, 124, bad=[121, 122]))
    assert partition.events == []
    assert report(partition, after, 124 * MINUTE).budget.counts == (3000, 2000)


def test_a_longer_period_has_seen_nothing_yet() -> None:
    before, after = (slo(objective=90, tiers=[], period=period) for period in ("1h", "2h"))
    partition = AlertPartition(before)
    partition.count(before, *minutes(0, 180))
    partition.inform(after)
    partition.count(after, *minutes(180, 183, bad=[180, 181]))
    assert partition.events == []


def test_a_service_that_falls_silent_while_its_budget_burns_has_not_recovered() -> None:
    definition = slo()
    steady = [Row(second, 600, 0) for second in range(-3 * DAY, 0, MINUTE)]
    partition = lived(definition, [*steady, *(Row(at, 10, 10) for at in range(20 * MINUTE))])
    partition.advance(12 * HOUR)
    (_, fired), (status, silent) = of_severity(partition.events, "page")
    assert (fired, status) == (pytest.approx(60, abs=30), "no_data")
    assert 5 * MINUTE <= silent - 20 * MINUTE <= 36 * MINUTE
    assert "There were no events in the last " in summaries(partition.events, "page")["no_data"]
    partition.count(definition, *(Row(12 * HOUR + at, 10, 0) for at in range(MINUTE)))
    assert of_severity(partition.events, "page")[-1][0] == "resolved"
