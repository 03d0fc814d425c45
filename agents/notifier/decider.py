"""Asks the decision table about alerts, with the facts as they are, and notes what it says."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tailrace.agents.notifier.decisions import Action, Decision, Facts, Held, Times, decide
from tailrace.agents.notifier.groups import rank_of
from tailrace.agents.notifier.routes import Grouping, group_key, group_labels
from tailrace.agents.notifier.schedule import Moment, Schedule
from tailrace.agents.notifier.silences import muted_by
from tailrace.agents.notifier.tenants import Tenant
from tailrace.tables.notifications import Alert, Group, Notifications, Place


class Decider:
    """Over one task's alerts. What is decided but not told yet is `news`, by group."""

    def __init__(
        self, table: Notifications, tenants: Mapping[str, Tenant], schedule: Schedule
    ) -> None:
        self._table = table
        self._tenants = tenants
        self._schedule = schedule
        self._news: dict[str, dict[str, str]] = {}

    # Where alerts are told

    def route(self, alert_id: str) -> bool:
        """Put the active alert *alert_id* where its routes lead; False if that is nowhere.

        Who was told that it fires will be told that it ended, wherever routes lead now.
        """
        alert = self._table.alerts[alert_id]
        tenant = self._tenants[alert.event.tenant]
        labels = tenant.active[alert_id]
        found = tenant.rules.destinations(labels)
        for contact_point, place in list(alert.places.items()):
            if contact_point not in found:
                self._drop_news(place.group, alert_id)
                if place.told:
                    place.is_routed = False
                    self._table.touch_alert(alert_id)
                else:
                    self._table.leave(alert_id, contact_point)
        for contact_point, grouping in found.items():
            self._join(alert_id, alert, contact_point, grouping)
        return bool(found)

    def _join(self, alert_id: str, alert: Alert, contact_point: str, grouping: Grouping) -> None:
        event = alert.event
        labels = self._tenants[event.tenant].active[alert_id]
        common = group_labels(grouping, labels, event.fingerprint)
        key = group_key(event.tenant, contact_point, grouping, common)
        before = alert.places.get(contact_point)
        if before is not None and before.group == key and before.is_routed:
            return
        if before is not None and before.group != key:
            self._drop_news(before.group, alert_id)
        group = self._table.groups.get(key)
        if group is None:
            times = grouping.wait_ms, grouping.interval_ms, grouping.repeat_ms
            group = Group(key, event.tenant, contact_point, common, *times)
            self._table.groups[key] = group
            self._table.touch_group(key)
        self._table.join(alert_id, contact_point, group).is_routed = True

    # What is due

    def expect(self, group: Group) -> None:
        """Look at *group* when it is due."""
        for at in (group.due, group.repeat_at):
            if at is not None:
                self._schedule.add(Moment(at, "group", group.key))

    def members_due(self, key: str, at: int) -> set[str]:
        """Return the alerts of the group *key* if all of it is to be told again by *at*."""
        group = self._table.groups.get(key)
        if group is None or group.repeat_at is None or group.repeat_at > at:
            return set()
        group.repeat_at = None
        self._table.touch_group(key)
        return set(self._table.members[key])

    def take_news(self, key: str, at: int) -> Mapping[str, str]:
        """Take the news of the group *key*; none if it is not due yet."""
        group = self._table.groups.get(key)
        if group is None or group.due is None or group.due > at:
            return {}
        news = self._news.pop(key, {})
        if not news:
            group.due = None
            self._table.touch_group(key)
        return news

    # What is decided

    def decide(self, ids: Iterable[str], at: int) -> set[str]:
        """Decide about the alerts *ids* and whoever that changes; return the groups with news."""
        dirty = {alert_id for alert_id in ids if alert_id in self._table.alerts}
        for alert_id in dirty:
            self._mute(alert_id, self._table.alerts[alert_id], at)
        for name in sorted({self._table.alerts[alert_id].event.tenant for alert_id in dirty}):
            dirty |= self._tenants[name].inhibitor.changed() & self._table.alerts.keys()
        for alert_id in dirty:
            self._inhibit(alert_id, self._table.alerts[alert_id])
        found: set[str] = set()
        for alert_id in sorted(dirty):
            alert = self._table.alerts[alert_id]
            for contact_point in sorted(alert.places):
                found.add(alert.places[contact_point].group)
                self._decide(alert_id, alert, contact_point, at)
        return found

    def _mute(self, alert_id: str, alert: Alert, at: int) -> None:
        if not alert.is_active:
            return
        tenant = self._tenants[alert.event.tenant]
        held = muted_by(tenant.rules.mutes, tenant.active[alert_id], alert.event.fingerprint, at)
        if held == alert.muted_by:
            return
        for place in alert.places.values():
            place.is_released = not held
        alert.muted_by = held
        alert.was_acted_on |= bool(held)
        self._table.touch_alert(alert_id)

    def _inhibit(self, alert_id: str, alert: Alert) -> None:
        is_inhibited = alert.is_active and (
            self._tenants[alert.event.tenant].inhibitor.is_inhibited(alert_id)
        )
        if is_inhibited != alert.is_inhibited:
            alert.is_inhibited = is_inhibited
            self._table.touch_alert(alert_id)

    def _decide(self, alert_id: str, alert: Alert, contact_point: str, at: int) -> None:
        place = alert.places[contact_point]
        group = self._table.groups[place.group]
        decision = decide(self._facts(alert_id, alert, contact_point, at), _times(group, place, at))
        if decision.action in (Action.NOW, Action.WITH_GROUP):
            self._tell(alert_id, group, decision)
            return
        self._drop_news(group.key, alert_id)
        if decision.action is Action.AT_REPEAT:
            assert decision.at is not None
            if group.repeat_at is None or decision.at < group.repeat_at:
                group.repeat_at = decision.at
                self._table.touch_group(group.key)
            self.expect(group)
        elif decision.action is Action.DROP:
            self._table.leave(alert_id, contact_point)

    def _tell(self, alert_id: str, group: Group, decision: Decision) -> None:
        assert decision.at is not None
        self._news.setdefault(group.key, {})[alert_id] = decision.row
        if group.due is None or decision.at < group.due:
            group.due = decision.at
            self._table.touch_group(group.key)
        self.expect(group)

    def _facts(self, alert_id: str, alert: Alert, contact_point: str, at: int) -> Facts:
        place = alert.places[contact_point]
        if not alert.is_active:
            return Facts("resolved", is_told=bool(place.told))
        group = self._table.groups[place.group]
        return Facts(
            alert.event.status,
            is_told=bool(place.told),
            is_worse=self._is_worse(alert_id, alert, contact_point),
            held=_held(alert),
            is_released=place.is_released,
            is_routed=place.is_routed,
            is_repeat_due=place.told_at + group.repeat_ms <= at,
        )

    def _is_worse(self, alert_id: str, alert: Alert, contact_point: str) -> bool:
        place = alert.places[contact_point]
        if place.told:
            return rank_of(alert.event.status) > place.told
        ranks = self._tenants[alert.event.tenant].inhibitor.siblings(alert_id)
        own = ranks[alert_id][0]
        return any(
            rank < own and self._was_told(other, contact_point)
            for other, (rank, _) in ranks.items()
        )

    def _was_told(self, alert_id: str, contact_point: str) -> bool:
        place = self._table.alerts[alert_id].places.get(contact_point)
        return place is not None and bool(place.told)

    def _drop_news(self, key: str, alert_id: str) -> None:
        news = self._news.get(key)
        if news is not None:
            news.pop(alert_id, None)


def _held(alert: Alert) -> Held:
    if alert.muted_by:
        return alert.muted_by
    return "inhibition" if alert.is_inhibited else ""


def _times(group: Group, place: Place, at: int) -> Times:
    if group.due is not None:
        due = group.due
    elif group.told_at is not None:
        due = group.told_at + group.interval_ms
    else:
        due = at + group.wait_ms
    return Times(at, due, place.told_at + group.repeat_ms)
