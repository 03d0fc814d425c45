"""What the API knows of the worker that it is part of."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from tailrace.agents.alerts import agent as alerts_agent
from tailrace.agents.alerts.logic import AlertsLogic
from tailrace.agents.metrics import agent as metrics_agent
from tailrace.agents.metrics.logic import MetricsLogic
from tailrace.agents.notifier import agent as notifier_agent
from tailrace.agents.notifier.logic import NotifierLogic
from tailrace.agents.notifier.sender import LaneStatus, Sender
from tailrace.schemas import topics
from tailrace.schemas.config import WorkerConfig
from tailrace.schemas.definitions import Definitions
from tailrace.streams.cluster import Cluster
from tailrace.streams.definitions import Follower
from tailrace.streams.definitions_topic import DefinitionsTopic
from tailrace.streams.engine import Engine
from tailrace.streams.stages import NOTIFICATIONS, ROLLUPS
from tailrace.streams.task import Task, TaskId

L = TypeVar("L")

_FOLLOWED_WITHIN_S = 3.0
_LOOK_EVERY_S = 0.02


@dataclass(frozen=True, slots=True)
class Held(Generic[L]):
    """What this worker's tasks of a stage know, by partition; the topic has `of` partitions."""

    logics: Mapping[int, L]
    of: int

    @property
    def partitions(self) -> list[int]:
        """Those that this worker speaks for."""
        return sorted(self.logics)

    @property
    def is_complete(self) -> bool:
        """True if there is none that another worker would have to be asked about."""
        return 0 < self.of == len(self.logics)


@dataclass(frozen=True)
class WorkerState:
    """`tasks`: those that run, now. `partitions`: how many the topic of each stage has.

    `definitions`: those that the worker goes by; `topic`: where users change them, one after the
    other. `now_ms`: what time it is for users.
    """

    tasks: Callable[[], Mapping[TaskId, Task[Any]]]
    partitions: Mapping[str, int]
    definitions: Callable[[], Definitions]
    topic: DefinitionsTopic
    lanes: Callable[[], Sequence[LaneStatus]]
    now_ms: Callable[[], int]
    writing: asyncio.Lock = field(default_factory=asyncio.Lock)

    def alerts(self) -> Held[AlertsLogic]:
        """Return what the tasks of the rollups stage know of alerts."""
        return self._held(ROLLUPS, alerts_agent.NAME, AlertsLogic)

    def metrics(self) -> Held[MetricsLogic]:
        """Return what the tasks of the rollups stage know of series."""
        return self._held(ROLLUPS, metrics_agent.NAME, MetricsLogic)

    def notifiers(self) -> Held[NotifierLogic]:
        """Return what the tasks of the notifications stage know."""
        return self._held(NOTIFICATIONS, notifier_agent.NAME, NotifierLogic)

    def _held(self, stage: str, name: str, kind: type[L]) -> Held[L]:
        found = {}
        for each, task in self.tasks().items():
            logic = task.logics.get(name) if each.stage == stage else None
            if isinstance(logic, kind):
                found[each.partition] = logic
        return Held(found, self.partitions.get(stage, 0))

    async def follow(self, version: int) -> None:
        """Wait until this worker goes by *version*, so that what was written is read; not long."""
        looks = int(_FOLLOWED_WITHIN_S / _LOOK_EVERY_S)
        while self.definitions().version < version and looks:
            await asyncio.sleep(_LOOK_EVERY_S)
            looks -= 1


def of_worker(
    config: WorkerConfig, cluster: Cluster, engine: Engine, follower: Follower, sender: Sender
) -> WorkerState:
    """Return what the API knows of the worker that runs *engine*."""
    counts = cluster.partitions
    return WorkerState(
        lambda: {each.id: each.task for each in engine.runners.values() if each.running},
        {
            ROLLUPS: counts.get(topics.rollups(config.app), 0),
            NOTIFICATIONS: counts.get(config.output.alerts, 0),
        },
        lambda: follower.definitions,
        DefinitionsTopic(config),
        sender.statuses,
        lambda: time.time_ns() // 1_000_000,
    )
