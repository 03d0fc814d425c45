"""The notifications stage: alert events in; what is decided is sent, and told when it has been."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial

import structlog

from tailrace.agents.notifier import agent as notifier_agent
from tailrace.agents.notifier.logic import NotifierLogic, NotifierSettings
from tailrace.agents.notifier.secrets import Secrets
from tailrace.agents.notifier.sender import Sender, Surroundings
from tailrace.agents.notifier.targets import Targets
from tailrace.schemas.alert_events import AlertEvent, decode
from tailrace.schemas.config import WorkerConfig
from tailrace.schemas.definitions.definition import CONTACT_POINT
from tailrace.schemas.notifications import Delivered, Failed, Notification, Outcome
from tailrace.schemas.records import DeadLetter, Record
from tailrace.streams.callers import Calls
from tailrace.streams.cluster import Cluster
from tailrace.streams.dead_letters import DeadLetters
from tailrace.streams.runner import Runner
from tailrace.streams.task import POSITION_KEY, Task, TaskId
from tailrace.tables.store import PartitionStore

log = structlog.get_logger()

_REMEMBERED = 10_000
_LATE_MS = 3_600_000
"""Nobody is paged so long afterwards for what is over: that it is over is told."""
_TELL_AFTER = 5
"""Attempts after which what is tried again is logged, once."""

Events = Sequence[AlertEvent | None]
NO_CALLS: Calls = {}


def surroundings(config: WorkerConfig) -> Surroundings:
    """Return what a sender has from outside, under *config*."""
    notify = config.notify
    return Surroundings(
        Secrets(os.environ, notify.allow_secrets),
        Targets(notify.allow_targets),
        random.random,
        external_url=notify.external_url or "",
    )


class EventCodec:
    """Decodes alert events; what is none becomes a dead letter."""

    def decode(self, records: Sequence[Record]) -> tuple[Events, Sequence[DeadLetter]]:
        events: list[AlertEvent | None] = []
        letters = []
        for row, record in enumerate(records):
            value, event = record.value or b"", None
            try:
                event = decode(value)
            except ValueError:
                letters.append(DeadLetter(row, "malformed", value, whole=True))
            events.append(event)
        return events, letters


class NotificationTask(Task[Events]):
    """A task that, when it is dropped, leaves nothing behind that is still to be sent."""

    withdraw: Callable[[], None] = staticmethod(lambda: None)
    hear: Callable[[], None] = staticmethod(lambda: None)

    def settle(self) -> None:
        """What came of what was sent is told; the next checkpoint has it."""
        self.hear()

    def close(self) -> None:
        """Whoever has the partition next sends what is not known to be sent."""
        self.withdraw()
        super().close()


class NotificationTasks:
    """Builds the tasks of the notifications stage, and lets *sender* do what they decide.

    A task hands out only what a checkpoint has; what came of it is told between two batches, and
    is part of the next checkpoint. So a notification may be sent twice, under one id, but is never
    lost.
    """

    def __init__(
        self,
        config: WorkerConfig,
        cluster: Cluster,
        sender: Sender,
        calls: Callable[[], Calls] = lambda: NO_CALLS,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._codec = EventCodec()
        self._dead_letters = DeadLetters(config.output.dead_letters, cluster.dead_letter_bytes)
        self._sender = sender
        self._calls = calls
        self._told_calls: dict[TaskId, Calls] = {}
        self._partitions = cluster.partitions.get(config.output.alerts, 1)
        self._now_ms = now_ms
        self._outcomes: dict[TaskId, list[tuple[str, Outcome]]] = {}
        self._in_hand: dict[TaskId, dict[str, Notification]] = {}
        """What the sender has of each task."""
        self._delivered: dict[str, None] = {}
        """The ids of the last that this worker has sent."""

    def build(self, id: TaskId, store: PartitionStore) -> Task[Events]:
        """Return the task *id* with what *store* has; to a new one, what was before is history."""
        settings = NotifierSettings(partition=id.partition, partitions=self._partitions)
        logic = NotifierLogic(settings, store)
        logics = {notifier_agent.NAME: logic}
        task = NotificationTask(id, store, self._codec, logics, self._dead_letters.of_record)
        if store.get(POSITION_KEY) is None:
            with task.told():
                logic.begin(self._now_ms())
        task.withdraw = lambda: self._hand_over(id, ())
        task.hear = lambda: self._tell(id, task)
        self._outcomes[id], self._told_calls[id], self._in_hand[id] = [], NO_CALLS, {}
        return task

    def _hand_over(self, id: TaskId, pending: Iterable[Notification]) -> None:
        """Let the sender have *pending* in hand of the task *id*, and nothing else."""
        before, now = self._in_hand[id], {each.id: each for each in pending}
        self._in_hand[id] = now
        for gone in before.keys() - now.keys():
            self._sender.withdraw(before[gone])
        for notification in now.values():
            if notification.id in self._delivered:  # the task was built anew, and does not know
                self._outcomes[id].append((notification.id, Delivered()))
            else:
                self._sender.submit(notification, partial(self._report, id))

    def attend(self, runner: Runner) -> None:
        """Submit what may be sent, and tell the task what came of what was.

        While a contact point is away, its groups are told again and again: one of these waits.
        What was over before anybody could be told is no page any more, after an hour.
        """
        task = runner.task
        logic = task.logics[notifier_agent.NAME]
        assert isinstance(logic, NotifierLogic)
        assert task.informed is not None
        self._sender.use({each.key: each for each in task.informed.of(CONTACT_POINT)})
        self._tell(runner.id, task)
        begun = self._sender.begun()
        overtaken = logic.overtaken(self._now_ms() - _LATE_MS, begun)
        if overtaken:
            with task.told() as (outbox, totals):
                logic.supersede(overtaken, outbox, totals, begun)
        calls = self._calls()
        if calls is not self._told_calls[runner.id]:
            self._told_calls[runner.id] = calls
            with task.told() as (outbox, totals):
                logic.connect(calls, outbox, totals)
        self._hand_over(runner.id, logic.pending())
        if task.has_news:
            runner.checkpoint_soon()

    def _tell(self, id: TaskId, task: Task[Events]) -> None:
        """Tell *task* what came of what was sent."""
        outcomes, self._outcomes[id] = self._outcomes[id], []
        logic = task.logics[notifier_agent.NAME]
        assert isinstance(logic, NotifierLogic)
        if outcomes:
            with task.told() as (outbox, totals):
                for name, outcome in outcomes:
                    logic.sent(name, outcome, outbox, totals)

    def _report(self, id: TaskId, notification: str, outcome: Outcome) -> None:
        self._outcomes[id].append((notification, outcome))
        about = self._in_hand[id].get(notification)
        if isinstance(outcome, Delivered):
            self._delivered[notification] = None
            if len(self._delivered) > _REMEMBERED:
                del self._delivered[next(iter(self._delivered))]
        if about is None or isinstance(outcome, Delivered):
            return
        said = {"contact_point": about.contact_point, "tenant": about.tenant, "id": notification}
        if isinstance(outcome, Failed):
            log.error("a notification could not be delivered", **said, error=outcome.error)
        elif outcome.attempts == _TELL_AFTER:
            log.warning("a notification is not through yet", **said, error=outcome.error)
