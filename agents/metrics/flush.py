"""The points of a flush: what each stream says of itself, in the encodings of its family."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from tailrace.agents.metrics.instruments import Family, Instrument
from tailrace.agents.metrics.points import (
    Points,
    attribute_list,
    exemplar_field,
    framed_point,
    point_attributes,
)
from tailrace.schemas.exemplars import Exemplar
from tailrace.schemas.sums import Ints
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
        self._is_known = np.zeros(0, np.bool_)

    def learn(self, streams: Ints) -> None:
        """Encode what the points of *streams* begin with, as far as that is not known."""
        per_slot = len(self.family.streams)
        more = len(self._table) * per_slot - len(self._is_known)
        self._is_known = np.concatenate([self._is_known, np.zeros(more, np.bool_)])
        for known in self._known:
            known += [b""] * more
        for stream in streams[~self._is_known[streams]].tolist():
            attributes = self._attributes(stream)
            made: dict[tuple[int, int], bytes] = {}
            for points, known in zip(self.points, self._known, strict=True):
                shape = points.attributes, points.width
                if shape not in made:
                    named = point_attributes(attributes, points.attributes)
                    made[shape] = framed_point(named, points.width) if points.width else named
                known[stream] = made[shape]
        self._is_known[streams] = True

    def _attributes(self, stream: int) -> list[bytes]:
        slot, number = divmod(stream, len(self.family.streams))
        return attribute_list(self.family.attributes(self._table.keys[slot], number))

    def of_all(self, instrument: int, streams: Ints, rests: Sequence[bytes]) -> list[bytes]:
        """Return what the points of *streams* begin with, each before the same place of *rests*."""
        known = self._known[instrument]
        if self.points[instrument].width:
            return [known[stream] for stream in streams.tolist()]
        return [
            framed_point(known[stream], len(rest))
            for stream, rest in zip(streams.tolist(), rests, strict=True)
        ]

    def of(self, instrument: int, stream: int, rest: bytes) -> bytes:
        """Return what a point of *stream* begins with before *rest*, of whatever length."""
        points, known = self.points[instrument], self._known[instrument][stream]
        if points.width == len(rest):
            return known
        if points.width:
            known = point_attributes(self._attributes(stream), points.attributes)
        return framed_point(known, len(rest))


class Flush:
    """Encodes the points of streams as of *at* (ms).

    Their sums are *rows*: of slot `slots[i]` in row i, or without *slots* by slot.
    """

    def __init__(self, begins: Begins, rows: Ints, slots: Ints | None, at: int) -> None:
        self._begins = begins
        self._rows = rows
        self._slots = slots
        self._at = at
        self._per_slot = len(begins.family.streams)

    def look_at(self, starts: Ints, is_new: npt.NDArray[np.bool_], exemplars: Exemplars) -> None:
        """Take the *starts* (ms) of all streams; which are *is_new*, and begin with zero."""
        self._starts = starts
        self._is_new = is_new
        self._exemplars = exemplars
        self._has_exemplars = np.zeros(len(starts), np.bool_)
        for slot in exemplars:
            self._has_exemplars[slot * self._per_slot : (slot + 1) * self._per_slot] = True

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
            begins, rests = self._column(number, streams, kinds, rows)
            for pieces in (begins, rests):
                lengths += np.fromiter(map(len, pieces), np.int64, len(pieces))
            both = [b""] * (2 * len(streams))
            both[0::2], both[1::2] = begins, rests
            columns.append(both)
        return lengths, columns

    def _column(
        self, number: int, streams: Ints, kinds: Ints, rows: Ints
    ) -> tuple[list[bytes], list[bytes]]:
        """Return begin and rest of the points of each of *streams* of an instrument."""
        instrument, points = self._begins.family.instruments[number], self._begins.points[number]
        starts, times = self._starts[streams], np.full(len(streams), self._at)
        cells = _cells(instrument, points, kinds, rows)
        rests = points.encode(starts, times, cells)
        begins = self._begins.of_all(number, streams, rests)
        is_special = self._is_new[streams] | self._has_exemplars[streams]
        has_parts = np.array([bool(parts) for parts in instrument.parts])[kinds]
        special = np.flatnonzero(is_special & has_parts)
        zeros = points.encode(starts[special], starts[special], np.zeros_like(cells[special]))
        for place, zero in zip(special.tolist(), zeros, strict=True):
            stream = int(streams[place])
            rest = rests[place] + self._examples(points, stream)
            begin = self._begins.of(number, stream, rest)
            if self._is_new[stream]:
                begin = self._begins.of(number, stream, zero) + zero + begin
            begins[place], rests[place] = begin, rest
        for place in np.flatnonzero(~has_parts).tolist():
            begins[place] = rests[place] = b""
        return begins, rests

    def _examples(self, points: Points, stream: int) -> bytes:
        unit_ns = self._begins.family.unit_ns
        return b"".join(
            exemplar_field(points.exemplars, exemplar, unit_ns)
            for exemplar in self._exemplars.get(stream // self._per_slot, ())
        )


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
