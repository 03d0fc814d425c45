"""The notifier as the engine runs it: alert events in, notifications to be sent.

What happens at one time (ms) is looked at together, when stream time has passed it: alerts that
fire at once are told at once, but in one message, and without those that they hold back.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from tailrace.agents.notifier import figures
from tailrace.agents.notifier.decider import Decider
from tailrace.agents.notifier.decisions import Facts, Times, decide
from tailrace.agents.notifier.figures import HOUR_MS, OfficeHours
from tailrace.agents.notifier.groups import MOST_ALERTS, Flush
from tailrace.agents.notifier.outbound import Outbound
from tailrace.agents.notifier.rules import NO_RULES, rules_of
from tailrace.agents.notifier.schedule import Moment, Schedule
from tailrace.agents.notifier.silences import boundaries
from tailrace.agents.notifier.tenants import Tenant
from tailrace.schemas.alert_events import AlertEvent, partition_of
from tailrace.schemas.definitions import Definitions
from tailrace.schemas.notifications import Figures, Notification, Outcome, Undelivered
from tailrace.schemas.records import Arrivals, Outbox, Totals
from tailrace.tables.notifications import Alert, Graph, Notifications
from tailrace.tables.store import PartitionStore

_OF_EVENTS: Final = ("replay", "stale", "pending", "unknown")
"""Rows of the table that end with the event: it is counted, and changes nothing."""
_TAKEN: Final = ("new", "refreshed", "resolved")
_FLAPPING_MS: Final = HOUR_MS


@dataclass(frozen=True, slots=True)
class NotifierSettings:
    """`retention_ms`: how long an alert that ended is known by, so that nothing old counts.

    `partition` of `partitions`: which alerts come here, all of a tenant's to one. `most_alerts`:
    so many a notification lists.
    """

    office: OfficeHours = field(default_factory=OfficeHours)
    retention_ms: int = 7 * figures.DAY_MS
    partition: int = 0
    partitions: int = 1
    most_alerts: int = MOST_ALERTS

    def is_ours(self, tenant: str) -> bool:
        """Return whether the alerts of *tenant* come here."""
        return partition_of(tenant, self.partitions) == self.partition


class NotifierLogic:
    """A Logic of the notifier stage; it sees all alerts of its tenants.

    Alert events = taken (new, refreshed, resolved) + replays + stale + pending + unknown.
    Notifications = delivered + superseded + expired + kept.
    """

    def __init__(self, settings: NotifierSettings, store: PartitionStore) -> None:
        self._settings = settings
        self._table = Notifications(store)
        self._schedule = Schedule()
        self._tenants: dict[str, Tenant] = {}
        self._dirty: set[str] = set()
        self._ends: list[str] = []
        """The alerts that end once it is told that they fire."""
        self._decider = Decider(self._table, self._tenants, self._schedule)
        self._outbound = Outbound(self._table, self._schedule, settings.retention_ms)
        self._now = 0

    # As a Logic

    def restore(self, now: int) -> None:
        self._now = now
        self._table.restore()
        for alert_id, alert in self._table.alerts.items():
            if alert.is_active:
                self._tenant(alert.event.tenant).put(alert.event)
                self._ends += [alert_id] if alert.end is not None else []
            else:
                self._expect_end_of(alert_id, alert)
        for group in self._table.groups.values():
            self._decider.expect(group)
        self._outbound.restore()
        self._look_at(self._table.alerts)

    def process(
        self, arrivals: Arrivals[Sequence[AlertEvent | None]], outbox: Outbox, totals: Totals
    ) -> None:
        for event, now in zip(arrivals.decoded, arrivals.times, strict=True):
            self._run(now, totals)
            if event is not None:
                self._apply(event, totals)

    def advance(self, now: int, outbox: Outbox, totals: Totals) -> None:
        self._run(now, totals)

    def before_checkpoint(self) -> None:
        self._table.seal()
        self._outbound.seal()

    def close(self) -> None:
        """Nothing to release."""

    def problems(self, totals: Totals) -> Sequence[str]:
        counts = totals.counts
        came = counts.get("alert_events", 0)
        became = sum(counts.get(f"alert_events.{row}", 0) for row in (*_TAKEN, *_OF_EVENTS))
        found = self._outbound.problems(totals)
        if came != became:
            found.append(f"{came} alert events came, but {became} were taken or left aside")
        return found

    # What else comes in

    def begin(self, at: int) -> None:
        """Take what comes before *at* (ms) as history: what is not over then is told at *at*."""
        self._table.state.begun_at = at
        self._table.touch_state()

    def inform(self, definitions: Definitions, outbox: Outbox, totals: Totals) -> None:
        """Go by *definitions* from now on; the same ones again change nothing."""
        rules = rules_of(definitions)
        for name in sorted({*self._tenants, *rules, *self._outbound.tenants}):
            tenant = self._tenant(name)
            said = rules.get(name, NO_RULES)
            if tenant.rules != said or not tenant.is_informed:
                tenant.rules, tenant.is_informed = said, True
                self._changed(name)
                pulses = said.pulses if self._settings.is_ours(name) else {}
                self._outbound.expect_heartbeats(name, pulses, self._now)
            self._outbound.go_by(name, said.points, self._now)

    def connect(self, calls: Mapping[str, Graph], outbox: Outbox, totals: Totals) -> None:
        """Let the service graph of each tenant in *calls* be that from now on."""
        for name, graph in calls.items():
            if self._table.calls.get(name, {}) != graph:
                self._table.put_calls(name, graph)
                self._changed(name)

    def sent(self, notification_id: str, outcome: Outcome, outbox: Outbox, totals: Totals) -> None:
        """Remember what became of the notification *notification_id*."""
        self._outbound.sent(notification_id, outcome, self._now, totals)
        self._forget_unlisted(self._now)

    def supersede(
        self, ids: Sequence[str], outbox: Outbox, totals: Totals, begun: Collection[str] = ()
    ) -> None:
        """Remember that the notifications *ids*, which are overtaken, will not be sent.

        What of them is news is told by others; not by those *begun*, as `overtaken` has it.
        """
        self._outbound.supersede(ids, totals, begun)
        self._forget_unlisted(self._now)

    # What is asked of it

    def committed(self) -> None:
        """What the last checkpoint has may be sent."""
        self._outbound.committed()

    def pending(self) -> list[Notification]:
        """Return what is to be sent, in order; none that is not committed."""
        return self._outbound.pending()

    def overtaken(self, late: int = 0, begun: Collection[str] = ()) -> list[str]:
        """Return the ids of those of them of which a later one of the group tells all.

        Of those made before *late* (ms), that all of it is over is enough. *begun*: the ids of what
        is being sent.
        """
        return self._outbound.overtaken(late, begun)

    def undelivered(self) -> list[Undelivered]:
        """Return what failed and was not told in another way since."""
        return self._outbound.undelivered()

    def figures(self) -> list[Figures]:
        """Return what the alerts of each definition cost their people."""
        table = self._table.figures
        return [Figures(*key, tuple(weeks)) for key, weeks in sorted(table.items())]

    # Events

    def _apply(self, event: AlertEvent, totals: Totals) -> None:
        totals.add("alert_events", 1)
        current = self._current(event)
        facts = Facts(event.status, event.replay, _is_stale(event, current))
        row = decide(facts, Times(0, 0, 0)).row
        if row in _OF_EVENTS:
            totals.add(f"alert_events.{row}", 1)
        elif event.status == "resolved":
            totals.add("alert_events.resolved", 1)
            self._resolve(event, current)
        elif current is not None and current.event.id == event.id:
            totals.add("alert_events.refreshed", 1)
            self._refresh(event, current)
        else:
            totals.add("alert_events.new", 1)
            self._begin(event, current, totals)

    def _current(self, event: AlertEvent) -> Alert | None:
        alert_id = self._table.current.get(event.fingerprint)
        return None if alert_id is None else self._table.alerts[alert_id]

    def _begin(self, event: AlertEvent, before: Alert | None, totals: Totals) -> None:
        alert = self._known(event, before)
        if before is not None and before.is_active:
            totals.add("alerts_superseded", 1)
            self._end(before, before.end or _ended_by(before.event, event))
        alert.is_flapping = (
            before is not None
            and before.ended_at is not None
            and self._now - before.ended_at < _FLAPPING_MS
        )
        self._tenant(event.tenant).put(event)
        if not self._decider.route(event.id):
            totals.add("alerts_unrouted", 1)
        self._look_at([event.id])

    def _refresh(self, event: AlertEvent, alert: Alert) -> None:
        old, alert.event = alert.event, event
        self._table.touch_alert(event.id)
        if (old.status, old.severity, old.labels) != (event.status, event.severity, event.labels):
            self._tenant(event.tenant).put(event)
            self._decider.route(event.id)
            self._look_at([event.id])

    def _resolve(self, event: AlertEvent, current: Alert | None) -> None:
        if current is None or current.event.id != event.id:
            before, current = current, self._known(event, current)
            if before is not None and before.is_active:
                self._end(before, before.end or _ended_by(before.event, event))
        elif current.heard_at == self._now > self._table.state.begun_at:
            # It began and ended at one time of ours: who must hear of it hears of both.
            current.end = event
            self._ends.append(event.id)
            self._table.touch_alert(event.id)
            return
        self._end(current, event)

    def _known(self, event: AlertEvent, before: Alert | None) -> Alert:
        """Let *event* be the current one of its fingerprint."""
        alert = self._table.alerts[event.id] = Alert(event, heard_at=self._now)
        self._table.current[event.fingerprint] = event.id
        self._table.touch_alert(event.id)
        if before is not None:
            self._look_at([before.event.id])
        return alert

    def _end(self, alert: Alert, event: AlertEvent) -> None:
        if self._table.is_listed(event.id):
            alert.before_end = alert.event
        alert.event, alert.end, alert.ended_at = event, None, self._now
        self._tenant(event.tenant).remove(event.id)
        self._table.touch_alert(event.id)
        if alert.paged_at is not None and not alert.was_acted_on:
            figures.count_unacted(self._table, alert, self._now)
        self._expect_end_of(event.id, alert)
        self._look_at([event.id])

    # Time

    def _run(self, now: int, totals: Totals) -> None:
        """Do what is due before *now*, moment by moment; nothing before we had begun."""
        begun_at = self._table.state.begun_at
        while now > begun_at and (due := self._schedule.take(now)) is not None:
            at, moments = due  # what was late already when it was noted is done now
            self._now = max(at, begun_at, self._now)
            self._settle(self._now, moments, now, totals)
        self._now = max(self._now, now)

    def _settle(self, at: int, moments: Sequence[Moment], until: int, totals: Totals) -> None:
        groups: set[str] = set()
        dirty, self._dirty = self._dirty, set()
        ends, self._ends = self._ends, []
        for moment in moments:
            if moment.about == "mutes":
                dirty.update(self._tenant(moment.key).active)
            elif moment.about == "group":
                dirty |= self._decider.members_due(moment.key, at)
                groups.add(moment.key)
            elif moment.about == "alert":
                self._forget(moment.key, at)
            elif moment.about == "message":
                self._outbound.retry(moment.key, at, totals)
        groups |= self._decider.decide(dirty, at)
        for key in sorted(groups):
            self._flush(key, at, totals)
        if any(moment.about == "heartbeat" for moment in moments):
            self._outbound.beat(at, until, totals)
        for alert in [self._table.alerts[alert_id] for alert_id in ends]:
            if alert.end is not None:  # else another has begun since
                self._end(alert, alert.end)
        self._forget_unlisted(at)

    def _flush(self, key: str, at: int, totals: Totals) -> None:
        news = self._decider.take_news(key, at)
        if not news:
            return
        group = self._table.groups[key]
        tells_ends = group.contact_point not in self._tenant(group.tenant).rules.without_ends
        most = self._settings.most_alerts
        flush = Flush(self._table, group, news, at, most, tells_ends=tells_ends)
        messages = flush.messages()
        flush.settle(messages)
        self._decider.expect(group)
        for message in messages:
            self._outbound.made(message, at, totals)
            for alert_id in message.listed:
                alert = self._table.alerts[alert_id]
                if alert.is_active and alert.paged_at is None:
                    alert.paged_at = at
                    figures.count_page(self._table, alert, at, self._settings.office)
        for alert_id in news:
            self._forget(alert_id, at)

    # Within

    def _tenant(self, name: str) -> Tenant:
        found = self._tenants.get(name)
        if found is None:
            found = self._tenants[name] = Tenant()
        return found

    def _changed(self, name: str) -> None:
        """Look at all alerts of a tenant again: its rules or its calls are others."""
        tenant = self._tenant(name)
        ids = sorted(tenant.active)
        events = [self._table.alerts[alert_id].event for alert_id in ids]
        tenant.go_by(tenant.rules, self._table.calls.get(name, {}), events)
        for alert_id in ids:
            self._decider.route(alert_id)
        for at in boundaries(tenant.rules.mutes, self._now):
            self._schedule.add(Moment(at, "mutes", name))
        self._look_at(ids)

    def _look_at(self, ids: Sequence[str] | Mapping[str, Alert]) -> None:
        """Look at the alerts *ids* when stream time passes what it is now."""
        self._dirty.update(ids)
        self._schedule.add(Moment(self._now, "news"))

    def _expect_end_of(self, alert_id: str, alert: Alert) -> None:
        assert alert.ended_at is not None
        self._schedule.add(Moment(alert.ended_at + self._settings.retention_ms, "alert", alert_id))

    def _forget_unlisted(self, now: int) -> None:
        for alert_id in self._outbound.take_unlisted():
            self._forget(alert_id, now)

    def _forget(self, alert_id: str, now: int) -> None:
        """Drop an alert that ended, once nothing old about it can come or another is current."""
        alert = self._table.alerts.get(alert_id)
        if alert is None or alert.ended_at is None:
            return
        if alert.before_end is not None and not self._table.is_listed(alert_id):
            alert.before_end = None
            self._table.touch_alert(alert_id)
        is_current = self._table.current.get(alert.event.fingerprint) == alert_id
        is_recent = now < alert.ended_at + self._settings.retention_ms
        if not (is_current and is_recent):
            self._table.forget(alert_id)


def _is_stale(event: AlertEvent, current: Alert | None) -> bool:
    """True if more is known: the alert ended, or is further, or another one has begun since."""
    if current is None:
        return False
    known = current.event
    if known.id != event.id:
        return event.starts_at <= known.starts_at
    is_older = event.evaluated_at < known.evaluated_at and event.status != "resolved"
    return not current.is_active or current.end is not None or is_older


def _ended_by(event: AlertEvent, by: AlertEvent) -> AlertEvent:
    """Return the end of *event*, of which we know because *by* has begun."""
    return replace(
        event, status="resolved", ends_at=by.starts_at, evaluated_at=by.evaluated_at, spans=()
    )
