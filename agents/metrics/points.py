"""Data points of OTLP metrics, encoded by column.

Every number of a data point has a fixed size on the wire, so the numbers of many points are one
numpy array, whose bytes they are. The attributes come before them, encoded once for each series.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from tailrace.schemas.otlp.wire import LENGTH_DELIMITED, field, varint
from tailrace.schemas.sums import SECOND_NS, Ints

_DATA_POINTS = 1  # of Sum and Histogram
_FIXED64 = 1
_MS_NS = 1_000_000


def _tag(number: int) -> int:
    return number << 3 | _FIXED64


class SumPoints:
    """Encodes NumberDataPoints whose value is the whole number of spans counted."""

    attributes: Final = 7
    """The field that holds a data point's attributes."""
    _DTYPE = np.dtype(
        [
            ("start_tag", "u1"), ("start", "<u8"),
            ("time_tag", "u1"), ("time", "<u8"),
            ("value_tag", "u1"), ("value", "<i8"),
        ]
    )  # fmt: skip

    @property
    def width(self) -> int:
        """Bytes of a point without its attributes."""
        return self._DTYPE.itemsize

    def encode(self, starts: Ints, times: Ints, cells: Ints) -> bytes:
        """Return the points of *cells*, `width` bytes each; starts and times in ms.

        A row of *cells*: seconds, nanoseconds, counts of buckets.
        """
        points = np.zeros(len(cells), self._DTYPE)
        points["start_tag"], points["time_tag"], points["value_tag"] = _tag(2), _tag(3), _tag(6)
        points["start"], points["time"] = starts * _MS_NS, times * _MS_NS
        points["value"] = cells[:, 2:].sum(1)
        return points.tobytes()


class HistogramPoints:
    """Encodes HistogramDataPoints with *bounds* (ns) in a unit of *unit_ns* nanoseconds."""

    attributes: Final = 9
    """The field that holds a data point's attributes."""

    def __init__(self, bounds: tuple[int, ...], unit_ns: int) -> None:
        self._unit_ns = unit_ns
        buckets = len(bounds) + 1
        self._head = _bytes(bytes((6 << 3 | LENGTH_DELIMITED,)) + varint(8 * buckets))
        scaled = np.array([bound / unit_ns for bound in bounds], "<f8").tobytes()
        self._bounds = _bytes(field(7, scaled) if bounds else b"")
        self._dtype = np.dtype(
            [
                ("start_tag", "u1"), ("start", "<u8"),
                ("time_tag", "u1"), ("time", "<u8"),
                ("count_tag", "u1"), ("count", "<u8"),
                ("sum_tag", "u1"), ("sum", "<f8"),
                ("head", "u1", (len(self._head),)), ("buckets", "<u8", (buckets,)),
                ("bounds", "u1", (len(self._bounds),)),
            ]
        )  # fmt: skip

    @property
    def width(self) -> int:
        """Bytes of a point without its attributes."""
        return self._dtype.itemsize

    def encode(self, starts: Ints, times: Ints, cells: Ints) -> bytes:
        """Return the points of *cells*, `width` bytes each; starts and times in ms.

        A sum is the double next to the exact one.
        """
        points = np.zeros(len(cells), self._dtype)
        points["start_tag"], points["time_tag"] = _tag(2), _tag(3)
        points["count_tag"], points["sum_tag"] = _tag(4), _tag(5)
        points["start"], points["time"] = starts * _MS_NS, times * _MS_NS
        points["count"], points["buckets"] = cells[:, 2:].sum(1), cells[:, 2:]
        points["sum"] = scaled_sums(cells, self._unit_ns)
        points["head"], points["bounds"] = self._head, self._bounds
        return points.tobytes()


def scaled_sums(cells: Ints, unit_ns: int) -> list[float]:
    """Return the sum of each row in a unit of *unit_ns*, rounded once."""
    seconds, nanoseconds = cells[:, 0].tolist(), cells[:, 1].tolist()
    # Python's integers: a sum may exceed 64 bits of nanoseconds, and / rounds once.
    return [
        (whole * SECOND_NS + part) / unit_ns
        for whole, part in zip(seconds, nanoseconds, strict=True)
    ]


def point_head(attributes: bytes, number: int, width: int) -> bytes:
    """Return what a data point begins with: its frame, and *attributes* as field *number*.

    *attributes*: a `Resource`, a list of attributes as field 1. *width*: bytes of what follows.
    """
    tag, at = bytes((number << 3 | LENGTH_DELIMITED,)), 0
    parts: list[bytes] = []
    while at < len(attributes):
        start = at = at + 1
        length = shift = 0
        while (byte := attributes[at]) > 0x7F:
            length |= (byte & 0x7F) << shift
            at, shift = at + 1, shift + 7
        at += 1 + (length | byte << shift)
        parts += (tag, attributes[start:at])
    body = b"".join(parts)
    frame = bytes((_DATA_POINTS << 3 | LENGTH_DELIMITED,))
    return frame + varint(len(body) + width) + body


def _bytes(value: bytes) -> npt.NDArray[np.uint8]:
    return np.frombuffer(value, np.uint8)
