"""What the sender has in hand is what the tasks of the notifications stage want sent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from structlog.testing import capture_logs

from tailrace.agents.notifier.backlog import Report
from tailrace.agents.notifier.logic import NotifierLogic
from tailrace.schemas.alert_events import encode
from tailrace.schemas.config import WorkerConfig
from tailrace.schemas.definitions import Definitions
from tailrace.schemas.notifications import Delivered, Failed, Notification, Outcome, Retrying
from tailrace.streams.batch import Batch
from tailrace.streams.cluster import Cluster
from tailrace.streams.notifications import NotificationTasks
from tailrace.streams.task import Task, TaskId
from tailrace.tables.store import MemoryDisk, PartitionStore
from tests.agents.notifier.notified import START, Arrived, definitions, event, policy

HOUR, TOPIC = 3_600_000, "tailrace.alerts"


@dataclass
class Hands:
    """A sender that sends nothing, but knows what it was given and not told to leave."""

    has: dict[str, Report] = field(default_factory=dict)
    sent: list[Notification] = field(default_factory=list)

    def use(self, points: Mapping[Any, Any]) -> None:
        """As the real one."""

    def submit(self, notification: Notification, report: Report) -> None:
        """As the real one."""
        if self.has.setdefault(notification.id, report) is report:
            self.sent.append(notification)

    def withdraw(self, notification: Notification) -> None:
        """As the real one."""
        self.has.pop(notification.id, None)

    def begun(self) -> frozenset[str]:
        """As the real one."""
        return frozenset()

    def deliver(self) -> None:
        """Let all of it be through."""
        self.report(Delivered())
        self.has.clear()

    def report(self, outcome: Outcome) -> None:
        """Let *outcome* come of all of it."""
        for name, report in list(self.has.items()):
            report(name, outcome)


class Run:
    """A task of the stage, as the engine runs it; `begins` at that time (ms after START)."""

    def __init__(self, informed: Definitions, begins: int = 0) -> None:
        self.id = TaskId("notifications", 0)
        self.hands = Hands()
        self.informed = informed
        self.wall = begins
        self._disk = MemoryDisk()
        self._tasks = NotificationTasks(
            WorkerConfig(),
            Cluster("c", {TOPIC: 1}, 1 << 20, 1 << 20, 1 << 20, {}),
            self.hands,  # type: ignore[arg-type]  # as much of it as is asked for
            now_ms=lambda: START + self.wall,
        )
        self.task: Task[Any]
        self.start()

    def start(self) -> None:
        """Go on from what is committed."""
        self.task = self._tasks.build(self.id, PartitionStore(self._disk))
        self.task.positions.setdefault(TOPIC, 0)
        self.task.inform(self.informed)

    def hear(self, *said: Any) -> None:
        """Let alert events come."""
        start = self.task.positions[TOPIC]
        records = [
            Arrived(start + each, one.evaluated_at, value=encode(one))
            for each, one in enumerate(said)
        ]
        assert self.task.process(Batch(TOPIC, 0, start, start + len(said), records), 1 << 60)

    def pass_to(self, at: int) -> None:
        """Let it be *at*, and let the engine look after the task as often as it takes."""
        self.task.advance(START + at + 1)
        for _ in range(3):
            self._tasks.attend(self)  # type: ignore[arg-type]  # as much of it as is asked for

    def checkpoint_soon(self) -> None:
        """Commit."""
        self.task.snapshot()
        self.task.committed(0)

    @property
    def logic(self) -> NotifierLogic:
        """That of the task."""
        [logic] = self.task.logics.values()
        assert isinstance(logic, NotifierLogic)
        return logic


def test_while_a_contact_point_is_away_one_message_of_a_group_waits_and_one_heartbeat() -> None:
    beat = {"heartbeat": {"receiver": "ops", "every": "1m"}}
    run = Run(definitions(policy(beat, repeat_interval="1h")))
    run.hear(event())
    for hour in range(6):
        run.pass_to(hour * HOUR)
        assert sorted(run.hands.has) == sorted(each.id for each in run.logic.pending())
    waiting = sorted((each.status, each.created_at - START) for each in run.logic.pending())
    assert waiting == [("firing", 5 * HOUR), ("heartbeat", 5 * HOUR)]
    run.hands.deliver()
    run.pass_to(5 * HOUR + 1)
    assert run.logic.pending() == []
    assert run.task.problems() == []


def test_a_new_task_tells_nobody_of_what_was_over_and_goes_by_that_for_ever() -> None:
    run = Run(definitions(policy()), begins=48 * HOUR)
    run.hear(event("over"), event("still"), event("over", "resolved", at=HOUR))
    run.pass_to(47 * HOUR)
    run.task.close()
    run.start()
    run.pass_to(48 * HOUR)
    [told] = run.hands.sent
    assert [each.name for each in told.alerts] == ["still"]
    assert told.created_at == START + 48 * HOUR


def test_a_task_that_was_away_pages_for_what_still_fires_and_tells_that_the_rest_is_over() -> None:
    run = Run(definitions(policy()))
    run.wall = 48 * HOUR
    run.hear(event("over"), event("still"), event("over", "resolved", at=HOUR))
    run.pass_to(2 * HOUR)
    told = [(each.status, [alert.name for alert in each.alerts]) for each in run.hands.sent]
    assert sorted(told) == [("firing", ["still"]), ("resolved", ["over"])]


def test_a_task_that_is_built_anew_holds_nothing_back() -> None:
    run = Run(definitions(policy()))
    run.hear(event())
    run.pass_to(0)
    run.task.close()
    assert run.hands.has == {}
    run.start()
    run.hear(event("another", began=1))
    run.pass_to(60_000)
    names = [[each.name for each in told.alerts] for told in run.hands.sent]
    assert names == [["errors"], ["errors"], ["another"]]


def test_the_log_says_what_is_not_through_and_what_failed() -> None:
    run = Run(definitions(policy()))
    run.hear(event())
    run.pass_to(0)
    with capture_logs() as logged:
        for attempts in range(1, 20):
            run.hands.report(Retrying(attempts, "no connection"))
        run.hands.report(Failed("the receiver answered 404"))
        run.hands.report(Delivered())
    said = [(each["log_level"], each["contact_point"], each["error"]) for each in logged]
    assert said == [
        ("warning", "ops", "no connection"),
        ("error", "ops", "the receiver answered 404"),
    ]


def test_what_was_delivered_is_not_sent_again_by_a_task_that_does_not_know_yet() -> None:
    run = Run(definitions(policy()))
    run.hear(event())
    run.pass_to(0)
    run.hands.deliver()
    run.task.close()
    run.start()
    run.pass_to(1)
    assert len(run.hands.sent) == 1
    assert run.logic.pending() == []


def test_the_last_checkpoint_has_what_was_delivered() -> None:
    run = Run(definitions(policy()))
    run.hear(event())
    run.pass_to(0)
    run.hands.deliver()
    run.task.settle()
    assert run.logic.pending() == []
    assert run.task.has_news
