"""A task: all state of one stage and one partition number, from assignment to revocation.

It is pure: batches and times in, changes and outputs out. It runs the same under the worker, under
`simulate` and in tests. Laws:

- Outputs are a function of the records and of when the partition was declared idle; never of how
  the records were cut into batches or where checkpoints fell.
- Stream time (`stream_time`) is told by the records. Work that is due before a record is done
  before it.
- Whatever else decides (definitions) comes between two batches, and is part of the checkpoint that
  has the position at which it came.
- Of one batch, the logics see it in their order: what one of them leaves for the next is there.
- At every checkpoint: records in = processed + dead-lettered.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar, runtime_checkable

import orjson

from tailrace.schemas.definitions import Definitions
from tailrace.schemas.records import Arrivals, DeadLetter, Outbox, Output, Record, Totals
from tailrace.streams.batch import Batch
from tailrace.streams.stream_time import RecordTime, StreamTime
from tailrace.tables.store import Changes, PartitionStore

POSITION_KEY = b"\x00position"
_POSITION_VERSION = 1

Decoded = TypeVar("Decoded")
Decoded_co = TypeVar("Decoded_co", covariant=True)


@dataclass(frozen=True, slots=True, order=True)
class TaskId:
    """One stage and one partition number; `str()` of it is part of topic and directory names."""

    stage: str
    partition: int

    def __str__(self) -> str:
        return f"{self.stage}-{self.partition}"


class Logic(Protocol[Decoded]):
    """What a capability does with a partition. It owns its part of the store."""

    def restore(self, now: int) -> None:
        """Build memory from the store, at stream time *now*; once, before anything else."""
        ...

    def process(self, arrivals: Arrivals[Decoded], outbox: Outbox, totals: Totals) -> None:
        """Apply records in order; do work that is due before a record first."""
        ...

    def advance(self, now: int, outbox: Outbox, totals: Totals) -> None:
        """Do all work that is due before *now* (ms of stream time)."""
        ...

    def before_checkpoint(self) -> None:
        """Put into the store what is only in memory."""
        ...

    def close(self) -> None:
        """Release what is shared with others; the task is dropped."""
        ...

    def problems(self, totals: Totals) -> Sequence[str]:
        """Return what does not add up; empty when the balance holds."""
        ...


@runtime_checkable
class Informed(Protocol):
    """A Logic that depends on definitions."""

    def inform(self, definitions: Definitions, outbox: Outbox, totals: Totals) -> None:
        """Go by *definitions* from now on; the same ones again change nothing.

        Called once after `restore`, before anything else, and whenever they have changed.
        """
        ...


@runtime_checkable
class Committing(Protocol):
    """A Logic that has something for the world beside records: only what is committed counts."""

    def committed(self) -> None:
        """What was put into the store up to the last `before_checkpoint` is committed."""
        ...


class Codec(Protocol[Decoded_co]):
    """How a stage reads its records."""

    def decode(self, records: Sequence[Record]) -> tuple[Decoded_co, Sequence[DeadLetter]]: ...


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What one checkpoint commits.

    `positions`: where a restart reads on; `read_to` is further where records are held back.
    """

    changes: Changes
    outputs: Mapping[str, Sequence[Output]]
    positions: Mapping[str, int]
    read_to: Mapping[str, int]
    totals: Totals


class Task(Generic[Decoded]):
    """State and logic of one partition.

    *dead_letter* turns a dead letter into an output. *time*: by record timestamps unless given.
    """

    def __init__(
        self,
        id: TaskId,
        store: PartitionStore,
        codec: Codec[Decoded],
        logics: Mapping[str, Logic[Decoded]],
        dead_letter: Callable[[str, int, Record, DeadLetter], tuple[str, Output]],
        time: StreamTime | None = None,
    ) -> None:
        self.id = id
        self.store = store
        self._time = time or RecordTime()
        self.positions: dict[str, int] = {}
        self.totals = Totals()
        self._codec = codec
        self.logics = logics
        self.informed: Definitions | None = None
        """The definitions that the logics go by; None before they have been told any."""
        self._definitions = 0
        self._dead_letter = dead_letter
        self._outbox = Outbox()
        self._arrivals: Arrivals[Decoded] | None = None
        self._waiting_for: set[str] = set()
        self._read: set[str] = set()
        """Topics of which this task has had a batch; others' positions may be of another config."""
        self._changed = False
        self._restore()

    def _restore(self) -> None:
        value = self.store.get(POSITION_KEY)
        if value is not None:
            position = orjson.loads(value)
            if position["version"] != _POSITION_VERSION:
                raise ValueError(
                    f"task {self.id} has state of version {position['version']}; this tailrace "
                    f"reads version {_POSITION_VERSION}. Run the version that wrote it."
                )
            self.positions = position["offsets"]
            self._definitions = position.get("definitions", 0)
            self._time.restore(position)
            self.totals = Totals(**position["totals"])
        for logic in self.logics.values():
            logic.restore(self.stream_time)

    @property
    def stream_time(self) -> int:
        """What time it is after the last record, in ms."""
        return self._time.now

    @property
    def may_idle(self) -> bool:
        """True if time may move without a record when there is none left to read."""
        return self._time.may_idle

    # Between batches only: `snapshot`, `advance`, `inform`.

    @property
    def between_batches(self) -> bool:
        """True when every logic has seen the same records."""
        return not self._waiting_for

    @property
    def has_news(self) -> bool:
        """True when a checkpoint would commit something."""
        return self._changed

    @property
    def has_outputs(self) -> bool:
        """True when somebody may wait for what a checkpoint would write."""
        return bool(self._outbox.topics)

    def writes(self, topic: str) -> bool:
        """True if the next checkpoint writes something to *topic*."""
        return topic in self._outbox.topics

    @property
    def unwritten_bytes(self) -> int:
        """About how much the next checkpoint writes."""
        return self.store.dirty_bytes + self._outbox.bytes

    def begin(self, batch: Batch, latest: int) -> bool:
        """Decode *batch* for all logics; False if it does not continue this task's position.

        No record is from later than *latest* (ms).
        """
        if batch.start != self.positions.setdefault(batch.topic, batch.start):
            return False
        if batch.records and batch.records[0].offset < batch.start:
            return False  # the log went back; what it holds now was never behind this position
        if self.informed is None:
            self.inform(Definitions())
        records, times, early = self._time.arrange(batch.records, latest)
        decoded, dead_letters = self._codec.decode(records)
        self._arrivals = Arrivals(records, times, decoded)
        self._waiting_for = set(self.logics)
        for letter in dead_letters:
            record = records[letter.record]
            topic, output = self._dead_letter(batch.topic, batch.partition, record, letter)
            self._outbox.send(topic, output)
            self.totals.add(f"dead_letters.{letter.reason}", 1)
        whole = sum(letter.whole for letter in dead_letters)
        self.totals.records += len(records)
        self.totals.dead_lettered += whole
        self.totals.processed += len(records) - whole
        if early:
            self.totals.add("records_early", early)
        self.positions[batch.topic] = batch.end
        self._read.add(batch.topic)
        self._changed = True
        return True

    def waiting_upto(self, name: str) -> list[str]:
        """Return the logics up to *name* that have not seen the batch, in their order."""
        names = list(self.logics)
        return [each for each in names[: names.index(name) + 1] if each in self._waiting_for]

    def run(self, name: str) -> None:
        """Let the logic *name* process the batch that was begun."""
        assert self._arrivals is not None
        arrivals = self._arrivals
        self.logics[name].process(arrivals, self._outbox, self.totals)
        self._waiting_for.discard(name)
        if not self._waiting_for:
            self._arrivals = None

    def process(self, batch: Batch, latest: int) -> bool:
        """Begin *batch* and run every logic on it."""
        if not self.begin(batch, latest):
            return False
        for name in self.logics:
            self.run(name)
        return True

    def advance(self, now: int) -> None:
        """Move stream time to *now* (ms) without a record; time never goes back."""
        if now <= self.stream_time:
            return
        self._time.now = now
        before = self._outbox.bytes, self.store.dirty_bytes
        for logic in self.logics.values():
            logic.advance(now, self._outbox, self.totals)
        self._changed |= (self._outbox.bytes, self.store.dirty_bytes) != before

    def inform(self, definitions: Definitions) -> None:
        """Let every logic that asks for definitions go by *definitions*."""
        assert self.between_batches
        before = self._outbox.bytes, self.store.dirty_bytes
        for logic in self.logics.values():
            if isinstance(logic, Informed):
                logic.inform(definitions, self._outbox, self.totals)
        self.informed = definitions
        changed = definitions.version != self._definitions
        self._definitions = definitions.version
        self._changed |= changed or (self._outbox.bytes, self.store.dirty_bytes) != before

    def snapshot(self) -> Snapshot:
        """Take what changed since the last snapshot; the task goes on at once."""
        assert self.between_batches
        for logic in self.logics.values():
            logic.before_checkpoint()
        totals = self.totals
        positions = {topic: self._time.position(self.positions[topic]) for topic in self._read}
        position = {
            "version": _POSITION_VERSION,
            "offsets": self.positions | positions,
            "definitions": self._definitions,
            **self._time.state(),
            "totals": {
                "records": totals.records,
                "processed": totals.processed,
                "dead_lettered": totals.dead_lettered,
                "counts": totals.counts,
            },
        }
        self.store.put(POSITION_KEY, orjson.dumps(position))
        outbox, self._outbox = self._outbox, Outbox()
        self._changed = False
        changes = self.store.begin_checkpoint()
        return Snapshot(changes, outbox.topics, positions, dict(self.positions), deepcopy(totals))

    def committed(self, offset: int) -> None:
        """The last snapshot is committed, and its changes end before *offset* of the changelog."""
        self.store.finish_checkpoint(offset)
        for logic in self.logics.values():
            if isinstance(logic, Committing):
                logic.committed()

    @contextmanager
    def told(self) -> Iterator[tuple[Outbox, Totals]]:
        """Between two batches: give what a logic needs to be told what came of its work."""
        assert self.between_batches
        yield self._outbox, self.totals
        self._changed = True

    def settle(self) -> None:
        """Before its last checkpoint: what the world has answered by now is told."""

    def problems(self) -> list[str]:
        """Return every sum of this task that does not add up."""
        totals = self.totals
        found = [text for logic in self.logics.values() for text in logic.problems(totals)]
        if totals.records != totals.processed + totals.dead_lettered:
            found.append(
                f"{totals.records} records in, but {totals.processed} processed and "
                f"{totals.dead_lettered} dead-lettered"
            )
        return found

    def close(self) -> None:
        """Forget what is not committed."""
        for logic in self.logics.values():
            logic.close()
        self.store.close()
