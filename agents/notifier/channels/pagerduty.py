"""PagerDuty, Events API v2: one event an alert, known again by the id of its event.

https://developer.pagerduty.com/docs/events-api-v2/trigger-events/
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import orjson

from tailrace.agents.notifier import contents
from tailrace.agents.notifier.channels.request import (
    HttpRequest,
    Impossible,
    Made,
    Order,
    post,
)
from tailrace.agents.notifier.templates import cut, words
from tailrace.schemas import rfc3339
from tailrace.schemas.alert_events import AlertEvent
from tailrace.schemas.definitions.contact_point import PagerDuty

SEVERITIES: Final = {
    **dict.fromkeys(("critical", "page", "fatal", "emergency", "p1", "sev1"), "critical"),
    **dict.fromkeys(("error", "high", "major", "p2", "sev2"), "error"),
    **dict.fromkeys(("warning", "warn", "medium", "minor", "ticket", "p3", "sev3"), "warning"),
    **dict.fromkeys(("info", "information", "low", "none", "p4", "p5", "sev4"), "info"),
}
_UNKNOWN: Final = "error"
_LONGEST_SUMMARY: Final = 1_024
_LARGEST_EVENT: Final = 512_000
_SERVICE_LABELS: Final = ("service", "service.name", "service_name", "server")


def requests(order: Order) -> Made:
    """Return an event for each alert that there is news of, or for all if that is not said."""
    notification = order.notification
    if notification.status == "heartbeat":
        raise Impossible("PagerDuty takes no heartbeats; send them to a dead man's switch")
    news = [event for event in notification.alerts if event.id in notification.news]
    made = [_event(event, order) for event in news or notification.alerts]
    problems = tuple(problem for _, found in made for problem in found)
    return Made(tuple(request for request, _ in made), tuple(dict.fromkeys(problems)))


def severity(event: AlertEvent, spec: PagerDuty) -> str:
    """Return what PagerDuty calls the severity of *event*."""
    return spec.severities.get(event.severity) or SEVERITIES.get(event.severity.lower(), _UNKNOWN)


def _event(event: AlertEvent, order: Order) -> tuple[HttpRequest, tuple[str, ...]]:
    spec = order.spec.pagerduty
    assert spec is not None
    is_over = contents.is_over(event)
    message: dict[str, Any] = {
        "routing_key": order.reveal(spec.routing_key),
        "event_action": "resolve" if is_over else "trigger",
        "dedup_key": event.id,
    }
    key = f"{order.notification.id}-{event.id}"
    problems: tuple[str, ...] = ()
    if not is_over:
        alone = replace(
            order.notification,
            alerts=(event,),
            truncated=0,
            status="firing",
        )
        said = contents.contents(alone, order.spec.trace_url, order.external_url)
        summary = words(said, order.spec.templates, is_test=order.is_test, parts=("title",))
        problems = summary.problems
        message |= _trigger(event, order, spec, summary.title, said["alerts"][0])
    return post(spec.url, _fitted(message), key), problems


def _trigger(
    event: AlertEvent, order: Order, spec: PagerDuty, summary: str, said: dict[str, Any]
) -> dict[str, Any]:
    service = next((event.labels[key] for key in _SERVICE_LABELS if event.labels.get(key)), "")
    payload = {
        "summary": cut(summary, _LONGEST_SUMMARY),
        "source": service or event.name,
        "severity": severity(event, spec),
        "timestamp": rfc3339.spell(event.starts_at),
        "group": event.tenant,
        "class": event.kind,
        "custom_details": {
            "said": said["said"],
            **{key: said[key] for key in ("value", "threshold", "window", "severity")},
            **{key: said[key] for key in ("labels", "annotations", "spans")},
        },
    }
    client = {"client": "tailrace"}
    if order.external_url:
        client["client_url"] = order.external_url
    if service:
        payload["component"] = service
    return {"payload": payload, "links": _links(said), **client}


def _links(said: dict[str, Any]) -> list[dict[str, str]]:
    named = [(said["runbook_url"], "Runbook"), (said["dashboard_url"], "Dashboard")]
    traces = [
        (span["url"], f"Trace {span['trace_id']}: {span['service']} {span['name']}")
        for span in said["spans"]
    ]
    return [{"href": url, "text": text} for url, text in named + traces if url]


def _fitted(message: dict[str, Any]) -> dict[str, Any]:
    """The event in so many bytes as PagerDuty takes; what is not needed goes first."""
    if len(orjson.dumps(message)) <= _LARGEST_EVENT:
        return message
    small = {"said": message["payload"]["custom_details"]["said"]}
    return {**message, "payload": {**message["payload"], "custom_details": small}}
