"""What is shown of alerts: each instance of which there is anything to say."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

from tailrace.agents.alerts.events import group_labels, identity_of
from tailrace.agents.alerts.logic import AlertsLogic, last_told
from tailrace.agents.alerts.rules import Rule
from tailrace.schemas import rfc3339
from tailrace.schemas.alert_events import EvidenceSpan, event_id
from tailrace.schemas.durations import MILLISECOND, spell
from tailrace.schemas.trace_links import trace_link
from tailrace.streams.api.worker_state import Held
from tailrace.tables.alert_groups import AlertGroup
from tailrace.tables.alert_states import AlertState, Phase

STATUS_OF: Final = {
    Phase.INACTIVE: "inactive",
    Phase.PENDING: "pending",
    Phase.FIRING: "firing",
    Phase.KEEP_FIRING: "firing",
    Phase.FLAPPING: "firing",
    Phase.RESOLVED: "resolved",
    Phase.NO_DATA: "no_data",
    Phase.UNKNOWN: "unknown",
    Phase.PENDING_UNKNOWN: "pending",
    Phase.OVERDUE: "unknown",
    Phase.FIRING_NO_DATA: "no_data",
    Phase.FIRING_UNKNOWN: "unknown",
    Phase.GONE: "resolved",
}
"""What was told last of an alert in each phase; `inactive`: it is over, and nobody waits."""
STATUSES: Final = tuple(dict.fromkeys(STATUS_OF.values()))


@dataclass(frozen=True, slots=True)
class SpanView:
    """A span that matched. `sampled` null: its trace is not decided yet. `at`: its end."""

    trace_id: str
    span_id: str
    service: str
    name: str
    duration_ms: float
    at: str
    sampled: bool | None
    url: str | None


@dataclass(frozen=True, slots=True)
class AlertView:
    """One alert instance: a definition, a group and a severity.

    `id`, `starts_at`: of its newest episode. `phase`: where in its life it is, since `since`.
    `value`, `threshold`, `window` and annotations: as its last event told them; null where none
    holds any more. `spans`: its evidence, the newest first.
    """

    fingerprint: str
    id: str | None
    tenant: str
    name: str
    kind: str
    severity: str
    status: str
    phase: str
    labels: dict[str, str]
    annotations: dict[str, str]
    value: float | None
    threshold: float | None
    window: str | None
    starts_at: str | None
    since: str
    definition_version: int
    spans: list[SpanView]


@dataclass(frozen=True, slots=True)
class AlertList:
    """`total`: how many there are; of these at most `limit` are in `alerts`.

    `partitions`: those that this worker speaks for; `complete`: that there are no others.
    """

    partitions: list[int]
    complete: bool
    total: int
    alerts: list[AlertView]


class Instance(NamedTuple):
    """An alert instance as the logic has it."""

    rule: Rule
    group: AlertGroup
    severity: str
    state: AlertState

    @property
    def place(self) -> tuple[str, str, str, bytes, str]:
        """Where it stands in a list."""
        kind, tenant, name = self.rule.definition.key
        return tenant, name, kind, self.group.group, self.severity

    @property
    def status(self) -> str:
        """What was told of it last."""
        return STATUS_OF[self.state.phase]

    @property
    def fingerprint(self) -> str:
        """The same as its events have."""
        values = group_labels(self.rule, self.group)
        return identity_of(self.rule.definition, self.severity, values)


def instances(logics: Iterable[AlertsLogic]) -> Iterator[Instance]:
    """Yield every instance of which something is remembered."""
    for logic in logics:
        for group in logic.groups:
            rule = logic.rules.get(group.owner) if group.alerts else None
            if rule is not None:
                for severity, cells in group.alerts.items():
                    yield Instance(rule, group, severity, AlertState.from_cells(cells))


def alert_list(
    held: Held[AlertsLogic],
    *,
    tenant: str | None,
    name: str | None,
    statuses: frozenset[str],
    limit: int,
) -> AlertList:
    """Return the alerts of *tenant* and *name*, where given, with one of *statuses*."""
    found = [
        each
        for each in instances(held.logics.values())
        if tenant in (None, each.rule.definition.tenant)
        and name in (None, each.rule.definition.name)
        and each.status in statuses
    ]
    found.sort(key=lambda each: each.place)
    views = [alert_view(each) for each in found[:limit]]
    return AlertList(held.partitions, held.is_complete, len(found), views)


def alert_view(found: Instance) -> AlertView:
    """Return *found* as it is shown."""
    rule, group, severity, state = found
    definition, told = rule.definition, last_told(group, severity)
    identity, has_begun = found.fingerprint, state.starts_at >= 0
    return AlertView(
        fingerprint=identity,
        id=event_id(identity, state.starts_at) if has_begun else None,
        tenant=definition.tenant,
        name=definition.name,
        kind=rule.kind,
        severity=severity,
        status=found.status,
        phase=state.phase.value,
        labels={**definition.labels, **group_labels(rule, group)},
        annotations=dict(definition.annotations if told is None else told.annotations),
        value=None if told is None else told.value,
        threshold=None if told is None else told.threshold,
        window=None if told is None else spell(told.window_ms * MILLISECOND),
        starts_at=rfc3339.spell(state.starts_at) if has_begun else None,
        since=rfc3339.spell(state.since),
        definition_version=definition.version,
        spans=[_span_view(each, definition.spec.trace_url) for each in reversed(group.evidence)],
    )


def _span_view(span: EvidenceSpan, trace_url: str | None) -> SpanView:
    url = span.url
    if trace_url is not None:
        url = trace_link(trace_url, span.trace_id, span.span_id, span.at, span.service)
    return SpanView(
        span.trace_id,
        span.span_id,
        span.service,
        span.name,
        span.duration_ns / MILLISECOND,
        rfc3339.spell(span.at // MILLISECOND),
        span.sampled,
        url,
    )
