"""Kinds by the thousand: from ids to classes, and from classes at an origin to kinds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
import numpy.typing as npt

from tailrace.agents.matches.filters import Origins
from tailrace.schemas.sums import Ints

_UNKNOWN: Final = -1
_DENSE_CELLS: Final = 4 << 20
_KEPT_PAIRS: Final = 500_000
_CLASSES: Final = 1 << 32
"""No field has as many."""


class Table:
    """What belongs to interned ids, worked out as they come up."""

    def __init__(self, work_out: Callable[[int], int]) -> None:
        self._work_out = work_out
        # The last cell is that of ABSENT, which is -1.
        self._cells = np.full(1, _UNKNOWN, np.int64)

    def of(self, ids: npt.NDArray[np.int32], known: int) -> Ints:
        """Return what belongs to each of *ids*, which are below *known*."""
        if known >= len(self._cells):
            more = np.full(2 * known - len(self._cells) + 1, _UNKNOWN, np.int64)
            self._cells = np.concatenate([self._cells[:-1], more, self._cells[-1:]])
        found = self._cells[ids]
        if len(found) and found.min() < 0:
            unknown = np.unique(ids[found < 0])
            self._cells[unknown] = list(map(self._work_out, unknown.tolist()))
            found = self._cells[ids]
        return found


class Kinds(dict[int, int]):
    """The kinds of one field by origin and class; if it is a step, the origins that result.

    They are cells of a table while that is small, and items of a dict when it is not.
    """

    def __init__(self, origins: Origins, index: int, *, is_step: bool) -> None:
        super().__init__()
        self._origins = origins
        self._index = index
        self._is_step = is_step
        self._shape = (1, 1)
        self._cells = np.full(1, _UNKNOWN, np.int32)

    def of(self, origins: Ints, classes: Ints) -> Ints:
        """Return the kind of each class at its origin."""
        if not len(classes):
            return classes
        height, width = _grown(self._shape[0], len(self._origins)), self._shape[1]
        width = _grown(width, int(classes.max()) + 1)
        if height * width > _DENSE_CELLS:
            places = (origins * _CLASSES + classes).tolist()
            return np.fromiter(map(self.__getitem__, places), np.int64, len(places))
        if (height, width) != self._shape:
            cells = np.full((height, width), _UNKNOWN, np.int32)
            cells[: self._shape[0], : self._shape[1]] = self._cells.reshape(self._shape)
            self._shape, self._cells = (height, width), cells.reshape(-1)
        return self._of_cells(origins * width + classes, width)

    def _of_cells(self, places: Ints, width: int) -> Ints:
        found = self._cells[places]
        if found.min() < 0:
            for place in np.unique(places[found < 0]).tolist():
                self._cells[place] = self._worked_out(*divmod(place, width))
            found = self._cells[places]
        return found.astype(np.int64)

    def __missing__(self, place: int) -> int:
        if len(self) >= _KEPT_PAIRS:
            self.clear()
        found = self[place] = self._worked_out(*divmod(place, _CLASSES))
        return found

    def _worked_out(self, origin: int, number: int) -> int:
        if self._is_step:
            return self._origins.refined(origin, self._index, number)
        return self._origins[origin].kind(self._index, number)


def _grown(size: int, needed: int) -> int:
    return size if needed <= size else max(needed, 2 * size)
