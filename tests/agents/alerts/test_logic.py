"""Alerts from matches to events: when each aggregate fires and resolves, and what outlives what."""

from __future__ import annotations

from typing import Any

import pytest

from tailrace.agents.alerts.rules import AlertRule, Finding, Moment, owner_of
from tailrace.schemas.records import Output
from tailrace.tables.alert_groups import AlertGroup
from tests.agents.alerts.alert_partition import (
    BAD,
    BEGIN,
    AlertPartition,
    Row,
    alert,
    slo,
    span,
)

HOUR = 3600
OF_ALL = {"of": {}, "minimum_events": 1}
SERIES = {"bad": {"where": BAD}, "all": {"where": {}}}

# Of windows of ten seconds. What second 4 had is known at 5, and is gone at 15.
AGGREGATES: dict[str, tuple[dict[str, Any], list[Row], list[tuple[str, int]]]] = {
    "a count": (
        {"when": ">= 3"},
        [Row(0, 1, 1), Row(4, 1, 1), Row(6, 1, 1)],
        [("firing", 7), ("resolved", 11)],
    ),
    "a rate": (
        {"aggregate": "rate", "when": ">= 0.5/s"},
        [Row(0, 2, 2), Row(4, 2, 2), Row(6, 1, 1)],
        [("firing", 7), ("resolved", 11)],
    ),
    "a share": (
        {"aggregate": "share", "when": "> 50%", **OF_ALL},
        [Row(0, 2, 1), Row(4, 2, 2), Row(6, 4, 0)],
        [("firing", 5), ("resolved", 7)],
    ),
    "a quantile": (
        {"aggregate": "quantile", "quantile": 0.5, "when": "> 100ms", "minimum_events": 1},
        [Row(0, 4, 2, operand="warning"), Row(4, 2, 2, operand="warning"),
         Row(6, 3, 0, operand="warning")],
        [("firing", 5), ("resolved", 7)],
    ),
    "distinct traces": (
        {"aggregate": "traces", "when": ">= 2"},
        [Row(0, 1, 1), Row(4, 1, 1)],
        [("firing", 5), ("resolved", 11)],
    ),
    "whole traces": (
        {"trace": {"duration": "> 2s"}, "when": ">= 2"},
        [Row(0, 1, 1), Row(4, 1, 1)],
        [("firing", 5), ("resolved", 11)],
    ),
    "a formula": (
        {"formula": "bad / all * 100", "series": SERIES, "when": ">= 50"},
        [Row(0, 2, 2, operand="all"), Row(4, 2, 2, operand="bad"), Row(6, 4, 4, operand="all")],
        [("firing", 5), ("resolved", 7), ("firing", 11), ("resolved", 15)],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("spec", "rows", "told"), AGGREGATES.values(), ids=AGGREGATES)
def test_fires_and_resolves_at_the_computed_second(
    spec: dict[str, Any], rows: list[Row], told: list[tuple[str, int]]
) -> None:
    definition = alert(**spec)
    partition = AlertPartition(definition)
    for row in rows:
        partition.count(definition, row)
    partition.advance(3 * 3600)
    assert partition.told() == told
    assert len(partition.logic.groups) == 0


@pytest.mark.parametrize(("spec", "rows", "told"), AGGREGATES.values(), ids=AGGREGATES)
@pytest.mark.parametrize("at", [100, 0], ids=["after a pause", "ahead of the others"])
def test_tells_the_same_of_seconds_that_came(
    at: int, spec: dict[str, Any], rows: list[Row], told: list[tuple[str, int]]
) -> None:
    definition = alert(**spec)
    partition = AlertPartition(definition)
    for row in reversed(rows):
        partition.count(definition, row, at=0)
    partition.restart()
    partition.advance(at)
    partition.advance(100)
    assert partition.told() == told
    in_one = AlertPartition(definition)
    in_one.count(definition, *rows, at=at)
    in_one.advance(100)
    assert in_one.events == partition.events


def test_for_waits_and_a_breach_that_ends_before_comes_to_nothing() -> None:
    definition = alert(**{"for": "5s"})
    partition = AlertPartition(definition)
    partition.count(definition, Row(0, 1, 1))
    partition.advance(40)
    assert partition.told() == [("pending", 1), ("firing", 6), ("resolved", 11)]
    short = alert(**{"for": "11s"})
    partition = AlertPartition(short)
    partition.count(short, Row(0, 1, 1))
    partition.advance(40)
    assert partition.told() == [("pending", 1)]


def test_keep_firing_for_resolves_later() -> None:
    definition = alert(keep_firing_for="7s")
    partition = AlertPartition(definition)
    partition.count(definition, Row(0, 1, 1))
    partition.advance(40)
    assert partition.told() == [("firing", 1), ("resolved", 18)]


def test_missing_data_are_told_when_asked_for_and_end_when_they_are_back() -> None:
    definition = alert(no_data_after="30s", when=">= 2")
    partition = AlertPartition(definition)
    partition.count(definition, Row(0, 1, 1))
    partition.advance(40)
    assert partition.told() == [("no_data", 30)]
    partition.count(definition, Row(50, 1, 1))
    partition.advance(60)
    assert partition.told() == [("no_data", 30), ("resolved", 51)]
    partition.advance(60 + 25 * 3600)
    assert partition.told()[2:] == [("no_data", 80), ("resolved", 80 + 24 * 3600)]
    assert len(partition.logic.groups) == 0


@pytest.mark.parametrize(
    ("spec", "after"),
    [
        ({}, HOUR),
        ({"gone_after": "2h"}, 2 * HOUR),
        ({"gone_after": "1s"}, HOUR // 2),
        ({"gone_after": "1s", "flapping": {"within": "1m"}}, 60),
        ({"no_data_after": "1m"}, 24 * HOUR),
        ({"no_data_after": "1m", "gone_after": "90m"}, 90 * 60),
    ],
    ids=[
        "after an hour",
        "later if that is said",
        "sooner, but not before flapping is over",
        "sooner, if that is sooner over",
        "after a day where missing data are news",
        "whenever is said",
    ],
)
def test_a_share_whose_traffic_ends_is_resolved_in_the_end(
    spec: dict[str, Any], after: int
) -> None:
    definition = alert(of={}, aggregate="share", when="> 50%", minimum_events=1, **spec)
    partition = AlertPartition(definition)
    partition.count(definition, Row(0, 10, 9))
    partition.advance(3 * 24 * HOUR)
    (_, fired), (_, silent), (_, resolved) = partition.told()
    assert partition.told() == [("firing", fired), ("no_data", silent), ("resolved", resolved)]
    assert resolved == silent + after
    assert len(partition.logic.groups) == 0


def test_a_share_of_nothing_neither_begins_nor_resolves_anything() -> None:
    definition = alert(aggregate="share", when="> 50%", **OF_ALL)
    partition = AlertPartition(definition)
    partition.count(definition, Row(0, 2, 2))
    partition.advance(60)
    assert partition.told() == [("firing", 1), ("no_data", 11)]
    partition.count(definition, Row(70, 2, 0))
    assert partition.told()[2:] == [("firing", 71), ("resolved", 71)][1:]


@pytest.mark.parametrize("when", ["< 3", "== 0"])
def test_too_little_is_said_of_whole_windows_only(when: str) -> None:
    definition = alert(when=when)
    partition = AlertPartition(definition)
    partition.count(definition, Row(0, 1, 1))
    partition.restart()
    partition.advance(60)
    assert partition.told() == [("firing", 11)]


def test_too_little_is_said_of_what_never_came_if_there_is_one_group_only() -> None:
    definition, grouped = alert(when="< 3"), alert("grouped", when="< 3", group_by=["service"])
    partition = AlertPartition(definition, grouped, alert("much", when="> 3"))
    partition.advance(1)
    partition.restart()
    partition.advance(60)
    assert partition.told() == [("firing", 12)]
    assert len(partition.logic.groups) == 1


def test_too_little_is_not_said_because_what_is_counted_changed() -> None:
    before, after = alert(when="< 1"), alert(when="< 1", where={"service": "cart"})
    partition = AlertPartition(before)
    for second in range(20):
        partition.count(before, Row(second, 1, 1))
    partition.restart(after)
    for second in range(20, 40):
        partition.count(after, Row(second, 1, 1))
    assert partition.told() == []
    partition.inform(before)
    partition.advance(70)
    assert partition.told() == [("firing", 50)]


def test_an_alert_and_an_slo_of_one_name_are_two() -> None:
    tiers = [{"severity": "warning", "long": "1m", "short": "5s", "factor": 2}]
    objective = slo("errors", tiers=tiers, minimum_events=1, confidence=0, freeze=False)
    definition = alert("errors")
    partition = AlertPartition(definition, objective)
    partition.count(definition, Row(0, 1, 1))
    partition.count(objective, Row(1, 1, 1))
    assert {each.severity for each in partition.events} == {"warning"}
    assert len({each.fingerprint for each in partition.events}) == 2


def test_groups_and_levels_have_their_own_lives() -> None:
    definition = alert(when={"critical": ">= 4", "warning": ">= 2"}, group_by=["service", "name"])
    partition = AlertPartition(definition)
    partition.count(
        definition,
        Row(0, 2, 2, ("cart", "GET")),
        Row(0, 4, 4, ("api", "GET")),
        Row(0, 1, 1, ("db", "?")),
    )
    partition.advance(20)
    lives = {
        (event.labels["service"], event.severity, event.status, event.evaluated_at // 1000 - BEGIN)
        for event in partition.events
    }
    fired = [("cart", "warning"), ("api", "critical"), ("api", "warning")]
    assert lives == {(*who, *when) for who in fired for when in (("firing", 1), ("resolved", 11))}
    assert len({event.id for event in partition.events}) == 3
    assert {event.labels["span_name"] for event in partition.events} == {"GET"}


def test_what_an_event_says() -> None:
    definition = alert(when=">= 2", trace_url="https://traces/{trace_id}", group_by=["service"])
    partition = AlertPartition(definition)
    partition.show(definition, span(7, 3), group=("cart",))
    partition.count(definition, Row(3, 2, 2, ("cart",)))
    (event,) = partition.events
    assert (event.value, event.threshold, event.window_ms) == (2.0, 2.0, 10_000)
    assert event.starts_at == event.evaluated_at == (BEGIN + 4) * 1000
    assert (event.ends_at, event.tenant, event.definition_version) == (None, "default", 1)
    assert event.labels == {"service": "cart"}
    assert event.spans[0].url == f"https://traces/{7:032x}"
    assert event.annotations["trace_url"] == event.spans[0].url
    (output,) = partition.outputs
    assert output.key == event.fingerprint.encode()
    assert output.timestamp == event.evaluated_at


def test_evidence_is_the_newest_spans_of_the_window_newest_first() -> None:
    definition = alert(evidence=2, when=">= 3")
    partition = AlertPartition(definition)
    partition.show(definition, span(3, 3), span(1, 1), span(2, 2))
    partition.count(definition, Row(1, 1, 1), Row(2, 1, 1), Row(3, 1, 1))
    assert [each.span_id for each in partition.events[0].spans] == [f"{n:016x}" for n in (3, 2)]
    partition.advance(100)
    resolved = partition.events[-1]
    assert resolved.status == "resolved"
    assert [each.span_id for each in resolved.spans] == [f"{n:016x}" for n in (3, 2)]


def test_an_alert_without_evidence_lists_none() -> None:
    definition = alert(evidence=0)
    partition = AlertPartition(definition)
    partition.show(definition, span(1))
    partition.count(definition, Row(0, 1, 1))
    assert partition.events[0].spans == ()


def test_what_became_of_a_trace_is_told_with_the_next_event_only() -> None:
    definition = alert(within="5m")
    partition = AlertPartition(definition)
    partition.show(definition, span(1))
    partition.count(definition, Row(0, 1, 1))
    assert partition.events[0].spans[0].sampled is None
    partition.advance(30)
    partition.decide(definition, f"{1:032x}", is_sampled=True)
    partition.advance(60)
    assert len(partition.events) == 1
    partition.advance(400)
    refreshed, *_, resolved = partition.events[1:]
    assert (refreshed.status, refreshed.evaluated_at) == ("firing", (BEGIN + 61) * 1000)
    assert refreshed.spans[0].sampled is True
    # It is none of the last five minutes any more.
    assert (resolved.status, resolved.spans) == ("resolved", ())


def test_an_event_is_refreshed_only_when_it_says_something_new() -> None:
    definition = alert(within="10m")
    partition = AlertPartition(definition)
    partition.count(definition, Row(0, 1, 1))
    partition.advance(200)
    assert len(partition.events) == 1
    partition.count(definition, Row(210, 1, 1))
    partition.advance(500)
    refreshed = [(each.status, each.value) for each in partition.events]
    assert refreshed == [("firing", 1.0), ("firing", 2.0)]


def test_rows_that_nobody_asks_for_are_counted_as_ignored() -> None:
    definition, gone = alert(), alert("gone")
    partition = AlertPartition(definition)
    partition.count(definition, Row(0, 1, 1))
    partition.count(gone, Row(1, 1, 1), Row(1, 2, 2, ("x",)))
    counts = partition.totals.counts
    assert (counts["match_rows"], counts["match_rows_added"]) == (3, 1)
    assert counts["match_rows_ignored"] == 2
    assert partition.logic.problems(partition.totals) == []


def test_events_of_a_tenant_are_in_one_partition() -> None:
    definitions = [alert(name, tenant) for tenant in ("one", "other", "third") for name in "ab"]
    partition = AlertPartition(*definitions, partitions=64)
    for second, definition in enumerate(definitions):
        partition.count(definition, Row(second, 1, 1))
    partition.advance(60)
    places = {
        tenant: {
            output.partition
            for output, event in zip(partition.outputs, partition.events, strict=True)
            if event.tenant == tenant
        }
        for tenant in ("one", "other", "third")
    }
    assert all(len(each) == 1 for each in places.values())
    assert len(set.union(*places.values())) > 1
    assert len({event.fingerprint for event in partition.events}) == len(definitions)


def test_a_failed_evaluation_is_told_and_over_when_it_succeeds() -> None:
    definition = alert()
    partition = AlertPartition(definition)
    rule = partition.logic.rules[owner_of(definition)]

    class Failing(AlertRule):
        """Fails from second 5 until second 20."""

        def evaluate(self, group: AlertGroup, moment: Moment) -> dict[str, Finding]:
            if BEGIN + 5 <= moment.now // 1000 < BEGIN + 20:
                raise OverflowError("too much")
            return super().evaluate(group, moment)

    partition.logic.rules = {owner_of(definition): Failing(rule.definition)}
    for second in (0, 5, 19, 22):
        partition.count(definition, Row(second, 1, 1))
    partition.advance(60)
    assert partition.told() == [
        ("firing", 1), ("unknown", 6), ("firing", 20), ("resolved", 33)
    ]  # fmt: skip
    assert "too much" in partition.events[1].annotations["summary"]
    assert len({event.id for event in partition.events}) == 1
    assert partition.totals.counts["alert_evaluations_failed"] > 0


SPREAD = [
    alert("a", group_by=["service"], within="30s", when=">= 2", **{"for": "3s"}),
    alert("b", group_by=["service"], within="2m", when={"critical": ">= 5", "warning": ">= 1"}),
    alert("c", within="10s", every="7s", no_data_after="20s"),
    alert("d", within="10s", aggregate="share", when="> 20%", keep_firing_for="5s", **OF_ALL),
]
TRAFFIC = [
    (second, definition, (("cart",), ("api",))[second % 2] if definition.spec.group_by else ())
    for second in (0, 1, 2, 9, 31, 40, 41, 200, 201, 260)
    for definition in SPREAD
]


def spread(steps: int | None, *, restarts: bool = False) -> list[Output]:
    """What SPREAD tells of TRAFFIC when time goes on by *steps* seconds where nothing comes."""
    partition = AlertPartition(*SPREAD)
    now = 0
    for second, definition, group in TRAFFIC:
        for idle in range(now, second, steps or 10**6):
            partition.advance(idle)
            if restarts:
                partition.restart()
        partition.count(definition, Row(second, 3, 2, group))
        now = second + 1
    for idle in range(now, 30 * 3600, steps or 10**6):
        partition.advance(idle)
    partition.advance(30 * 3600)
    assert len(partition.logic.groups) == 0
    return partition.outputs


def test_idle_time_passes_at_once_as_it_does_in_steps() -> None:
    whole = spread(None)
    assert len(whole) > 20
    assert spread(1) == spread(997) == whole


def test_a_restart_at_any_time_changes_nothing() -> None:
    assert spread(3, restarts=True) == spread(None)


def test_what_is_due_first_is_told_first() -> None:
    definition = alert(group_by=["service"], within="10s")
    partition = AlertPartition(definition)
    for second in (5, 3, 4):
        partition.count(definition, Row(second, 1, 1, (f"of {second}",)), at=6)
    partition.advance(100)
    ends = [(each.evaluated_at, each.labels["service"]) for each in partition.events[3:]]
    assert ends == [((BEGIN + 11 + n) * 1000, f"of {n}") for n in (3, 4, 5)]


def test_evaluations_are_on_the_ticks_of_the_cadence() -> None:
    definition = alert(every="7s", group_by=["service"], within="1m")
    partition = AlertPartition(definition)
    groups = [(str(number),) for number in range(30)]
    partition.count(definition, *(Row(0, 1, 1, group) for group in groups))
    partition.advance(300)
    fired = {each.labels["service"]: each.evaluated_at for each in partition.events[:30]}
    assert len(fired) == 30
    assert {at // 1000 - BEGIN for at in fired.values()} == set(range(1, 8))
    ended = {each.labels["service"]: each.evaluated_at for each in partition.events[-30:]}
    assert all((ended[group] - fired[group]) % 7000 == 0 for group in fired)
    # The second leaves at 61.
    assert all(61 <= at // 1000 - BEGIN < 68 for at in ended.values())
