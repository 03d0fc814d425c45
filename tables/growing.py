"""Columns that grow: numpy arrays to whose end more is put, in amortised time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt

Cell = TypeVar("Cell", bound=np.generic)

_FIRST_ROOM = 64


class Column(Generic[Cell]):
    """What was put into it, as `cells`: an array that the next `extend` may leave behind."""

    __slots__ = ("_room", "cells")

    def __init__(self, type: type[Cell]) -> None:
        self._room: npt.NDArray[Cell] = np.zeros(_FIRST_ROOM, type)
        self.cells: npt.NDArray[Cell] = self._room[:0]

    def __len__(self) -> int:
        return len(self.cells)

    def extend(self, more: Sequence[int] | npt.NDArray[Any]) -> None:
        """Put *more* behind what is there."""
        known = len(self.cells)
        size = known + len(more)
        if size > len(self._room):
            room: npt.NDArray[Cell] = np.zeros(max(size, 2 * len(self._room)), self._room.dtype)
            room[:known] = self.cells
            self._room = room
        self._room[known:size] = more
        self.cells = self._room[:size]
