"""OTLP messages: data points put together under their resources and metrics."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from tailrace.agents.metrics.instruments import Family
from tailrace.schemas.otlp.wire import LENGTH_DELIMITED, LENGTHS, field
from tailrace.schemas.sums import Ints

_FRAME_BYTES = 16
"""At most what encloses the points of one instrument, or all of one resource, beside names."""
_CUMULATIVE, _DELTA = b"\x10\x02", b"\x10\x01"
_MONOTONIC = b"\x18\x01"
_SUM, _HISTOGRAM, _EXPONENTIAL = 7, 9, 10  # fields of a metric


def _tag(number: int) -> bytes:
    return bytes((number << 3 | LENGTH_DELIMITED,))


_RESOURCE, _SCOPE, _METRIC = _tag(1), _tag(2), _tag(2)

Pieces = Sequence[bytes]
"""Encoded points in pieces, any of which may be empty, PIECES of each stream."""
PIECES: Final = 3
"""Of the points of a stream: what they begin with, the attributes of the last, and its rest."""


class Metrics:
    """The metrics of *family*, as they enclose their points."""

    def __init__(self, family: Family, *, is_exponential: bool, is_delta: bool) -> None:
        temporality = _DELTA if is_delta else _CUMULATIVE
        histogram = _EXPONENTIAL if is_exponential else _HISTOGRAM
        self._scope = field(1, field(1, family.scope.encode()))
        self._instruments = [
            (
                field(1, each.name.encode()) + (field(3, each.unit.encode()) if each.unit else b""),
                _tag(histogram if each.is_histogram else _SUM),
                temporality if each.is_histogram else temporality + _MONOTONIC,
            )
            for each in family.instruments
        ]
        names = [name for name, _, _ in self._instruments]
        self.bytes = len(self._scope) + sum(map(len, names)) + _FRAME_BYTES * (1 + len(names))
        """At most what they take without points."""

    def of_resource(self, resource: bytes, pieces: Sequence[Pieces]) -> bytes:
        """Return the metrics of one *resource*; `pieces[i]` are of instrument i."""
        parts = [self._scope]
        for (name, kind, rest), of_it in zip(self._instruments, pieces, strict=True):
            encoded = b"".join(of_it)
            if encoded:
                # As `field` would, but without looking at what was put together already.
                points = LENGTHS[len(encoded) + len(rest)]
                size = len(name) + 1 + len(points) + len(encoded) + len(rest)
                parts += (_METRIC, LENGTHS[size], name, kind, points, encoded, rest)
        inside = b"".join(parts)
        scope = LENGTHS[len(inside)]
        size = len(resource) + 1 + len(scope) + len(inside)
        return b"".join((_RESOURCE, LENGTHS[size], resource, _SCOPE, scope, inside))


class Packing:
    """Messages of at most *limit* bytes. `resources[i]` is the resource of number i, as a field.

    Points go into the message in which they still have room, in the order in which they come.
    """

    def __init__(self, metrics: Metrics, resources: Sequence[bytes], limit: int) -> None:
        self._metrics = metrics
        self._resources = resources
        self._limit = limit
        sizes = np.fromiter(map(len, resources), np.int64, len(resources))
        self._alone = sizes + metrics.bytes
        self._values: list[bytes] = []
        self._message: list[bytes] = []
        self._open: tuple[int, list[list[bytes]]] = -1, []
        self._size = 0

    def fits(self, numbers: Ints, lengths: Ints) -> np.typing.NDArray[np.bool_]:
        """Return which streams, with resources *numbers*, can be in a message at all."""
        fits: np.typing.NDArray[np.bool_] = self._alone[numbers] + lengths <= self._limit
        return fits

    def add(self, numbers: Ints, lengths: Ints, points: Sequence[Pieces]) -> None:
        """Add streams with resources *numbers*, *lengths* bytes each, that fit.

        `points[i]` are of instrument i.
        """
        is_first = np.diff(numbers, prepend=-1) != 0
        alone = self._alone[numbers]
        ends = np.cumsum(lengths + np.where(is_first, alone, 0))
        at, before = 0, 0
        while at < len(numbers):
            number = int(numbers[at])
            # What the resource of the first one takes counts if the message does not have it yet.
            counted = alone[at] if is_first[at] else 0
            due = 0 if number == self._open[0] else alone[at]
            room = self._limit - self._size + before + counted - due
            end = int(np.searchsorted(ends, room, side="right"))
            if end <= at:
                self._close()
                continue
            self._size += int(ends[end - 1]) - before - int(counted) + int(due)
            self._take(numbers, at, end, points)
            at, before = end, int(ends[end - 1])

    def _take(self, numbers: Ints, at: int, end: int, points: Sequence[Pieces]) -> None:
        cuts = np.flatnonzero(np.diff(numbers[at:end])) + at + 1
        starts = [at, *cuts.tolist()]
        for start, stop in zip(starts, [*starts[1:], end], strict=True):
            number = int(numbers[start])
            if number != self._open[0]:
                self._close_resource()
                self._open = number, [[] for _ in points]
            for into, pieces in zip(self._open[1], points, strict=True):
                into.append(b"".join(pieces[PIECES * start : PIECES * stop]))

    def _close_resource(self) -> None:
        number, points = self._open
        if number >= 0:
            self._message.append(self._metrics.of_resource(self._resources[number], points))
        self._open = -1, []

    def _close(self) -> None:
        self._close_resource()
        if self._message:
            self._values.append(b"".join(self._message))
        self._message, self._size = [], 0

    def finished(self) -> list[bytes]:
        """Return all messages; nothing may be added any more."""
        self._close()
        return self._values
