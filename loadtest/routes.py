"""Which records producers make of a load, and where they send them.

`hex`: as the collector does, one trace's part a message, keyed by the trace ID in hex.
`mixed`: the parts of one trace come from producers that write the key differently and hash it
differently, so that they stand in several partitions. `none`: from producers that know nothing of
traces, with any key or without one, messages that mix traces. In all of them the truth is the same.
"""

import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Literal, NamedTuple

from aiokafka.partitioner import murmur2

from tailrace.schemas.otlp.json import encode_json
from tailrace_loadtest.load import Record

Partitioner = Literal["murmur2", "fnv1a", "crc32"]
Keys = Literal["hex", "mixed", "none"]
_MIXED_RECORDS = 6
_MIXED_MS = 100
"""A message mixes at most so many records, from at most so long; it has the latest timestamp."""


class Message(NamedTuple):
    """A record as it is sent."""

    topic: str
    partition: int
    key: bytes | None
    value: bytes
    timestamp_ms: int


class Sender(NamedTuple):
    """How a producer writes the trace ID, and how it hashes that."""

    key: Callable[[bytes], bytes]
    partitioner: Partitioner


_SENDERS = (
    Sender(lambda key: key, "fnv1a"),
    Sender(lambda key: bytes.fromhex(key.decode()), "murmur2"),
    Sender(lambda key: bytes.fromhex(key.decode()), "crc32"),
    Sender(lambda key: key, "murmur2"),
)
_ANY_KEYS = (None, None, b"pod-1", b"\x00\xff not a trace ID")


@dataclass(frozen=True, slots=True)
class Routes:
    """Where records go: into *topics*, each with its own number of partitions."""

    topics: Sequence[str]
    keys: Keys = "hex"
    partitioner: Partitioner = "murmur2"
    """Of `hex`."""
    is_json: bool = False
    """OTLP/JSON, not protobuf."""

    def messages(
        self, records: Iterable[Record], partitions: Mapping[str, int]
    ) -> Iterator[Message]:
        """What is sent of *records*; *partitions*: how many each topic has."""
        match self.keys:
            case "hex":
                found = self._by_trace(records, partitions)
            case "mixed":
                found = self._by_many(records, partitions)
            case "none":
                found = _Mixer(self.topics, partitions).messages(records)
        for each in found:
            yield each._replace(value=encode_json(each.value)) if self.is_json else each

    def _by_trace(
        self, records: Iterable[Record], partitions: Mapping[str, int]
    ) -> Iterator[Message]:
        for record in records:
            topic = self.topics[record.trace % len(self.topics)]
            place = partition_of(record.key, partitions[topic], self.partitioner)
            yield Message(topic, place, record.key, record.value, record.timestamp_ms)

    def _by_many(
        self, records: Iterable[Record], partitions: Mapping[str, int]
    ) -> Iterator[Message]:
        for record in records:
            chosen = zlib.crc32(record.value)
            sender = _SENDERS[chosen % len(_SENDERS)]
            topic = self.topics[chosen // len(_SENDERS) % len(self.topics)]
            key = sender.key(record.key)
            place = partition_of(key, partitions[topic], sender.partitioner)
            yield Message(topic, place, key, record.value, record.timestamp_ms)


@dataclass(slots=True)
class _Mixer:
    """Gathers records of several traces into one message, round and round the partitions."""

    topics: Sequence[str]
    partitions: Mapping[str, int]
    _numbers: Iterator[int] = field(default_factory=count)

    def messages(self, records: Iterable[Record]) -> Iterator[Message]:
        gathered: list[Record] = []
        for record in records:
            if gathered and self._is_full(gathered, record):
                yield self._message(gathered)
                gathered = []
            gathered.append(record)
        if gathered:
            yield self._message(gathered)

    def _is_full(self, gathered: list[Record], record: Record) -> bool:
        size = 1 + zlib.crc32(gathered[0].value) % _MIXED_RECORDS
        return (
            len(gathered) >= size
            or abs(record.timestamp_ms - gathered[0].timestamp_ms) > _MIXED_MS // 2
        )

    def _message(self, gathered: list[Record]) -> Message:
        number = next(self._numbers)
        topic = self.topics[number % len(self.topics)]
        place = number // len(self.topics) % self.partitions[topic]
        # Protobuf: messages one after the other are one message of all their repeated fields.
        value = b"".join(record.value for record in gathered)
        latest = max(record.timestamp_ms for record in gathered)
        return Message(topic, place, _ANY_KEYS[number % len(_ANY_KEYS)], value, latest)


def partition_of(key: bytes, partitions: int, partitioner: Partitioner) -> int:
    """The partition of *key*: as Java and aiokafka, the Go collector, or librdkafka choose it."""
    match partitioner:
        case "murmur2":
            return int(murmur2(key) & 0x7FFFFFFF) % partitions
        case "crc32":
            return zlib.crc32(key) % partitions
        case "fnv1a":
            hashed = 0x811C9DC5
            for byte in key:
                hashed = (hashed ^ byte) * 0x01000193 & 0xFFFFFFFF
            signed = hashed - (1 << 32) if hashed >> 31 else hashed
            # Go's remainder has the sign of the dividend, and Sarama drops that sign afterwards.
            return abs(signed) % partitions
