"""Integers by column, as bytes: a column costs what tells its values apart, and one of zeros none.

After the head: of each column that holds something its number, its least value, and of how many
bytes its cells are; then the cells, less the least value of their column, columns of one width
after the other. Little endian. Of more columns than 16 bits can number, numbers have 32: such bytes
are *wide*, and their reader has to know it.
"""

from __future__ import annotations

import struct

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]

MOST_NARROW = (1 << 16) - 1
"""Columns of what is not wide."""

_HEADS = struct.Struct("<IH"), struct.Struct("<II")  # rows, columns that hold something
_COLUMNS = tuple(
    np.dtype([("number", number), ("least", "<i8"), ("width", "u1")]) for number in ("<u2", "<u4")
)
"""Of what is not wide, and of what is."""
_WIDTHS = (1, 2, 4, 8)
_WIDTH_OF = np.array([0, *_WIDTHS], np.uint8)
_LIMITS = np.array([1, 1 << 8, 1 << 16, 1 << 32], np.uint64)
"""What the widths, from 0 on, cannot tell any more."""


def pack(columns: Ints) -> bytes:
    """Return *columns*, rows of a matrix, each a column, as bytes; wide if MOST_NARROW is less."""
    is_wide = len(columns) > MOST_NARROW
    if not columns.shape[1]:
        return _HEADS[is_wide].pack(0, 0)
    least, most = columns.min(1), columns.max(1)
    used = np.flatnonzero(least | most)
    least = least[used]
    head = np.empty(len(used), _COLUMNS[is_wide])
    head["number"], head["least"] = used, least
    # Differences wrap around, and back when they are added again.
    span = (most[used] - least).view(np.uint64)
    widths = head["width"] = _WIDTH_OF[np.searchsorted(_LIMITS, span, "right")]
    parts = [_HEADS[is_wide].pack(columns.shape[1], len(used)), head.tobytes()]
    for width in _WIDTHS:
        mine = np.flatnonzero(widths == width)
        if len(mine):
            cells = columns[used[mine]] - least[mine, np.newaxis]
            parts.append(cells.astype(f"<u{width}").tobytes())
    return b"".join(parts)


def unpack(value: bytes, count: int, at: int = 0, *, is_wide: bool = False) -> Ints:
    """Return the *count* columns that begin at *at* in *value*."""
    rows, used = _HEADS[is_wide].unpack_from(value, at)
    at += _HEADS[is_wide].size
    head = np.frombuffer(value, _COLUMNS[is_wide], used, at)
    at += head.nbytes
    columns = np.zeros((count, rows), np.int64)
    columns[head["number"]] = head["least"][:, np.newaxis]
    for width in _WIDTHS:
        mine = head["number"][head["width"] == width]
        if len(mine):
            cells = np.frombuffer(value, f"<u{width}", rows * len(mine), at)
            at += cells.nbytes
            columns[mine] += cells.reshape(len(mine), rows).astype(np.uint64).view(np.int64)
    return columns
