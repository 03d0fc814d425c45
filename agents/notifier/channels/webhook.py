"""The webhook of Alertmanager, version 4 of its payload, and what tailrace knows besides.

https://prometheus.io/docs/alerting/latest/configuration/#webhook_config
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from tailrace.agents.notifier import contents
from tailrace.agents.notifier.channels.request import Made, Order, Reveal, post, revealed
from tailrace.schemas import rfc3339
from tailrace.schemas.alert_events import AlertEvent
from tailrace.schemas.definitions.contact_point import Alertmanager, Webhook

_NOT_ENDED: Final = "0001-01-01T00:00:00Z"  # Go's zero time, as receivers know it


def requests(order: Order) -> Made:
    """Return one POST with all alerts of the group, cut to `max_alerts`."""
    hook = order.spec.webhook
    assert hook is not None
    payload = _payload(order, hook.max_alerts)
    url = revealed(hook.url, order.reveal)
    return Made((post(url, payload, order.notification.id, headers(hook, order.reveal)),))


def headers(http: Webhook | Alertmanager, reveal: Reveal) -> dict[str, str]:
    """Return the headers that the contact point adds."""
    given = {name: revealed(value, reveal) for name, value in http.headers.items()}
    if http.bearer_token is not None:
        given["Authorization"] = f"Bearer {reveal(http.bearer_token)}"
    return given


def _payload(order: Order, max_alerts: int) -> dict[str, Any]:
    notification = order.notification
    events = contents.told(notification)
    sent = events[:max_alerts] if max_alerts else events
    left_out = notification.truncated + len(events) - len(sent)
    return {
        "version": "4",
        "groupKey": notification.group_key,
        "truncatedAlerts": left_out,
        "status": "resolved" if notification.status == "resolved" else "firing",
        "receiver": notification.contact_point,
        "groupLabels": dict(notification.group_labels),
        "commonLabels": _shared([contents.label_set(event) for event in events]),
        "commonAnnotations": _shared([event.annotations for event in events]),
        "externalURL": order.external_url,
        "alerts": [_alert(event, order) for event in sent],
        "tailrace": {
            "id": notification.id,
            "tenant": notification.tenant,
            "status": notification.status,
            "test": order.is_test,
            "alerts": [_ours(event, order.spec.trace_url) for event in sent],
        },
    }


def _alert(event: AlertEvent, order: Order) -> dict[str, Any]:
    return {
        "status": "resolved" if contents.is_over(event) else "firing",
        "labels": contents.label_set(event),
        "annotations": dict(event.annotations),
        "startsAt": rfc3339.spell(event.starts_at),
        "endsAt": ended(event) or _NOT_ENDED,
        "generatorURL": contents.dashboard(event) or order.external_url,
        "fingerprint": event.fingerprint,
    }


def ended(event: AlertEvent) -> str | None:
    """Return when *event* ended, if it has."""
    if not contents.is_over(event):
        return None
    return rfc3339.spell(event.evaluated_at if event.ends_at is None else event.ends_at)


def _ours(event: AlertEvent, trace_url: str | None) -> dict[str, Any]:
    return {
        "id": event.id,
        "fingerprint": event.fingerprint,
        "kind": event.kind,
        "status": event.status,
        "said": contents.said(event),
        "value": event.value,
        "threshold": event.threshold,
        "window_ms": event.window_ms,
        "definition_version": event.definition_version,
        "spans": [contents.span_facts(span, trace_url) for span in contents.newest_spans(event)],
    }


def _shared(mappings: list[Mapping[str, str]] | list[dict[str, str]]) -> dict[str, str]:
    if not mappings:
        return {}
    shared = set.intersection(*(set(each.items()) for each in mappings))
    return dict(sorted(shared))
