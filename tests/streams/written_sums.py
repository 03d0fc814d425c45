"""What the rollups stage wrote, read back with the official classes, and what it should be."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import orjson

from tailrace.schemas.config.histograms import DEFAULT_BUCKETS
from tailrace.schemas.records import Output
from tests.agents.metrics.flushes import EDGES, METRICS, Identity, Point, metrics_of
from tests.streams.deaths import Sent
from tests.streams.naive_sums import Edge, Histogram, NaiveSums

KINDS = ("UNSPECIFIED", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER")
STATUSES = ("UNSET", "OK", "ERROR")
MS, SECOND = 1_000_000, 1_000_000_000

Sums = dict[Identity, Any]
Steps = list[tuple[int, int, Any]]
"""Start, time and value, where the value is another than before."""


def series(outputs: Iterable[Output]) -> dict[Identity, list[Point]]:
    """The points of each series, in order."""
    found: defaultdict[Identity, list[Point]] = defaultdict(list)
    for point in metrics_of(outputs):
        found[point.series].append(point)
    return dict(found)


def all_series(parts: Iterable[Sent]) -> dict[Identity, list[Point]]:
    """The series of all partitions; each has one writer."""
    found: dict[Identity, list[Point]] = {}
    for part in parts:
        mine = series(part.get(METRICS, []))
        assert not found.keys() & mine.keys()
        found |= mine
    return found


def last_values(parts: Iterable[Sent]) -> Sums:
    """What every series is in the end."""
    return {each: points[-1].value for each, points in all_series(parts).items()}


def steps(points: Sequence[Point]) -> Steps:
    """When a series changed, and to what."""
    found: Steps = []
    for point in points:
        if not found or found[-1][2] != point.value:
            found.append((point.start, point.time, point.value))
    return found


class EdgeSums(NamedTuple):
    """What the records of an edge add up to."""

    calls: int
    failed: int
    client_seconds: float
    server_seconds: float

    def is_close(self, other: EdgeSums) -> bool:
        """True if they differ in no more than the rounding of what was added."""
        return self[:2] == other[:2] and all(
            math.isclose(mine, theirs, rel_tol=1e-12)
            for mine, theirs in zip(self[2:], other[2:], strict=True)
        )


def edge_records(parts: Iterable[Sent]) -> list[dict[str, Any]]:
    """Every edge record of all partitions, in an order of its own."""
    outputs = [output for part in parts for output in part.get(EDGES, [])]
    return sorted((orjson.loads(output.value) for output in outputs), key=repr)


def edge_sums(parts: Iterable[Sent]) -> dict[Edge, EdgeSums]:
    """What the edge records add up to."""
    names = ("calls", "failed", "client_seconds_sum", "server_seconds_sum")
    found: defaultdict[Edge, list[tuple[Any, ...]]] = defaultdict(list)
    for said in edge_records(parts):
        edge = Edge(said["client"], said["server"], said["connection_type"])
        found[edge].append(tuple(said[name] for name in names))
    return {edge: _added(rows) for edge, rows in found.items()}


def cumulative_edges(parts: Iterable[Sent]) -> dict[Edge, EdgeSums]:
    """What the metrics say that the edge records should add up to."""
    calls: defaultdict[Edge, list[tuple[Any, ...]]] = defaultdict(list)
    for each, value in last_values(parts).items():
        labels = dict(each.attributes)
        if not each.metric.startswith("traces_service_graph_request_"):
            continue
        edge = Edge(labels["client"], labels["server"], labels["connection_type"])
        row = {
            "total": (value, 0, 0.0, 0.0),
            "failed_total": (0, value, 0.0, 0.0),
            "client": (0, 0, value[0], 0.0) if each.unit else (),
            "server": (0, 0, 0.0, value[0]) if each.unit else (),
        }[each.metric.removeprefix("traces_service_graph_request_")]
        calls[edge].append(row)
    return {edge: _added(rows) for edge, rows in calls.items()}


def _added(rows: Sequence[tuple[Any, ...]]) -> EdgeSums:
    calls, failed, client, server = zip(*rows, strict=True)
    return EdgeSums(sum(calls), sum(failed), math.fsum(client), math.fsum(server))


def expected_edges(naive: NaiveSums) -> dict[Edge, EdgeSums]:
    """What edge records should add up to."""
    rows: defaultdict[Edge, list[tuple[Any, ...]]] = defaultdict(list)
    for (edge, is_failed), calls in naive.edges.items():
        count = calls.client.count
        seconds = calls.client.sum_ns / SECOND, calls.server.sum_ns / SECOND
        rows[edge].append((count, count * is_failed, *seconds))
    return {edge: _added(each) for edge, each in rows.items()}


def expected_values(naive: NaiveSums) -> Sums:
    """What every series should be in the end."""
    return _red(naive) | _edges(naive) | _unpaired(naive)


def _unpaired(naive: NaiveSums) -> Sums:
    name = "traces_service_graph_unpaired_spans"
    return {
        Identity((), "traces_service_graph", name, "", tuple(each._asdict().items())): count
        for each, count in naive.unpaired.items()
    }


def _red(naive: NaiveSums) -> Sums:
    found: Sums = {}
    for each, histogram in naive.red.items():
        labels = (
            ("service.name", each.service),
            ("span.name", each.name),
            ("span.kind", f"SPAN_KIND_{KINDS[each.kind]}"),
            ("status.code", f"STATUS_CODE_{STATUSES[each.status]}"),
        )
        resource = (("service.name", each.service),)
        for metric, unit, value in (
            ("calls", "", histogram.count),
            ("duration", "ms", _histogram(histogram, MS)),
        ):
            name = f"traces.span.metrics.{metric}"
            found[Identity(resource, "spanmetricsconnector", name, unit, labels)] = value
    return found


def _edges(naive: NaiveSums) -> Sums:
    found: Sums = {}
    for (edge, is_failed), calls in naive.edges.items():
        labels = (*edge._asdict().items(), ("failed", is_failed))
        values: Mapping[tuple[str, str], Any] = {
            ("total", ""): calls.client.count,
            ("client", "s"): _histogram(calls.client, SECOND),
            ("server", "s"): _histogram(calls.server, SECOND),
        }
        if is_failed:
            values = {**values, ("failed_total", ""): calls.client.count}
        for (metric, unit), value in values.items():
            name = f"traces_service_graph_request_{metric}"
            found[Identity((), "traces_service_graph", name, unit, labels)] = value
    return found


def _histogram(histogram: Histogram, unit_ns: int) -> tuple[float, tuple[int, ...]]:
    counts = tuple(histogram.buckets[bucket] for bucket in range(len(DEFAULT_BUCKETS) + 1))
    return histogram.sum_ns / unit_ns, counts
