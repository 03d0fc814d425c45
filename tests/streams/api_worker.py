"""A worker as the API sees it: real tasks fed with real records, and a topic in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp.test_utils import TestClient, TestServer

from tailrace.agents.notifier.secrets import Secrets
from tailrace.agents.notifier.sender import LaneStatus, Sender, Surroundings
from tailrace.agents.notifier.targets import Targets
from tailrace.schemas import alert_events
from tailrace.schemas.alert_events import AlertEvent, EvidenceSpan
from tailrace.schemas.config import WorkerConfig, parse
from tailrace.schemas.definitions import Definition, Definitions
from tailrace.schemas.definitions.documents import to_json, to_key
from tailrace.schemas.definitions.files import read
from tailrace.schemas.definitions.signals import signals
from tailrace.schemas.matches import (
    Evidence,
    EvidenceBatch,
    Series,
    encode_counts,
    encode_evidence,
    encode_group,
    match_counts,
)
from tailrace.schemas.records import Headers
from tailrace.schemas.watermarks import Watermark
from tailrace.streams import web
from tailrace.streams.api.worker_state import WorkerState
from tailrace.streams.batch import Batch
from tailrace.streams.definitions import Follower, LocalDefinitions
from tailrace.streams.definitions_topic import DefinitionsTopic
from tailrace.streams.engine import Engine, EngineSettings
from tailrace.streams.metric_kinds import Around
from tailrace.streams.metrics import Metrics
from tailrace.streams.notifications import NotificationTasks
from tailrace.streams.rollups import RollupTasks
from tailrace.streams.spans import SpanTasks
from tailrace.streams.stages import MATCHES, NOTIFICATIONS, ROLLUPS, source
from tailrace.streams.task import Task, TaskId
from tailrace.tables.store import MemoryDisk, PartitionStore
from tests.streams.clusters import cluster

BEGIN_S = 1_800_000_000
"""2027-01-15, 08:00 UTC, a Friday."""
TOKEN = "a-token"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
PARTITIONS = 2
_LATEST_MS = 1 << 60


def definitions(text: str, tenant: str | None = None) -> list[Definition[Any]]:
    """The definitions in *text*, as `apply` reads them."""
    return [*read(text, "test", tenant).definitions]


class MemoryTopic(DefinitionsTopic):
    """A topic of definitions without a broker: what is written can be read at once."""

    def __init__(self, configured: Sequence[Definition[Any]] = ()) -> None:
        super().__init__(WorkerConfig())
        self.rows: list[tuple[bytes, bytes | None]] = []
        self._configured = Definitions.of_all(configured)

    @property
    def definitions(self) -> Definitions:
        """All of them, as a follower has them."""
        return self._read(self._configured).snapshot()

    async def read(self) -> LocalDefinitions:
        return self._read(Definitions())

    def _read(self, configured: Definitions) -> LocalDefinitions:
        local = LocalDefinitions(configured)
        for offset, (key, value) in enumerate(self.rows):
            local.take(key, value, offset)
        return local

    async def _create(self) -> None:
        """It is there."""

    async def _write(self, rows: Sequence[tuple[bytes, bytes | None]]) -> list[int]:
        first = len(self.rows) + 1
        self.rows += rows
        return [*range(first, len(self.rows) + 1)]


@dataclass(frozen=True, slots=True)
class Row:
    """A record as a consumer reads it."""

    offset: int
    timestamp: int
    value: bytes
    headers: Headers = ()
    key: bytes | None = None


@dataclass
class ApiWorker:
    """A worker that has the first `held` of the partitions of each stage."""

    text: str = ""
    configured: str = ""
    held: int = PARTITIONS
    tasks: dict[TaskId, Task[Any]] = field(default_factory=dict)
    lanes: list[LaneStatus] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.topic = MemoryTopic(definitions(self.configured) if self.configured else ())
        self.config = parse("only: [alerts, notifier]")
        around = cluster(self.config)
        builders = {
            ROLLUPS: RollupTasks(self.config, around).build,
            NOTIFICATIONS: NotificationTasks(self.config, around, new_sender()).build,
        }
        for stage, build in builders.items():
            for partition in range(self.held):
                place = TaskId(stage, partition)
                self.tasks[place] = build(place, PartitionStore(MemoryDisk()))
        if self.text:
            self.apply(*definitions(self.text))
        self.inform()

    def apply(self, *each: Definition[Any]) -> None:
        """Let the topic say each of them, too."""
        self.topic.rows += [(to_key(one.key), to_json(one)) for one in each]

    def inform(self) -> None:
        """Let all tasks go by what the topic says."""
        for task in self.tasks.values():
            task.inform(self.topic.definitions)

    @property
    def state(self) -> WorkerState:
        """What the API sees, at the second BEGIN_S."""
        return WorkerState(
            lambda: self.tasks,
            {ROLLUPS: PARTITIONS, NOTIFICATIONS: PARTITIONS},
            lambda: self.topic.definitions,
            self.topic,
            lambda: self.lanes,
            lambda: BEGIN_S * 1000,
        )

    # What tasks are fed with

    def matches(
        self,
        name: str,
        second: int,
        all: int,
        matched: int,
        group: Sequence[str] = (),
        *,
        tenant: str = "default",
        kind: str = "Alert",
        partition: int = 0,
    ) -> None:
        """Let a second have *all* events of a definition's group, of which some matched."""
        signal = signals(self._definition(kind, tenant, name))[""].id
        at, series = BEGIN_S + second, Series(signal, encode_group(group))
        counts = match_counts(at * 1000, at * 1000 + 1000, [(series, at, all, matched)])
        value = encode_counts(counts)
        self._rollup(partition, value, second + 1)

    def evidence(
        self,
        name: str,
        span: EvidenceSpan,
        group: Sequence[str] = (),
        *,
        tenant: str = "default",
        partition: int = 0,
    ) -> None:
        """Let a span that matched be known."""
        signal = signals(self._definition("Alert", tenant, name))[""].id
        batch = EvidenceBatch([Evidence(signal, encode_group(group), span)], [])
        self._rollup(partition, encode_evidence(batch), 0)

    def pass_time(self, second: int) -> None:
        """Let all sources say that it is *second*."""
        for partition in range(self.held):
            self._rollup(partition, b"", second)

    def _definition(self, kind: str, tenant: str, name: str) -> Definition[Any]:
        found = self.topic.definitions.of(kind)
        return next(each for each in found if (each.tenant, each.name) == (tenant, name))

    def _rollup(self, partition: int, value: bytes, second: int) -> None:
        at = (BEGIN_S + second) * 1000
        mark = Watermark(source(MATCHES, 0), at).header()
        self._feed(TaskId(ROLLUPS, partition), "tailrace-rollups", value, at, (mark,))

    def told(self, *events: AlertEvent, partition: int = 0) -> None:
        """Let the notifier read *events*, and commit what it makes of them."""
        place = TaskId(NOTIFICATIONS, partition)
        for event in events:
            self._feed(place, "tailrace.alerts", alert_events.encode(event), event.evaluated_at)
        task = self.tasks[place]
        task.advance((BEGIN_S + 3600) * 1000)
        task.snapshot()
        task.committed(0)

    def _feed(self, id: TaskId, topic: str, value: bytes, at: int, headers: Headers = ()) -> None:
        task = self.tasks[id]
        start = task.positions.get(topic, 0)
        row = Row(start, at, value, headers)
        assert task.process(Batch(topic, id.partition, start, start + 1, [row]), _LATEST_MS)
        assert task.problems() == []

    # HTTP

    @asynccontextmanager
    async def serving(
        self, directory: Path, token: str | None = TOKEN
    ) -> AsyncIterator[TestClient[Any, Any]]:
        """A client of a real server, which has *token*."""
        config = parse("" if token is None else f"web: {{token: {token}}}")
        engine = Engine(EngineSettings(config.app, directory), [], {})
        spans = SpanTasks(config, cluster(config))
        metrics = Metrics(Around(engine, spans, Follower({}, "definitions"), new_sender()))
        app = web.application(config.web, engine, metrics, self.state)
        async with TestClient(TestServer(app)) as client:
            yield client


def new_sender() -> Sender:
    """A sender that nothing is given to."""
    return Sender(Surroundings(Secrets({}, ()), Targets(()), lambda: 0.5))


def span(number: int, second: int = 0) -> EvidenceSpan:
    """A span that took 50 ms, and ended in that second."""
    return EvidenceSpan(
        f"{number:032x}",
        f"{number:016x}",
        "checkout",
        "POST /pay",
        50_000_000,
        (BEGIN_S + second) * 1_000_000_000,
    )
