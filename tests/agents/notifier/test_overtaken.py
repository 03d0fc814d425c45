"""Notifications that go for later ones take nothing with them that somebody has to hear of."""

from __future__ import annotations

import asyncio

from tailrace.schemas.notifications import Delivered, Failed, Notification
from tests.agents.notifier.notified import (
    HOUR,
    MINUTE,
    SECOND,
    START,
    Notified,
    event,
    policy,
)
from tests.agents.notifier.receivers import (
    Reports,
    alert,
    notification,
    outside,
    point,
    receiver,
    sender,
)
from tests.agents.notifier.test_channels_http import TOKEN


def waiting(*begun: int) -> list[Notification]:
    """What waits when one alert came, another and a third, and of these were *begun* to be sent."""
    notified = Notified(policy(group_interval="1m"))
    for number, service in enumerate("abc"):
        notified.hear(event(began=number * MINUTE, service=service))
        notified.pass_to(number * MINUTE)
    notified.checkpoint()
    found = notified.logic.pending()
    ids = [found[each].id for each in begun]
    notified.supersede(notified.logic.overtaken(begun=ids), ids)
    notified.checkpoint()
    notified.die()
    return notified.logic.pending()


def news(notification: Notification) -> list[str]:
    return [each.labels["service"] for each in notification.alerts if each.id in notification.news]


def test_news_that_waits_is_news_in_what_is_sent_instead() -> None:
    [only] = waiting()
    assert news(only) == ["a", "b", "c"]
    assert set(only.news.values()) == {"new"}


def test_what_is_begun_to_be_sent_goes_on_and_the_rest_is_one_notification() -> None:
    first, rest = waiting(0)
    assert (news(first), news(rest)) == (["a"], ["b", "c"])


def test_nothing_goes_for_what_has_begun_without_its_news() -> None:
    assert [news(each) for each in waiting(2)] == [["a", "b"], ["c"]]


def test_news_that_a_receiver_refused_is_news_when_its_group_is_told_again() -> None:
    notified = Notified(policy(group_interval="30s"))
    notified.hear(event(service="a"))
    notified.pass_to(0)
    notified.checkpoint()
    [page] = notified.logic.pending()
    notified.outcome(page.id, Failed("the receiver answered 404"))
    notified.hear(event(began=SECOND, service="b"))
    notified.pass_to(31 * SECOND)
    notified.checkpoint()
    notified.die()
    assert [news(each) for each in notified.logic.pending()] == [["a", "b"]]


def test_an_end_that_comes_late_does_not_end_what_has_begun_since() -> None:
    """A receiver that knows alerts by their labels is told in one breath that it fires again."""
    notified = Notified(policy())
    notified.hear(event())
    notified.told(0)
    notified.hear(event(status="resolved", at=SECOND))
    notified.pass_to(SECOND)
    notified.checkpoint()
    [end] = notified.logic.pending()
    notified.outcome(end.id, Failed("the receiver answered 404"))
    notified.hear(event(began=2 * SECOND))
    assert [each.status for each in notified.told(MINUTE)] == ["firing"]
    notified.pass_to(2 * MINUTE)
    notified.checkpoint()
    notified.die()
    [late] = notified.logic.pending()
    assert late.status == "firing"
    assert [(each.starts_at - START, each.status) for each in late.alerts] == [
        (0, "resolved"),
        (2 * SECOND, "firing"),
    ]
    assert late.news == {end.alerts[0].id: "resolved"}
    # Nor is it said to fire when it has ended, too.
    notified.outcome(late.id, Failed("the receiver answered 404"))
    notified.hear(event(began=2 * SECOND, at=3 * MINUTE, status="resolved"))
    notified.pass_to(3 * HOUR)
    told = [each for each in notified.deliver() if each.at == SECOND]
    assert [each.status for each in told] == ["resolved"]


async def test_what_waits_is_sent_with_the_news_that_it_has_when_its_turn_comes() -> None:
    reports, one, other = Reports(), alert("One"), alert("Other")
    async with receiver() as to:
        target = point(pagerduty={"routing_key": TOKEN, "url": to.url})
        async with sender(outside(), [target]) as running:
            running.submit(notification(one, other, news={other.id: "new"}), reports)
            running.submit(notification(one, other, news={one.id: "new", other.id: "new"}), reports)
            assert await reports.ends("n1") == [Delivered()]
        assert [each.json["dedup_key"] for each in to.received] == [one.id, other.id]


async def test_what_is_through_in_part_is_begun_and_what_waits_behind_it_is_not() -> None:
    reports, waits = Reports(), asyncio.Event()

    async def sleep(seconds: float) -> None:
        waits.set()
        await asyncio.Event().wait()

    async with receiver() as to:
        target = point(pagerduty={"routing_key": TOKEN, "url": to.url}, rate_limit=1)
        async with sender(outside(sleep=sleep), [target]) as running:
            assert running.begun() == frozenset()
            running.submit(notification(alert("One"), alert("Other")), reports)
            running.submit(notification(alert("Third"), id="n2"), reports)
            await waits.wait()
            assert running.begun() == {"n1"}
        assert [each.json["dedup_key"] for each in to.received] == [alert("One").id]
