"""A notifier that is started anew at any moment says what it would have said, and when."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given

from tailrace.schemas.notifications import Failed, Notification
from tailrace.schemas.records import Outbox
from tests.agents.notifier.notified import (
    HOUR,
    MINUTE,
    SECOND,
    START,
    Notified,
    Said,
    event,
    policy,
    said,
)
from tests.agents.notifier.test_decision_table import silence
from tests.agents.notifier.test_notifier_laws import ACTS, QUIET, Act, played

DAY = 24 * HOUR


def made(acts: Sequence[Act]) -> list[Notification]:
    return list(played(acts).made.values())


@given(ACTS)
def test_a_restart_after_each_thing_that_happens_changes_nothing(acts: Sequence[Act]) -> None:
    calm = [act for act in acts if act.what not in QUIET]
    assert made([each for act in calm for each in (act, Act("restart"))]) == made(calm)


def test_an_end_right_after_a_restart_is_told_with_what_came_before_the_restart() -> None:
    def told(*, restarts: bool) -> list[Said]:
        notified = Notified(policy(group_by=["service"]))
        notified.hear(event(service="a"))
        notified.hear(event(began=1, service="b"))
        if restarts:
            notified.checkpoint()
            notified.die()
        notified.hear(event(status="resolved", at=1, service="a"))
        return notified.told(SECOND)

    assert told(restarts=True) == told(restarts=False)


def test_what_began_and_ended_at_one_time_is_told_both_after_a_restart_between() -> None:
    notified = Notified(policy())
    notified.hear(event(began=1))
    notified.checkpoint()
    notified.die()
    notified.hear(event(began=1, at=1, status="resolved"))
    notified.checkpoint()
    notified.die()
    assert [each.status for each in notified.told(SECOND)] == ["firing", "resolved"]


def test_of_one_that_began_and_ended_and_began_at_one_time_the_last_is_told() -> None:
    notified = Notified(policy())
    notified.hear(
        event(began=0, at=SECOND),
        event(began=0, at=SECOND, status="resolved"),
        event(began=0, at=SECOND),  # it comes again, and is old
        event(began=SECOND),
        at=SECOND,
    )
    assert [(each.at, each.status) for each in notified.told(MINUTE)] == [(SECOND, "firing")]
    notified.hear(event(began=SECOND, at=MINUTE + 1, status="resolved"))
    assert [each.status for each in notified.told(HOUR)] == ["resolved"]


def test_who_was_released_is_told_once_though_another_contact_point_is_told_no_more() -> None:
    notified = Notified(policy(repeat_interval="10m"))
    notified.hear(event(service="a"), event(service="b"))
    notified.pass_to(0)
    to_team = [{"match": {"service": "a"}, "receiver": "team"}]
    elsewhere = policy(repeat_interval="10m", routes=to_team)
    notified.define(elsewhere, silence(0, 40 * MINUTE, service="a"))
    told = [each for each in notified.told(55 * MINUTE) if each.to == "team"]
    assert [(each.at, *each.why) for each in told] == [
        (40 * MINUTE, "released, still violating"),
        (50 * MINUTE, "still violating, repeat interval passed"),
    ]


def test_a_page_that_is_an_hour_late_is_not_sent_if_its_end_is() -> None:
    notified = Notified(policy())
    notified.hear(event("over"))
    notified.hear(event("lasts", began=SECOND))
    notified.hear(event("over", status="resolved", at=MINUTE))
    notified.pass_to(MINUTE)
    notified.checkpoint()
    over, lasts, end = notified.logic.pending()
    assert notified.logic.overtaken(late=START) == []
    assert notified.logic.overtaken(late=START + HOUR) == [over.id]
    notified.logic.supersede([over.id], Outbox(), notified.totals)
    assert notified.logic.pending() == [lasts, end]
    assert [each.status for each in notified.deliver()] == ["firing", "resolved"]


def test_what_is_due_too_late_is_done_as_things_are_now() -> None:
    """A notification that is given up when it is too old already holds nobody else back."""
    notified = Notified(policy())
    notified.hear(event(service="a"))
    notified.pass_to(0)
    notified.checkpoint()
    [old] = notified.logic.pending()
    notified.define(policy(), silence(7 * DAY - HOUR, 7 * DAY + HOUR, service="b"))
    notified.pass_to(8 * DAY)
    notified.hear(event("slow", began=8 * DAY + SECOND, service="b"))
    notified.outcome(old.id, Failed("given up"))
    notified.pass_to(8 * DAY + MINUTE)
    notified.checkpoint()
    [page] = [
        said(each) for each in notified.logic.pending() if each.group_labels != old.group_labels
    ]
    assert page.at == 8 * DAY + SECOND
