"""What the notifier remembers: alerts, groups, what is to be sent, and figures.

Laws:

- Of one fingerprint one alert is `current`; an older one stays while somebody has yet to be told
  that it ended, or while a notification lists it.
- `seal` writes what was touched since it was last called, and nothing else; notifications are
  written as they are made, so that the engine sees that there is something to commit.
- What is read after a restart is what was sealed.

Values are JSON behind a byte that says their version.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Literal

import orjson

from tailrace.schemas.alert_events import AlertEvent, EvidenceSpan, Status
from tailrace.schemas.notifications import Figures, Told, WeekOfPages
from tailrace.tables.store import PartitionStore

_VERSION = b"\x01"
_ALERT, _GROUP, _MESSAGE, _FIGURES, _CALLS, _STATE = b"na", b"ng", b"nm", b"nf", b"ne", b"ns"

NOT_TOLD: Final = 0

Graph = Mapping[str, frozenset[str]]
"""Who calls whom: client to servers."""


@dataclass(slots=True)
class Place:
    """An alert at one contact point, in the group `group`.

    `told`: the rank of what was told last, 0 for nothing; `told_at` in ms. `is_routed`: routes
    lead there now. `is_released`: it was held back, is so no more, and that was not told yet.
    """

    group: str
    told: int = NOT_TOLD
    told_at: int = 0
    is_routed: bool = True
    is_released: bool = False


@dataclass(slots=True)
class Alert:
    """One time that an alert fires. `event`: the newest that counts; `places` by contact point.

    `muted_by`: snooze, silence or nothing. `paged_at`: when somebody was told first, in ms.
    `before_end`: the newest event before its end, for as long as a notification is to tell it.
    `heard_at`: when it came; `end` has come at that time too, and counts once all have been told.
    """

    event: AlertEvent
    ended_at: int | None = None
    muted_by: Literal["", "snooze", "silence"] = ""
    is_inhibited: bool = False
    was_acted_on: bool = False
    paged_at: int | None = None
    is_flapping: bool = False
    places: dict[str, Place] = field(default_factory=dict)
    before_end: AlertEvent | None = None
    heard_at: int = 0
    end: AlertEvent | None = None

    @property
    def is_active(self) -> bool:
        return self.ended_at is None


@dataclass(slots=True)
class Group:
    """Alerts that one contact point is told of together; times in ms.

    `due`: when news are told; `repeat_at`: when all of it is told again, at the latest.
    """

    key: str
    tenant: str
    contact_point: str
    labels: Mapping[str, str]
    wait_ms: int
    interval_ms: int
    repeat_ms: int
    due: int | None = None
    told_at: int | None = None
    repeat_at: int | None = None


@dataclass(slots=True)
class Message:
    """A notification by the ids of its alerts; `listed` says the status of each as it is told.

    `error`: it failed, at `failed_at`, and is tried again at `retry_at` if that is given, which is
    `repeat_ms` later. `failed_under`: the mark of what its contact point was like.
    """

    id: str
    sequence: int
    tenant: str
    contact_point: str
    status: Told
    group_key: str
    group_labels: Mapping[str, str]
    listed: Mapping[str, Status]
    news: Mapping[str, str]
    created_at: int
    repeat_ms: int
    attempts: int = 0
    truncated: int = 0
    error: str | None = None
    failed_at: int | None = None
    retry_at: int | None = None
    failed_under: str = ""


@dataclass(slots=True)
class State:
    """What there is once. `heartbeats`: when the next is due, by policy; `begun_at` in ms."""

    sequence: int = 0
    heartbeats: dict[str, int] = field(default_factory=dict)
    begun_at: int = 0


class Notifications:
    """The tables of one notifier task."""

    def __init__(self, store: PartitionStore) -> None:
        self._store = store
        self.alerts: dict[str, Alert] = {}
        self.current: dict[str, str] = {}
        self.groups: dict[str, Group] = {}
        self.members: dict[str, set[str]] = {}
        """The ids of the alerts of each group."""
        self.messages: dict[str, Message] = {}
        self.messages_of: dict[str, dict[str, Message]] = {}
        """The same by group."""
        self.figures: dict[tuple[str, str], list[WeekOfPages]] = {}
        self.calls: dict[str, Graph] = {}
        self.state = State()
        self._listed: dict[str, int] = {}
        self._touched: set[tuple[bytes, Any]] = set()

    # Reading

    def restore(self) -> None:
        """Read what was sealed."""
        for key, value in self._rows(_ALERT):
            self._restore_alert(key.decode(), value)
        for key, value in self._rows(_GROUP):
            self.groups[key.decode()] = Group(**value)
        for _, value in self._rows(_MESSAGE):
            self._add(Message(**value))
        for key, value in self._rows(_FIGURES):
            tenant, name = orjson.loads(key)
            self.figures[tenant, name] = [WeekOfPages(*week) for week in value]
        for key, value in self._rows(_CALLS):
            self.calls[key.decode()] = {each: frozenset(of) for each, of in value.items()}
        for _, value in self._rows(_STATE):
            self.state = State(**value)

    def _rows(self, prefix: bytes) -> Iterator[tuple[bytes, Any]]:
        for key, value in self._store.scan(prefix):
            if value[:1] != _VERSION:
                raise ValueError(
                    f"the notifier's state is of version {value[0]}; this tailrace reads version "
                    f"{_VERSION[0]}. Run the version that wrote it."
                )
            yield key[len(prefix) :], orjson.loads(value[1:])

    def _restore_alert(self, alert_id: str, value: dict[str, Any]) -> None:
        places = {name: Place(**place) for name, place in value.pop("places").items()}
        event = read_event(value.pop("event"))
        before_end, end = (  # a state of before has none
            None if (said := value.pop(name, None)) is None else read_event(said)
            for name in ("before_end", "end")
        )
        self.alerts[alert_id] = Alert(event, places=places, before_end=before_end, end=end, **value)
        for place in places.values():
            self.members.setdefault(place.group, set()).add(alert_id)
        known = self.current.get(event.fingerprint)
        if known is None or self.alerts[known].event.starts_at < event.starts_at:
            self.current[event.fingerprint] = alert_id

    # Changing

    def touch_alert(self, alert_id: str) -> None:
        """Let the next checkpoint write the alert *alert_id*, or that it is gone."""
        self._touched.add((_ALERT, alert_id))

    def touch_group(self, key: str) -> None:
        """Let the next checkpoint write the group *key*, or that it is gone."""
        self._touched.add((_GROUP, key))

    def touch_state(self) -> None:
        """Let the next checkpoint write `state`."""
        self._touched.add((_STATE, ""))

    def join(self, alert_id: str, contact_point: str, group: Group) -> Place:
        """Put the alert *alert_id* into *group*, out of any other of that contact point."""
        alert = self.alerts[alert_id]
        place = alert.places.get(contact_point)
        if place is None:
            place = alert.places[contact_point] = Place(group.key)
        elif place.group != group.key:
            self._leave_group(alert_id, place.group)
            place.group = group.key
        self.members.setdefault(group.key, set()).add(alert_id)
        self.touch_alert(alert_id)
        return place

    def leave(self, alert_id: str, contact_point: str) -> None:
        """Take the alert *alert_id* from *contact_point*; there is nothing more to tell."""
        place = self.alerts[alert_id].places.pop(contact_point)
        self._leave_group(alert_id, place.group)
        self.touch_alert(alert_id)

    def _leave_group(self, alert_id: str, key: str) -> None:
        members = self.members[key]
        members.discard(alert_id)
        if not members:
            del self.members[key], self.groups[key]
            self.touch_group(key)

    def forget(self, alert_id: str) -> bool:
        """Drop the alert *alert_id* if nobody has to be told of it and no notification lists it."""
        alert = self.alerts.get(alert_id)
        if alert is None or alert.is_active or alert.places or self._listed.get(alert_id):
            return False
        del self.alerts[alert_id]
        if self.current.get(alert.event.fingerprint) == alert_id:
            del self.current[alert.event.fingerprint]
        self.touch_alert(alert_id)
        return True

    def is_listed(self, alert_id: str) -> bool:
        """Return whether some notification lists the alert *alert_id*."""
        return bool(self._listed.get(alert_id))

    def put_message(self, message: Message) -> None:
        """Keep *message* as it is now."""
        if message.id not in self.messages:
            self._add(message)
        self._store.put(_message_key(message), _value(asdict(message)))

    def _add(self, message: Message) -> None:
        self.messages[message.id] = message
        self.messages_of.setdefault(message.group_key, {})[message.id] = message
        for alert_id in message.listed:
            self._listed[alert_id] = self._listed.get(alert_id, 0) + 1

    def drop_message(self, message: Message) -> None:
        """Forget *message*: it was delivered, or is of no use any more."""
        del self.messages[message.id]
        of_group = self.messages_of[message.group_key]
        del of_group[message.id]
        if not of_group:
            del self.messages_of[message.group_key]
        self._store.delete(_message_key(message))
        for alert_id in message.listed:
            self._listed[alert_id] -= 1
            if not self._listed[alert_id]:
                del self._listed[alert_id]

    def put_figures(self, figures: Figures) -> None:
        """Keep the weeks of one definition."""
        self.figures[figures.tenant, figures.name] = list(figures.weeks)
        self._touched.add((_FIGURES, (figures.tenant, figures.name)))

    def put_calls(self, tenant: str, graph: Graph) -> None:
        """Keep who calls whom in *tenant*."""
        self.calls[tenant] = graph
        self._touched.add((_CALLS, tenant))

    def seal(self) -> None:
        """Put into the store what was touched."""
        for prefix, key in sorted(self._touched, key=repr):
            found = self._sealed(prefix, key)
            path = prefix + (orjson.dumps(key) if prefix == _FIGURES else key.encode())
            if found is None:
                self._store.delete(path)
            else:
                self._store.put(path, _value(found))
        self._touched.clear()

    def _sealed(self, prefix: bytes, key: Any) -> Any:
        if prefix == _ALERT:
            alert = self.alerts.get(key)
            return alert and {**_fields(alert), "places": alert.places}
        if prefix == _GROUP:
            return self.groups.get(key)
        if prefix == _FIGURES:
            return [
                (each.week, each.pages, each.out_of_hours, each.flapping, each.unacted)
                for each in self.figures[key]
            ]
        if prefix == _CALLS:
            return {client: sorted(servers) for client, servers in self.calls[key].items()}
        return self.state


def read_event(said: dict[str, Any]) -> AlertEvent:
    """Return the event of which *said* is the JSON that orjson makes."""
    spans = tuple(EvidenceSpan(**span) for span in said["spans"])
    return AlertEvent(**{**said, "spans": spans})


def _fields(alert: Alert) -> dict[str, Any]:
    return {name: getattr(alert, name) for name in Alert.__slots__}


def _message_key(message: Message) -> bytes:
    return _MESSAGE + message.sequence.to_bytes(8, "big")


def _value(said: Any) -> bytes:
    return _VERSION + orjson.dumps(said)
