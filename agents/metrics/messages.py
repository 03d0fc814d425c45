"""OTLP messages of all series of a family, as one flush writes them.

A series appears with two points in one message: zero at its start, and what it is at the flush.
The connector makes the first value of a counter 0 and tells what was counted one flush later, so
that Prometheus, to which a series comes out of nothing, sees its first increment. Here the same is
seen, and the value at each flush is the truth at that flush. Histograms, too, begin with zero: in
the connector they lose their first increment.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from tailrace.agents.metrics.instruments import UNITS, Family, Instrument
from tailrace.agents.metrics.points import HistogramPoints, SumPoints, point_head
from tailrace.schemas.otlp.wire import field
from tailrace.schemas.sums import Ints
from tailrace.tables.series import SeriesTable
from tailrace.tables.series_rows import NEVER

_CHUNK = 4096
"""Series that are encoded at once."""
_FRAME_BYTES = 16
"""At most what encloses the points of one instrument, or all of one resource, beside names."""
_CUMULATIVE = b"\x10\x02"
_MONOTONIC = b"\x18\x01"

Pieces = tuple[bytes, ...]
"""The encoded points of one stream, for each instrument; empty where it has none."""


class Flushed(NamedTuple):
    """The values of a flush. `too_large`: streams that no record can hold."""

    values: list[bytes]
    too_large: int


class MetricsWriter:
    """Writes the series of *table*, in messages of at most *limit* bytes.

    What it writes is a function of the table: resources in order of first appearance, and the
    streams of each in that order, too. What it remembers are encodings.
    """

    def __init__(self, family: Family, table: SeriesTable, limit: int) -> None:
        self._family = family
        self._table = table
        self._limit = limit
        self._encoders = [_encoder(instrument, family) for instrument in family.instruments]
        self._frames = [
            (field(1, each.name.encode()) + (field(3, each.unit.encode()) if each.unit else b""))
            for each in family.instruments
        ]
        self._scope = field(1, field(1, family.scope.encode()))
        self._empty_bytes = (
            len(self._scope) + sum(map(len, self._frames)) + _FRAME_BYTES * (1 + len(self._frames))
        )
        self._number_of: dict[bytes, int] = {}
        self._resources: list[bytes] = []
        self._resource_of_slot: list[int] = []
        self._heads: dict[int, tuple[bytes, ...]] = {}
        self._order = np.zeros(0, np.int64)

    def write(self, appeared: Ints, at: int) -> Flushed:
        """Return every series as of *at* (ms); *appeared* are the streams that started."""
        if len(appeared) or not len(self._order):
            self._learn()
        values: list[bytes] = []
        too_large = 0
        block: list[Pieces] = []
        blocks: list[tuple[int, list[Pieces]]] = []
        size, current = 0, -1
        for number, pieces in self._points(appeared, at):
            length = sum(map(len, pieces))
            alone = length + self._empty_bytes + len(self._resources[number])
            if alone > self._limit:
                too_large += 1
                continue
            if size + (length if number == current else alone) > self._limit:
                values.append(self._message(blocks))
                blocks, size, current = [], 0, -1
            if number != current:
                current, block = number, []
                blocks.append((number, block))
                size += alone - length
            block.append(pieces)
            size += length
        if blocks:
            values.append(self._message(blocks))
        return Flushed(values, too_large)

    def _learn(self) -> None:
        """Encode the attributes of streams that are new, and put all streams in order."""
        family, table = self._family, self._table
        for key in table.keys[len(self._resource_of_slot) :]:
            resource = family.resource(key)
            number = self._number_of.setdefault(resource, len(self._resources))
            if number == len(self._resources):
                self._resources.append(field(1, resource))
            self._resource_of_slot.append(number)
        streams = np.flatnonzero(table.starts.ravel() != NEVER)
        for stream in streams.tolist():
            if stream not in self._heads:
                slot, kind = divmod(stream, len(family.streams))
                self._heads[stream] = self._head(family.attributes(table.keys[slot], kind))
        resources = np.array(self._resource_of_slot, np.int64)
        slots = streams // len(family.streams)
        self._order = streams[np.argsort(resources[slots], kind="stable")]

    def _head(self, attributes: bytes) -> tuple[bytes, ...]:
        """Return what the points of a stream begin with, for each instrument; equal ones once."""
        known: dict[tuple[int, int], bytes] = {}
        for encoder in self._encoders:
            shape = encoder.attributes, encoder.width
            if shape not in known:
                known[shape] = point_head(attributes, *shape)
        return tuple(known[encoder.attributes, encoder.width] for encoder in self._encoders)

    def _points(self, appeared: Ints, at: int) -> Iterator[tuple[int, Pieces]]:
        """Yield each stream in order: the number of its resource, and its points."""
        per_row = len(self._family.streams)
        for first in range(0, len(self._order), _CHUNK):
            streams = self._order[first : first + _CHUNK]
            is_new = np.isin(streams, appeared)
            columns = [
                self._column(number, streams, is_new, at)
                for number in range(len(self._family.instruments))
            ]
            slots = (streams // per_row).tolist()
            numbers = map(self._resource_of_slot.__getitem__, slots)
            yield from zip(numbers, zip(*columns, strict=True), strict=True)

    def _column(
        self, number: int, streams: Ints, is_new: npt.NDArray[np.bool_], at: int
    ) -> list[bytes]:
        """Return the points of instrument *number* of each of *streams*."""
        instrument, encoder = self._family.instruments[number], self._encoders[number]
        cells = self._cells(instrument, streams)
        starts = self._table.starts.ravel()[streams]
        body = encoder.encode(starts, np.full(len(streams), at), cells)
        width, heads = encoder.width, self._heads
        ends = range(width, len(body) + 1, width)
        pieces = [
            heads[stream][number] + body[end - width : end]
            for stream, end in zip(streams.tolist(), ends, strict=True)
        ]
        new = np.flatnonzero(is_new)
        zeros = encoder.encode(starts[new], starts[new], np.zeros_like(cells[new]))
        for row, place in enumerate(new.tolist()):
            head = heads[int(streams[place])][number]
            pieces[place] = head + zeros[row * width : (row + 1) * width] + pieces[place]
        if None in instrument.histograms:
            kinds = (streams % len(instrument.histograms)).tolist()
            for place, kind in enumerate(kinds):
                if instrument.histograms[kind] is None:
                    pieces[place] = b""
        return pieces

    def _cells(self, instrument: Instrument, streams: Ints) -> Ints:
        slots, kinds = np.divmod(streams, len(instrument.histograms))
        layout, rows = self._family.layout, self._table.rows
        cells = np.zeros((len(streams), layout.stride), np.int64)
        for kind, name in enumerate(instrument.histograms):
            if name is not None:
                mine = kinds == kind
                cells[mine] = rows[slots[mine], layout.columns(name)]
        return cells

    def _message(self, blocks: Sequence[tuple[int, Sequence[Pieces]]]) -> bytes:
        return b"".join(
            field(1, self._resources[number] + field(2, self._scope + self._metrics(block)))
            for number, block in blocks
        )

    def _metrics(self, block: Sequence[Pieces]) -> bytes:
        parts = []
        columns = zip(*block, strict=True)
        for instrument, frame, column in zip(
            self._family.instruments, self._frames, columns, strict=True
        ):
            points = b"".join(column)
            if not points:
                continue
            if instrument.is_histogram:
                data = field(9, points + _CUMULATIVE)
            else:
                data = field(7, points + _CUMULATIVE + _MONOTONIC)
            parts.append(field(2, frame + data))
        return b"".join(parts)


def _encoder(instrument: Instrument, family: Family) -> SumPoints | HistogramPoints:
    if instrument.is_histogram:
        return HistogramPoints(family.layout.bounds, UNITS[instrument.unit])
    return SumPoints()
