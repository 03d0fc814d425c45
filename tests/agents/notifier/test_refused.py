"""What a receiver refused is tried again: nobody waits for a page until its group is told again."""

from __future__ import annotations

import pytest

from tailrace.schemas.definitions.definition import CONTACT_POINT
from tailrace.schemas.notifications import Failed
from tests.agents.notifier.notified import (
    HOUR,
    MINUTE,
    SECOND,
    START,
    Notified,
    Said,
    define,
    event,
    policy,
)
from tests.agents.notifier.test_decision_table import silence
from tests.agents.notifier.test_notifier_cases import refusing

PAGE = Said(0, "ops", "firing", ("errors!", "errors!"), ("new",))


def refused(notified: Notified, at: int) -> bool:
    """Let it be *at*, and what is tried then be refused; return whether anything was."""
    notified.pass_to(at)
    notified.checkpoint()
    tried = notified.logic.pending()
    for each in tried:
        notified.outcome(each.id, Failed("the receiver answered 404: no"))
    return bool(tried)


def test_a_page_that_was_refused_is_tried_again_after_as_long_as_it_has_waited() -> None:
    notified = refusing()
    # It is looked at once a minute.
    tried = [minute for minute in range(130) if refused(notified, minute * MINUTE + SECOND)]
    assert tried == [1, 3, 7, 15, 31, 63, 127]
    notified.checkpoint()
    notified.die()
    assert len(notified.logic.undelivered()) == 1
    notified.pass_to(4 * HOUR)
    assert [each.at for each in notified.deliver()] == [4 * HOUR]
    assert notified.logic.undelivered() == []


def test_a_page_that_was_refused_and_is_taken_after_a_minute_is_told_once() -> None:
    notified = refusing()
    assert notified.told(MINUTE + SECOND) == [PAGE]
    assert notified.told(3 * HOUR) == []


@pytest.mark.parametrize("ends", [10 * MINUTE, 30 * MINUTE])
def test_a_page_that_was_refused_waits_for_a_silence_to_end(ends: int) -> None:
    notified = refusing()
    notified.define(policy(), silence(0, ends))
    assert notified.told(ends - 1) == []
    assert [each.at for each in notified.told(ends)] == [ends]
    assert notified.logic.undelivered() == []
    assert notified.told(3 * HOUR) == []


def test_of_what_was_refused_only_what_still_fires_is_told() -> None:
    notified = refusing()
    notified.hear(event(service="a", status="resolved", at=SECOND))
    notified.pass_to(SECOND)
    notified.checkpoint()
    [end] = notified.logic.pending()
    notified.outcome(end.id, Failed("no"))
    notified.pass_to(2 * MINUTE)
    notified.checkpoint()
    told = notified.logic.pending()
    assert [each.created_at - START for each in told] == [SECOND]
    assert [alert.status for each in told for alert in each.alerts] == ["resolved", "firing"]


def test_what_was_refused_is_told_when_its_contact_point_is_there_again_as_it_was() -> None:
    ops = define(CONTACT_POINT, "ops", {"url": "here"})
    notified = Notified(policy(), ops)
    notified.hear(event())
    notified.told(0)
    notified.hear(event(status="resolved", at=SECOND))
    assert refused(notified, SECOND)
    notified.define(policy())
    assert not refused(notified, HOUR)
    notified.die()
    notified.define(policy(), ops)
    assert [each.status for each in notified.told(HOUR + SECOND)] == ["resolved"]


def test_who_wants_no_ends_is_not_told_again_of_what_fires_beside_what_ended() -> None:
    ops = define(CONTACT_POINT, "ops", {"send_resolved": False})
    notified = Notified(policy(repeat_interval="1h"), ops)
    notified.hear(event(service="a"), event(service="b"))
    assert [each.alerts for each in notified.told(0)] == [("errors!", "errors!")]
    notified.hear(event(service="a", status="resolved", at=30 * MINUTE))
    assert [each.alerts for each in notified.told(30 * MINUTE)] == [("errors! resolved",)]
    # Nor does he wait the longer for what is told again.
    assert [(each.at, each.alerts) for each in notified.told(HOUR)] == [(HOUR, ("errors!",))]
    notified.define(policy(repeat_interval="1h"), define(CONTACT_POINT, "ops"))
    notified.hear(event(began=HOUR, service="c"), at=HOUR + MINUTE)
    notified.told(HOUR + MINUTE)
    notified.hear(event(began=HOUR, service="c", status="resolved", at=HOUR + 2 * MINUTE))
    assert [each.alerts for each in notified.told(HOUR + 2 * MINUTE)] == [
        ("errors", "errors! resolved")
    ]
