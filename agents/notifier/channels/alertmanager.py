"""Prometheus Alertmanager, API v2: POST /api/v2/alerts.

https://github.com/prometheus/alertmanager/blob/main/api/v2/openapi.yaml

An alert that fires gets an `endsAt` in the future, counted from when it is sent: a late message is
never taken for an old one. A heartbeat gets none: it ends after Alertmanager's `resolve_timeout`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from tailrace.agents.notifier import contents
from tailrace.agents.notifier.channels.request import Made, Order, post, revealed
from tailrace.agents.notifier.channels.webhook import ended, headers
from tailrace.schemas import rfc3339
from tailrace.schemas.alert_events import AlertEvent
from tailrace.schemas.durations import MILLISECOND

_TEST_LASTS_MS: Final = 300_000
"""Until then it is told, and then nothing of it stays."""
_STRANGE = re.compile(r"[^a-zA-Z0-9_]")


def requests(order: Order) -> Made:
    """Return one POST with every alert of the group."""
    target = order.spec.alertmanager
    assert target is not None
    url = f"{revealed(target.url, order.reveal).rstrip('/')}/api/v2/alerts"
    alerts = [_alert(event, order) for event in contents.told(order.notification)]
    return Made((post(url, alerts, order.notification.id, headers(target, order.reveal)),))


def _alert(event: AlertEvent, order: Order) -> dict[str, Any]:
    alert: dict[str, Any] = {
        "labels": named(contents.label_set(event)),
        "annotations": named({**event.annotations, **_links(event, order)}),
        "startsAt": rfc3339.spell(event.starts_at),
    }
    ends_at = ended(event) or _expiry(order)
    if ends_at is not None:
        alert["endsAt"] = ends_at
    generator = contents.dashboard(event) or order.external_url
    return {**alert, "generatorURL": generator} if generator else alert


def _expiry(order: Order) -> str | None:
    spec = order.spec.alertmanager
    if spec is None or order.notification.status == "heartbeat":
        return None
    # Else what is told seldom would end there before it is told again.
    lasts_ms = max(spec.expires // MILLISECOND, 2 * order.notification.repeat_ms)
    if order.is_test:
        lasts_ms = _TEST_LASTS_MS
    return rfc3339.spell(order.now_ms + lasts_ms)


def _links(event: AlertEvent, order: Order) -> dict[str, str]:
    """What people want to see there: the value in words, and the newest spans."""
    spans = (
        contents.span_facts(span, order.spec.trace_url) for span in contents.newest_spans(event)
    )
    listed = [
        f"{span['trace_id']} {span['span_id']} {span['service']} {span['name']} "
        f"{span['duration']} {span['url']}".rstrip()
        for span in spans
    ]
    return {"value": contents.said(event), **({"spans": "\n".join(listed)} if listed else {})}


def named(values: Mapping[str, str]) -> dict[str, str]:
    """Return *values* under names that every Prometheus knows: `service.name` is `service_name`.

    Of two that would get one name, the later in order gets `_2` at its end, and so on. Empty
    values are left out: there, they are as if not there.
    """
    renamed: dict[str, str] = {}
    for key, value in sorted(values.items(), key=lambda item: (_name(item[0]) != item[0], item)):
        if not value:
            continue
        name, number = _name(key), 2
        while name in renamed:
            name, number = f"{_name(key)}_{number}", number + 1
        renamed[name] = value
    return renamed


def _name(key: str) -> str:
    name = _STRANGE.sub("_", key)
    return name if name and not name[0].isdigit() else f"_{name}"
