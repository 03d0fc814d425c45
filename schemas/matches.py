"""Matches: how often spans were what a definition asks for, from stage 1 to stage 2.

A *signal* is one thing that a definition counts: events, and which of them match. A definition has
one signal, or one for each operand of its formula. The key of a signal's series begins with its
owner and ends with the group, so that all that one alert needs comes to one partition. It has no
time in it: what it is found by is found once, and not again every second.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple, TypeAlias

import numpy as np
import orjson

from tailrace.schemas import compact_json
from tailrace.schemas.alert_events import EvidenceSpan
from tailrace.schemas.exemplars import ExemplarBatch
from tailrace.schemas.half_edges import LinkHalves
from tailrace.schemas.metric_samples import SampleBatch
from tailrace.schemas.sums import Ints, Layout, Rollup

MATCHES: Final = "matches"
MATCHES_LAYOUT: Final = Layout(MATCHES, ("all", "matched"), ())
ALL_COUNT: Final = 2
"""Column of a row: how many events there were."""
MATCHED_COUNT: Final = 5
"""Column of a row: how many of them matched."""

_SIGNAL_BYTES: Final = 12
_OWNER_BYTES: Final = 8
_MAGIC = b"TRE\x01"
_COUNTS_MAGIC: Final = b"TRS\x02"
"""As of sums, of a version later than theirs: who does not read it must not pass it over."""
_HEAD = struct.Struct("<4s?qqII")  # magic, are counts narrow, start, end, series, rows
_OLD_KEY = struct.Struct(">8s4sq")


class SignalId(NamedTuple):
    """`owner`: 8 bytes of the definition's key; `counted`: 4 bytes of what is counted, and how."""

    owner: bytes
    counted: bytes


class Series(NamedTuple):
    """What one signal counts in one group."""

    signal: SignalId
    group: bytes

    def encode(self) -> bytes:
        """Return the key of the series."""
        return b"".join((*self.signal, self.group))


def decode_key(key: bytes) -> Series:
    """Return what `Series.encode` was called on."""
    signal = SignalId(key[:_OWNER_BYTES], key[_OWNER_BYTES:_SIGNAL_BYTES])
    return Series(signal, key[_SIGNAL_BYTES:])


def counted_of(key: bytes) -> bytes:
    """Return what of its owner the series of *key* counts, as a signal's id has it."""
    return key[_OWNER_BYTES:_SIGNAL_BYTES]


def place(key: bytes) -> int:
    """Return the hash that decides the partition: of owner and group, not of what is counted."""
    return zlib.crc32(key[_SIGNAL_BYTES:], zlib.crc32(key[:_OWNER_BYTES]))


class MatchCounts(NamedTuple):
    """What one source counted in [start, end), ms of stream time.

    `events[i]` of `keys[series[i]]` were in second `seconds[i]` of event time, and `matches[i]` of
    them matched. `series` ascend; none is there twice in one second.
    """

    start: int
    end: int
    keys: list[bytes]
    series: Ints
    seconds: Ints
    events: Ints
    matches: Ints


def encode_counts(counts: MatchCounts) -> bytes:
    """Return *counts* as bytes of version 2; version 1 were sums whose keys had the second.

    Head; lengths of keys and how many rows each has (u32); keys; then by column the seconds (i32,
    from the first of the interval), events and matches (u16 or i64). Little endian.
    """
    most = max(int(counts.events.max(initial=0)), int(counts.matches.max(initial=0)))
    is_narrow = most < 1 << 16
    width = "<u2" if is_narrow else "<i8"
    lengths = np.fromiter(map(len, counts.keys), "<u4", len(counts.keys))
    rows = np.bincount(counts.series, minlength=len(counts.keys)).astype("<u4")
    head = (counts.start, counts.end, len(counts.keys), len(counts.series))
    return b"".join(
        (
            _HEAD.pack(_COUNTS_MAGIC, is_narrow, *head),
            lengths.tobytes(),
            rows.tobytes(),
            *counts.keys,
            (counts.seconds - counts.start // 1000).astype("<i4").tobytes(),
            counts.events.astype(width).tobytes(),
            counts.matches.astype(width).tobytes(),
        )
    )


def are_counts(value: bytes) -> bool:
    """True if *value* is what `encode_counts` makes."""
    return value[:4] == _COUNTS_MAGIC


def decode_counts(value: bytes) -> MatchCounts:
    """Return what `encode_counts` was given; ValueError if it is nothing that it made."""
    try:
        magic, is_narrow, start, end, series, rows = _HEAD.unpack_from(value)
        if magic != _COUNTS_MAGIC:
            raise ValueError("is no count of matches of version 2")
        at = _HEAD.size
        lengths = np.frombuffer(value, "<u4", series, at)
        of_each = np.frombuffer(value, "<u4", series, at + 4 * series)
        at += 8 * series
        bounds = [at, *(at + np.cumsum(lengths, dtype=np.int64)).tolist()]
        keys = [value[bounds[number] : bounds[number + 1]] for number in range(series)]
        seconds = np.frombuffer(value, "<i4", rows, bounds[-1]).astype(np.int64) + start // 1000
        width = np.dtype("<u2" if is_narrow else "<i8")
        counts = np.frombuffer(value, width, 2 * rows, bounds[-1] + 4 * rows).astype(np.int64)
        if int(of_each.sum(dtype=np.int64)) != rows:
            raise ValueError("is no count of matches: its rows are not those of its series")
        numbers = np.repeat(np.arange(series), of_each)
    except struct.error as error:
        raise ValueError(f"is no count of matches: {error}") from error
    return MatchCounts(start, end, keys, numbers, seconds, counts[:rows], counts[rows:])


def match_counts(start: int, end: int, rows: Iterable[tuple[Series, int, int, int]]) -> MatchCounts:
    """Return the counts of *rows*: series, second, events and matches."""
    numbers: dict[bytes, int] = {}
    found = [(numbers.setdefault(row[0].encode(), len(numbers)), *row[1:]) for row in rows]
    columns = np.array(sorted(found), np.int64).reshape(-1, 4).T
    return MatchCounts(start, end, list(numbers), *columns)


def of_version_1(rollup: Rollup) -> MatchCounts:
    """Return what *rollup* counts, which a tailrace before version 2 wrote."""
    rows = []
    columns = rollup.rows[:, [ALL_COUNT, MATCHED_COUNT]].tolist()
    for key, counts in zip(rollup.keys, columns, strict=True):
        owner, counted, second = _OLD_KEY.unpack_from(key)
        series = Series(SignalId(owner, counted), key[_OLD_KEY.size :])
        rows.append((series, second, *counts))
    return match_counts(rollup.start, rollup.end, rows)


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


RollupRecord: TypeAlias = (
    Rollup | MatchCounts | EvidenceBatch | SampleBatch | ExemplarBatch | LinkHalves | None
)
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
