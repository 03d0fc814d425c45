"""Compares edge records with the truth: all records of an edge together are its truth."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np
import orjson

from tailrace_loadtest.edges import Edge
from tailrace_loadtest.report import Report, Written
from tailrace_loadtest.truth import Truth

TENANT = "default"
_COUNTS = ("calls", "failed")
_SECONDS = ("client_seconds_sum", "server_seconds_sum")


class EdgeFault(StrEnum):
    """What can be wrong with edge records."""

    UNREADABLE = "an edge record that is not in its topic's format"
    WRONG_KEY = "an edge record whose key is not its edge"
    TWO_WRITERS = "an edge in two partitions"
    OVERLAP = "an edge with two records about one time"
    MISSING = "an edge without a record"
    FOREIGN = "an edge over which nobody called"
    WRONG_CALLS = "an edge with other calls than there were"
    WRONG_FAILURES = "an edge with other failed calls than there were"
    WRONG_SECONDS = "an edge with another sum of durations"


@dataclass(slots=True)
class EdgeSums:
    """What all records of one edge say together; seconds as whole nanoseconds."""

    calls: int = 0
    failed: int = 0
    client_ns: int = 0
    server_ns: int = 0
    periods: list[tuple[int, int]] = field(default_factory=list)
    partitions: set[int] = field(default_factory=set)


class EdgeRecords(defaultdict[Edge, EdgeSums]):
    """The sums of every edge that was read."""

    def __init__(self) -> None:
        super().__init__(EdgeSums)

    def read(self, written: Iterable[Written], report: Report) -> None:
        """Read records of the edges' topic."""
        for record in written:
            report.edge_records += 1
            try:
                self._take(record, report)
            except (ValueError, KeyError, TypeError) as error:
                report.add(EdgeFault.UNREADABLE, f"{record.value!r}: {error!r}")

    @property
    def calls(self) -> int:
        """Of all edges together."""
        return sum(each.calls for each in self.values())

    def _take(self, record: Written, report: Report) -> None:
        said: dict[str, Any] = orjson.loads(record.value or b"")
        counts = [_count(said[name]) for name in _COUNTS]
        nanos = [_nanos(said[name]) for name in _SECONDS]
        since, until = (_time(said[name]) for name in ("from", "to"))
        if since >= until or said["tenant"] != TENANT or said["dimensions"]:
            raise ValueError("a period, tenant or dimension that cannot be")
        edge = Edge(said["client"], said["server"], said["connection_type"])
        if record.key is None or orjson.loads(record.key) != [TENANT, *edge]:
            report.add(EdgeFault.WRONG_KEY, f"{record.key!r}: {said}")
        sums = self[edge]
        sums.calls += counts[0]
        sums.failed += counts[1]
        sums.client_ns += nanos[0]
        sums.server_ns += nanos[1]
        sums.periods.append((since, until))
        sums.partitions.add(record.partition)


def check_edges(truth: Truth, records: EdgeRecords, report: Report) -> None:
    """Compare the sums of all edges with *truth*."""
    report.edges += len(records)
    expected = truth_sums(truth)
    for edge, right in expected.items():
        if edge in records:
            _compare(edge, records[edge], right, report)
        else:
            report.add(EdgeFault.MISSING, f"{edge}, {right.calls} calls")
    for edge, found in records.items():
        if edge not in expected:
            report.add(EdgeFault.FOREIGN, f"{edge}: {found.calls} calls")
        _check_periods(edge, found, report)


def truth_sums(truth: Truth) -> dict[Edge, EdgeSums]:
    """What the records of every edge must say together."""
    sums: defaultdict[Edge, EdgeSums] = defaultdict(EdgeSums)
    for (edge, is_failed), calls in truth.graph.items():
        each = sums[edge]
        each.calls += calls.count
        each.failed += calls.count * is_failed
        each.client_ns += calls.client.sum_ns
        each.server_ns += calls.server.sum_ns
    return dict(sums)


def _compare(edge: Edge, found: EdgeSums, right: EdgeSums, report: Report) -> None:
    if found.calls != right.calls:
        report.add(EdgeFault.WRONG_CALLS, f"{edge}: {found.calls}, expected {right.calls}")
    if found.failed != right.failed:
        report.add(EdgeFault.WRONG_FAILURES, f"{edge}: {found.failed}, expected {right.failed}")
    if (found.client_ns, found.server_ns) != (right.client_ns, right.server_ns):
        report.add(
            EdgeFault.WRONG_SECONDS,
            f"{edge}: {found.client_ns} and {found.server_ns} ns, "
            f"expected {right.client_ns} and {right.server_ns}",
        )


def _check_periods(edge: Edge, found: EdgeSums, report: Report) -> None:
    for (_, until), (since, _) in pairwise(sorted(found.periods)):
        if since < until:
            report.add(EdgeFault.OVERLAP, f"{edge}: until {until} ns and from {since} ns")
    if len(found.partitions) > 1:
        report.add(EdgeFault.TWO_WRITERS, f"{edge}: {sorted(found.partitions)}")


def _count(value: Any) -> int:
    if not isinstance(value, int) or value < 0:
        raise ValueError(f"{value} is no count")
    return value


def _nanos(seconds: Any) -> int:
    """The whole nanoseconds of which *seconds* is the nearest double: one, below 52 days."""
    return round(Fraction(seconds) * 1_000_000_000)


def _time(text: str) -> int:
    """Nanoseconds since 1970 of an RFC 3339 time in UTC."""
    if not text.endswith("Z"):
        raise ValueError(f"{text} is no time in UTC")
    return int(np.datetime64(text[:-1], "ns").astype(np.int64))
