"""Samples of metrics that alerts ask for, from the tasks that read them to the second stage.

A sample is of a stream: one series of OTLP, known by a hash of all its attributes. Beside what its
point says it has the group that its definition puts it into.

A batch is what one record had for one partition: magic and version, when it came (i64), then for
each sample what `_SAMPLE` says and its group. Little endian.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from enum import IntEnum
from typing import Final, NamedTuple

_MAGIC: Final = b"TRM\x01"
_HEAD = struct.Struct("<4sq")
_SAMPLE = struct.Struct("<8s4s8sqBqdH")


class Meaning(IntEnum):
    """What a value is. Also of what a point has no value of: then the stream has none now."""

    TOTAL = 0
    """So much since the start; where it falls it began anew. Gauges are read so, too, because
    counters whose type nobody said come as gauges."""
    BALANCE = 1
    """So much since the start, up and down."""
    CHANGE = 2
    """So much since the last point."""
    NOTHING = 3


class Sample(NamedTuple):
    """`owner` and `counted` are the signal's. Times in ns since 1970.

    `start_ns`: when the value was 0; 0 if that is not known, or was before anyone watched.
    """

    owner: bytes
    counted: bytes
    group: bytes
    stream: bytes
    time_ns: int
    meaning: Meaning
    start_ns: int
    value: float


class SampleBatch(NamedTuple):
    """The samples of one record, which came at `came_ms` of its task's stream time."""

    came_ms: int
    samples: Sequence[Sample]


def encode_samples(batch: SampleBatch) -> bytes:
    """Return *batch* as bytes of version 1."""
    parts = [_HEAD.pack(_MAGIC, batch.came_ms)]
    for owner, counted, group, stream, *rest in batch.samples:
        parts += (_SAMPLE.pack(owner, counted, stream, *rest, len(group)), group)
    return b"".join(parts)


def encoded_bytes(sample: Sample) -> int:
    """Return how many bytes *sample* adds to a batch."""
    return _SAMPLE.size + len(sample.group)


def are_samples(value: bytes) -> bool:
    """True if *value* is what `encode_samples` makes, of whatever version."""
    return value[:3] == _MAGIC[:3]


def decode_samples(value: bytes) -> SampleBatch:
    """Return what `encode_samples` was given; ValueError if it is nothing that it made."""
    if value[:4] != _MAGIC:
        raise ValueError("are no samples of version 1")
    try:
        return SampleBatch(_HEAD.unpack_from(value)[1], list(_samples(value)))
    except struct.error as error:
        raise ValueError(f"are no samples: {error}") from error


def _samples(value: bytes) -> Iterator[Sample]:
    at = _HEAD.size
    while at < len(value):
        owner, counted, stream, time_ns, meaning, *rest, size = _SAMPLE.unpack_from(value, at)
        at += _SAMPLE.size
        group = value[at : at + size]
        if len(group) < size:
            raise ValueError("are no samples: they end within one")
        at += size
        yield Sample(owner, counted, group, stream, time_ns, Meaning(meaning), *rest)
