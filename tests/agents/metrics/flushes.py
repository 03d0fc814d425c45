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


def points(values: Iterable[bytes]) -> list[Point]:
    """Every data point of *values*, in order."""
    found = []
    for value in values:
        for of_resource in MetricsData.FromString(value).resource_metrics:
            resource = _plain(of_resource.resource.attributes)
            for of_scope in of_resource.scope_metrics:
                for metric in of_scope.metrics:
                    assert metric.ByteSize() > 0
                    found += _points(resource, of_scope.scope.name, metric)
    return found


def _points(resource: tuple[tuple[str, Any], ...], scope: str, metric: Metric) -> list[Point]:
    data = metric.histogram if metric.HasField("histogram") else metric.sum
    assert data.aggregation_temporality == AGGREGATION_TEMPORALITY_CUMULATIVE
    found = []
    for point in data.data_points:
        series = Identity(resource, scope, metric.name, metric.unit, _plain(point.attributes))
        if metric.HasField("sum"):
            assert metric.sum.is_monotonic
            value, bounds = point.as_int, ()
        else:
            assert point.count == sum(point.bucket_counts)
            value, bounds = (point.sum, tuple(point.bucket_counts)), tuple(point.explicit_bounds)
        start, time = point.start_time_unix_nano, point.time_unix_nano
        found.append(Point(series, start, time, value, bounds))
    return found


def _plain(attributes: Iterable[Any]) -> tuple[tuple[str, Any], ...]:
    return tuple((pair.key, plain_value(pair.value)) for pair in attributes)


def metrics_of(outputs: Iterable[Output]) -> list[Point]:
    """The points of metric records, whose own timestamp must be theirs."""
    found = []
    for output in outputs:
        assert output.key is None
        assert output.partition is None
        mine = points([output.value])
        assert all(point.time in (output.timestamp * MS, point.start) for point in mine)
        found += mine
    return found
