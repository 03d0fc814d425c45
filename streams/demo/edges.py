"""Who calls whom, from the records of the edges' topic: each is what a flush period brought."""

from __future__ import annotations

from collections import defaultdict, deque
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import orjson

from tailrace.streams.demo.services import SECOND_NS
from tailrace_loadtest.report import Written

_TYPES = {
    "": "request",
    "messaging_system": "messaging",
    "database": "database",
    "virtual_node": "virtual",
}
_Name = tuple[str, str, str]


class EdgeRates(NamedTuple):
    """What went over an edge in a stretch of time; `client_ms` is None if no client told."""

    client: str
    server: str
    type: str
    calls: int
    failed: int
    client_ms: float | None


@dataclass(slots=True)
class _Sums:
    calls: int = 0
    failed: int = 0
    client_s: float = 0.0

    def add(self, record: dict[str, Any]) -> None:
        self.calls += record["calls"]
        self.failed += record["failed"]
        self.client_s += record["client_seconds_sum"]


class Edges:
    """The edges of all times, and of the last *window_s*."""

    def __init__(self, window_s: int) -> None:
        self._window_ns = window_s * SECOND_NS
        self._totals: defaultdict[_Name, _Sums] = defaultdict(_Sums)
        self._recent: deque[tuple[int, dict[str, Any]]] = deque()

    def add(self, record: Written) -> None:
        """Take a record of the edges' topic."""
        said = orjson.loads(record.value or b"{}")
        self._totals[_name(said)].add(said)
        self._recent.append((_nanos(said["to"]), said))

    def rates(self, as_of_ns: int | None) -> list[EdgeRates]:
        """Return what went over each edge in the window that ends at *as_of_ns*; busiest first.

        The order is that of all calls so far, so that edges do not change places all the time.
        """
        until = as_of_ns or 0
        since = until - self._window_ns
        while self._recent and self._recent[0][0] <= since:
            self._recent.popleft()
        sums: defaultdict[_Name, _Sums] = defaultdict(_Sums)
        for at, said in self._recent:
            if since < at <= until:
                sums[_name(said)].add(said)
        return [_rates(name, sums[name]) for name in self._busiest()]

    def totals(self) -> list[EdgeRates]:
        """Return what went over each edge from the beginning on; busiest first."""
        return [_rates(name, self._totals[name]) for name in self._busiest()]

    def _busiest(self) -> list[_Name]:
        return sorted(self._totals, key=lambda name: (-self._totals[name].calls, name))


def _rates(name: _Name, sums: _Sums) -> EdgeRates:
    client_ms = 1000 * sums.client_s / sums.calls if sums.client_s else None
    return EdgeRates(*name, sums.calls, sums.failed, client_ms)


def _name(record: dict[str, Any]) -> _Name:
    connection = record["connection_type"]
    return record["client"], record["server"], _TYPES.get(connection, connection)


def _nanos(time: str) -> int:
    return int(np.datetime64(time.removesuffix("Z"), "ns").astype(np.int64))
