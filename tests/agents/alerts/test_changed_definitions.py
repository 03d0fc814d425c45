"""Definitions that change while alerts fire, with and without a restart in between."""

from __future__ import annotations

from typing import Any

import pytest

from tailrace.schemas.definitions import Definition
from tests.agents.alerts.alert_partition import BEGIN, AlertPartition, Row, alert, slo

HOW = pytest.mark.parametrize("is_restart", [False, True], ids=["while running", "by a restart"])


def change(partition: AlertPartition, is_restart: bool, *definitions: Definition[Any]) -> None:
    if is_restart:
        partition.restart(*definitions)
    else:
        partition.inform(*definitions)


OTHER = alert("other", when=">= 100")


@HOW
def test_whoever_was_told_of_a_definition_that_is_gone_is_told_that_it_is_over(
    is_restart: bool,
) -> None:
    definition = alert(group_by=["service"], within="10m")
    partition = AlertPartition(definition, OTHER)
    partition.count(definition, Row(0, 1, 1, ("cart",)), Row(0, 1, 0, ("api",)))
    partition.advance(5)
    change(partition, is_restart, OTHER)
    fired, ended = partition.events
    assert (ended.status, ended.ends_at) == ("resolved", (BEGIN + 5) * 1000)
    assert (ended.id, ended.fingerprint, ended.labels) == (
        fired.id,
        fired.fingerprint,
        fired.labels,
    )
    assert len(partition.logic.groups) == 0
    partition.restart()
    partition.advance(1000)
    assert len(partition.events) == 2


@HOW
def test_another_threshold_is_judged_at_once_by_the_windows_there_are(is_restart: bool) -> None:
    high, low = alert(when=">= 5", within="1m"), alert(when=">= 2", within="1m")
    partition = AlertPartition(high)
    partition.count(high, Row(0, 3, 3))
    partition.advance(20)
    change(partition, is_restart, low)
    partition.advance(21)
    assert partition.told() == [("firing", 20)]
    change(partition, is_restart, high)
    partition.advance(22)
    assert partition.told() == [("firing", 20), ("resolved", 21)]


@HOW
def test_what_did_not_change_is_not_even_looked_at(is_restart: bool) -> None:
    definition = alert(within="1m")
    partition = AlertPartition(definition, OTHER)
    partition.count(definition, Row(0, 1, 1))
    before = partition.totals.counts["alert_evaluations"]
    change(partition, is_restart, definition, alert("other", when=">= 7"))
    partition.advance(10)
    assert partition.totals.counts["alert_evaluations"] == before


@HOW
def test_a_level_that_is_gone_ends_and_one_that_is_new_begins(is_restart: bool) -> None:
    one = alert(when={"critical": ">= 2", "warning": ">= 1"}, within="1m")
    other = alert(when={"warning": ">= 1", "info": ">= 1"}, within="1m")
    partition = AlertPartition(one)
    partition.count(one, Row(0, 2, 2))
    partition.advance(5)
    change(partition, is_restart, other)
    partition.advance(10)
    assert [(event.severity, event.status) for event in partition.events] == [
        ("critical", "firing"), ("warning", "firing"), ("critical", "resolved"), ("info", "firing")
    ]  # fmt: skip


@HOW
@pytest.mark.parametrize("group_by", [["name"], ["service", "name"], []], ids=repr)
def test_groups_of_other_fields_are_other_groups(is_restart: bool, group_by: list[str]) -> None:
    one, other = alert(group_by=["service"], no_data_after="10s"), alert(group_by=group_by)
    partition = AlertPartition(one)
    partition.count(one, Row(0, 1, 1, ("cart",)))
    change(partition, is_restart, other)
    fired, ended = partition.events
    assert (ended.status, ended.labels, ended.id) == ("resolved", {"service": "cart"}, fired.id)
    assert len(partition.logic.groups) == 0
    partition.count(other, Row(1, 1, 1, tuple("x" for _ in group_by)))
    assert partition.events[2].status == "firing"
    assert partition.events[2].fingerprint != fired.fingerprint


@HOW
def test_a_filter_that_changed_counts_anew_under_the_same_id(is_restart: bool) -> None:
    one, other = alert(), alert(where={"service": "cart"})
    partition = AlertPartition(one)
    partition.count(one, Row(0, 1, 1))
    change(partition, is_restart, other)
    partition.count(other, Row(1, 1, 1), at=2)
    partition.advance(30)
    assert [event.status for event in partition.events] == [
        "firing",
        "no_data",
        "firing",
        "resolved",
    ]
    assert len({event.id for event in partition.events}) == 1


@HOW
def test_a_definition_that_comes_back_begins_anew(is_restart: bool) -> None:
    definition = alert(within="1m")
    partition = AlertPartition(definition, OTHER)
    partition.count(definition, Row(0, 1, 1))
    partition.advance(5)
    change(partition, is_restart, OTHER)
    change(partition, is_restart, OTHER, definition)
    partition.advance(10)
    partition.count(definition, Row(10, 1, 1))
    assert partition.told() == [("firing", 1), ("resolved", 5), ("firing", 11)]
    assert partition.events[0].id == partition.events[1].id != partition.events[2].id


@HOW
def test_other_tiers_keep_the_windows_that_they_share(is_restart: bool) -> None:
    def with_factor(factor: float) -> Definition[Any]:
        tier = {"severity": "page", "long": "1h", "short": "5m", "factor": factor}
        return slo(tiers=[tier], period="2h", objective=99, confidence=0, freeze=False)

    one, other = with_factor(20), with_factor(4)
    partition = AlertPartition(one)
    partition.count(one, Row(0, 1000, 100))
    partition.advance(30)
    change(partition, is_restart, other)
    partition.advance(31)
    assert partition.told() == [("firing", 30)]


def test_the_mark_of_a_definition_is_written_once() -> None:
    definition = alert()
    partition = AlertPartition(definition)
    partition.count(definition, Row(0, 1, 1))
    assert any(key.startswith(b"ad") for key in partition.checkpoint())
    partition.count(definition, Row(1, 1, 1))
    assert not any(key.startswith(b"ad") for key in partition.checkpoint())
