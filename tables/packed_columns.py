"""Integers by column, as bytes: a column costs what tells its values apart, and one of zeros none.

After the head: of each column that holds something its number, its least value, and of how many
bytes its cells are; then the cells, less the least value of their column, columns of one width
after the other. Little endian.
"""

from __future__ import annotations

import struct

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]

_HEAD = struct.Struct("<IH")  # rows, columns that hold something
_COLUMN = np.dtype([("number", "<u2"), ("least", "<i8"), ("width", "u1")])
_WIDTHS = (1, 2, 4, 8)


def pack(matrix: Ints) -> bytes:
    """Return *matrix*, of fewer than 2^16 columns, as bytes."""
    if not len(matrix):
        return _HEAD.pack(0, 0)
    least, most = matrix.min(0), matrix.max(0)
    used = np.flatnonzero((least != 0) | (most != 0))
    head = np.zeros(len(used), _COLUMN)
    head["number"], head["least"] = used, least[used]
    # Differences wrap around, and back when they are added again.
    span = (most[used] - least[used]).view(np.uint64)
    head["width"] = np.select([span == 0, span < 1 << 8, span < 1 << 16, span < 1 << 32], _CODES, 8)
    parts = [_HEAD.pack(len(matrix), len(used)), head.tobytes()]
    for width in _WIDTHS:
        columns = used[head["width"] == width]
        if len(columns):
            cells = (matrix[:, columns] - least[columns]).view(np.uint64)
            parts.append(cells.astype(f"<u{width}").tobytes("F"))
    return b"".join(parts)


_CODES = (0, 1, 2, 4)


def unpack(value: bytes, columns: int, at: int = 0) -> Ints:
    """Return the matrix of *columns* that begins at *at* in *value*."""
    rows, used = _HEAD.unpack_from(value, at)
    at += _HEAD.size
    head = np.frombuffer(value, _COLUMN, used, at)
    at += head.nbytes
    matrix = np.zeros((rows, columns), np.int64)
    matrix[:, head["number"]] = head["least"]
    for width in _WIDTHS:
        mine = head["number"][head["width"] == width]
        cells = np.frombuffer(value, f"<u{width}", rows * len(mine), at)
        at += cells.nbytes
        matrix[:, mine] += cells.reshape(len(mine), rows).T.astype(np.uint64).view(np.int64)
    return matrix
