"""Requests of Prometheus's remote write, 1.0 and 2.0, as bytes.

From https://prometheus.io/docs/specs/prw/remote_write_spec/ and remote_write_spec_2_0. Written by
hand: what does not change from one request to the next is encoded once and joined.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, NamedTuple

from tailrace.schemas.otlp.wire import LENGTHS, varint
from tailrace.schemas.otlp.wire import field as framed_field
from tailrace.schemas.prometheus.native import Native, spans

STALE: Final = struct.unpack("<d", struct.pack("<Q", 0x7FF0000000000002))[0]
"""The NaN that says that a series has ended; arithmetic makes another one of it."""
STALE_BYTES: Final = struct.pack("<Q", 0x7FF0000000000002)

Type = Literal["", "counter", "gauge", "histogram", "summary", "info"]
_TYPES: Final[Mapping[Type, int]] = {
    "": 0, "counter": 1, "gauge": 2, "histogram": 3, "summary": 5, "info": 6,
}  # fmt: skip
Pairs = tuple[tuple[str, str], ...]
"""Labels, in the order of their names; no value is empty."""


@dataclass(frozen=True, slots=True)
class Metadata:
    """What is said of a metric: `name` is that of the family, as without `_bucket`."""

    name: str
    type: Type
    help: str = ""
    unit: str = ""


class Exemplar(NamedTuple):
    """One example of what a series counts; `at` in ms."""

    labels: Pairs
    value: float
    at: int


@dataclass(frozen=True, slots=True)
class Series:
    """A series. `labels`: as the format has them, what is long shared with other series."""

    labels: tuple[Any, ...]
    size: int
    """Bytes of the labels in 1.0."""
    metadata: Metadata


@dataclass(slots=True)
class Batch:
    """What one request holds: a sample of each of `series`, or a histogram of each of `natives`.

    `values`: 8 bytes each, little-endian. Times in ms; a start of 0 is not known. `exemplars`: by
    place in `series`. `metadata`: that 1.0 tells along with it.
    """

    series: Sequence[Series]
    values: bytes
    times: Sequence[int]
    starts: Sequence[int]
    exemplars: Mapping[int, Sequence[Exemplar]] = field(default_factory=dict)
    natives: Sequence[Native | None] = ()
    metadata: Sequence[Metadata] = ()

    def __len__(self) -> int:
        return len(self.series)

    def part(self, first: int, end: int) -> Batch:
        """Return it with only the series from *first* to before *end*, and a share of metadata.

        Parts get smaller with that too, and all of them together say all of it.
        """
        said, count = len(self.metadata), len(self)
        return Batch(
            self.series[first:end],
            self.values[8 * first : 8 * end],
            self.times[first:end],
            self.starts[first:end],
            {at - first: each for at, each in self.exemplars.items() if first <= at < end},
            self.natives[first:end],
            self.metadata[first * said // count : end * said // count],
        )


class _Encoded(dict[tuple[str, str], bytes]):
    """Labels as 1.0 has them in a series; equal ones are one object."""

    def __missing__(self, pair: tuple[str, str]) -> bytes:
        encoded = self[pair] = framed_field(1, _label(*pair))
        return encoded


class Format1:
    """`prometheus.WriteRequest`."""

    headers: Final = {
        "Content-Type": "application/x-protobuf",
        "Content-Encoding": "snappy",
        "X-Prometheus-Remote-Write-Version": "0.1.0",
    }

    def __init__(self) -> None:
        self._encoded = _Encoded()

    def series(self, labels: Pairs, metadata: Metadata) -> Series:
        """Return the series of *labels*."""
        encoded = tuple(self._encoded[pair] for pair in labels)
        return Series(encoded, sum(map(len, encoded)), metadata)

    def encode(self, batch: Batch) -> bytes:
        """Return the request that *batch* is."""
        parts: list[bytes] = []
        tails = _Tails()
        values, natives, exemplars = batch.values, batch.natives, batch.exemplars
        for place, (series, at) in enumerate(zip(batch.series, batch.times, strict=True)):
            native = natives[place] if natives else None
            if native is not None:
                body = _framed(4, _native(native, at, 0)) + _exemplars_1(exemplars.get(place, ()))
                parts += (b"\x0a", LENGTHS[series.size + len(body)], *series.labels, body)
                continue
            head, tail, size = tails[at]
            value = values[8 * place : 8 * place + 8]
            more = _exemplars_1(exemplars[place]) if place in exemplars else b""
            parts += (
                b"\x0a", LENGTHS[series.size + size + len(more)],
                *series.labels, head, value, tail, more,
            )  # fmt: skip
        parts += (_framed(3, _metadata_1(each)) for each in batch.metadata)
        return b"".join(parts)


class _Tails(dict[int, tuple[bytes, bytes, int]]):
    """What stands before and after the value of a sample of 1.0, by its time, and how long all is.

    The number of the field, the length, the tag of the value; and the time.
    """

    def __missing__(self, at: int) -> tuple[bytes, bytes, int]:
        tail = _int64(2, at)
        length = 9 + len(tail)
        found = self[at] = b"\x12" + varint(length) + b"\x09", tail, 2 + length
        return found


class _Symbols(dict[str, bytes]):
    """References to the texts of one request, in order of appearance; the first is empty."""

    def __init__(self) -> None:
        super().__init__({"": b"\x00"})

    def __missing__(self, text: str) -> bytes:
        reference = self[text] = varint(len(self))
        return reference


class Format2:
    """`io.prometheus.write.v2.Request`."""

    headers: Final = {
        "Content-Type": "application/x-protobuf;proto=io.prometheus.write.v2.Request",
        "Content-Encoding": "snappy",
        "X-Prometheus-Remote-Write-Version": "2.0.0",
    }

    def __init__(self) -> None:
        self._texts: dict[str, str] = {}

    def series(self, labels: Pairs, metadata: Metadata) -> Series:
        """Return the series of *labels*."""
        known = self._texts
        return Series(
            tuple(known.setdefault(text, text) for pair in labels for text in pair), 0, metadata
        )

    def encode(self, batch: Batch) -> bytes:
        """Return the request that *batch* is."""
        parts: list[bytes] = []
        symbols, metadata, times = _Symbols(), dict[int, bytes](), _Times()
        values, natives, exemplars = batch.values, batch.natives, batch.exemplars
        refer = symbols.__getitem__
        for place, (series, at, start) in enumerate(
            zip(batch.series, batch.times, batch.starts, strict=True)
        ):
            refs = b"".join(map(refer, series.labels))
            said = metadata.get(id(series.metadata))
            if said is None:
                said = metadata[id(series.metadata)] = _metadata_2(series.metadata, symbols)
            head, tail, created = times[at, start]
            native = natives[place] if natives else None
            if native is None:
                sample = head + values[8 * place : 8 * place + 8] + tail
            else:
                sample = _framed(3, _native(native, at, start))
            if place in exemplars:
                sample += b"".join(_exemplar_2(each, symbols) for each in exemplars[place])
            piece = (b"\x0a", LENGTHS[len(refs)], refs, sample, said, created)
            parts += (b"\x2a", LENGTHS[sum(map(len, piece))], *piece)
        return b"".join([*(_framed(4, text.encode()) for text in symbols), *parts])


class _Times(dict[tuple[int, int], tuple[bytes, bytes, bytes]]):
    """What stands around the value of a sample of 2.0, by its time and its start.

    The start is told twice: of the sample, and of the series, as the first receivers want it.
    """

    def __missing__(self, key: tuple[int, int]) -> tuple[bytes, bytes, bytes]:
        at, start = key
        tail = _int64(2, at) + (_int64(3, start) if start else b"")
        created = _int64(6, start) if start else b""
        found = self[key] = b"\x12" + varint(9 + len(tail)) + b"\x09", tail, created
        return found


def _framed(number: int, payload: bytes) -> bytes:
    return bytes((number << 3 | 2,)) + LENGTHS[len(payload)] + payload


def _int64(number: int, value: int) -> bytes:
    return bytes((number << 3,)) + varint(value & 0xFFFFFFFFFFFFFFFF)


def _tag(number: int, kind: int) -> bytes:
    return varint(number << 3 | kind)


def _double(number: int, value: float) -> bytes:
    if math.isnan(value):  # the only one that is sent says that a series has ended
        return _tag(number, 1) + STALE_BYTES
    return _tag(number, 1) + struct.pack("<d", value)


def _zigzag(value: int) -> int:
    return value << 1 if value >= 0 else (-value << 1) - 1


def _label(name: str, value: str) -> bytes:
    return framed_field(1, name.encode()) + framed_field(2, value.encode())


def _metadata_1(metadata: Metadata) -> bytes:
    texts = ((2, metadata.name), (4, metadata.help), (5, metadata.unit))
    said = b"".join(_framed(number, text.encode()) for number, text in texts if text)
    return _int64(1, _TYPES[metadata.type]) + said


def _metadata_2(metadata: Metadata, symbols: _Symbols) -> bytes:
    body = _int64(1, _TYPES[metadata.type])
    for number, text in ((3, metadata.help), (4, metadata.unit)):
        if text:
            body += bytes((number << 3,)) + symbols[text]
    return _framed(5, body)


def _exemplars_1(exemplars: Iterable[Exemplar]) -> bytes:
    return b"".join(
        _framed(
            3,
            b"".join(framed_field(1, _label(*pair)) for pair in each.labels)
            + _double(2, each.value)
            + _int64(3, each.at),
        )
        for each in exemplars
    )


def _exemplar_2(exemplar: Exemplar, symbols: _Symbols) -> bytes:
    refs = b"".join(symbols[text] for pair in exemplar.labels for text in pair)
    body = _framed(1, refs) + _double(2, exemplar.value) + _int64(3, exemplar.at)
    return _framed(4, body)


def _native(native: Native, at: int, start: int) -> bytes:
    """Return the histogram, whose fields have the same numbers in both formats."""
    parts = [
        _int64(1, native.count),
        _double(3, native.sum),
        _int64(4, _zigzag(native.scale)),
        _double(5, native.zero_threshold),
        _int64(6, native.zero_count),
    ]
    for counts, of_spans, of_deltas in ((native.negative, 8, 9), (native.positive, 11, 12)):
        found, deltas = spans(counts)
        parts += (
            _framed(of_spans, _int64(1, _zigzag(gap)) + _int64(2, length)) for gap, length in found
        )
        if deltas:
            packed = b"".join(varint(_zigzag(delta)) for delta in deltas)
            parts.append(_framed(of_deltas, packed))
    parts.append(_int64(15, at))
    if start:
        parts.append(_tag(17, 0) + varint(start))
    return b"".join(parts)
