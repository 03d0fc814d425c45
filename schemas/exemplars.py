"""Exemplars: spans of traces that were kept, each an example of what its series counted.

They are of series as `series` has their keys, and go to the partition where those are written. A
batch is what one source says in one record: magic and version, numbers of keys and exemplars, the
family, then the lengths of keys, the keys, and the exemplars by column. Little endian.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np

_MAGIC: Final = b"TRX\x01"
_HEAD = struct.Struct("<4sHII")  # magic, bytes of the family, keys, exemplars
_ROW = np.dtype(
    [("key", "<u4"), ("value", "<i8"), ("time", "<i8"), ("trace", "V16"), ("span", "V8")]
)


class Exemplar(NamedTuple):
    """A span: what it measured (ns), when it ended (ns since 1970), 16 and 8 bytes of its IDs."""

    value_ns: int
    time_ns: int
    trace_id: bytes
    span_id: bytes


class ExemplarBatch(NamedTuple):
    """Exemplars of one family, by the key of their series, in the order in which they came."""

    family: str
    by_key: Mapping[bytes, Sequence[Exemplar]]


def encode_exemplars(batch: ExemplarBatch) -> bytes:
    """Return *batch* as bytes of version 1."""
    rows = np.array(
        [
            (number, *exemplar)
            for number, exemplars in enumerate(batch.by_key.values())
            for exemplar in exemplars
        ],
        _ROW,
    )
    family = batch.family.encode()
    lengths = np.fromiter(map(len, batch.by_key), "<u4", len(batch.by_key))
    head = _HEAD.pack(_MAGIC, len(family), len(batch.by_key), len(rows))
    return b"".join((head, family, lengths.tobytes(), *batch.by_key, rows.tobytes()))


def encoded_bytes(key: bytes, exemplars: int) -> int:
    """Return how many bytes *exemplars* of the new series *key* add to a batch."""
    return 4 + len(key) + _ROW.itemsize * exemplars


def are_exemplars(value: bytes) -> bool:
    """True if *value* is what `encode_exemplars` makes, of whatever version."""
    return value[:3] == _MAGIC[:3]


def decode_exemplars(value: bytes) -> ExemplarBatch:
    """Return what `encode_exemplars` was given; ValueError if it is nothing that it made."""
    if value[:4] != _MAGIC:
        raise ValueError("are no exemplars of version 1")
    try:
        _, family_bytes, key_count, count = _HEAD.unpack_from(value)
        at = _HEAD.size + family_bytes
        family = value[_HEAD.size : at].decode()
        lengths = np.frombuffer(value, "<u4", key_count, at)
        first = at + 4 * key_count
        ends = (first + np.cumsum(lengths, dtype=np.int64)).tolist()
        starts = [first, *ends]
        keys = [value[start:end] for start, end in zip(starts, ends, strict=False)]
        rows = np.frombuffer(value, _ROW, -1, starts[-1])
    except (struct.error, ValueError) as error:
        raise ValueError(f"are no exemplars: {error}") from error
    if len(rows) != count or (count and int(rows["key"].max()) >= key_count):
        raise ValueError("are no exemplars: they do not add up")
    by_key: dict[bytes, list[Exemplar]] = {key: [] for key in keys}
    for number, value_ns, time_ns, trace_id, span_id in rows.tolist():
        by_key[keys[number]].append(Exemplar(value_ns, time_ns, trace_id, span_id))
    return ExemplarBatch(family, by_key)
