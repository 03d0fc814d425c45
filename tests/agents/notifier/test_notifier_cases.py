"""Routes, groups, inhibition, silences, heartbeats, failures and figures, case by case."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.agents.notifier.figures import OfficeHours
from tailrace.agents.notifier.inhibition import Inhibitor, InhibitRule
from tailrace.agents.notifier.labels import LabelTest, labels_of
from tailrace.agents.notifier.logic import NotifierSettings
from tailrace.agents.notifier.rules import rules_of
from tailrace.schemas import rfc3339
from tailrace.schemas.alert_events import AlertEvent, partition_of
from tailrace.schemas.definitions.definition import CONTACT_POINT
from tailrace.schemas.definitions.kinds import SPECS
from tailrace.schemas.definitions.notification_policy import Inhibition
from tailrace.schemas.notifications import Failed, Retrying
from tailrace.schemas.records import Outbox
from tests.agents.notifier.notified import (
    HOUR,
    MINUTE,
    SECOND,
    START,
    Notified,
    Said,
    define,
    definitions,
    event,
    policy,
    said,
)
from tests.agents.notifier.receivers import span
from tests.agents.notifier.test_decision_table import INHIBIT, silence, snooze

TREE: dict[str, Any] = {
    "routes": [
        {"match": {"severity": "critical"}, "receiver": "oncall", "continue": True},
        {"match": {"team": "db"}, "receiver": "db", "routes": [{"match": {"service": "pg"}}]},
        {"match": {"team": {"exists": True}}, "receiver": "teams"},
    ]
}


@pytest.mark.parametrize(
    ("labels", "severity", "told"),
    [
        ({}, "warning", ["ops"]),
        ({}, "critical", ["oncall"]),
        ({"team": "db"}, "warning", ["db"]),
        ({"team": "db", "service": "pg"}, "critical", ["oncall", "db"]),
        ({"team": "web"}, "warning", ["teams"]),
    ],
)
def test_routes_lead_to_contact_points(
    labels: dict[str, str], severity: str, told: list[str]
) -> None:
    rules = rules_of(definitions(policy(**TREE)))["default"]
    found = rules.destinations(labels_of(event(severity=severity, **labels)))
    assert list(found) == told


def test_a_tenant_without_a_policy_tells_each_of_its_contact_points_and_no_other() -> None:
    notified = Notified(
        define(CONTACT_POINT, "mine"),
        define(CONTACT_POINT, "yours", tenant="you"),
        define("Silence", "all", SILENCE_ALL, tenant="you"),
    )
    notified.hear(event(), event(tenant="you"), event(tenant="nobody"))
    assert [(each.to, each.status) for each in notified.told(0)] == [("mine", "firing")]
    assert notified.totals.counts["alerts_unrouted"] == 1


SILENCE_ALL = {
    "matchers": {"name": {"exists": True}},
    "starts_at": "2027-01-10T00:00:00Z",
    "ends_at": "2027-01-20T00:00:00Z",
    "reason": "quiet",
}


@pytest.mark.parametrize(
    ("matcher", "value", "holds"),
    [
        ("a", "a", True), ("a", None, False), (["a", "b"], "b", True), ({"ne": "a"}, None, True),
        ({"ne": "a"}, "a", False), ({"not_in": ["a"]}, None, True), ({"regex": "a.*"}, "ab", True),
        ({"regex": "a"}, "ab", False), ({"not_regex": "a"}, None, True),
        ({"not_regex": "a"}, "a", False), ({"exists": False}, None, True),
        ({"exists": True}, None, False), ({"gt": 5}, "6", True), ({"gt": 5}, "x", False),
        ({"gte": 5, "lt": 6}, "5.5", True), ({"lte": 5}, None, False),
    ],
)  # fmt: skip
def test_a_label_matches(matcher: Any, value: str | None, holds: bool) -> None:
    route = SPECS["NotificationPolicy"].model_validate(
        {"route": {"receiver": "a", "match": {"x": matcher}}}
    )
    labels = {} if value is None else {"x": value}
    assert LabelTest(route.route.match).holds(labels) == holds  # type: ignore[attr-defined]


def test_alerts_of_a_group_are_told_together_and_more_of_them_after_the_interval() -> None:
    notified = Notified(policy(group_wait="30s", group_interval="5m"))
    notified.hear(event(service="a"))
    notified.hear(event(service="b", began=29 * SECOND))
    notified.hear(event(service="c", began=31 * SECOND))
    assert notified.told(10 * MINUTE) == [
        Said(30 * SECOND, "ops", "firing", ("errors!", "errors!"), ("new",)),
        Said(330 * SECOND, "ops", "firing", ("errors", "errors", "errors!"), ("new",)),
    ]


def test_an_alert_that_begins_and_ends_at_one_time_of_the_notifier_is_told_both() -> None:
    notified = Notified(policy())
    began = event(service="a")
    notified.hear(began, replace(began, status="resolved", ends_at=began.evaluated_at))
    told = notified.told(5 * HOUR)
    assert [(each.at, each.status) for each in told] == [(0, "firing"), (0, "resolved")]


def test_one_of_a_group_that_ends_is_told_at_once_and_leaves() -> None:
    notified = Notified(policy())
    notified.hear(event(service="a"), event(service="b"))
    notified.hear(event(status="resolved", at=SECOND, service="a"))
    notified.hear(event(status="resolved", at=3 * SECOND, service="b"))
    assert [(each.at, each.status, each.alerts) for each in notified.told(5 * HOUR)] == [
        (0, "firing", ("errors!", "errors!")),
        (SECOND, "firing", ("errors! resolved", "errors")),
        (3 * SECOND, "resolved", ("errors! resolved",)),
    ]


def test_who_moves_to_another_group_leaves_no_news_behind() -> None:
    notified = Notified(policy(group_wait="30s"))
    notified.hear(event(service="a"), event(service="b"))
    notified.pass_to(SECOND)
    lone = {"match": {"service": "a"}, "group_by": ["service"]}
    notified.define(policy(group_wait="30s", routes=[lone]), silence(0, 2 * HOUR, service="b"))
    assert [(each.at, each.alerts) for each in notified.told(HOUR)] == [
        (31_001, ("errors!",)),
    ]


def test_a_large_group_is_told_in_parts_and_little_news_alone() -> None:
    notified = Notified(policy(), settings=NotifierSettings(most_alerts=2))
    notified.hear(*(event(service=name) for name in "abcde"))
    notified.told(0)
    notified.hear(event(service="f", began=2 * MINUTE))
    notified.told(2 * MINUTE)
    assert [(len(each.alerts), each.truncated) for each in notified.sent] == [
        (2, 3), (2, 3), (1, 4), (1, 5),
    ]  # fmt: skip
    told = [each for sent in notified.sent for each in sent.news]
    assert len(told) == len(set(told)) == 6


def test_a_higher_severity_holds_lower_ones_of_the_same_group_back() -> None:
    notified = Notified(policy())
    notified.hear(
        event(severity="warning", service="a"),
        event(severity="critical", service="a"),
        event(severity="warning", service="b"),
    )
    notified.told(0)
    told = {(e.severity, e.labels["service"]) for n in notified.sent for e in n.alerts}
    assert told == {("critical", "a"), ("warning", "b")}
    notified.hear(event(status="resolved", severity="critical", service="a", at=SECOND))
    last = notified.told(2 * MINUTE)
    assert [each.why for each in last] == [("new", "resolved")]


CALLS = {"default": {"web": frozenset({"shop"}), "shop": frozenset({"db"})}}


@pytest.mark.parametrize(
    ("along", "depth", "told"),
    [("callers", 2, {"db"}), ("callers", 1, {"db", "web"}), ("callees", 2, {"db", "shop", "web"})],
)
def test_inhibition_follows_the_service_graph(along: str, depth: int, told: set[str]) -> None:
    rule = {
        "source": {"service": "db"},
        "target": {"service": {"ne": "db"}},
        "along": along,
        "depth": depth,
    }
    notified = Notified(policy({"inhibit": [rule]}, group_by=["..."]))
    notified.connect(CALLS)
    notified.hear(*(event("slow", service=name) for name in ("web", "shop", "db")))
    notified.told(0)
    assert {e.labels["service"] for n in notified.sent for e in n.alerts} == told
    notified.checkpoint()
    notified.die()
    assert notified.told(HOUR) == []


RULES = [
    InhibitRule(number, Inhibition.model_validate(said))
    for number, said in enumerate(
        [
            {"source": {"name": "a"}, "target": {"name": ["b", "c"]}, "equal": ["service"]},
            {"source": {"name": "b"}, "target": {"name": "a"}},
            {"source": {"name": ["c", "d"]}, "target": {"name": ["d", "e"]}},
        ]
    )
]
EVENTS = st.lists(
    st.builds(
        lambda name, service, severity, began: event(
            name, service=service, severity=severity, began=began
        ),
        *map(st.sampled_from, ("abcde", "xy", ["info", "critical"], [0, 1])),
    ),
    unique_by=lambda each: each.id,
    max_size=12,
)


def inhibited(events: list[AlertEvent]) -> set[str]:
    inhibitor = Inhibitor(RULES, {})
    for each in events:
        inhibitor.put(each, labels_of(each))
    inhibitor.changed()
    return {each.id for each in events if inhibitor.is_inhibited(each.id)}


@given(EVENTS, st.randoms(use_true_random=False), EVENTS)
def test_what_is_inhibited_follows_from_what_is_there(
    events: list[AlertEvent], random: Any, others: list[AlertEvent]
) -> None:
    shuffled = events[:]
    random.shuffle(shuffled)
    held = inhibited(events)
    assert inhibited(shuffled) == held
    assert not events or len(held) < len(events)
    inhibitor = Inhibitor(RULES, {})
    for each in others + shuffled:
        inhibitor.put(each, labels_of(each))
    inhibitor.changed()
    ids = {each.id for each in events}
    for other in others:
        if other.id not in ids:
            inhibitor.remove(other.id)
    inhibitor.changed()
    assert set(filter(inhibitor.is_inhibited, ids)) == held


def test_a_source_that_is_held_back_holds_nobody_back_and_a_circle_has_a_first() -> None:
    chain = [event("a", service="x"), event("b", service="x", began=1)]
    assert inhibited(chain) == {chain[1].id}
    circle = [event("a", service="x", began=1), event("b", service="x")]
    assert inhibited(circle) == {circle[0].id}
    beyond = event("c", service="x", severity="critical")
    assert inhibited([*circle, beyond]) == {circle[0].id}
    assert inhibited([*circle[:1], beyond]) == {beyond.id}
    first = [event("a", service="x"), event("b", service="x", began=1)]
    assert inhibited([*first, beyond]) == {first[1].id, beyond.id}


def test_a_snooze_is_about_one_alert_and_a_silence_begins_when_it_says() -> None:
    notified = Notified(policy(), snooze(HOUR), silence(MINUTE, HOUR, service="b"))
    notified.hear(event(), event("slow", service="b"))
    assert [each.alerts for each in notified.told(0)] == [("slow!",)]
    assert [(each.at, each.why) for each in notified.told(HOUR)] == 2 * [
        (HOUR, ("released, still violating",))
    ]
    notified.define(policy(repeat_interval="5h"))
    assert notified.told(2 * HOUR) == []


def test_a_snooze_that_is_taken_back_lets_it_be_told_at_once() -> None:
    notified = Notified(policy(group_interval="1h"), snooze(HOUR))
    notified.hear(event())
    notified.told(MINUTE)
    notified.define(policy(group_interval="1h"))
    at = notified.now - START
    assert [each.at for each in notified.told(at)] == [at]


def test_a_heartbeat_comes_at_its_times_and_only_the_last_of_those_that_were_missed() -> None:
    beat = {"heartbeat": {"receiver": "dead-man", "every": "10s"}}
    notified = Notified(policy(beat))
    assert [each.at for each in notified.told(9_999)] == []
    assert [(each.at, each.status) for each in notified.told(10_000)] == [(10_000, "heartbeat")]
    assert [each.at for each in notified.told(95_000)] == [90_000]
    notified.die()
    notified.define(policy())
    assert notified.told(HOUR) == []


def test_a_heartbeat_comes_from_where_the_alerts_of_its_tenant_are_and_from_nowhere_else() -> None:
    beat = {"heartbeat": {"receiver": "dead-man", "every": "10s"}}
    beating = [
        each
        for each in range(4)
        if Notified(policy(beat), settings=NotifierSettings(partition=each, partitions=4)).told(
            10_000
        )
    ]
    assert beating == [partition_of("default", 4)]


def test_what_is_over_before_the_notifier_begins_is_told_to_nobody() -> None:
    notified = Notified(policy(repeat_interval="1h"))
    notified.logic.begin(START + 10 * HOUR)
    notified.hear(event("over"))
    notified.hear(event("still", began=MINUTE))
    notified.hear(event("over", "resolved", at=HOUR))
    assert notified.told(10 * HOUR - 1) == []
    notified.die()
    [only] = notified.told(10 * HOUR)
    assert (only.at, only.alerts, only.why) == (10 * HOUR, ("still!",), ("new",))
    assert [each.at for each in notified.told(11 * HOUR)] == [11 * HOUR]


def test_of_what_waits_long_only_the_newest_that_tells_all_of_it_stays() -> None:
    notified = Notified(policy(repeat_interval="1h"))
    notified.hear(event())
    notified.pass_to(3 * HOUR)
    notified.hear(event(status="resolved", at=3 * HOUR + MINUTE))
    notified.hear(event(began=4 * HOUR))
    notified.pass_to(5 * HOUR)
    assert notified.logic.overtaken() == []  # nothing is committed yet
    notified.checkpoint()
    waiting = notified.logic.pending()
    overtaken = notified.logic.overtaken()
    notified.logic.supersede(overtaken, Outbox(), notified.totals)
    assert [(each.at, each.status) for each in map(said, waiting) if each.at < 4 * HOUR] == [
        *((at * HOUR, "firing") for at in range(4)),
        (3 * HOUR + MINUTE, "resolved"),
    ]
    assert [(each.at, each.status) for each in notified.deliver()] == [
        (3 * HOUR, "firing"),
        (3 * HOUR + MINUTE, "resolved"),
        (5 * HOUR, "firing"),
    ]


def test_nothing_is_handed_out_before_it_is_committed() -> None:
    notified = Notified(policy())
    notified.hear(event())
    notified.pass_to(0)
    assert notified.logic.pending() == []
    notified.logic.before_checkpoint()
    assert notified.logic.pending() == []
    notified.checkpoint()
    [only] = notified.logic.pending()
    notified.die()
    assert notified.logic.pending() == [only]


def test_a_message_says_what_was_so_when_it_was_made() -> None:
    notified = Notified(policy())
    notified.hear(event())
    notified.hear(event(status="resolved", at=SECOND))
    notified.pass_to(SECOND)
    notified.checkpoint()
    first, last = notified.logic.pending()
    assert [(each.status, each.ends_at) for each in first.alerts] == [("firing", None)]
    assert [each.status for each in last.alerts] == ["resolved"]


def test_a_page_that_is_sent_after_its_end_shows_the_spans_it_was_made_for() -> None:
    notified = Notified(policy())
    fired = replace(event(value=9.0), spans=(span(1),), annotations={"summary": "too many"})
    over = event(status="resolved", at=SECOND, value=0.0)
    notified.hear(fired, replace(over, spans=(span(2),), annotations={"summary": "enough"}))
    notified.pass_to(SECOND)
    notified.checkpoint()
    notified.die()
    first, last = ([*each.alerts] for each in notified.logic.pending())
    assert first == [fired]
    assert [(each.spans, each.annotations["summary"]) for each in last] == [((span(2),), "enough")]
    notified.deliver()
    assert notified.kept(fired.id).before_end is None


def test_what_failed_is_visible_until_it_is_told_in_another_way() -> None:
    notified = Notified(policy(repeat_interval="10m"))
    notified.hear(event())
    notified.pass_to(0)
    notified.checkpoint()
    [only] = notified.logic.pending()
    notified.outcome(only.id, Retrying(2, "503"))
    assert notified.logic.pending()[0].attempts == 2
    notified.outcome(only.id, Failed("404"))
    assert notified.logic.pending() == []
    notified.checkpoint()
    notified.die()
    [failed] = notified.logic.undelivered()
    assert (failed.notification.id, failed.error) == (only.id, "404")
    notified.hear(event(service="another", at=SECOND))
    assert [(each.at, len(each.alerts)) for each in notified.told(MINUTE)] == [(MINUTE, 2)]
    assert notified.logic.undelivered() == []
    assert notified.totals.counts["notifications.superseded"] == 1


def test_an_end_that_failed_is_tried_again_under_its_id() -> None:
    notified = Notified(policy(repeat_interval="10m"))
    notified.hear(event())
    notified.told(0)
    notified.hear(event(status="resolved", at=MINUTE))
    notified.pass_to(MINUTE)
    notified.checkpoint()
    [end] = notified.logic.pending()
    notified.outcome(end.id, Failed("no"))
    assert notified.told(2 * MINUTE) == []
    notified.told(3 * MINUTE)
    assert notified.sent[-1].id == end.id


def refusing() -> Notified:
    """One whose contact point has refused to hear of two alerts that fire."""
    notified = Notified(policy(), define(CONTACT_POINT, "ops", {"url": "wrong"}))
    notified.hear(event(service="a"), event(service="b"))
    notified.pass_to(0)
    notified.checkpoint()
    [only] = notified.logic.pending()
    notified.outcome(only.id, Failed("the receiver answered 404: no"))
    return notified


def test_what_a_contact_point_refused_is_told_at_once_when_it_is_mended() -> None:
    notified = refusing()
    [refused] = notified.logic.undelivered()
    assert refused.error == "the receiver answered 404: no"
    notified.define(policy(), define(CONTACT_POINT, "ops", {"url": "wrong"}), silence(-2, -1))
    assert notified.told(30 * SECOND) == []
    notified.checkpoint()
    notified.die()  # it is known by what was committed what it failed under
    assert notified.told(40 * SECOND) == []
    notified.define(policy(), define(CONTACT_POINT, "ops", {"url": "right"}))
    assert notified.told(41 * SECOND) == [
        Said(0, "ops", "firing", ("errors!", "errors!"), ("new",))
    ]
    assert notified.sent[-1].id == refused.notification.id
    assert notified.logic.undelivered() == []
    assert notified.told(3 * HOUR) == []


def test_an_end_that_a_contact_point_refused_is_told_when_it_is_mended_with_what_still_fires() -> (
    None
):
    notified = refusing()
    notified.hear(event(service="a", status="resolved", at=MINUTE))
    notified.pass_to(MINUTE)
    notified.checkpoint()
    [end] = notified.logic.pending()
    notified.outcome(end.id, Failed("the receiver answered 404: no"))
    notified.define(policy(), define(CONTACT_POINT, "ops", {"url": "right"}))
    told = [(each.status, each.alerts) for each in notified.told(2 * MINUTE)]
    assert told == [("firing", ("errors! resolved", "errors!"))]
    assert notified.logic.undelivered() == []


def test_what_a_contact_point_refused_that_is_over_since_is_told_no_more() -> None:
    notified = refusing()
    for name in "ab":
        notified.hear(event(service=name, status="resolved", at=MINUTE))
    assert [each.status for each in notified.told(MINUTE)] == ["resolved"]
    notified.define(policy(), define(CONTACT_POINT, "ops", {"url": "right"}))
    assert notified.told(2 * MINUTE) == []
    assert notified.logic.undelivered() == []


def test_a_contact_point_that_is_gone_is_not_tried_again() -> None:
    notified = refusing()
    notified.define(policy())
    assert notified.told(MINUTE) == []
    assert len(notified.logic.undelivered()) == 1


@pytest.mark.parametrize(
    ("row", "heard"),
    [
        ("replay", event(replay=True)),
        ("stale", event(at=2 * SECOND)),
        ("pending", event("slow", "pending")),
        ("unknown", event("slow", "unknown")),
    ],
    ids=lambda each: each if isinstance(each, str) else "",
)
def test_what_is_left_aside_is_counted(row: str, heard: AlertEvent) -> None:
    notified = Notified(policy())
    notified.hear(event())
    notified.hear(event(status="resolved", at=SECOND))
    notified.hear(heard, at=3 * SECOND)
    assert notified.totals.counts[f"alert_events.{row}"] == 1
    assert notified.logic.problems(notified.totals) == []


def test_figures_count_pages_and_what_they_cost() -> None:
    day = 24 * HOUR
    notified = Notified(policy())
    for began in (0, 2 * MINUTE, 2 * HOUR, 10 * day):
        notified.hear(event(began=began))
        notified.hear(event(status="resolved", began=began, at=began + MINUTE))
        notified.told(began + MINUTE)
    [figures] = notified.logic.figures()
    assert [(w.pages, w.flapping, w.unacted) for w in figures.weeks] == [(3, 1, 3), (1, 0, 1)]
    week = 7 * day
    for number in range(2, 12):
        notified.hear(event(began=number * week))
        notified.hear(event(status="resolved", began=number * week, at=number * week + 1))
        notified.told(number * week + 1)
    assert len(notified.logic.figures()[0].weeks) == 8


@pytest.mark.parametrize(
    ("at", "is_in_hours"),
    [("1970-01-05T09:00", True), ("1970-01-05T08:59", False), ("1970-01-05T18:00", False),
     ("1970-01-09T17:59", True), ("1970-01-10T12:00", False)],
)  # fmt: skip
def test_office_hours(at: str, is_in_hours: bool) -> None:
    assert OfficeHours().contain(rfc3339.parse(f"{at}:00Z")) == is_in_hours


def test_inhibition_by_equal_labels_only() -> None:
    notified = Notified(policy(INHIBIT, group_by=["..."]))
    notified.hear(event("down", service="a"), event(service="a"), event(service="b"))
    notified.told(0)
    found = {(e.name, e.labels["service"]) for n in notified.sent for e in n.alerts}
    assert found == {("down", "a"), ("errors", "b")}
