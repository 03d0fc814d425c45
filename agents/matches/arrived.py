"""Spans as they arrived, row by row, for the few that are looked at one by one."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from functools import cached_property
from typing import Final

import numpy as np

from tailrace.agents.matches.groups import raw
from tailrace.schemas.alert_events import EvidenceSpan
from tailrace.schemas.records import Arrivals
from tailrace.schemas.spans import SpanBatch
from tailrace.schemas.sums import Ints

NAME_CHARACTERS: Final = 250
"""How much of a name is evidence."""


class Arrived:
    """The spans of *arrivals*; what is derived of them is worked out when it is asked for."""

    def __init__(self, arrivals: Arrivals[SpanBatch]) -> None:
        self.batch = arrivals.decoded
        self._times = arrivals.times
        self._raw: dict[str, Ints] = {}
        self._shown: dict[int, EvidenceSpan] = {}

    def __len__(self) -> int:
        return len(self.batch)

    @cached_property
    def _first_rows(self) -> list[int]:
        first_rows: list[int] = self.batch.fragment_start.tolist()
        return first_rows

    def _fragment(self, row: int) -> int:
        return bisect_right(self._first_rows, row) - 1

    def trace_id(self, row: int) -> bytes:
        return self.batch.fragment_trace_id[self._fragment(row)]

    def time(self, row: int) -> int:
        """Return stream time in ms as the span's record came."""
        return self._times[int(self.batch.fragment_message[self._fragment(row)])]

    def shown(self, row: int) -> EvidenceSpan:
        """Return the span as evidence shows it."""
        found = self._shown.get(row)
        if found is None:
            batch = self.batch
            start, end = int(batch.start[row]), int(batch.end[row])
            found = self._shown[row] = EvidenceSpan(
                self.trace_id(row).hex(),
                batch.span_id[row].hex(),
                batch.strings[int(batch.service[row])][:NAME_CHARACTERS],
                batch.strings[int(batch.name[row])][:NAME_CHARACTERS],
                max(0, end - start),
                end,
            )
        return found

    def raw(self, field: str) -> Ints:
        """Return `groups.raw` of all rows."""
        found = self._raw.get(field)
        if found is None:
            found = self._raw[field] = raw(field, self.batch)
        return found

    def runs(self, interval_ms: int) -> Iterator[tuple[int, slice]]:
        """Yield the time of the first record of each interval, and the rows of that interval."""
        times = self._times
        if not times:
            return
        if times[0] // interval_ms == times[-1] // interval_ms:
            yield times[0], slice(0, len(self))
            return
        intervals = np.array(times, np.int64) // interval_ms
        firsts = np.flatnonzero(np.diff(intervals, prepend=intervals[0] - 1))
        edges = [*firsts.tolist(), len(times)]
        fragments = np.searchsorted(self.batch.fragment_message, edges)
        bounds = self.batch.fragment_start[fragments].tolist()
        for first, start, end in zip(firsts.tolist(), bounds, bounds[1:], strict=False):
            yield times[first], slice(start, end)
