"""Groups: what is told together, and the notifications that come of it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

import orjson

from tailrace.schemas.alert_events import AlertEvent, Status
from tailrace.schemas.notifications import Notification
from tailrace.tables.notifications import Alert, Group, Message, Notifications, Place

MOST_ALERTS: Final = 1_000
"""A notification lists no more; more news make more notifications."""
_RANKS: Final[Mapping[str, int]] = {"no_data": 1, "firing": 2}


def rank_of(status: str) -> int:
    """Return how much is told by *status*: that there is no data, or that it fires."""
    return _RANKS[status]


def is_held(alert: Alert) -> bool:
    """True if something holds *alert* back."""
    return bool(alert.muted_by) or alert.is_inhibited


class Flush:
    """What *group* has to say at *at* (ms), when *news* say why: row of the table by event id.

    Without *tells_ends* an end is no reason to tell what else fires, nor does it count as told.
    """

    def __init__(
        self,
        table: Notifications,
        group: Group,
        news: Mapping[str, str],
        at: int,
        most_alerts: int = MOST_ALERTS,
        *,
        tells_ends: bool = True,
    ) -> None:
        self._table = table
        self._group = group
        self._news = news
        self._at = at
        self._most = most_alerts
        self._tells_all = tells_ends or any(table.alerts[each].is_active for each in news)

    def messages(self) -> list[Message]:
        """Make the notifications: all news, and the rest of the group where there is room."""
        said = [
            (alert_id, alert)
            for alert_id, alert in self._members()
            if self._is_listed(alert_id, alert)
        ]
        if len(said) <= self._most:
            return [self._message(said, 0)]
        news = [(alert_id, alert) for alert_id, alert in said if alert_id in self._news]
        parts = [news[at : at + self._most] for at in range(0, len(news), self._most)]
        return [self._message(part, len(said) - len(part)) for part in parts]

    def _members(self) -> list[tuple[str, Alert]]:
        table = self._table
        found = [(alert_id, table.alerts[alert_id]) for alert_id in table.members[self._group.key]]
        return sorted(found, key=lambda pair: (pair[1].event.starts_at, pair[0]))

    def _is_listed(self, alert_id: str, alert: Alert) -> bool:
        place = alert.places[self._group.contact_point]
        tells = alert.is_active and place.is_routed and not is_held(alert)
        return (tells and self._tells_all) or alert_id in self._news

    def _message(self, said: Sequence[tuple[str, Alert]], truncated: int) -> Message:
        group, state = self._group, self._table.state
        state.sequence += 1
        self._table.touch_state()
        listed = {alert_id: alert.event.status for alert_id, alert in said}
        is_over = all(status == "resolved" for status in listed.values())
        message = Message(
            id=_message_id(group, listed, state.sequence),
            sequence=state.sequence,
            tenant=group.tenant,
            contact_point=group.contact_point,
            status="resolved" if is_over else "firing",
            group_key=group.key,
            group_labels=group.labels,
            listed=listed,
            news={alert_id: self._news[alert_id] for alert_id in listed if alert_id in self._news},
            created_at=self._at,
            repeat_ms=group.repeat_ms,
            truncated=truncated,
        )
        self._table.put_message(message)
        return message

    def settle(self, messages: Sequence[Message]) -> None:
        """Remember that *messages* tell of it, and when all of it is told again."""
        table, group, at = self._table, self._group, self._at
        group.due, group.told_at = None, at if self._tells_all else group.told_at
        for alert_id in [alert_id for message in messages for alert_id in message.listed]:
            alert = table.alerts[alert_id]
            if alert.is_active:
                place = alert.places[group.contact_point]
                place.told = max(place.told, rank_of(alert.event.status))
                place.told_at, place.is_released = at, False
                table.touch_alert(alert_id)
            else:
                table.leave(alert_id, group.contact_point)
        if group.key in table.groups:
            told = (
                _place(table.alerts[alert_id], group)
                for alert_id in table.members[group.key]
                if not is_held(table.alerts[alert_id])
            )
            group.repeat_at = min(
                (
                    place.told_at + group.repeat_ms
                    for place in told
                    if place.told and place.is_routed
                ),
                default=None,
            )
            table.touch_group(group.key)


def _place(alert: Alert, group: Group) -> Place:
    return alert.places[group.contact_point]


def _message_id(group: Group, listed: Mapping[str, str], sequence: int) -> str:
    said = orjson.dumps([group.contact_point, group.key, sorted(listed.items()), sequence])
    return hashlib.blake2b(said, digest_size=16, person=b"tailrace.message").hexdigest()


def heartbeat_id(tenant: str, policy: str, at: int) -> str:
    """Return the id of the heartbeat of *policy* at *at* (ms)."""
    said = orjson.dumps([tenant, policy, at])
    return hashlib.blake2b(said, digest_size=16, person=b"tailrace.beat").hexdigest()


def notification_of(message: Message, table: Notifications) -> Notification:
    """Return *message* with its alerts: as they are now, or were before an end it does not tell."""
    return Notification(
        id=message.id,
        sequence=message.sequence,
        tenant=message.tenant,
        contact_point=message.contact_point,
        status=message.status,
        group_key=message.group_key,
        group_labels=message.group_labels,
        alerts=[
            _as_told(table.alerts[alert_id], status) for alert_id, status in message.listed.items()
        ],
        news=message.news,
        created_at=message.created_at,
        attempts=message.attempts,
        truncated=message.truncated,
        repeat_ms=message.repeat_ms,
    )


def _as_told(alert: Alert, status: Status) -> AlertEvent:
    event = alert.event
    if status != "resolved" and alert.before_end is not None:
        event = alert.before_end
    if event.status == status:
        return event
    return replace(event, status=status, ends_at=None if status != "resolved" else event.ends_at)
