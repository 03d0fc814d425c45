"""A test of a contact point: one notification that says that it is one."""

from __future__ import annotations

from dataclasses import replace

from tailrace.agents.notifier.channels.door import Door
from tailrace.agents.notifier.channels.request import Accepted, Answer, Refused
from tailrace.agents.notifier.secrets import Discretion
from tailrace.agents.notifier.sender import ContactPoint, Surroundings, cleaned, requests_of
from tailrace.schemas.alert_events import AlertEvent, EvidenceSpan, event_id, fingerprint
from tailrace.schemas.definitions.contact_point import ContactPointSpec
from tailrace.schemas.durations import MILLISECOND, SECOND
from tailrace.schemas.notifications import Delivered, Failed, Notification

NAME = "TailraceTest"


async def notify_test(point: ContactPoint, outside: Surroundings) -> Delivered | Failed:
    """Send one marked notification to *point*, once; at PagerDuty it is resolved at once."""
    firing = notification(point, outside.wall_ms())
    found = await _sent(firing, point.spec, outside)
    if isinstance(found, Delivered) and point.spec.channel == "pagerduty":
        over = [
            replace(alert, status="resolved", ends_at=alert.evaluated_at) for alert in firing.alerts
        ]
        return await _sent(replace(firing, status="resolved", alerts=over), point.spec, outside)
    return found


def notification(point: ContactPoint, now_ms: int) -> Notification:
    """Return what is sent to *point*."""
    of = fingerprint(point.tenant, NAME, "info", {})
    test_id = event_id(of, now_ms)
    ended_ns = now_ms * MILLISECOND
    span = EvidenceSpan("0" * 31 + "1", "0" * 15 + "1", "test", "test", SECOND, ended_ns)
    alert = AlertEvent(
        id=test_id,
        fingerprint=of,
        tenant=point.tenant,
        name=NAME,
        kind="trace",
        status="firing",
        severity="info",
        labels={"test": "true"},
        annotations={"summary": f"This is a test of the contact point {point.name}: do nothing."},
        value=2.0,
        threshold=1.0,
        window_ms=60_000,
        starts_at=now_ms,
        ends_at=None,
        evaluated_at=now_ms,
        spans=(span,),
    )
    return Notification(
        id=test_id,
        sequence=0,
        tenant=point.tenant,
        contact_point=point.name,
        status="firing",
        group_key=f"test/{point.tenant}/{point.name}",
        group_labels={"name": NAME},
        alerts=(alert,),
        news={},
        created_at=now_ms,
    )


async def _sent(
    test: Notification, spec: ContactPointSpec, outside: Surroundings
) -> Delivered | Failed:
    discretion, door = Discretion(outside.reveal), Door(outside.targets, outside.resolve)
    made, answer = requests_of(test, spec, discretion, outside, is_test=True)
    try:
        for request in made.requests:
            answer = await door.perform(request, spec.timeout / SECOND)
            if not isinstance(answer, Accepted):
                break
    finally:
        await door.close()
    return _outcome(cleaned(answer, discretion), made.problems)


def _outcome(answer: Answer, problems: tuple[str, ...]) -> Delivered | Failed:
    if isinstance(answer, Accepted):
        if problems:
            return Failed(f"it was delivered, but not in its own words: {'; '.join(problems)}")
        return Delivered()
    lasts = "" if isinstance(answer, Refused) else "; it may pass: a real one is tried again"
    return Failed(f"{answer.reason}{lasts}")
