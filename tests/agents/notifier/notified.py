"""A notifier without an engine: inputs in, checkpoints and deaths at will, notifications out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, NamedTuple

from tailrace.agents.notifier.logic import NotifierLogic, NotifierSettings
from tailrace.schemas.alert_events import AlertEvent, Kind, Status, event_id, fingerprint
from tailrace.schemas.config.section import Section
from tailrace.schemas.definitions import Definition, Definitions
from tailrace.schemas.definitions.definition import CONTACT_POINT, DefinitionKey
from tailrace.schemas.definitions.kinds import SPECS
from tailrace.schemas.notifications import Delivered, Notification, Outcome
from tailrace.schemas.records import Arrivals, Outbox, Totals
from tailrace.tables.notifications import Alert, Graph, Notifications
from tailrace.tables.store import MemoryDisk, PartitionStore

SECOND, MINUTE, HOUR = 1_000, 60_000, 3_600_000
START = 1_800_000_000_000
"""A Friday, 08:00 UTC."""


class ContactPoint(Section):
    """Stands for whatever a contact point is; the logic asks for its name, and if it changes."""

    url: str = ""
    send_resolved: bool = True


@dataclass(frozen=True)
class Arrived:
    """A record of the topic, as far as anybody asks."""

    offset: int
    timestamp: int
    key: bytes | None = None
    value: bytes | None = b""
    headers: tuple[tuple[str, bytes], ...] = ()


def event(
    name: str = "errors",
    status: Status = "firing",
    *,
    began: int = 0,
    at: int | None = None,
    severity: str = "warning",
    tenant: str = "default",
    kind: Kind = "trace",
    replay: bool = False,
    value: float = 1.0,
    **labels: str,
) -> AlertEvent:
    """An alert that began *began* ms after START, as it is *at* ms after START."""
    of = fingerprint(tenant, name, severity, labels)
    starts_at = START + began
    now = starts_at if at is None else START + at
    return AlertEvent(
        id=event_id(of, starts_at),
        fingerprint=of,
        tenant=tenant,
        name=name,
        kind=kind,
        status=status,
        severity=severity,
        labels=labels,
        annotations={},
        value=value,
        threshold=0.5,
        window_ms=MINUTE,
        starts_at=starts_at,
        ends_at=now if status == "resolved" else None,
        evaluated_at=now,
        replay=replay,
    )


def define(kind: str, name: str, spec: Any = None, tenant: str = "default") -> Definition[Any]:
    """A definition as `apply` makes it."""
    model = ContactPoint if kind == CONTACT_POINT else SPECS[kind]
    return Definition(DefinitionKey(kind, tenant, name), {}, {}, model.model_validate(spec or {}))


def definitions(*each: Definition[Any]) -> Definitions:
    """All of them."""
    return Definitions.of_all(each, len(each))


def policy(spec: Mapping[str, Any] | None = None, **route: Any) -> Definition[Any]:
    """A policy with one route to `ops`, or more of it."""
    said = {"route": {"receiver": "ops", **route}, **(spec or {})}
    return define("NotificationPolicy", "policy", said)


class Said(NamedTuple):
    """A notification in short; times in ms after START."""

    at: int
    to: str
    status: str
    alerts: tuple[str, ...]
    why: tuple[str, ...]


def said(notification: Notification) -> Said:
    """Notification in short: `name/severity` of each alert with `!` if it is news, and why."""
    return Said(
        notification.created_at - START,
        notification.contact_point,
        notification.status,
        tuple(
            f"{each.name}{'!' if each.id in notification.news else ''}"
            f"{'' if each.status == 'firing' else f' {each.status}'}"
            for each in notification.alerts
        ),
        tuple(sorted(set(notification.news.values()))),
    )


class Notified:
    """One task. Times in ms after START; `sent` is all that was handed out and delivered."""

    def __init__(self, *defined: Definition[Any], settings: NotifierSettings | None = None) -> None:
        self._settings = settings or NotifierSettings()
        self._disk = MemoryDisk()
        self._start()
        self.totals = Totals()
        self.sent: list[Notification] = []
        self.now = START
        self._log: list[Callable[[], None]] = []
        self._informed = definitions(*(defined or [policy()]))
        self._at_checkpoint = self.now, self.totals, self._informed
        self.logic.restore(self.now)
        self._do(lambda: self.logic.inform(self._informed, Outbox(), self.totals))
        self.checkpoint()

    def _start(self) -> None:
        self.store = PartitionStore(self._disk)
        self.logic = NotifierLogic(self._settings, self.store)

    def _do(self, work: Callable[[], None]) -> None:
        self._log.append(work)
        work()

    def hear(self, *events: AlertEvent | None, at: int | None = None) -> None:
        """Let *events* come, all at the time at which the first was evaluated, or *at*."""
        first = events[0]
        if at is None:
            assert first is not None
            at = first.evaluated_at - START
        self.hear_at(events, [START + at] * len(events))

    def hear_at(self, events: Sequence[AlertEvent | None], stamps: Sequence[int]) -> None:
        """Let *events* come in one batch, each at its time (ms)."""
        times = list(accumulate(stamps, max, initial=self.now))[1:]
        self.now = times[-1] if times else self.now
        records = [Arrived(offset, now) for offset, now in enumerate(times)]
        arrivals = Arrivals(records, times, list(events))
        self._do(lambda: self.logic.process(arrivals, Outbox(), self.totals))

    def pass_to(self, at: int) -> None:
        """Let time pass until everything at *at* is done."""
        now = self.now = max(self.now, START + at + 1)
        self._do(lambda: self.logic.advance(now, Outbox(), self.totals))

    def define(self, *defined: Definition[Any]) -> None:
        """Let these be the definitions."""
        informed = definitions(*defined)

        def inform() -> None:
            self._informed = informed
            self.logic.inform(informed, Outbox(), self.totals)

        self._do(inform)

    def connect(self, calls: Mapping[str, Graph]) -> None:
        """Let the service graph be this."""
        self._do(lambda: self.logic.connect(calls, Outbox(), self.totals))

    def checkpoint(self) -> None:
        """Commit."""
        self.logic.before_checkpoint()
        self.store.begin_checkpoint()
        self.store.finish_checkpoint(0)
        self.logic.committed()
        self._log.clear()
        self._at_checkpoint = self.now, deepcopy(self.totals), self._informed

    def die(self) -> None:
        """Lose what is not committed; another one goes on from there."""
        log, self._log = self._log, []
        now, totals, informed = self._at_checkpoint
        self._start()
        self.totals = deepcopy(totals)
        self._informed = informed
        self.logic.restore(now)
        self.logic.inform(informed, Outbox(), self.totals)
        for work in log:
            self._do(work)

    def outcome(self, id: str, outcome: Outcome) -> None:
        """Say what became of the notification *id*."""
        self._do(lambda: self.logic.sent(id, outcome, Outbox(), self.totals))

    def supersede(self, ids: Sequence[str], begun: Sequence[str] = ()) -> None:
        """Let the notifications *ids* not be sent, while those *begun* are."""
        self._do(lambda: self.logic.supersede(ids, Outbox(), self.totals, begun))

    def deliver(self) -> list[Said]:
        """Commit, and deliver all there is; return it in short."""
        self.checkpoint()
        found = self.logic.pending()
        for each in found:
            self.outcome(each.id, Delivered())
        self.sent += found
        assert self.logic.problems(self.totals) == []
        return [said(each) for each in found]

    def kept(self, alert_id: str) -> Alert:
        """Commit; return what the store has of the alert *alert_id*."""
        self.checkpoint()
        table = Notifications(self.store)
        table.restore()
        return table.alerts[alert_id]

    def told(self, at: int) -> list[Said]:
        """Let time pass until *at*; return what was told by then and not returned before."""
        self.pass_to(at)
        return self.deliver()
