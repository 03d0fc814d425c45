"""The points of a flush: what each stream says of itself, in the encodings of its family."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from tailrace.agents.metrics.instruments import Family, Instrument
from tailrace.agents.metrics.packing import PIECES
from tailrace.agents.metrics.point_frames import exemplar_field, no_value
from tailrace.agents.metrics.points import Points
from tailrace.agents.metrics.stream_attributes import Attributes, StreamAttributes
from tailrace.schemas.exemplars import Exemplar
from tailrace.schemas.otlp.wire import HEADS
from tailrace.schemas.sums import Ints
from tailrace.tables.narrow_rows import NarrowRows

_CHUNK: Final = 4096
"""Streams that are encoded at once."""

Exemplars = Mapping[int, Sequence[Exemplar]]
"""By slot, in the order in which they are written."""


class Flush:
    """Encodes the points of streams as of *at* (ms), by number of the stream.

    `starts[stream]` in ms. Their sums are *rows*: of slot `slots[i]` in row i, or without *slots*
    by slot.
    """

    def __init__(
        self,
        family: Family,
        points: Sequence[Points],
        attributes: StreamAttributes,
        at: int,
        starts: Ints,
        rows: NarrowRows,
        slots: Ints | None = None,
    ) -> None:
        self._family = family
        self._points = points
        self._attributes = attributes
        self._at = at
        self._starts = starts
        self._rows = rows
        self._slots = slots
        self._per_slot = len(family.streams)
        self._exemplars: Exemplars = {}
        self._is_new = np.zeros(len(starts), np.bool_)
        self._is_over = np.zeros(len(starts), np.bool_)
        self._has_exemplars = np.zeros(len(starts), np.bool_)

    def greet(self, is_new: npt.NDArray[np.bool_], expired: Ints) -> None:
        """Let those that are new begin with zero, and the slots *expired* end without a value."""
        self._is_new = is_new
        self._is_over.reshape(-1, self._per_slot)[expired] = True

    def show(self, exemplars: Exemplars) -> None:
        """Add *exemplars* to the points of their slots."""
        self._exemplars = exemplars
        self._has_exemplars.reshape(-1, self._per_slot)[list(exemplars)] = True

    @staticmethod
    def parts(streams: Ints) -> Iterator[Ints]:
        """Yield *streams* in parts that are encoded at once."""
        for first in range(0, len(streams), _CHUNK):
            yield streams[first : first + _CHUNK]

    def encoded(self, streams: Ints) -> tuple[Ints, list[list[bytes]]]:
        """Return the length of all that each of *streams* says, and PIECES by instrument."""
        slots, kinds = np.divmod(streams, self._per_slot)
        attributes = self._attributes.of(streams)
        if self._slots is not None:
            slots = np.searchsorted(self._slots, slots)
        rows = self._rows[slots]
        lengths = np.zeros(len(streams), np.int64)
        columns = []
        for number in range(len(self._points)):
            sizes, pieces = self._column(number, streams, attributes, kinds, rows)
            lengths += sizes
            columns.append(pieces)
        return lengths, columns

    def _column(
        self, number: int, streams: Ints, attributes: Attributes, kinds: Ints, rows: Ints
    ) -> tuple[Ints, list[bytes]]:
        """Return of each of *streams* the bytes of its points of an instrument, and PIECES."""
        instrument, points = self._family.instruments[number], self._points[number]
        # A series ends before its flush: it may begin anew at that very time.
        starts, times = self._starts[streams], self._at - self._is_over[streams].astype(np.int64)
        cells = _cells(instrument, points, kinds, rows)
        cells[self._is_over[streams]] = 0
        rests = points.encode(starts, times, cells)
        has_parts = np.array([bool(parts) for parts in instrument.parts])[kinds]
        is_longer = (self._has_exemplars | self._is_over)[streams] & has_parts
        for place in np.flatnonzero(is_longer).tolist():
            rests[place] += self._more(points, int(streams[place]))
        named = attributes.as_field(points.attributes)
        frames, sizes = _framed(attributes.sizes + _lengths(rests))
        new = np.flatnonzero(self._is_new[streams] & has_parts)
        zeros = points.encode(starts[new], starts[new], np.zeros_like(cells[new]))
        before, zero_sizes = _framed(attributes.sizes[new] + _lengths(zeros))
        for place, frame, zero in zip(new.tolist(), before, zeros, strict=True):
            frames[place] = frame + named[place] + zero + frames[place]
        sizes[new] += zero_sizes
        pieces = [b""] * (PIECES * len(streams))
        pieces[0::PIECES], pieces[1::PIECES], pieces[2::PIECES] = frames, named, rests
        if not has_parts.all():
            sizes[~has_parts] = 0
            for place in np.flatnonzero(~has_parts).tolist():
                pieces[PIECES * place : PIECES * (place + 1)] = [b""] * PIECES
        return sizes, pieces

    def _more(self, points: Points, stream: int) -> bytes:
        """Return what a point has after its numbers."""
        if self._is_over[stream]:
            return no_value(points.flags)
        unit_ns = self._family.unit_ns
        exemplars = self._exemplars[stream // self._per_slot]
        return b"".join(exemplar_field(points.exemplars, each, unit_ns) for each in exemplars)


def _framed(lengths: Ints) -> tuple[list[bytes], Ints]:
    """Return what stands before points of *lengths*, and how many bytes they are with that."""
    frames = list(map(HEADS.__getitem__, lengths.tolist()))
    return frames, lengths + _lengths(frames)


def _lengths(pieces: Sequence[bytes]) -> Ints:
    return np.fromiter(map(len, pieces), np.int64, len(pieces))


def _cells(instrument: Instrument, points: Points, kinds: Ints, rows: Ints) -> Ints:
    """Return what *rows* say of *instrument*, each of the stream that its kind is."""
    if len(instrument.parts) == 1:
        return points.cells(rows, instrument.parts[0])
    cells: Ints | None = None
    for kind, parts in enumerate(instrument.parts):
        mine = kinds == kind
        found = points.cells(rows[mine], parts)
        if cells is None:
            cells = np.zeros((len(rows), *found.shape[1:]), np.int64)
        cells[mine] = found
    assert cells is not None
    return cells
