"""Rows of sums in memory, counts as narrow as they are large.

Nearly all of a row are counts of buckets, and nearly all of those are small. They take one byte
each until one of them needs more, and then two, four, or eight. Sums of durations take eight.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from tailrace.schemas import exponential
from tailrace.schemas.sums import Ints, Layout

CHUNK = 2048
"""Rows that are gone over at once: read, they are several times as large."""
_WIDTHS = (np.uint8, np.uint16, np.uint32, np.int64)


class NarrowRows:
    """Rows of *layout* that read, and are set, as rows of 64-bit integers."""

    def __init__(self, layout: Layout, count: int = 0) -> None:
        self.layout = layout
        self._parts = list(_parts(layout))
        wide = sum(part.stop - part.start for part, is_wide in self._parts if is_wide)
        self._wide = np.zeros((count, wide), np.int64)
        self._narrow: npt.NDArray[Any] = np.zeros((count, layout.width - wide), _WIDTHS[0])

    def __len__(self) -> int:
        return len(self._wide)

    def __iter__(self) -> Iterator[Ints]:
        return iter(self[:])

    def parts(self) -> Iterator[Ints]:
        """Yield all rows, some at a time."""
        for first in range(0, len(self), CHUNK):
            yield self[first : first + CHUNK]

    def __getitem__(self, rows: int | slice | Ints) -> Ints:
        """Return *rows*; they are the reader's own."""
        wide, narrow = self._wide[rows], self._narrow[rows]
        result = np.empty((*wide.shape[:-1], self.layout.width), np.int64)
        at = {True: 0, False: 0}
        for part, is_wide in self._parts:
            first = at[is_wide]
            at[is_wide] = last = first + part.stop - part.start
            result[..., part] = (wide if is_wide else narrow)[..., first:last]
        return result

    def __setitem__(self, rows: Ints, values: Ints) -> None:
        counts = [values[:, part] for part, is_wide in self._parts if not is_wide]
        if counts:
            narrow = counts[0] if len(counts) == 1 else np.concatenate(counts, axis=1)
            self._fit(narrow)
            self._narrow[rows] = narrow
        wide = [values[:, part] for part, is_wide in self._parts if is_wide]
        if wide:
            self._wide[rows] = wide[0] if len(wide) == 1 else np.concatenate(wide, axis=1)

    def _fit(self, counts: Ints) -> None:
        """Make room for *counts*, however large."""
        most, least = int(counts.max(initial=0)), int(counts.min(initial=0))
        for width in _WIDTHS:
            ends = np.iinfo(width)
            if ends.max >= max(most, np.iinfo(self._narrow.dtype).max) and least >= ends.min:
                if self._narrow.dtype != width:
                    self._narrow = self._narrow.astype(width)
                return

    def forget(self, rows: Ints) -> None:
        """Make *rows* zeros."""
        self._wide[rows], self._narrow[rows] = 0, 0

    def upto(self, count: int) -> NarrowRows:
        """Return the first *count* rows, as they are and as they will be set."""
        view = NarrowRows(self.layout)
        view._wide, view._narrow = self._wide[:count], self._narrow[:count]
        return view

    def grow(self, count: int) -> None:
        """Have *count* rows; new ones are zeros."""
        for name in ("_wide", "_narrow"):
            old = getattr(self, name)
            new = np.zeros((count, old.shape[1]), old.dtype)
            new[: len(old)] = old
            setattr(self, name, new)


def _parts(layout: Layout) -> Iterator[tuple[slice, bool]]:
    """Yield columns of *layout* that belong together, and whether they are sums, not counts."""
    sums = 2 + (exponential.HEAD if layout.is_exponential else 0)
    for histogram in layout.histograms:
        columns = layout.columns(histogram)
        yield slice(columns.start, columns.start + sums), True
        yield slice(columns.start + sums, columns.stop), False
    if layout.counts:
        yield slice(layout.width - len(layout.counts), layout.width), False
