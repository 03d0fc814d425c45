"""Lives of a task that samples, which is told more than records: policies, links, short memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import orjson
from hypothesis import strategies as st

from tailrace.agents.sampling.logic import SamplingLogic
from tailrace.schemas.config import WorkerConfig, parse
from tailrace.schemas.control import ControlRecord, encode
from tailrace.schemas.definitions import Definition, Definitions
from tailrace.schemas.definitions.definition import TAIL_SAMPLING, DefinitionKey
from tailrace.schemas.definitions.tail_sampling import TailSamplingSpec
from tailrace.schemas.matches import decode_evidence, is_evidence
from tailrace.schemas.records import Output
from tailrace.streams.batch import Batch
from tailrace.streams.control import HeldRecords, tell
from tailrace.streams.spans import SpanTasks
from tailrace.streams.task import Snapshot, Task, TaskId
from tailrace.tables.store import Changes, MemoryDisk, PartitionStore
from tests.streams.clusters import cluster
from tests.streams.deaths import FAR, TOPIC, Row, Sent
from tests.streams.span_traffic import END_MS, RECORD_BYTES

LETTERS, ROLLUPS = "tailrace.dead_letters", "tailrace-rollups"
EVENTS = st.lists(
    st.sampled_from(
        ["", "", "", "cut", "checkpoint", "slow checkpoint", "lost write", "new disk", "death"]
    ),
    max_size=14,
)
"""What happens before a record: nothing; a cut; a checkpoint, or one that is committed at the next
event; one after which the files lack what was committed, or are lost; a death, perhaps with one
under way."""


def policies(
    version: int, spec: Mapping[str, Any], name: str = "policies", tenant: str = "default"
) -> Definition[Any]:
    """Sampling policies as a definition."""
    key = DefinitionKey(TAIL_SAMPLING, tenant, name)
    return Definition(key, {}, {}, TailSamplingSpec.model_validate(spec), version)


@dataclass(frozen=True)
class Story:
    """What comes to a worker whose `tail_sampling` is *section*; by n: before its record n.

    `rests`: for so long (ms) the partition is idle. `told`: the definitions that hold from there
    on. `heard`: what others say on the control log. `relieved`: so many traces have to go.
    `capabilities`: what the worker does.
    """

    section: Mapping[str, Any]
    records: Sequence[Row]
    rests: Mapping[int, int] = field(default_factory=dict)
    told: Mapping[int, Definitions] = field(default_factory=dict)
    heard: Mapping[int, Sequence[ControlRecord]] = field(default_factory=dict)
    relieved: Mapping[int, int] = field(default_factory=dict)
    capabilities: tuple[str, ...] = ("sampling",)
    tenancy: Mapping[str, str] = field(default_factory=dict)

    @property
    def config(self) -> WorkerConfig:
        """The config of such a worker."""
        sections = {"only": self.capabilities, "tail_sampling": self.section}
        return _config(orjson.dumps({**sections, "tenancy": self.tenancy}))

    def is_told(self, position: int) -> bool:
        """True if something other than a record comes before record *position*."""
        inputs = (self.rests, self.told, self.heard, self.relieved)
        return any(position in each for each in inputs)

    def in_force(self, position: int) -> Definitions:
        """The definitions that were told last up to *position*, as a new process has them."""
        last = max((each for each in self.told if each <= position), default=None)
        found = Definitions() if last is None else self.told[last]
        return Definitions(found.version, found.by_key)


@lru_cache(maxsize=256)
def _config(text: bytes) -> WorkerConfig:
    return parse(text.decode())


def once(story: Story) -> Sent:
    """What one worker sends in *story*, in batches as large as they can be, to the end of time."""
    return lived(story, [])


def lived(story: Story, events: Sequence[str]) -> Sent:
    """What is sent in *story* when event n happens before record n; each happens once.

    Dead letters have no order, rollups one for each source.
    """
    life = _Life(story)
    pending = {n: event for n, event in enumerate(events) if event}
    edges = {n for n in range(len(story.records)) if story.is_told(n)} | {len(story.records)}
    while life.position < len(story.records):
        life.listen()
        event = pending.pop(life.position, "")
        if event and not life.meet(event):
            continue
        stop = min(n for n in edges | pending.keys() if n > life.position)
        life.process(min(stop, len(story.records)))
    life.listen()
    life.end()
    letters = sorted(life.sent.get(LETTERS, []), key=repr)
    return {**life.sent, LETTERS: letters, ROLLUPS: sorted(life.sent.get(ROLLUPS, []), key=_writer)}


def _writer(output: Output) -> str:
    """Whose rollup it is: that of matches, or what became of their traces, from the sampler."""
    is_told = is_evidence(output.value) and not decode_evidence(output.value).spans
    return "sampler" if is_told else "matches"


class _Life:
    """One task's workers, one after the other."""

    def __init__(self, story: Story) -> None:
        self._story = story
        self._disk = MemoryDisk()
        self._changelog: list[Changes] = []
        self._open: Snapshot | None = None
        self._listened = -1
        self.sent: Sent = {}
        self._begin()

    def _begin(self) -> None:
        """Start a worker, as a new process, on what is committed."""
        store = PartitionStore(self._disk)
        for number in range(store.changelog_offset or 0, len(self._changelog)):
            store.apply(self._changelog[number], number + 1)
        config = self._story.config
        tasks = SpanTasks(config, cluster(config, RECORD_BYTES))
        self._task: Task[Any] = tasks.build(TaskId("spans", 0), store)
        self._open = None
        self.position = self._task.positions.get(TOPIC, 0)
        if self._changelog:
            self._listened = self.position  # what was heard there is part of what is committed
        else:
            self._listened = -1
        self._task.inform(self._story.in_force(self.position))
        self._held = HeldRecords()
        self._end = 0
        self._hold(self.position)

    def _hold(self, position: int) -> None:
        """Read the control log as far as it was written before record *position*."""
        said = [
            each
            for n in sorted(self._story.heard)
            if n <= position
            for each in self._story.heard[n]
        ]
        for offset in range(self._end, len(said)):
            self._held.take(encode(said[offset]), offset)
        self._end = len(said)

    def listen(self) -> None:
        """Let the task have what comes before its next record, unless it had that before."""
        position, story, task = self.position, self._story, self._task
        if self._listened >= position:
            return
        self._listened = position
        task.advance(task.stream_time + story.rests.get(position, 0))
        if position in story.told:
            task.inform(story.in_force(position))
        logic = task.logics["sampling"]
        assert isinstance(logic, SamplingLogic)
        self._hold(position)
        tell(task, logic, self._held)
        if position in story.relieved:
            with task.told() as (outbox, totals):
                logic.relieve(story.relieved[position], outbox, totals)

    def meet(self, event: str) -> bool:
        """Let *event* happen; False if there is a new worker."""
        if event == "death":
            self._begin()
            return False
        self._finish()
        if event == "slow checkpoint":
            self._open = self._task.snapshot()
        elif event != "cut":
            self._commit(self._task.snapshot(), is_written=event == "checkpoint")
        if event == "new disk":
            self._disk = MemoryDisk()
        if event in ("cut", "checkpoint", "slow checkpoint"):
            return True
        self._begin()
        return False

    def _finish(self) -> None:
        if self._open is not None:
            self._commit(self._open)
            self._open = None

    def _commit(self, snapshot: Snapshot, *, is_written: bool = True) -> None:
        assert self._task.problems() == []
        self._changelog.append(dict(snapshot.changes))
        for topic, outputs in snapshot.outputs.items():
            self.sent.setdefault(topic, []).extend(outputs)
        if is_written:
            self._task.committed(len(self._changelog))

    def process(self, stop: int) -> None:
        """Let the task have its records up to *stop*."""
        records = self._story.records[self.position : stop]
        assert self._task.process(Batch(TOPIC, 0, self.position, stop, records), FAR)
        self.position = stop

    def end(self) -> None:
        """Go on to the end of time."""
        self._finish()
        self._task.advance(END_MS)
        self._commit(self._task.snapshot())
        assert isinstance(logic := self._task.logics["sampling"], SamplingLogic)
        assert logic.pending_spans == 0
