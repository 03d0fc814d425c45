"""Half edges: one side each of a call, and how those that are of other traces' calls are sent.

A producer may be linked to by consumers of any trace, which other partitions have. So producers,
and the links of consumers, meet in the partition of the rollup topic that their key hashes to.

A record is what one source had for one partition in an interval of stream time: magic and version;
the interval's end (i64, ms); the lengths of what follows (u32 each): prototypes and halves; the
prototypes (JSON); columns of the halves: prototypes (u32), durations (i64, ns), states (u8), keys
(24 bytes each). Little endian.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import orjson

from tailrace.schemas.definitions.definition import DEFAULT_TENANT

Ints = npt.NDArray[np.int64]
Keys = npt.NDArray[np.void]
KEY_BYTES: Final = 24

CLIENT: Final = 1
"""A client or producer; else a server or consumer."""
ROOT: Final = 2
"""A server without parent: no client of it will come."""
DATABASE: Final = 4
"""A client of a database: no server of it will come."""
MESSAGING: Final = 8
FAILED: Final = 16
PAIRED: Final = 32
"""The other side came. A client is kept for further servers, until it expires."""
LEFT: Final = 64
"""It waits for nobody: a client that came twice, or a half that had no room."""
LINKED: Final = 128
"""It is looked for by links too: that it finds nobody here says nothing yet."""

_MAGIC: Final = b"TRH\x01"
_HEAD = struct.Struct("<4sqII")
_HALF_BYTES: Final = 4 + 8 + 1 + KEY_BYTES


class Prototype(NamedTuple):
    """What many halves have in common.

    `target` is the database or peer that a client names. `weight`: how many spans each stands for.
    """

    service: str
    target: str
    dimensions: tuple[tuple[str, str], ...] = ()
    weight: int = 1
    tenant: str = DEFAULT_TENANT


def cut(text: str, limit: int) -> str:
    """Return as much of *text* as *limit* bytes hold."""
    if len(text) * 4 <= limit:
        return text
    return text.encode()[:limit].decode(errors="ignore")


def shortened(prototype: Prototype, limit: int) -> Prototype:
    """Return *prototype* with no name longer than *limit* bytes."""
    return prototype._replace(
        service=cut(prototype.service, limit),
        target=cut(prototype.target, limit),
        dimensions=tuple((name, cut(text, limit)) for name, text in prototype.dimensions),
    )


def prototype_fields(prototype: Prototype, most: int = len(Prototype._fields)) -> list[Any]:
    """Return *prototype* as fields of JSON, the first *most* of them."""
    return list(prototype[:most])


def prototype_of(fields: Sequence[Any]) -> Prototype:
    """Return what `prototype_fields` was given, whose last fields may be missing."""
    service, target, dimensions, *rest = fields
    return Prototype(service, target, tuple(map(tuple, dimensions)), *rest)


class LinkHalves(NamedTuple):
    """Halves of an interval that ended at `end` (ms of stream time).

    Half i has `prototypes[of[i]]` in common with others, took `durations[i]` ns, and has
    `states[i]`, of which CLIENT, MESSAGING, FAILED and LINKED count: that one has found a side in
    its own trace, or may yet. The key of a producer is its trace ID and span ID, that of a
    consumer what it links to.
    """

    end: int
    prototypes: list[Prototype]
    of: Ints
    durations: Ints
    states: npt.NDArray[np.uint8]
    keys: Keys

    def part(self, rows: Ints) -> LinkHalves:
        """Return those of *rows*, with only the prototypes that they have, in order of use."""
        used, firsts, of = np.unique(self.of[rows], return_index=True, return_inverse=True)
        in_order = np.argsort(firsts)
        ranks = np.empty(len(used), np.int64)
        ranks[in_order] = np.arange(len(used))
        return LinkHalves(
            self.end,
            [self.prototypes[number] for number in used[in_order].tolist()],
            ranks[of],
            self.durations[rows],
            self.states[rows],
            self.keys[rows],
        )


def encoded_bytes(prototype: Prototype) -> int:
    """Return about how many bytes *prototype* adds to a record, besides `_HALF_BYTES` a half."""
    return len(orjson.dumps(prototype_fields(prototype)))


def encode_link_halves(halves: LinkHalves) -> bytes:
    """Return *halves* as bytes of version 1."""
    common = orjson.dumps([prototype_fields(each) for each in halves.prototypes])
    return b"".join(
        (
            _HEAD.pack(_MAGIC, halves.end, len(common), len(halves.of)),
            common,
            halves.of.astype("<u4").tobytes(),
            halves.durations.astype("<i8").tobytes(),
            halves.states.tobytes(),
            halves.keys.tobytes(),
        )
    )


def are_link_halves(value: bytes) -> bool:
    """True if *value* is what `encode_link_halves` makes, of whatever version."""
    return value[:3] == _MAGIC[:3]


def decode_link_halves(value: bytes) -> LinkHalves:
    """Return what `encode_link_halves` was given; ValueError if it is nothing that it made."""
    if value[:4] != _MAGIC:
        raise ValueError("are no half edges of version 1")
    try:
        _, end, length, count = _HEAD.unpack_from(value)
        at = _HEAD.size + length
        prototypes = [prototype_of(each) for each in orjson.loads(value[_HEAD.size : at])]
        if len(value) != at + count * _HALF_BYTES:
            raise ValueError("are no half edges: they are longer or shorter than they say")
        of = np.frombuffer(value, "<u4", count, at).astype(np.int64)
        if count and int(of.max()) >= len(prototypes):
            raise ValueError("are no half edges: one has nothing in common with any")
        durations = np.frombuffer(value, "<i8", count, at + 4 * count).astype(np.int64)
        states = np.frombuffer(value, np.uint8, count, at + 12 * count)
        keys = np.frombuffer(value, f"V{KEY_BYTES}", count, at + 13 * count)
    except (struct.error, TypeError, orjson.JSONDecodeError) as error:
        raise ValueError(f"are no half edges: {error}") from error
    return LinkHalves(end, prototypes, of, durations, states, keys)


def places(keys: Keys, partitions: int) -> Ints:
    """Return the partition of each of *keys*: the same for both sides of a call, whoever asks."""
    words = np.frombuffer(keys.tobytes(), "<u8").reshape(-1, KEY_BYTES // 8)
    mixed = np.zeros(len(keys), np.uint64)
    for column in words.T:
        mixed = (mixed ^ column) * np.uint64(0x9E3779B97F4A7C15)
        mixed ^= mixed >> np.uint64(32)
    found: Ints = (mixed % np.uint64(partitions)).astype(np.int64)
    return found
