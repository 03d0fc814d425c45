"""What a notification says, as plain values: of these channels and templates make messages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote, urlsplit

from tailrace.schemas import rfc3339, trace_links
from tailrace.schemas.alert_events import AlertEvent, EvidenceSpan
from tailrace.schemas.durations import MILLISECOND, spell
from tailrace.schemas.notifications import Notification

MOST_ALERTS: Final = 50
MOST_SPANS: Final = 10
_LONGEST_TEXT: Final = 1_000
_LONGEST_NAME: Final = 200
_IN_TITLE: Final = ("name", "alertname", "severity")
_NO_SEVERITY: Final = "none"


def contents(
    notification: Notification, trace_url: str | None = None, external_url: str = ""
) -> dict[str, Any]:
    """Return what a template can say: texts, numbers, lists and mappings of them."""
    events = told(notification)
    listed = [_alert(event, trace_url) for event in events[:MOST_ALERTS]]
    group = [value for key, value in notification.group_labels.items() if key not in _IN_TITLE]
    return {
        "id": notification.id,
        "status": "resolved" if notification.status == "resolved" else "firing",
        "is_heartbeat": notification.status == "heartbeat",
        "tenant": notification.tenant,
        "contact_point": notification.contact_point,
        "name": _shared([each["name"] for each in listed]) or "several alerts",
        "severity": _shared([each["severity"] for each in listed]),
        "group_said": _cut(" ".join(group)),
        "group_labels": dict(notification.group_labels),
        "common_labels": dict(notification.common_labels),
        "common_annotations": dict(notification.common_annotations),
        "alerts": listed,
        "firing": sum(not is_over(event) for event in events),
        "resolved": sum(is_over(event) for event in events),
        "truncated": notification.truncated + len(events) - len(listed),
        "external_url": external_url,
    }


def told(notification: Notification) -> list[AlertEvent]:
    """Return the alerts of *notification*; a heartbeat without any is one of its own."""
    if notification.alerts or notification.status != "heartbeat":
        return list(notification.alerts)
    at = notification.created_at
    return [
        AlertEvent(
            id=notification.id,
            fingerprint=notification.id,
            tenant=notification.tenant,
            name="Heartbeat",
            kind="trace",
            status="firing",
            severity=_NO_SEVERITY,
            labels={},
            annotations={"summary": "Alerts are evaluated. When this stays out, they are not."},
            value=None,
            threshold=None,
            window_ms=0,
            starts_at=at,
            ends_at=None,
            evaluated_at=at,
        )
    ]


def is_over(event: AlertEvent) -> bool:
    """Whether what *event* tells of has ended."""
    return event.status == "resolved"


def label_set(event: AlertEvent) -> dict[str, str]:
    """Return all labels of *event*, its name among them, as Prometheus' world knows alerts."""
    return {
        **event.labels,
        "alertname": event.name,
        "severity": event.severity,
        "tenant": event.tenant,
    }


def newest_spans(event: AlertEvent, most: int = MOST_SPANS) -> list[EvidenceSpan]:
    """Return the spans that matched last, the newest first."""
    return sorted(event.spans, key=lambda span: (-span.at, span.trace_id, span.span_id))[:most]


def trace_link(span: EvidenceSpan, trace_url: str | None) -> str:
    """Return the link to *span* in the user's view of traces: its own, or of *trace_url*."""
    if span.url is None and trace_url is None:
        return ""
    filled = trace_links.trace_link(
        trace_url or "", span.trace_id, span.span_id, span.at, span.service
    )
    return web_link(span.url or filled)


def web_link(url: str) -> str:
    """Return *url* if a browser should follow it, in characters that end no link; else nothing."""
    try:
        is_web = urlsplit(url).scheme in ("http", "https") and bool(urlsplit(url).hostname)
    except ValueError:
        is_web = False
    return quote(url, safe="%/:=&?~#+!$,;'@()*[]") if is_web else ""


def runbook(event: AlertEvent) -> str:
    """Return the link to what to do, or nothing."""
    return _first_link(event.annotations, "runbook_url", "runbook")


def dashboard(event: AlertEvent) -> str:
    """Return the link to the dashboard, or nothing."""
    return _first_link(event.annotations, "dashboard_url", "dashboard")


def said(event: AlertEvent) -> str:
    """Return value, threshold and window of *event* in words."""
    if event.value is None:
        return "There is no value." if event.threshold is not None else "It has no value."
    window = f" in the last {spell(event.window_ms * MILLISECOND)}" if event.window_ms else ""
    value, threshold = number(event.value), event.threshold
    if event.kind == "burn_rate":
        if is_over(event):
            return (
                f"Before it ended, the error budget burnt {value} times as fast as it may{window}."
            )
        limit = "" if threshold is None else f"; the alert is at {number(threshold)} times"
        return f"The error budget burnt {value} times as fast as it may{window}{limit}."
    limit = "" if threshold is None else f"; the threshold is {number(threshold)}"
    return f"The value was {value}{window}{limit}."


def number(value: float) -> str:
    """Return *value* with the digits that people read."""
    if abs(value) < 1e15 and value == int(value):
        return str(int(value))
    return f"{value:.4g}" if abs(value) < 1e4 else f"{value:.6g}"


def span_facts(span: EvidenceSpan, trace_url: str | None) -> dict[str, Any]:
    """Return what is told of *span*."""
    return {
        "trace_id": span.trace_id,
        "span_id": span.span_id,
        "service": _cut(span.service, _LONGEST_NAME),
        "name": _cut(span.name, _LONGEST_NAME),
        "duration": _short(span.duration_ns),
        "duration_ms": span.duration_ns / MILLISECOND,
        "at": rfc3339.spell(span.at // MILLISECOND),
        "sampled": span.sampled,
        "url": trace_link(span, trace_url),
    }


def _alert(event: AlertEvent, trace_url: str | None) -> dict[str, Any]:
    labels = {key: _cut(value) for key, value in sorted(event.labels.items())}
    annotations = {key: _cut(value) for key, value in sorted(event.annotations.items())}
    return {
        "id": event.id,
        "fingerprint": event.fingerprint,
        "name": event.name,
        "kind": event.kind,
        "status": event.status,
        "severity": event.severity,
        "labels": labels,
        "labels_said": _cut(", ".join(f"{key}={value}" for key, value in labels.items())),
        "annotations": annotations,
        "summary": annotations.get("summary", ""),
        "description": annotations.get("description", ""),
        "runbook_url": runbook(event),
        "dashboard_url": dashboard(event),
        "value": event.value,
        "threshold": event.threshold,
        "window": spell(event.window_ms * MILLISECOND),
        "said": said(event),
        "starts_at": rfc3339.spell(event.starts_at),
        "ends_at": "" if event.ends_at is None else rfc3339.spell(event.ends_at),
        "spans": [span_facts(span, trace_url) for span in newest_spans(event)],
    }


def _first_link(annotations: Mapping[str, str], *keys: str) -> str:
    return next((link for key in keys if (link := web_link(annotations.get(key, "")))), "")


def _shared(values: list[str]) -> str:
    return values[0] if len(set(values)) == 1 else ""


def _cut(text: str, longest: int = _LONGEST_TEXT) -> str:
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def _short(nanos: int) -> str:
    if nanos < MILLISECOND:
        return f"{nanos / 1e3:.3g}µs"
    return f"{nanos / 1e6:.4g}ms" if nanos < 1000 * MILLISECOND else f"{nanos / 1e9:.4g}s"
