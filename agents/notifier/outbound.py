"""What is to be sent, what became of it, and heartbeats.

Laws:

- Only what is committed is handed out, and it stays until it is delivered.
- What failed stays visible. What of it still counts is tried again when it has waited for as long
  again, a minute at least and the repeat interval at most; or at once when its contact point is
  defined otherwise. If its group is told again before, the failed notification goes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Final

from tailrace.agents.notifier import overtaking
from tailrace.agents.notifier.groups import heartbeat_id, is_held, notification_of
from tailrace.agents.notifier.rules import Pulse
from tailrace.agents.notifier.schedule import Moment, Schedule
from tailrace.schemas.alert_events import Status
from tailrace.schemas.notifications import (
    Delivered,
    Failed,
    Notification,
    Outcome,
    Retrying,
    Undelivered,
)
from tailrace.schemas.records import Totals
from tailrace.tables.notifications import Message, Notifications

_FATES: Final = ("delivered", "superseded", "expired")
_SOONEST_RETRY_MS: Final = 60_000


class Outbound:
    """The messages of one task. Those that failed are given up after *retention_ms*."""

    def __init__(self, table: Notifications, schedule: Schedule, retention_ms: int) -> None:
        self._table = table
        self._schedule = schedule
        self._retention_ms = retention_ms
        self._failed: dict[str, dict[str, None]] = {}
        """Ids by tenant and contact point."""
        self._pulses: dict[str, tuple[str, str, Pulse]] = {}
        """Tenant, policy and pulse by their key in the table."""
        self._points: dict[str, Mapping[str, str]] = {}
        """The marks of contact points by tenant."""
        self._unlisted: set[str] = set()
        self._sealed = 0
        self._committed = 0

    def restore(self) -> None:
        """Everything that was read is committed."""
        self._sealed = self._committed = self._table.state.sequence
        for message in self._table.messages.values():
            if message.failed_at is not None:
                self._expect(message)

    def seal(self) -> None:
        """Everything there is goes into a checkpoint."""
        self._sealed = self._table.state.sequence

    def committed(self) -> None:
        """The last checkpoint is committed."""
        self._committed = self._sealed

    def pending(self) -> list[Notification]:
        """Return what is to be sent, in order."""
        found = [each for each in self._table.messages.values() if self._is_pending(each)]
        found.sort(key=lambda each: each.sequence)
        return [notification_of(each, self._table) for each in found]

    def overtaken(self, late: int = 0, begun: Collection[str] = ()) -> list[str]:
        """Return what need not be sent, because something later, to be sent too, tells all of it.

        So does the end of all that fired in it, if it was made before *late* (ms).
        """
        return [
            each
            for group in self._table.messages_of.values()
            for each in overtaking.overtaken(self._waiting(group), late, begun)
        ]

    def _waiting(self, group: Mapping[str, Message]) -> list[Message]:
        waiting = (each for each in group.values() if each.listed and self._is_pending(each))
        return sorted(waiting, key=lambda each: each.sequence)

    def supersede(self, ids: Iterable[str], totals: Totals, begun: Collection[str] = ()) -> None:
        """Send the messages *ids* no more: others tell all of it, and what of it is news."""
        for old in sorted((self._table.messages[each] for each in ids), key=lambda m: m.sequence):
            group = self._waiting(self._table.messages_of[old.group_key])
            later = [each for each in group if each.sequence > old.sequence]
            self._hand_on(old, overtaking.heir(old, later, begun))
            self._drop(old, "superseded", totals)

    def _hand_on(self, old: Message, new: Message | None) -> None:
        if new is not None:
            overtaking.take_over(new, old)
            self._table.put_message(new)

    def _is_pending(self, message: Message) -> bool:
        return message.sequence <= self._committed and message.failed_at is None

    def undelivered(self) -> list[Undelivered]:
        """Return what failed, in order."""
        found = sorted(self._table.messages.values(), key=lambda each: each.sequence)
        return [
            Undelivered(
                notification_of(each, self._table), each.error or "", each.failed_at, each.retry_at
            )
            for each in found
            if each.failed_at is not None
        ]

    def problems(self, totals: Totals) -> list[str]:
        """Return what does not add up."""
        counts = totals.counts
        made = counts.get("notifications", 0)
        became = {fate: counts.get(f"notifications.{fate}", 0) for fate in _FATES}
        kept = len(self._table.messages)
        if made == sum(became.values()) + kept:
            return []
        said = ", ".join(f"{count} {fate}" for fate, count in became.items())
        return [f"{made} notifications were made, but {said}, {kept} kept"]

    # What becomes of it

    def made(self, message: Message, at: int, totals: Totals) -> None:
        """Count *message*, and drop what failed before and is told by it; what of that is news is
        news in it."""
        totals.add("notifications", 1)
        totals.add(f"notifications.{message.status}", 1)
        for failed in list(self._failed.get(_address(message), ())):
            old = self._table.messages[failed]
            is_told = all(each in message.listed or self._is_over(each) for each in old.listed)
            self._hand_on(old, message)
            if is_told and "resolved" not in old.listed.values():
                self._drop(old, "superseded", totals)
            elif old.news.keys() - message.listed.keys():
                old.news = {k: row for k, row in old.news.items() if k not in message.listed}
                self._table.put_message(old)

    def _firing(self, message: Message) -> list[str]:
        """Return what *message* lists that fires still, and is for its contact point to know."""
        found = []
        for each in message.listed:
            alert = self._table.alerts.get(each)
            if alert is not None and alert.is_active:
                place = alert.places.get(message.contact_point)
                found += [each] if place is not None and place.is_routed else []
        return found

    def _is_over(self, id: str) -> bool:
        alert = self._table.alerts.get(id)
        return alert is None or not alert.is_active

    def sent(self, id: str, outcome: Outcome, now: int, totals: Totals) -> None:
        """Remember what became of the message *id*."""
        message = self._table.messages.get(id)
        if message is None or message.failed_at is not None:
            totals.add("outcomes_ignored", 1)
            return
        if isinstance(outcome, Delivered):
            self._drop(message, "delivered", totals)
            return
        message.error = outcome.error
        if isinstance(outcome, Retrying):
            message.attempts = outcome.attempts
        if isinstance(outcome, Failed):
            totals.add("notification_failures", 1)
            message.failed_at = now
            message.failed_under = self._mark_of(message)
            if message.listed:
                self._wait_again(message, now)
            self._expect(message)
        self._table.put_message(message)

    def _wait_again(self, message: Message, now: int) -> None:
        waited = max(_SOONEST_RETRY_MS, now - message.created_at)
        message.retry_at = now + min(waited, message.repeat_ms)

    def _expect(self, message: Message) -> None:
        assert message.failed_at is not None
        self._failed.setdefault(_address(message), {})[message.id] = None
        for at in (message.retry_at, message.created_at + self._retention_ms):
            if at is not None:
                self._schedule.add(Moment(at, "message", message.id))

    def go_by(self, tenant: str, points: Mapping[str, str], now: int) -> None:
        """Let the marks of *tenant*'s contact points be *points*; what they refused is due *now*.

        Unless there is no such contact point any more, which would not take it either.
        """
        self._points[tenant] = points
        for name in sorted(points):
            for failed in self._failed.get(f"{tenant}\0{name}", ()):
                message = self._table.messages[failed]
                if message.listed and self._is_mended(message):
                    message.retry_at = now
                    self._table.put_message(message)
                    self._schedule.add(Moment(now, "message", failed))

    def _mark_of(self, message: Message) -> str:
        return self._points.get(message.tenant, {}).get(message.contact_point, "")

    def _is_mended(self, message: Message) -> bool:
        return self._mark_of(message) not in ("", message.failed_under)

    def retry(self, id: str, at: int, totals: Totals) -> None:
        """Give up the failed message *id* if it is too old; else try again what still counts."""
        message = self._table.messages.get(id)
        if message is None or message.failed_at is None:
            return
        if at >= message.created_at + self._retention_ms:
            self._drop(message, "expired", totals)
        elif message.retry_at is not None and message.retry_at <= at:
            self._try_again(message, at, totals)

    def _try_again(self, message: Message, at: int, totals: Totals) -> None:
        if message.failed_under and not self._mark_of(message):
            message.retry_at, message.failed_under = None, ""  # when there is one again, it is due
            self._table.put_message(message)
            return
        firing = self._firing(message)
        loud = {each for each in firing if not is_held(self._table.alerts[each])}
        left = {
            each: said
            for each, said in message.listed.items()
            if said == "resolved" or each in loud
        }
        if firing and not left:  # who knows how long they are held back
            self._wait_again(message, at)
            self._expect(message)
            self._table.put_message(message)
            return
        if not left:  # others tell that it is over
            self._drop(message, "superseded", totals)
            return
        del self._failed[_address(message)][message.id]
        self._table.drop_message(message)
        self._unlisted.update(message.listed)
        left |= self._begun_since(message)
        is_over = all(said == "resolved" for said in left.values())
        message.listed, message.status = left, "resolved" if is_over else "firing"
        message.truncated = 0
        message.news = {each: row for each, row in message.news.items() if each in left}
        message.failed_at = message.retry_at = None
        self._table.put_message(message)

    def _begun_since(self, message: Message) -> dict[str, Status]:
        """Return what was told to fire meanwhile of the same alerts that *message* says are over.

        Receivers that know alerts by their labels would take the old end for its end.
        """
        found: dict[str, Status] = {}
        for each, said in message.listed.items():
            ended = self._table.alerts[each].event
            current = self._table.current.get(ended.fingerprint, each)
            alert = self._table.alerts[current]
            place = alert.places.get(message.contact_point)
            if said != "resolved" or not alert.is_active or place is None:
                continue
            if place.told and place.group == message.group_key:  # else they may not stay in order
                found[current] = alert.event.status
        return found

    def _drop(self, message: Message, fate: str, totals: Totals) -> None:
        totals.add(f"notifications.{fate}", 1)
        self._failed.get(_address(message), {}).pop(message.id, None)
        self._table.drop_message(message)
        self._unlisted.update(message.listed)

    def take_unlisted(self) -> list[str]:
        """Take the alerts that some message no longer lists."""
        found, self._unlisted = sorted(self._unlisted), set()
        return found

    # Heartbeats

    @property
    def tenants(self) -> set[str]:
        """Those that have heartbeats."""
        return {_tenant_of(key) for key in self._table.state.heartbeats}

    def expect_heartbeats(self, tenant: str, pulses: Mapping[str, Pulse], now: int) -> None:
        """Let *pulses*, by policy, be those of *tenant* from now on."""
        due = self._table.state.heartbeats
        mine = {_pulse_key(tenant, policy): (policy, pulse) for policy, pulse in pulses.items()}
        for key in [key for key in due if _tenant_of(key) == tenant and key not in mine]:
            del due[key]
            self._pulses.pop(key, None)
        for key, (policy, pulse) in mine.items():
            self._pulses[key] = tenant, policy, pulse
            next_at = (now // pulse.every_ms + 1) * pulse.every_ms
            due[key] = min(due.get(key, next_at), next_at)
            self._schedule.add(Moment(due[key], "heartbeat", key))
        self._table.touch_state()

    def beat(self, at: int, until: int, totals: Totals) -> None:
        """Send the heartbeats that are due by *at*; of those before *until* only the last."""
        due = self._table.state.heartbeats
        for key in sorted(key for key, next_at in due.items() if next_at <= at):
            if key not in self._pulses:
                continue
            tenant, policy, pulse = self._pulses[key]
            last = (until - 1) // pulse.every_ms * pulse.every_ms
            self._send_heartbeat(tenant, policy, pulse, last, totals)
            due[key] = last + pulse.every_ms
            self._schedule.add(Moment(due[key], "heartbeat", key))

    def _send_heartbeat(
        self, tenant: str, policy: str, pulse: Pulse, at: int, totals: Totals
    ) -> None:
        state = self._table.state
        state.sequence += 1
        self._table.touch_state()
        group = f"heartbeat/{policy}"
        for old in list(self._table.messages.values()):
            if (old.tenant, old.group_key) == (tenant, group):
                self._drop(old, "superseded", totals)
        message = Message(
            id=heartbeat_id(tenant, policy, at),
            sequence=state.sequence,
            tenant=tenant,
            contact_point=pulse.receiver,
            status="heartbeat",
            group_key=group,
            group_labels={},
            listed={},
            news={},
            created_at=at,
            repeat_ms=pulse.every_ms,
        )
        self._table.put_message(message)
        totals.add("notifications", 1)
        totals.add("notifications.heartbeat", 1)


def _address(message: Message) -> str:
    return f"{message.tenant}\0{message.contact_point}"


def _pulse_key(tenant: str, policy: str) -> str:
    return f"{tenant}\0{policy}"


def _tenant_of(key: str) -> str:
    return key.partition("\0")[0]
