"""Of too few events nothing begins to fire, and nothing that fires ends."""

from __future__ import annotations

from typing import Any

import pytest

from tests.agents.alerts.alert_partition import AlertPartition, Row, alert, slo

FEW: dict[str, Any] = {"within": "1m", "minimum_events": 20}
SHARE: dict[str, Any] = {"of": {}, "aggregate": "share", "when": "> 10%", **FEW}
QUANTILE: dict[str, Any] = {
    "aggregate": "quantile", "quantile": 0.9, "when": "> 1s", **FEW, "where": {},
}  # fmt: skip
HOUR = 3600


def firing(**said: Any) -> tuple[AlertPartition, Any, str]:
    """An alert that has fired for a minute, and its operand."""
    definition = alert(**said)
    partition = AlertPartition(definition)
    operand = "warning" if said["aggregate"] == "quantile" else ""
    partition.count(definition, *(Row(at, 2, 1, operand=operand) for at in range(60)))
    assert [status for status, _ in partition.told()] == ["firing"]
    return partition, definition, operand


@pytest.mark.parametrize("said", [SHARE, QUANTILE])
@pytest.mark.parametrize("last", [0, 1])
def test_a_service_that_dies_has_not_recovered_when_its_last_spans_were_good(
    said: dict[str, Any], last: int
) -> None:
    partition, definition, operand = firing(**said)
    partition.count(definition, Row(60, 1, last, operand=operand))
    for second in range(61, 61 + HOUR, 10):
        partition.advance(second)
    assert [status for status, _ in partition.told()] == ["firing", "no_data"]
    partition.advance(61 + 2 * HOUR)  # it is gone
    assert [status for status, _ in partition.told()] == ["firing", "no_data", "resolved"]


@pytest.mark.parametrize("said", [SHARE, QUANTILE])
def test_what_still_fails_of_little_traffic_fires_on_and_nothing_begins_of_it(
    said: dict[str, Any],
) -> None:
    partition, definition, operand = firing(**said)
    for at in range(60, 3 * HOUR, 10):
        partition.count(definition, Row(at, 1, 1, operand=operand))
    assert [status for status, _ in partition.told()] == ["firing"]
    for at in range(3 * HOUR, 3 * HOUR + 120):
        partition.count(definition, Row(at, 1, 0, operand=operand))
    for at in range(3 * HOUR + 200, 4 * HOUR, 10):
        partition.count(definition, Row(at, 1, 1, operand=operand))
    assert [status for status, _ in partition.told()] == ["firing", "resolved"]


def test_a_budget_that_little_traffic_still_burns_fires_on() -> None:
    tier = {"severity": "page", "long": "1h", "short": "5m", "factor": 10}
    definition = slo(objective=99, tiers=[tier], freeze=False)
    partition = AlertPartition(definition)
    partition.count(definition, *(Row(at, 1, 1) for at in range(120)))
    for at in range(200, 4 * HOUR, 250):
        partition.count(definition, Row(at, 1, 1))
    assert [status for status, _ in partition.told()] == ["firing"]
    partition.count(definition, *(Row(4 * HOUR + at, 1, 0) for at in range(0, 600, 60)))
    assert [status for status, _ in partition.told()] == ["firing", "resolved"]


COUNT: dict[str, Any] = {"within": "5m", "when": ">= 100"}
CHANGES: dict[str, dict[str, Any]] = {
    "another window": {"within": "10m"},
    "another filter": {"where": {"status": "error", "service": "checkout"}},
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("goes_on", [True, False])
def test_a_count_that_begins_anew_ends_nothing_before_its_window_is_full(
    change: dict[str, Any], goes_on: bool
) -> None:
    before, after = alert(**COUNT), alert(**{**COUNT, **change})
    partition = AlertPartition(before)
    partition.count(before, *(Row(at, 1, 1) for at in range(300)))
    partition.inform(after)
    partition.restart()
    for at in range(300, 2000, 10):
        if goes_on:
            partition.count(after, Row(at, 5, 5))
        else:
            partition.advance(at + 1)
    full = 300 + (600 if "within" in change else 300)
    if goes_on:
        assert [status for status, _ in partition.told()] == ["firing", "no_data", "firing"]
        return
    assert [status for status, _ in partition.told()] == ["firing", "no_data", "resolved"]
    assert full <= partition.told()[-1][1] <= full + 10


def test_what_has_too_little_still_does_not_end_because_its_filter_was_changed() -> None:
    before = alert(when="< 10", within="1m", no_data_after="10m")
    after = alert(when="< 10", within="2m", no_data_after="10m")
    partition = AlertPartition(before)
    partition.count(before, *(Row(at, 1, 1) for at in range(0, 100, 30)))
    assert [status for status, _ in partition.told()] == ["firing"]
    partition.inform(after)
    partition.count(after, *(Row(at, 1, 1) for at in range(100, 400, 30)))
    assert {status for status, _ in partition.told()} == {"firing", "no_data"}
    partition.count(after, *(Row(at, 1, 1) for at in range(400, 500)))
    assert partition.told()[-1][0] == "resolved"
