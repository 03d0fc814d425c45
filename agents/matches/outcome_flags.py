"""What outcomes are, as columns by their number, and the series of each, end to end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from tailrace.schemas.sums import Ints

Flagged: TypeAlias = npt.NDArray[np.bool_]


Cells = TypeVar("Cells", bound=npt.NDArray[Any])


class Flags:
    """The columns grow as outcomes are added."""

    def __init__(self) -> None:
        self._count = self._used = 0
        self._sizes = np.zeros(64, np.int64)
        self._starts = np.zeros(64, np.int64)
        self._overflowed = np.zeros(64, np.int64)
        self._needs_a_look = np.zeros(64, np.bool_)
        # Of each series twice its place, and one more if it is a match.
        self._cells: Ints = np.zeros(64, np.int64)

    def add(
        self,
        series: Sequence[int],
        is_matched: Sequence[bool],
        needs_a_look: bool,
        overflowed: int,
    ) -> None:
        """Add the next outcome; *overflowed*: how many of its series stand for others."""
        number, size = self._count, len(series)
        if number == len(self._sizes):
            for name in ("_sizes", "_starts", "_overflowed", "_needs_a_look"):
                setattr(self, name, _doubled(getattr(self, name)))
        while self._used + size > len(self._cells):
            self._cells = _doubled(self._cells)
        cells = [2 * place + match for place, match in zip(series, is_matched, strict=True)]
        self._cells[self._used : self._used + size] = cells
        self._sizes[number], self._starts[number] = size, self._used
        self._overflowed[number], self._needs_a_look[number] = overflowed, needs_a_look
        self._used += size
        self._count += 1

    def needs_a_look(self) -> Flagged:
        """True of those whose spans matter one by one: the first of an interval, or evidence."""
        return self._needs_a_look[: self._count]

    def overflowed(self, outcomes: Ints) -> int:
        """Return how often one of *outcomes* adds to a series that stands for others."""
        return int(self._overflowed[outcomes].sum())

    def is_matched(self, outcome: int) -> list[bool]:
        """Return whether each series of *outcome* is matched."""
        start = int(self._starts[outcome])
        flags: list[bool] = (self._cells[start : start + self._sizes[outcome]] & 1 != 0).tolist()
        return flags

    def series(self, outcomes: Ints) -> tuple[Ints, Ints, Ints]:
        """Return the series of all *outcomes*, 1 where they match, and each one's index there."""
        sizes = self._sizes[outcomes]
        owners = np.repeat(np.arange(len(outcomes)), sizes)
        firsts = np.cumsum(sizes) - sizes
        cells = self._cells[np.arange(len(owners)) + (self._starts[outcomes] - firsts)[owners]]
        return cells >> 1, cells & 1, owners


def _doubled(cells: Cells) -> Cells:
    doubled: Cells = np.concatenate([cells, np.zeros_like(cells)])  # type: ignore[assignment]
    return doubled
