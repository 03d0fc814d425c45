"""Blocks of half edges: what a checkpoint adds to the journal.

A block's value: one byte of version; the lengths of three parts (u32 each): prototypes, halves,
pairings; the serial after its last (i64); the base serial and the base time (i64, ms); the
prototypes (JSON); columns of the halves: serials after the base (u32), prototypes (u32), durations
(i64, ns), milliseconds after the base time (i64), states (u8), keys (24 bytes each, only of halves
that pair); serials of halves of earlier blocks that were paired since (i64). Little endian.
In version 2, which is written where there is a weight other than 1, prototypes have theirs; in
version 3, which is written where there is a tenant other than `default`, weight and tenant.
"""

from __future__ import annotations

import struct
from collections.abc import Collection
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import orjson

from tailrace.schemas.definitions.definition import DEFAULT_TENANT
from tailrace.schemas.half_edges import (
    DATABASE,
    KEY_BYTES,
    ROOT,
    Ints,
    Keys,
    Prototype,
    prototype_fields,
    prototype_of,
)

_HEAD = struct.Struct("<BIIIqqq")
_VERSION, _WEIGHTED, _OWNED = 1, 2, 3
_FIELDS = {_VERSION: 3, _WEIGHTED: 4, _OWNED: 5}
"""How many fields of a prototype are written."""


class Block(NamedTuple):
    """Halves, ascending by serial, and serials of earlier ones that were `paired` since.

    `prototypes[i]` is what half i has in common with others. All serials are below `end`.
    """

    end: int
    serials: Ints
    prototypes: list[Prototype]
    durations: Ints
    times: Ints
    states: npt.NDArray[np.uint8]
    keys: Keys
    paired: Ints


def has_key(states: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    """True for halves for which another side may come."""
    keyed: npt.NDArray[np.bool_] = (states & (ROOT | DATABASE)) == 0
    return keyed


def encode(block: Block) -> bytes:
    """Return the value of *block*."""
    numbers: dict[Prototype, int] = {}
    used = [numbers.setdefault(prototype, len(numbers)) for prototype in block.prototypes]
    version = _version(numbers)
    common = orjson.dumps([prototype_fields(each, _FIELDS[version]) for each in numbers])
    count = len(used)
    base, time = (int(block.serials[0]), int(block.times[0])) if count else (0, 0)
    head = _HEAD.pack(version, len(common), count, len(block.paired), block.end, base, time)
    return b"".join(
        (
            head,
            common,
            (block.serials - base).astype("<u4").tobytes(),
            np.array(used, "<u4").tobytes(),
            block.durations.astype("<i8").tobytes(),
            (block.times - time).astype("<i8").tobytes(),
            block.states.tobytes(),
            block.keys[has_key(block.states)].tobytes(),
            block.paired.astype("<i8").tobytes(),
        )
    )


def _version(prototypes: Collection[Prototype]) -> int:
    """Return the earliest version that can say all of *prototypes*."""
    if any(each.tenant != DEFAULT_TENANT for each in prototypes):
        return _OWNED
    return _WEIGHTED if any(each.weight != 1 for each in prototypes) else _VERSION


def decode(value: bytes) -> Block:
    """Return what `encode` was given; the keys of halves that do not pair are zero."""
    if value[0] not in _FIELDS:
        raise ValueError(
            f"a block of half edges of version {value[0]} is not known to this tailrace; run the "
            f"version that wrote it"
        )
    _, length, count, refs, end, base, time = _HEAD.unpack_from(value)
    at = _HEAD.size + length
    common = [prototype_of(each) for each in orjson.loads(value[_HEAD.size : at])]
    serials = np.frombuffer(value, "<u4", count, at).astype(np.int64) + base
    used = np.frombuffer(value, "<u4", count, at + 4 * count).tolist()
    durations = np.frombuffer(value, "<i8", count, at + 8 * count).astype(np.int64)
    times = np.frombuffer(value, "<i8", count, at + 16 * count).astype(np.int64) + time
    states = np.frombuffer(value, np.uint8, count, at + 24 * count).copy()
    at += 25 * count
    keys, keyed = np.zeros(count, f"V{KEY_BYTES}"), has_key(states)
    stored = int(np.count_nonzero(keyed))
    keys[keyed] = np.frombuffer(value, keys.dtype, stored, at)
    at += KEY_BYTES * stored
    paired = np.frombuffer(value, "<i8", refs, at).astype(np.int64)
    prototypes = [common[number] for number in used]
    return Block(end, serials, prototypes, durations, times, states, keys, paired)
