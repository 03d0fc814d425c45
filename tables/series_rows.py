"""Rows of sums by slot, in blocks, and their bytes.

A block is what a checkpoint writes when one of its rows changed.
"""

from __future__ import annotations

import itertools
import struct
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tailrace.schemas.sums import Ints, Layout, carried, merged

BLOCK = 128
"""Rows of a block."""
NEVER = int(np.iinfo(np.int64).max)
"""The start of a stream that has not started."""

_VERSION = 1
_HEAD = struct.Struct(">BIHB")  # version, rows, columns that hold something, bytes of a cell
_KEYS_HEAD = struct.Struct(">BI")  # version, keys


class Rows:
    """Sums and starts by row, as many as are asked for, and which blocks of them changed."""

    def __init__(self, layout: Layout, streams: int) -> None:
        self.cells = layout.empty()
        self.starts = np.zeros((0, streams), np.int64)
        self.is_dirty = np.zeros(0, np.bool_)

    def upto(self, count: int) -> Rows:
        """Have at least *count* rows; new ones are zeros that have never started."""
        have = len(self.cells)
        if count > have:
            room = max(count, have * 5 // 4, BLOCK)
            room += -room % BLOCK
            self.cells = _grown(self.cells, room, 0)
            self.starts = _grown(self.starts, room, NEVER)
            self.is_dirty = _grown(self.is_dirty, room // BLOCK, False)
        return self

    def part(self, rows: slice) -> tuple[Ints, Ints]:
        """Return starts and sums of *rows*."""
        return self.starts[rows], self.cells[rows]

    def take_dirty(self, count: int) -> Iterator[tuple[int, slice]]:
        """Yield every block that changed, and its rows below *count*; then none has changed."""
        for block in np.flatnonzero(self.is_dirty).tolist():
            yield block, slice(block * BLOCK, min((block + 1) * BLOCK, count))
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
        self._slots = np.zeros(0, np.int64)
        self._row_of_slot = np.zeros(0, np.int32)  # and 1 more; 0 is none

    def add(self, slots: Ints, cells: Ints, starts: Ints) -> None:
        """Add `cells[i]` to slot `slots[i]`, whose streams start no later than `starts[i]`."""
        missing = int(slots.max()) + 1 - len(self._row_of_slot)
        if missing > 0:
            more = np.zeros(max(missing, len(self._row_of_slot)), np.int32)
            self._row_of_slot = np.concatenate([self._row_of_slot, more])
        new = slots[self._row_of_slot[slots] == 0]
        have = len(self._slots)
        self._row_of_slot[new] = np.arange(have + 1, have + 1 + len(new))
        self._slots = np.concatenate([self._slots, new])
        rows = self._row_of_slot[slots] - 1
        into = self._rows.upto(len(self._slots))
        into.cells[rows] = merged(self._layout, into.cells[rows], cells)
        into.starts[rows] = np.minimum(into.starts[rows], starts)
        into.is_dirty[rows // BLOCK] = True

    def sorted(self) -> tuple[Ints, Ints, Ints]:
        """Return slots in ascending order, their sums and their starts."""
        order = np.argsort(self._slots)
        return self._slots[order], self._rows.cells[order], self._rows.starts[order]

    def is_stored(self, block: int) -> None:
        """Take note that the store has *block* as it is, and all before it."""
        self.stored_blocks = block + 1
        self._rows.is_dirty[block] = False

    def take_dirty(self) -> Iterator[tuple[int, bytes]]:
        """Yield the number and the value of every block that changed since the last time."""
        for block, rows in self._rows.take_dirty(len(self._slots)):
            starts, cells = self._rows.part(rows)
            yield block, packed(self._slots[rows], starts, carried(self._layout, cells))
            self.stored_blocks = max(self.stored_blocks, block + 1)


def packed(slots: Ints, starts: Ints, cells: Ints) -> bytes:
    """Return rows as bytes; columns of zeros and the upper halves of small numbers cost nothing."""
    used = np.flatnonzero(cells.any(axis=0))
    kept = cells[:, used]
    width = 4 if int(kept.max(initial=0)) < 1 << 31 and int(kept.min(initial=0)) >= 0 else 8
    return b"".join(
        (
            _HEAD.pack(_VERSION, len(slots), len(used), width),
            slots.astype("<u4").tobytes(),
            starts.astype("<i8").tobytes(),
            used.astype("<u2").tobytes(),
            kept.astype(f"<i{width}").tobytes("F"),
        )
    )


def unpacked(value: bytes, layout: Layout, streams: int) -> tuple[Ints, Ints, Ints]:
    """Return slots, starts and sums of rows of *layout*."""
    _, count, columns, width = _HEAD.unpack_from(value)
    at = _HEAD.size
    slots = np.frombuffer(value, "<u4", count, at).astype(np.int64)
    at += 4 * count
    starts = np.frombuffer(value, "<i8", count * streams, at).reshape(count, streams)
    at += 8 * count * streams
    used = np.frombuffer(value, "<u2", columns, at)
    at += 2 * columns
    cells = layout.empty(count)
    kept = np.frombuffer(value, f"<i{width}", count * columns, at)
    cells[:, used] = kept.reshape(columns, count).T
    return slots, starts.astype(np.int64), cells


def packed_keys(keys: Sequence[bytes]) -> bytes:
    lengths = np.fromiter(map(len, keys), "<u4", len(keys))
    return b"".join((_KEYS_HEAD.pack(_VERSION, len(keys)), lengths.tobytes(), *keys))


def unpacked_keys(value: bytes) -> list[bytes]:
    _, count = _KEYS_HEAD.unpack_from(value)
    first = _KEYS_HEAD.size + 4 * count
    ends = first + np.cumsum(np.frombuffer(value, "<u4", count, _KEYS_HEAD.size), dtype=np.int64)
    return [value[start:end] for start, end in itertools.pairwise((first, *ends.tolist()))]
