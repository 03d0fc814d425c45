"""Matches: how often spans were what a definition asks for, from stage 1 to stage 2.

A *signal* is one thing that a definition counts: events, and which of them match. A definition has
one signal, or one for each operand of its formula. The key of a signal's series begins with its
owner and ends with the group, so that all that one alert needs comes to one partition.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Sequence
from typing import Final, NamedTuple, TypeAlias

import orjson

from tailrace.schemas import compact_json
from tailrace.schemas.alert_events import EvidenceSpan
from tailrace.schemas.metric_samples import SampleBatch
from tailrace.schemas.sums import Layout, Rollup

MATCHES: Final = "matches"
MATCHES_LAYOUT: Final = Layout(MATCHES, ("all", "matched"), ())
ALL_COUNT: Final = 2
"""Column of a row: how many events there were."""
MATCHED_COUNT: Final = 5
"""Column of a row: how many of them matched."""

_KEY = struct.Struct(">8s4sq")
_MAGIC = b"TRE\x01"


class SignalId(NamedTuple):
    """`owner`: 8 bytes of the definition's key; `counted`: 4 bytes of what is counted, and how."""

    owner: bytes
    counted: bytes


class MatchKey(NamedTuple):
    """A series of one signal and group, in one second of event time."""

    signal: SignalId
    second: int
    group: bytes

    def encode(self) -> bytes:
        """Return the key of the series in rollups."""
        return _KEY.pack(*self.signal, self.second) + self.group


def decode_key(key: bytes) -> MatchKey:
    """Return what `MatchKey.encode` was called on."""
    owner, counted, second = _KEY.unpack_from(key)
    return MatchKey(SignalId(owner, counted), second, key[_KEY.size :])


def place(key: bytes) -> int:
    """Return the hash that decides the partition: of owner and group, not of what is counted."""
    return zlib.crc32(key[_KEY.size :], zlib.crc32(key[:8]))


def encode_group(values: Sequence[str]) -> bytes:
    """Return the group of these values, in the order of the definition's `group_by`."""
    return compact_json.dumps(values)


def decode_group(group: bytes) -> list[str]:
    """Return what `encode_group` was given."""
    values: list[str] = orjson.loads(group)
    return values


def owner_id(kind: str, tenant: str, name: str) -> bytes:
    """Return the owner of a definition's signals."""
    return hashlib.blake2b(orjson.dumps([kind, tenant, name]), digest_size=8).digest()


class Evidence(NamedTuple):
    """Spans that matched, of one group of a signal; or what became of their trace."""

    signal: SignalId
    group: bytes
    span: EvidenceSpan


class TraceOutcome(NamedTuple):
    """A trace that is some group's evidence was decided."""

    signal: SignalId
    group: bytes
    trace_id: str
    is_sampled: bool


class EvidenceBatch(NamedTuple):
    """What one source says in one record: spans first, then decisions."""

    spans: Sequence[Evidence]
    outcomes: Sequence[TraceOutcome]


RollupRecord: TypeAlias = Rollup | EvidenceBatch | SampleBatch | None
"""What a record of the rollup topic holds; None: it is only a watermark."""


def encode_evidence(batch: EvidenceBatch) -> bytes:
    """Return *batch* as bytes of version 1."""
    spans = [
        [(each.signal.owner + each.signal.counted).hex(), each.group.decode(), *_cells(each.span)]
        for each in batch.spans
    ]
    outcomes = [
        [(o.signal.owner + o.signal.counted).hex(), o.group.decode(), o.trace_id, o.is_sampled]
        for o in batch.outcomes
    ]
    return bytes(bytearray(_MAGIC) + orjson.dumps([spans, outcomes]))


def is_evidence(value: bytes) -> bool:
    """True if *value* is what `encode_evidence` makes, of whatever version."""
    return value[:3] == _MAGIC[:3]


def decode_evidence(value: bytes) -> EvidenceBatch:
    """Return what `encode_evidence` was given; ValueError if it is nothing that it made."""
    if value[:4] != _MAGIC:
        raise ValueError("is no evidence of version 1")
    spans, outcomes = orjson.loads(value[4:])
    return EvidenceBatch(
        [
            Evidence(_signal(signal), group.encode(), EvidenceSpan(*cells))
            for signal, group, *cells in spans
        ],
        [TraceOutcome(_signal(each), group.encode(), *cells) for each, group, *cells in outcomes],
    )


def _cells(span: EvidenceSpan) -> tuple[object, ...]:
    return (
        span.trace_id, span.span_id, span.service, span.name, span.duration_ns, span.at,
        span.sampled,
    )  # fmt: skip


def _signal(text: str) -> SignalId:
    raw = bytes.fromhex(text)
    return SignalId(raw[:8], raw[8:])
