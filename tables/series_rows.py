"""Rows of sums by slot, in blocks, and their bytes.

A block is what a checkpoint writes when one of its rows changed.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from tailrace.schemas.rebucketing import rebucketed
from tailrace.schemas.sums import Ints, Layout, carried, merged, summed
from tailrace.tables import packed_columns
from tailrace.tables.narrow_rows import CHUNK, NarrowRows

BLOCK = 512
"""Rows of a block: a few KB."""
NEVER = int(np.iinfo(np.int64).max)
"""The start of a stream that has not started."""

_VERSION = 2
_WIDE = 3
"""The version of rows with more columns than version 2 can number."""
_HEAD = struct.Struct(">BB")  # version, streams
_HEAD_1 = struct.Struct(">BIHB")  # version, rows, columns that hold something, bytes of a cell


class Part(NamedTuple):
    """Some rows: their slots, when their streams started, when each last had news, their sums."""

    slots: Ints
    starts: Ints
    news: Ints
    cells: Ints


class Rows:
    """Sums, starts and news by row, as many as are asked for, and which blocks of them changed."""

    def __init__(self, layout: Layout, streams: int) -> None:
        self.cells = NarrowRows(layout)
        self.starts = np.zeros((0, streams), np.int64)
        self.news = np.zeros(0, np.int64)
        self.is_dirty = np.zeros(0, np.bool_)

    def upto(self, count: int) -> Rows:
        """Have at least *count* rows; new ones are zeros that have never started."""
        have = len(self.cells)
        if count > have:
            room = max(count, have * 5 // 4, BLOCK)
            room += -room % BLOCK
            self.cells.grow(room)
            self.starts = _grown(self.starts, room, NEVER)
            self.news = _grown(self.news, room, 0)
            self.is_dirty = _grown(self.is_dirty, room // BLOCK, False)
        return self

    def forget(self, rows: Ints) -> None:
        """Make *rows* as new."""
        self.cells.forget(rows)
        self.starts[rows], self.news[rows] = NEVER, 0
        self.is_dirty[rows // BLOCK] = True

    def use(self, layout: Layout) -> None:
        """Go over to sums of *layout*."""
        old, self.cells = self.cells, NarrowRows(layout, len(self.cells))
        for first in range(0, len(old), CHUNK):
            rows = np.arange(first, min(first + CHUNK, len(old)))
            self.cells[rows] = rebucketed(old[rows], old.layout, layout)
        self.is_dirty[:] = True

    def take_dirty(self, slots: Ints) -> Iterator[tuple[int, Part]]:
        """Yield every block that changed, and its rows among *slots*, ascending; then none has."""
        blocks = np.flatnonzero(self.is_dirty)
        firsts = np.searchsorted(slots, blocks * BLOCK).tolist()
        ends = np.searchsorted(slots, (blocks + 1) * BLOCK).tolist()
        for block, first, end in zip(blocks.tolist(), firsts, ends, strict=True):
            rows = slots[first:end]
            yield block, Part(rows, self.starts[rows], self.news[rows], self.cells[rows])
        self.is_dirty[:] = False


def _grown(old: npt.NDArray[Any], room: int, fill: int) -> npt.NDArray[Any]:
    """Return *old* with *room* rows; zeros that nobody writes take no memory."""
    shape = (room, *old.shape[1:])
    grown = np.full(shape, fill, old.dtype) if fill else np.zeros(shape, old.dtype)
    grown[: len(old)] = old
    return grown


class OpenPeriod:
    """What has come for an open period: rows in order of the first appearance of their slots.

    `stored_blocks`: how many blocks of it the store has.
    """

    def __init__(self, layout: Layout, streams: int) -> None:
        self.stored_blocks = 0
        self._layout = layout
        self._rows = Rows(layout, streams)
        self.slots = np.zeros(0, np.int64)
        self._row_of_slot = np.zeros(0, np.int32)  # and 1 more; 0 is none

    def add(self, part: Part) -> None:
        """Add *part*, in which each slot is once."""
        slots = part.slots
        if not len(slots):
            return
        missing = int(slots.max()) + 1 - len(self._row_of_slot)
        if missing > 0:
            more = np.zeros(max(missing, len(self._row_of_slot)), np.int32)
            self._row_of_slot = np.concatenate([self._row_of_slot, more])
        new = slots[self._row_of_slot[slots] == 0]
        have = len(self.slots)
        self._row_of_slot[new] = np.arange(have + 1, have + 1 + len(new))
        self.slots = np.concatenate([self.slots, new])
        rows = self._row_of_slot[slots].astype(np.int64) - 1
        into = self._rows.upto(len(self.slots))
        into.cells[rows] = merged(self._layout, into.cells[rows], part.cells)
        into.starts[rows] = np.minimum(into.starts[rows], part.starts)
        into.news[rows] = np.maximum(into.news[rows], part.news)
        into.is_dirty[rows // BLOCK] = True

    @property
    def cells(self) -> Ints:
        """Its sums, in order of first appearance."""
        return self._rows.cells[: len(self.slots)]

    @property
    def blocks(self) -> int:
        """How many blocks it has."""
        return -(-len(self.slots) // BLOCK)

    def drop(self, slots: Ints) -> Part:
        """Forget what came for *slots*, and return it."""
        is_gone, old = np.isin(self.slots, slots), self._rows
        stay, gone = np.flatnonzero(~is_gone), np.flatnonzero(is_gone)
        dropped, part = (
            Part(self.slots[rows], old.starts[rows], old.news[rows], old.cells[rows])
            for rows in (gone, stay)
        )
        self._row_of_slot[:] = 0
        self.slots, self._rows = self.slots[:0], Rows(self._layout, old.starts.shape[1])
        self.add(part)
        return dropped

    def use(self, layout: Layout) -> None:
        """Go over to sums of *layout*."""
        self._rows.use(layout)
        self._layout = layout

    def sorted(self) -> Iterator[Part]:
        """Yield its rows, slots in ascending order, some at a time."""
        order, rows = np.argsort(self.slots), self._rows
        for first in range(0, len(order), CHUNK):
            some = order[first : first + CHUNK]
            yield Part(self.slots[some], rows.starts[some], rows.news[some], rows.cells[some])

    def is_stored(self, block: int) -> None:
        """Take note that the store has *block* as it is, and all before it."""
        self.stored_blocks = block + 1
        self._rows.is_dirty[block] = False

    def take_dirty(self) -> Iterator[tuple[int, Part]]:
        """Yield the number and the rows of every block that changed since the last time."""
        for block, part in self._rows.take_dirty(np.arange(len(self.slots))):
            if len(part.slots):
                cells = carried(self._layout, part.cells)
                yield block, part._replace(slots=self.slots[part.slots], cells=cells)
                self.stored_blocks = max(self.stored_blocks, block + 1)


def united(layout: Layout, part: Part) -> Part:
    """Return *part* with every slot once."""
    slots, places = np.unique(part.slots, return_inverse=True)
    if len(slots) == len(part.slots):
        return part
    starts = np.full((len(slots), part.starts.shape[1]), NEVER)
    np.minimum.at(starts, places, part.starts)
    news = np.zeros(len(slots), np.int64)
    np.maximum.at(news, places, part.news)
    return Part(slots, starts, news, summed(layout, places, len(slots), part.cells))


def packed(part: Part) -> bytes:
    """Return *part* as bytes."""
    streams = part.starts.shape[1]
    columns = np.empty((2 + streams + part.cells.shape[1], len(part.slots)), np.int64)
    columns[0], columns[1] = part.slots, part.news
    columns[2 : 2 + streams] = np.where(part.starts == NEVER, 0, part.starts + 1).T
    columns[2 + streams :] = part.cells.T
    version = _WIDE if len(columns) > packed_columns.MOST_NARROW else _VERSION
    return _HEAD.pack(version, streams) + packed_columns.pack(columns)


def unpacked(value: bytes, layout: Layout) -> Part:
    """Return what `packed` was given, sums of *layout*; of version 1 nobody knows news, so 0."""
    if is_of_version_1(value):
        return _of_version_1(value, layout)
    version, streams = _HEAD.unpack_from(value)
    count, is_wide = 2 + streams + layout.width, version == _WIDE
    columns = packed_columns.unpack(value, count, _HEAD.size, is_wide=is_wide)
    starts = columns[2 : 2 + streams].T
    starts = np.where(starts == 0, NEVER, starts - 1)
    return Part(columns[0], starts, columns[1], columns[2 + streams :].T)


def is_of_version_1(value: bytes) -> bool:
    """True of bytes that the first version made of rows, which had other blocks."""
    return value[0] == 1


def _of_version_1(value: bytes, layout: Layout) -> Part:
    _, count, columns, width = _HEAD_1.unpack_from(value)
    at = _HEAD_1.size
    starts_bytes = len(value) - at - 4 * count - 2 * columns - count * columns * width
    slots = np.frombuffer(value, "<u4", count, at).astype(np.int64)
    at += 4 * count
    starts = np.frombuffer(value, "<i8", starts_bytes // 8, at).reshape(count, -1)
    at += starts_bytes
    used = np.frombuffer(value, "<u2", columns, at)
    at += 2 * columns
    cells = layout.empty(count)
    kept = np.frombuffer(value, f"<i{width}", count * columns, at)
    cells[:, used] = kept.reshape(columns, count).T
    return Part(slots, starts.astype(np.int64), np.zeros(count, np.int64), cells)
