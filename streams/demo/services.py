"""Rates, errors and p95 of services, from the cumulative points of the metrics topic.

A service is told by what it handled: its SERVER and CONSUMER spans, of all its resources, names
and statuses together. What a stretch of time brought is the difference of two cumulative values.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

from tailrace_loadtest.metric_check import CALLS, DURATION
from tailrace_loadtest.points import CumulativeSeries, Point, SeriesId
from tailrace_loadtest.report import Report, Written

SECOND_NS = 1_000_000_000
_HANDLED = ("SPAN_KIND_SERVER", "SPAN_KIND_CONSUMER")
_ERROR = "STATUS_CODE_ERROR"
_QUANTILE = 0.95


class Rates(NamedTuple):
    """What a service handled in a stretch of *seconds*; None where it handled nothing."""

    service: str
    calls: int
    errors: int
    p95_ms: float | None
    seconds: float


@dataclass(slots=True)
class _Handled:
    """Cumulative: calls, those that failed, and how many lasted how long."""

    calls: int = 0
    errors: int = 0
    bounds: tuple[float, ...] = ()
    buckets: list[int] = field(default_factory=list)

    def take(self, series_id: SeriesId, point: Point) -> None:
        if series_id.metric == CALLS:
            self.calls += sum(point.counts)
            self.errors += sum(point.counts) * (dict(series_id.attributes)["status.code"] == _ERROR)
        else:
            self.bounds = point.bounds or ()
            self.buckets = added(self.buckets, point.counts)


_Snapshot = dict[str, _Handled]


class Services:
    """What every service handled, as of the flushes of the last *window_s*.

    A partition's flush holds all of its series as of one time; partitions are flushed one after
    the other, so what is told is as of the last time that all of them have reached.
    """

    def __init__(self, window_s: int) -> None:
        self._window_ns = window_s * SECOND_NS
        self._flushes: dict[int, dict[int, _Snapshot]] = {}
        self._began_ns: int | None = None

    @property
    def as_of_ns(self) -> int | None:
        """The time that is told of, in ns since 1970; None before the first flush."""
        return min((max(flushes) for flushes in self._flushes.values()), default=None)

    def add(self, record: Written) -> None:
        """Take a record of the metrics topic; metrics of edges tell nothing here."""
        # Of a series that appears it has two points; the first is zero.
        points = CumulativeSeries()
        points.read([record], Report())
        for series_id, point in points.items():
            self._add(series_id, point)
        self._forget(record.partition)

    def _add(self, series_id: SeriesId, point: Point) -> None:
        if series_id.metric not in (CALLS, DURATION):
            return
        snapshot = self._flushes.setdefault(point.partition, {}).setdefault(point.time_ns, {})
        self._began_ns = min(self._began_ns or point.start_ns, point.start_ns)
        attributes = dict(series_id.attributes)
        if attributes["span.kind"] in _HANDLED:
            handled = snapshot.setdefault(str(attributes["service.name"]), _Handled())
            handled.take(series_id, point)

    def _forget(self, partition: int) -> None:
        """Keep what a window that ends now or later can begin with."""
        flushes, as_of = self._flushes.get(partition, {}), self.as_of_ns
        if as_of is not None:
            passed = sorted(at for at in flushes if at <= as_of - self._window_ns)
            for at in passed[:-1]:
                del flushes[at]

    def rates(self) -> list[Rates]:
        """Return what every service handled in the last *window_s*, by name."""
        if self.as_of_ns is None or self._began_ns is None:
            return []
        since = max(self.as_of_ns - self._window_ns, self._began_ns)
        return list(self._between(since, self.as_of_ns))

    def totals(self) -> list[Rates]:
        """Return what every service handled from the beginning on, by name."""
        if self.as_of_ns is None or self._began_ns is None:
            return []
        return list(self._between(self._began_ns, self.as_of_ns))

    def _between(self, since_ns: int, until_ns: int) -> Iterator[Rates]:
        before, after = self._at(since_ns), self._at(until_ns)
        for name in sorted(after):
            first, last = before.get(name, _Handled()), after[name]
            buckets = added(last.buckets, [-count for count in first.buckets])
            yield Rates(
                name, last.calls - first.calls, last.errors - first.errors,
                quantile(_QUANTILE, last.bounds, buckets), (until_ns - since_ns) / SECOND_NS,
            )  # fmt: skip

    def _at(self, time_ns: int) -> _Snapshot:
        """Return what every service had handled by *time_ns*, in all partitions together."""
        found: _Snapshot = {}
        for flushes in self._flushes.values():
            at = max((at for at in flushes if at <= time_ns), default=None)
            for name, handled in flushes[at].items() if at is not None else ():
                whole = found.setdefault(name, _Handled(bounds=handled.bounds))
                whole.calls += handled.calls
                whole.errors += handled.errors
                whole.buckets = added(whole.buckets, handled.buckets)
        return found


def added(counts: Sequence[int], more: Sequence[int]) -> list[int]:
    """Return the sums by place; of which one has no place, the other's count."""
    if not counts or not more:
        return list(counts or more)
    return [count + another for count, another in zip(counts, more, strict=True)]


def quantile(q: float, bounds: Sequence[float], buckets: Iterable[int]) -> float | None:
    """Return the *q*-quantile of *buckets* with inclusive upper *bounds*; None if all are empty.

    As Prometheus' histogram_quantile: linear within a bucket, from 0 in the first; the last bound
    for what is above it.
    """
    counts = list(buckets)
    rank = q * sum(counts)
    if not rank or not bounds:
        return None
    passed = 0
    for (lower, upper), count in zip(pairwise((0.0, *bounds)), counts, strict=False):
        if passed + count >= rank and count:
            return lower + (upper - lower) * (rank - passed) / count
        passed += count
    return bounds[-1]
