"""What the transport delivers and what a task hands out: records, batches, outputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

Headers = Sequence[tuple[str, bytes]]


class Record(Protocol):
    """One Kafka record as a consumer reads it; `timestamp` in ms since the epoch."""

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
class Batch:
    """The records of one partition at the offsets [start, end).

    Offsets without a record were control records or compacted. A reader whose position is not
    `start` must not take the batch: it belongs to a position that was given up.
    """

    topic: str
    partition: int
    start: int
    end: int
    records: Sequence[Record]


@dataclass(frozen=True, slots=True)
class Output:
    """A record to be written with the next checkpoint; `timestamp` in ms of stream time."""

    key: bytes | None
    value: bytes
    timestamp: int
    headers: Headers = ()


@dataclass(slots=True)
class Outbox:
    """Outputs by topic, in the order in which they were sent."""

    topics: dict[str, list[Output]] = field(default_factory=dict)
    bytes: int = 0

    def send(self, topic: str, output: Output) -> None:
        """Add *output* to what the next checkpoint writes to *topic*."""
        self.topics.setdefault(topic, []).append(output)
        self.bytes += len(output.value)
