"""From what an evaluation found to the event that tells it."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from tailrace.agents.alerts.rules import Finding, Rule
from tailrace.agents.alerts.states import Told
from tailrace.schemas.alert_events import (
    AlertEvent,
    EvidenceSpan,
    event_id,
    fingerprint,
)
from tailrace.schemas.definitions import Definition
from tailrace.schemas.definitions.definition import ALERT
from tailrace.schemas.definitions.labels import alert_labels
from tailrace.schemas.durations import MILLISECOND
from tailrace.schemas.matches import decode_group
from tailrace.schemas.trace_links import trace_link
from tailrace.tables.alert_groups import AlertGroup

SUMMARY = "summary"
TRACE_URL = "trace_url"
_JUDGED_MS = 600_000
"""A trace is judged some time after its spans ended; they are its evidence still."""


def event(
    rule: Rule, group: AlertGroup, severity: str, finding: Finding, told: Told, at: int
) -> AlertEvent:
    """Return the event that says what was *told* of *group* at *at* (ms), with its evidence."""
    definition = rule.definition
    values = group_labels(rule, group)
    identity = identity_of(definition, severity, values)
    reach_ms = finding.window_ms + (_JUDGED_MS if _is_of_traces(rule) else 0)
    spans = _evidence(group, definition.spec.trace_url, at - reach_ms)
    annotations = {SUMMARY: finding.summary, **definition.annotations}
    if spans and spans[-1].url is not None:
        annotations[TRACE_URL] = spans[-1].url
    return AlertEvent(
        id=event_id(identity, told.starts_at),
        fingerprint=identity,
        tenant=definition.tenant,
        name=definition.name,
        kind=rule.kind,
        status=told.effect.status,
        severity=severity,
        labels={**definition.labels, **values},
        annotations=annotations,
        value=finding.value,
        threshold=finding.threshold,
        window_ms=finding.window_ms,
        starts_at=told.starts_at,
        ends_at=told.ends_at,
        evaluated_at=at,
        spans=tuple(reversed(spans)),
        definition_version=definition.version,
    )


def identity_of(definition: Definition[Any], severity: str, values: Mapping[str, str]) -> str:
    """Return the fingerprint of an alert of *definition*: never that of another kind's.

    An alert and an SLO may share their name; a slash stands in none.
    """
    kind, tenant, name = definition.key
    return fingerprint(tenant, name if kind == ALERT else f"{kind}/{name}", severity, values)


def _is_of_traces(rule: Rule) -> bool:
    return any(signal.trace is not None for signal in rule.signals.values())


def news_of(said: AlertEvent) -> str:
    """Return what of *said* is news while the alert goes on: status, evidence, about the value."""
    about = None if said.value is None else f"{said.value:.2g}"
    spans = [(span.trace_id, span.span_id, span.sampled) for span in said.spans]
    return f"{said.status} {about} {zlib.crc32(repr(spans).encode())} {said.definition_version}"


def ending(last: AlertEvent, told: Told, at: int) -> AlertEvent:
    """Return the event that ends what *last* told, when nobody knows its definition any more."""
    return replace(
        last,
        status=told.effect.status,
        ends_at=told.ends_at,
        evaluated_at=at,
        annotations={**last.annotations, SUMMARY: "The definition is gone, or was changed."},
    )


def group_labels(rule: Rule, group: AlertGroup) -> Mapping[str, str]:
    """Return the values that make the group, by the labels of its fields."""
    names = alert_labels(rule.definition.spec.group_by)
    return dict(zip(names, decode_group(group.group), strict=True))


def _evidence(group: AlertGroup, trace_url: str | None, since_ms: int) -> Sequence[EvidenceSpan]:
    """Return the spans of the window, the newest last."""
    spans = [each for each in group.evidence if each.at >= since_ms * MILLISECOND]
    if trace_url is None:
        return spans
    return [
        replace(each, url=trace_link(trace_url, each.trace_id, each.span_id, each.at, each.service))
        for each in spans
    ]
