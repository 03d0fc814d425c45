"""Data points of OTLP metrics, encoded by column.

Nearly every number of a data point has a fixed size on the wire, so the numbers of many points are
one numpy array, whose bytes they are. The attributes come before them, see `stream_attributes`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from itertools import pairwise
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

from tailrace.agents.metrics.instruments import Instrument
from tailrace.schemas import exponential
from tailrace.schemas.otlp.wire import LENGTH_DELIMITED, field, varint
from tailrace.schemas.sums import SECOND_NS, Ints, Layout, counted

MS_NS: Final = 1_000_000
_FIXED64 = 1
_EXACT_S: Final = (1 << 53) // SECOND_NS
"""Below so many seconds a sum of nanoseconds is a whole number that doubles have."""
_MIN, _MAX, _ZEROS, _DOWN, _OFFSET = range(exponential.HEAD)
"""Columns of a row of an exponential histogram."""
_TIMES: Final = [
    ("start_tag", "u1"), ("start", "<u8"),
    ("time_tag", "u1"), ("time", "<u8"),
]  # fmt: skip


def _tag(number: int) -> int:
    return number << 3 | _FIXED64


class Points(Protocol):
    """Encodes data points of one instrument. Numbers of fields: of a point's own message."""

    attributes: int
    exemplars: int
    flags: int
    width: int
    """Bytes of a point without its attributes; 0 if that depends on the point."""

    def cells(self, rows: Ints, parts: Sequence[str]) -> Ints:
        """Return what *rows* of the layout say of *parts*, added up; without parts, nothing."""
        ...

    def together(self, left: Ints, right: Ints) -> Ints:
        """Return the cells of what *left* and *right* are of."""
        ...

    def encode(self, starts: Ints, times: Ints, cells: Ints) -> list[bytes]:
        """Return points of *cells* without their attributes; starts and times in ms."""
        ...


class SumPoints:
    """Encodes NumberDataPoints, whose values are whole numbers."""

    attributes: int = 7
    exemplars: int = 5
    flags: int = 8
    _DTYPE = np.dtype([*_TIMES, ("value_tag", "u1"), ("value", "<i8")])
    width: int = _DTYPE.itemsize

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    def cells(self, rows: Ints, parts: Sequence[str]) -> Ints:
        total = np.zeros(len(rows), np.int64)
        for name in parts:
            total += counted(self._layout, rows, name)
        return total

    def together(self, left: Ints, right: Ints) -> Ints:
        return left + right

    def encode(self, starts: Ints, times: Ints, cells: Ints) -> list[bytes]:
        points = _timed(self._DTYPE, starts, times)
        points["value_tag"], points["value"] = _tag(6), cells
        return _cut(points)


class HistogramPoints:
    """Encodes HistogramDataPoints with the layout's bounds, in a unit of *unit_ns*."""

    attributes: int = 9
    exemplars: int = 8
    flags: int = 10

    def __init__(self, layout: Layout, unit_ns: int) -> None:
        self._layout = layout
        self._unit_ns = unit_ns
        buckets = len(layout.bounds) + 1
        self._head = _bytes(bytes((6 << 3 | LENGTH_DELIMITED,)) + varint(8 * buckets))
        scaled = np.array([bound / unit_ns for bound in layout.bounds], "<f8").tobytes()
        self._bounds = _bytes(field(7, scaled) if layout.bounds else b"")
        self._dtype = np.dtype(
            [
                *_TIMES,
                ("count_tag", "u1"), ("count", "<u8"),
                ("sum_tag", "u1"), ("sum", "<f8"),
                ("head", "u1", (len(self._head),)), ("buckets", "<u8", (buckets,)),
                ("bounds", "u1", (len(self._bounds),)),
            ]
        )  # fmt: skip
        self.width: int = self._dtype.itemsize

    def cells(self, rows: Ints, parts: Sequence[str]) -> Ints:
        return added_up(self._layout, rows, parts)

    def together(self, left: Ints, right: Ints) -> Ints:
        return _together(self._layout, left, right)

    def encode(self, starts: Ints, times: Ints, cells: Ints) -> list[bytes]:
        """Return the points; a sum is the double next to the exact one."""
        points = _timed(self._dtype, starts, times)
        points["count_tag"], points["sum_tag"] = _tag(4), _tag(5)
        points["count"], points["buckets"] = durations_counted(self._layout, cells), cells[:, 2:]
        points["sum"] = scaled_sums(cells, self._unit_ns)
        points["head"], points["bounds"] = self._head, self._bounds
        return _cut(points)


class ExponentialPoints:
    """Encodes ExponentialHistogramDataPoints in a unit of *unit_ns*, the layout's."""

    attributes: int = 1
    exemplars: int = 11
    flags: int = 10
    width: int = 0
    _DTYPE = np.dtype(
        [
            ("start_tag", "u1"), ("start", "<u8"),
            ("time_tag", "u1"), ("time", "<u8"),
            ("count_tag", "u1"), ("count", "<u8"),
            ("sum_tag", "u1"), ("sum", "<f8"),
            ("scale_tag", "u1"), ("scale", "u1"),
            ("zeros_tag", "u1"), ("zeros", "<u8"),
        ]
    )  # fmt: skip
    _EXTREMES = np.dtype([("min_tag", "u1"), ("min", "<f8"), ("max_tag", "u1"), ("max", "<f8")])

    def __init__(self, layout: Layout, unit_ns: int) -> None:
        self._layout = layout
        self._unit_ns = unit_ns

    def cells(self, rows: Ints, parts: Sequence[str]) -> Ints:
        return added_up(self._layout, rows, parts)

    def together(self, left: Ints, right: Ints) -> Ints:
        return _together(self._layout, left, right)

    def encode(self, starts: Ints, times: Ints, cells: Ints) -> list[bytes]:
        """Return the points; least and largest are said where something was observed."""
        rows = cells[:, 2:]
        count, has_buckets = durations_counted(self._layout, cells), rows[:, exponential.HEAD] > 0
        points = _timed(self._DTYPE, starts, times)
        points["count_tag"], points["sum_tag"] = _tag(4), _tag(5)
        points["scale_tag"], points["zeros_tag"] = 6 << 3, _tag(7)
        points["count"], points["zeros"] = count, rows[:, _ZEROS]
        points["sum"] = scaled_sums(cells, self._unit_ns)
        # Nothing but zeros has scale 0, as in the collector. What is empty, which only we say, has
        # the finest: to whoever adds up histograms, all are as coarse as the coarsest.
        finest = np.where(count > 0, 0, exponential.MAX_SCALE)
        scales = np.where(has_buckets, exponential.MAX_SCALE - rows[:, _DOWN], finest)
        points["scale"] = _zigzags(scales)
        extremes = np.zeros(len(cells), self._EXTREMES)
        extremes["min_tag"], extremes["max_tag"] = _tag(12), _tag(13)
        extremes["min"], extremes["max"] = (
            rows[:, _MIN] / self._unit_ns,
            rows[:, _MAX] / self._unit_ns,
        )
        offsets = _zigzags(rows[:, _OFFSET]).tolist()
        packed = _packed_counts(rows[:, exponential.HEAD :])
        columns = zip(_cut(points), _cut(extremes), count.tolist(), offsets, packed, strict=True)
        return [
            numbers + (ends if any_ else b"") + (_positive(offset, buckets) if buckets else b"")
            for numbers, ends, any_, offset, buckets in columns
        ]


def _positive(offset: int, counts: bytes) -> bytes:
    return field(8, b"\x08" + varint(offset) + field(2, counts))


def _packed_counts(buckets: Ints) -> list[bytes]:
    """Return the counts of each row up to its last that is not zero, as varints."""
    used = buckets.shape[1] - (buckets[:, ::-1] != 0).argmax(1)
    used[~buckets.any(1)] = 0
    is_used = np.arange(buckets.shape[1]) < used[:, np.newaxis]
    counts = buckets[is_used].astype(np.uint64)
    sizes = np.ones(len(counts), np.int64)
    for bits in range(7, 64, 7):
        if not (is_longer := counts >> np.uint64(bits) > 0).any():
            break
        sizes += is_longer
    ends = np.cumsum(sizes)
    encoded = np.zeros(int(sizes.sum()), np.uint8)
    for place in range(int(sizes.max(initial=0))):
        has = sizes > place
        low = (counts[has] >> np.uint64(7 * place)).astype(np.uint8) & 0x7F
        more = (sizes[has] > place + 1).astype(np.uint8) << 7
        encoded[ends[has] - sizes[has] + place] = low | more
    whole = encoded.tobytes()
    bounds = np.concatenate([[0], ends])[np.concatenate([[0], np.cumsum(used)])].tolist()
    return [whole[start:end] for start, end in pairwise(bounds)]


def _zigzags(numbers: Ints) -> Ints:
    zigzags: Ints = np.where(numbers >= 0, numbers << 1, (-numbers << 1) - 1)
    return zigzags


def points_of(instrument: Instrument, layout: Layout) -> Points:
    """Return what encodes the points of *instrument*, made of rows of *layout*."""
    if not instrument.is_histogram:
        return SumPoints(layout)
    kind = ExponentialPoints if layout.is_exponential else HistogramPoints
    return kind(layout, instrument.unit_ns)


def added_up(layout: Layout, rows: Ints, parts: Sequence[str]) -> Ints:
    """Return the histograms *parts* of each of *rows* as one; without parts, an empty one."""
    if not parts:
        return np.zeros((len(rows), layout.stride), np.int64)
    return reduce(
        lambda left, right: _together(layout, left, right),
        (rows[:, layout.columns(name)] for name in parts),
    )


def _together(layout: Layout, left: Ints, right: Ints) -> Ints:
    result: Ints = left + right
    if layout.is_exponential:
        result[:, 2:] = exponential.added(left[:, 2:], right[:, 2:])
    return result


def durations_counted(layout: Layout, cells: Ints) -> Ints:
    """Return how many durations the histogram of each row of *cells* has."""
    if layout.is_exponential:
        return exponential.counts(cells[:, 2:])
    count: Ints = cells[:, 2:].sum(1)
    return count


def scaled_sums(cells: Ints, unit_ns: int) -> npt.NDArray[np.float64]:
    """Return the sum of each row in a unit of *unit_ns*, rounded once."""
    seconds, nanoseconds = cells[:, 0], cells[:, 1]
    sums: npt.NDArray[np.float64] = (seconds * SECOND_NS + nanoseconds) / unit_ns
    for row in np.flatnonzero(seconds >= _EXACT_S - 1).tolist():
        # Python's integers: a sum may exceed 64 bits of nanoseconds, and / rounds once.
        sums[row] = (int(seconds[row]) * SECOND_NS + int(nanoseconds[row])) / unit_ns
    return sums


def _timed(dtype: np.dtype[np.void], starts: Ints, times: Ints) -> npt.NDArray[np.void]:
    points = np.zeros(len(starts), dtype)
    points["start_tag"], points["time_tag"] = _tag(2), _tag(3)
    points["start"], points["time"] = starts * MS_NS, times * MS_NS
    return points


def _cut(points: npt.NDArray[np.void]) -> list[bytes]:
    """Return the bytes of each of *points*."""
    cut: list[bytes] = points.view(f"V{points.dtype.itemsize}").tolist()
    return cut


def _bytes(value: bytes) -> npt.NDArray[np.uint8]:
    return np.frombuffer(value, np.uint8)
