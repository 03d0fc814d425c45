"""What goes into a stage and comes out of it: records, arrivals, outputs, running totals."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Generic, NamedTuple, Protocol, TypeVar

Headers = Sequence[tuple[str, bytes]]
Decoded = TypeVar("Decoded")


class Record(Protocol):
    """One Kafka record as a consumer reads it; `timestamp` in ms since 1970."""

    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> int: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Headers: ...


@dataclass(frozen=True, slots=True)
class Arrivals(Generic[Decoded]):
    """Records with what was decoded from them; `times[i]` is stream time (ms) as record i came."""

    records: Sequence[Record]
    times: Sequence[int]
    decoded: Decoded


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """What could not be processed of the record at index `record`.

    `whole`: nothing of the record was good.
    """

    record: int
    reason: str
    value: bytes
    whole: bool


class Output(NamedTuple):
    """A record to be written with the next checkpoint; `timestamp` in ms of stream time.

    `partition` None: that of the task, modulo the topic's number of partitions.
    """

    key: bytes | None
    value: bytes
    timestamp: int
    headers: Headers = ()
    partition: int | None = None


_RECORD_BYTES = 64
"""About what a record takes beside its value."""


@dataclass(slots=True)
class Outbox:
    """Outputs by topic, in the order in which they were sent."""

    topics: dict[str, list[Output]] = field(default_factory=dict)
    bytes: int = 0

    def send(self, topic: str, output: Output) -> None:
        """Add *output* to what the next checkpoint writes to *topic*."""
        self.topics.setdefault(topic, []).append(output)
        self.bytes += len(output.value) + _RECORD_BYTES

    def send_all(self, topic: str, outputs: Sequence[Output]) -> None:
        """Add *outputs* to what the next checkpoint writes to *topic*."""
        if outputs:
            self.topics.setdefault(topic, []).extend(outputs)
            self.bytes += sum(len(output.value) for output in outputs)
            self.bytes += _RECORD_BYTES * len(outputs)


@dataclass(slots=True)
class Totals:
    """What a partition has ever done, by its committed state: survives restarts and moves."""

    records: int = 0
    processed: int = 0
    dead_lettered: int = 0
    counts: dict[str, int] = field(default_factory=dict)

    def add(self, name: str, amount: int) -> None:
        """Add *amount* to the count *name*."""
        self.counts[name] = self.counts.get(name, 0) + amount
