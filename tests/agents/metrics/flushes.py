"""Rollups as tests write them, and what was flushed, read back with the official classes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    AGGREGATION_TEMPORALITY_CUMULATIVE,
    Metric,
    MetricsData,
)

from tailrace.agents.metrics.logic import EdgeMetrics, MetricsSettings, RedMetrics
from tailrace.schemas.otlp.attributes import plain_value
from tailrace.schemas.records import Output
from tailrace.schemas.series import (
    EdgeSeries,
    RedSeries,
    edge_layout,
    encoded_attributes,
    encoded_resource,
    red_layout,
)
from tailrace.schemas.strings import AttributeValue
from tailrace.schemas.sums import Layout, Rollup, observed

MS = 1_000_000
BOUNDS = (10 * MS, 100 * MS, 1000 * MS)
RED_LAYOUT, EDGE_LAYOUT = red_layout(BOUNDS), edge_layout(BOUNDS)
METRICS, EDGES = "otlp_metrics", "tailrace.edges"
INTERVAL_MS, RED_MS, EDGES_MS = 1000, 3000, 2000

SETTINGS = MetricsSettings(
    METRICS,
    EDGES,
    1_000_000,
    RedMetrics(RED_LAYOUT, RED_MS, "traces.span.metrics", "ms"),
    EdgeMetrics(EDGE_LAYOUT, EDGES_MS),
)

Durations = Mapping[str, Sequence[int]]
"""Durations in ns, by histogram."""


def red_key(service: str = "api", name: str = "GET /", **resource: AttributeValue) -> bytes:
    labels = [("service.name", service), ("span.name", name)]
    encoded = encoded_resource({"service.name": service, **resource})
    return RedSeries(encoded, encoded_attributes(labels)).key()


def edge_key(client: str = "api", server: str = "cart", **dimensions: str) -> bytes:
    return EdgeSeries("default", client, server, "", tuple(dimensions.items())).key()


def calls(client: Sequence[int], server: Sequence[int], *, failed: bool = False) -> Durations:
    """Calls of an edge: how long they took for its client and its server."""
    suffix = "_failed" if failed else ""
    return {f"client{suffix}": client, f"server{suffix}": server}


def rollup(layout: Layout, start: int, series: Mapping[bytes, Durations]) -> Rollup:
    """The rollup of one interval from *start* (ms)."""
    rows = layout.empty(len(series))
    for row, durations in enumerate(series.values()):
        for name, values in durations.items():
            groups = np.zeros(len(values), np.int64)
            rows[row] += observed(layout, name, groups, 1, np.array(values, np.int64))[0]
    return Rollup(layout, start, start + INTERVAL_MS, list(series), rows)


class Identity(NamedTuple):
    """What a series is, as its reader knows it."""

    resource: tuple[tuple[str, Any], ...]
    scope: str
    metric: str
    unit: str
    attributes: tuple[tuple[str, Any], ...]


@dataclass(frozen=True)
class Point:
    """A data point; times in ns. A histogram's value is (sum, counts of buckets)."""

    series: Identity
    start: int
    time: int
    value: int | tuple[float, tuple[int, ...]]
    bounds: tuple[float, ...] = ()
    exemplars: tuple[tuple[float, int, bytes, bytes], ...] = ()
    """Value, time in ns, trace ID, span ID."""
    has_value: bool = True


def points(
    values: Iterable[bytes], temporality: int = AGGREGATION_TEMPORALITY_CUMULATIVE
) -> list[Point]:
    """Every data point of *values*, in order."""
    found = []
    for value in values:
        for of_resource in MetricsData.FromString(value).resource_metrics:
            resource = _plain(of_resource.resource.attributes)
            for of_scope in of_resource.scope_metrics:
                for metric in of_scope.metrics:
                    assert metric.ByteSize() > 0
                    data = getattr(metric, str(metric.WhichOneof("data")))
                    assert data.aggregation_temporality == temporality
                    found += _points(resource, of_scope.scope.name, metric, data)
    return found


def _points(
    resource: tuple[tuple[str, Any], ...], scope: str, metric: Metric, data: Any
) -> list[Point]:
    found = []
    for point in data.data_points:
        series = Identity(resource, scope, metric.name, metric.unit, _plain(point.attributes))
        if metric.HasField("sum"):
            assert metric.sum.is_monotonic
            value, bounds = point.as_int, ()
        else:
            value, bounds = _histogram(point)
        start, time = point.start_time_unix_nano, point.time_unix_nano
        exemplars = tuple(
            (each.as_double, each.time_unix_nano, each.trace_id, each.span_id)
            for each in point.exemplars
        )
        found.append(Point(series, start, time, value, bounds, exemplars, point.flags != 1))
    return found


def _histogram(point: Any) -> tuple[tuple[float, tuple[int, ...]], tuple[float, ...]]:
    """Return sum and counts of buckets, and their bounds.

    Of an exponential one the first count is of zeros, and the bounds are those where its buckets
    begin, and where the last one ends; before them the least and the largest duration, if said.
    """
    if hasattr(point, "explicit_bounds"):
        assert point.count == sum(point.bucket_counts)
        return (point.sum, tuple(point.bucket_counts)), tuple(point.explicit_bounds)
    counts = tuple(point.positive.bucket_counts)
    assert point.count == point.zero_count + sum(counts)
    assert point.HasField("min") == point.HasField("max") == (point.count > 0)
    first = point.positive.offset
    edges = tuple(
        2.0 ** ((first + place) / 2**point.scale) for place in range(len(counts) + bool(counts))
    )
    extremes = (point.min, point.max) if point.count else ()
    return (point.sum, (point.zero_count, *counts)), (*extremes, *edges)


def _plain(attributes: Iterable[Any]) -> tuple[tuple[str, Any], ...]:
    return tuple((pair.key, plain_value(pair.value)) for pair in attributes)


def metrics_of(outputs: Iterable[Output]) -> list[Point]:
    """The points of metric records, whose own timestamp must be theirs."""
    found = []
    for output in outputs:
        assert output.key is None
        assert output.partition is None
        mine = points([output.value])
        for point in mine:
            end = (output.timestamp if point.has_value else output.timestamp - 1) * MS
            assert point.time in (end, point.start)
        found += mine
    return found
