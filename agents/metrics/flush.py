"""The points of a flush: what each stream says of itself, in the encodings of its family."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from tailrace.agents.metrics.instruments import Family, Instrument
from tailrace.agents.metrics.point_frames import (
    attributes_as,
    exemplar_field,
    framed_point,
    no_value,
)
from tailrace.agents.metrics.points import Points
from tailrace.schemas.exemplars import Exemplar
from tailrace.schemas.sums import Ints
from tailrace.tables.narrow_rows import NarrowRows
from tailrace.tables.series import SeriesTable

_CHUNK: Final = 4096
"""Streams that are encoded at once."""

Exemplars = Mapping[int, Sequence[Exemplar]]
"""By slot, in the order in which they are written."""


class Begins:
    """What the points of each stream begin with, by instrument: their frame and attributes.

    Streams are numbered as slot × streams of a slot + number of the stream.
    """

    def __init__(self, family: Family, points: Sequence[Points], table: SeriesTable) -> None:
        self.family = family
        self.points = points
        self._table = table
        self._known: list[list[bytes]] = [[] for _ in points]
        self._sizes = np.zeros((len(points), 0), np.int64)
        self._is_known = np.zeros(0, np.bool_)

    def learn(self, streams: Ints) -> None:
        """Encode what the points of *streams* begin with, as far as that is not known."""
        self._grow(len(self._table.keys) * len(self.family.streams))
        new = streams[~self._is_known[streams]]
        numbers = list(dict.fromkeys(points.attributes for points in self.points))
        # Instances of a service have the same attributes, which are encoded and kept once.
        places: dict[bytes, int] = {}
        place_of = [places.setdefault(each, len(places)) for each in self._resources(new)]
        found = dict(zip(numbers, attributes_as(numbers, list(places)), strict=True))
        for points, known, sizes in zip(self.points, self._known, self._sizes, strict=True):
            begins = found[points.attributes]
            if points.width:
                begins = [framed_point(each, points.width) for each in begins]
            for stream, place in zip(new.tolist(), place_of, strict=True):
                known[stream] = begins[place]
            sizes[new] = np.fromiter(map(len, begins), np.int64, len(begins))[
                np.array(place_of, np.int64)
            ]
        self._is_known[new] = True

    def _grow(self, count: int) -> None:
        more = count - len(self._is_known)
        if more > 0:
            self._is_known = np.concatenate([self._is_known, np.zeros(more, np.bool_)])
            wider = np.zeros((len(self.points), more), np.int64)
            self._sizes = np.concatenate([self._sizes, wider], axis=1)
            for known in self._known:
                known += [b""] * more

    def _resources(self, streams: Ints) -> list[bytes]:
        """Return the attributes of each of *streams*, as a `Resource` has them."""
        keys, per_slot = self._table.keys, len(self.family.streams)
        return [
            self.family.attributes(keys[stream // per_slot], stream % per_slot)
            for stream in streams.tolist()
        ]

    def forget(self, streams: Ints) -> None:
        """Know nothing of *streams* any more."""
        for known in self._known:
            for stream in streams.tolist():
                known[stream] = b""
        self._is_known[streams] = False

    def of_all(self, instrument: int, streams: Ints, rests: Sequence[bytes]) -> list[bytes]:
        """Return what the points of *streams* begin with, each before the same place of *rests*."""
        begins = list(map(self._known[instrument].__getitem__, streams.tolist()))
        if self.points[instrument].width:
            return begins
        return [framed_point(begin, len(rest)) for begin, rest in zip(begins, rests, strict=True)]

    def sizes(self, instrument: int, streams: Ints) -> Ints | None:
        """Return the bytes of the points of *streams*, if their numbers have a fixed size."""
        width = self.points[instrument].width
        return self._sizes[instrument][streams] + width if width else None

    def of(self, instrument: int, stream: int, rest: bytes) -> bytes:
        """Return what a point of *stream* begins with before *rest*, of whatever length."""
        points, known = self.points[instrument], self._known[instrument][stream]
        if points.width == len(rest):
            return known
        if points.width:
            [[known]] = attributes_as([points.attributes], self._resources(np.array([stream])))
        return framed_point(known, len(rest))


class Flush:
    """Encodes the points of streams as of *at* (ms), by number of the stream.

    `starts[stream]` in ms. Their sums are *rows*: of slot `slots[i]` in row i, or without *slots*
    by slot.
    """

    def __init__(
        self,
        begins: Begins,
        at: int,
        starts: Ints,
        rows: Ints | NarrowRows,
        slots: Ints | None = None,
    ) -> None:
        self._begins = begins
        self._at = at
        self._starts = starts
        self._rows = rows
        self._slots = slots
        self._per_slot = len(begins.family.streams)
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
        """Return the length of all that each of *streams* says, and two pieces by instrument."""
        slots, kinds = np.divmod(streams, self._per_slot)
        if self._slots is not None:
            slots = np.searchsorted(self._slots, slots)
        rows = self._rows[slots]
        lengths = np.zeros(len(streams), np.int64)
        columns = []
        for number in range(len(self._begins.points)):
            sizes, begins, rests = self._column(number, streams, kinds, rows)
            lengths += sizes
            both = [b""] * (2 * len(streams))
            both[0::2], both[1::2] = begins, rests
            columns.append(both)
        return lengths, columns

    def _column(
        self, number: int, streams: Ints, kinds: Ints, rows: Ints
    ) -> tuple[Ints, list[bytes], list[bytes]]:
        """Return size, begin and rest of the points of each of *streams* of an instrument."""
        instrument, points = self._begins.family.instruments[number], self._begins.points[number]
        # A series ends before its flush: it may begin anew at that very time.
        starts, times = self._starts[streams], self._at - self._is_over[streams].astype(np.int64)
        cells = _cells(instrument, points, kinds, rows)
        cells[self._is_over[streams]] = 0
        rests = points.encode(starts, times, cells)
        begins = self._begins.of_all(number, streams, rests)
        sizes = self._begins.sizes(number, streams)
        if sizes is None:
            sizes = _lengths(begins) + _lengths(rests)
        has_parts = np.array([bool(parts) for parts in instrument.parts])[kinds]
        is_longer = (self._has_exemplars | self._is_over)[streams] & has_parts
        for place in np.flatnonzero(is_longer).tolist():
            stream = int(streams[place])
            rests[place] += self._more(points, stream)
            begins[place] = self._begins.of(number, stream, rests[place])
            sizes[place] = len(begins[place]) + len(rests[place])
        new = np.flatnonzero(self._is_new[streams] & has_parts)
        zeros = points.encode(starts[new], starts[new], np.zeros_like(cells[new]))
        before = self._begins.of_all(number, streams[new], zeros)
        for place, begin, zero in zip(new.tolist(), before, zeros, strict=True):
            begins[place] = begin + zero + begins[place]
        sizes[new] += _lengths(before) + _lengths(zeros)
        if not has_parts.all():
            sizes[~has_parts] = 0
            for place in np.flatnonzero(~has_parts).tolist():
                begins[place] = rests[place] = b""
        return sizes, begins, rests

    def _more(self, points: Points, stream: int) -> bytes:
        """Return what a point has after its numbers."""
        if self._is_over[stream]:
            return no_value(points.flags)
        unit_ns = self._begins.family.unit_ns
        exemplars = self._exemplars[stream // self._per_slot]
        return b"".join(exemplar_field(points.exemplars, each, unit_ns) for each in exemplars)


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
