"""The metrics and edge records that a pipeline without a fault would write, to be spoilt by tests.

Written here with the official classes and from the connectors' names, apart from what is checked.
"""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import orjson
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from tailrace_loadtest.histograms import Histogram
from tailrace_loadtest.report import Written
from tailrace_loadtest.templates import resource
from tailrace_loadtest.truth import Truth

PARTITIONS = 3
FLUSHES = 3
START_NS, FLUSH_NS = 1_780_000_000_000_000_000, 1_000_000_000
BOUNDS_MS = (2, 4, 6, 8, 10, 50, 100, 200, 400, 800, 1000, 1400, 2000, 5000, 10_000, 15_000)
KINDS = {1: "INTERNAL", 2: "SERVER", 3: "CLIENT", 4: "PRODUCER", 5: "CONSUMER"}
STATUSES = {0: "UNSET", 1: "OK", 2: "ERROR"}


@dataclass(slots=True)
class Row:
    """A data point, and what it is a point of. `bounds` None: a counter."""

    metric: str
    resource: bytes
    attributes: dict[str, Any]
    partition: int
    time_ns: int
    counts: list[int]
    sum: float = 0.0
    bounds: list[float] | None = None
    start_ns: int = START_NS
    is_cumulative: bool = True

    def but(self, **changes: Any) -> "Row":
        return replace(self, **changes)


def rows(truth: Truth) -> list[Row]:
    """Every series: nothing at its start, a part of it later, all of it in the end."""
    found = []
    for flush in range(FLUSHES):
        for last in [*_red(truth), *_graph(truth)]:
            share = flush / (FLUSHES - 1)
            counts = [int(count * share) for count in last.counts]
            at = START_NS + flush * FLUSH_NS
            found.append(last.but(counts=counts, sum=last.sum * share, time_ns=at))
    return found


def written(points: list[Row]) -> list[Written]:
    """One record for each partition and flush, as the points stand."""
    requests: dict[tuple[int, int], Any] = {}
    for row in points:
        place = row.time_ns, row.partition
        if place not in requests:
            requests[place] = ExportMetricsServiceRequest()
        block = requests[place].resource_metrics.add()
        block.resource.CopyFrom(Resource.FromString(row.resource))
        block.scope_metrics.add().metrics.append(_metric(row))
    return [
        Written(None, request.SerializeToString(), (), partition)
        for (_, partition), request in requests.items()
    ]


def _metric(row: Row) -> Any:
    metric = Metric(name=row.metric)
    data = metric.sum if row.bounds is None else metric.histogram
    data.aggregation_temporality = 2 if row.is_cumulative else 1
    point = data.data_points.add(start_time_unix_nano=row.start_ns, time_unix_nano=row.time_ns)
    for key, value in row.attributes.items():
        is_flag = isinstance(value, bool)
        any_value = AnyValue(bool_value=value) if is_flag else AnyValue(string_value=value)
        point.attributes.append(KeyValue(key=key, value=any_value))
    if row.bounds is None:
        metric.sum.is_monotonic = True
        point.as_int = row.counts[0]
    else:
        point.bucket_counts.extend(row.counts)
        point.explicit_bounds.extend(row.bounds)
        point.count, point.sum = sum(row.counts), row.sum
    return metric


def _red(truth: Truth) -> Iterator[Row]:
    for series, histogram in truth.red.items():
        labels = {
            "service.name": series.service,
            "span.name": series.name,
            "span.kind": f"SPAN_KIND_{KINDS[series.kind]}",
            "status.code": f"STATUS_CODE_{STATUSES[series.status]}",
        }
        about = resource(series.service, series.pod), labels, _partition(repr(series))
        yield Row("traces.span.metrics.calls", *about, 0, [histogram.count])
        bounds = [float(bound) for bound in BOUNDS_MS]
        yield _durations("traces.span.metrics.duration", about, histogram, 1e6, bounds)


def _graph(truth: Truth) -> Iterator[Row]:
    prefix = "traces_service_graph_request_"
    for series, calls in truth.graph.items():
        labels = {**series.edge._asdict(), "failed": series.is_failed}
        about = b"", labels, _partition(repr(series))
        yield Row(f"{prefix}total", *about, 0, [calls.count])
        if series.is_failed:
            yield Row(f"{prefix}failed_total", *about, 0, [calls.count])
        bounds = [bound / 1000 for bound in BOUNDS_MS]
        yield _durations(f"{prefix}client", about, calls.client, 1e9, bounds)
        yield _durations(f"{prefix}server", about, calls.server, 1e9, bounds)


def _durations(
    metric: str,
    about: tuple[bytes, dict[str, Any], int],
    histogram: Histogram,
    unit_ns: float,
    bounds: list[float],
) -> Row:
    return Row(metric, *about, 0, histogram.buckets, float(histogram.sum_ns) / unit_ns, bounds)


def _partition(key: str) -> int:
    return zlib.crc32(key.encode()) % PARTITIONS


def edges(truth: Truth) -> list[Written]:
    """Two records for each edge: all calls but one, and one that neither failed nor lasted."""
    found = []
    for edge in truth.edge_calls:
        both = [calls for (each, _), calls in truth.graph.items() if each == edge]
        sums = {
            "client_seconds_sum": sum(calls.client.sum_ns for calls in both) / 1e9,
            "server_seconds_sum": sum(calls.server.sum_ns for calls in both) / 1e9,
        }
        nothing = dict.fromkeys(sums, 0.0)
        counts = truth.edge_calls[edge] - 1, truth.edge_failures[edge]
        for number, (calls, failed, seconds) in enumerate([(*counts, sums), (1, 0, nothing)]):
            said = {
                "tenant": "default",
                **edge._asdict(),
                "dimensions": {},
                "calls": calls,
                "failed": failed,
                **seconds,
                "from": f"2026-05-28T20:26:4{number}.000000000Z",
                "to": f"2026-05-28T20:26:4{number + 1}.000000000Z",
            }
            key = orjson.dumps(["default", *edge])
            found.append(Written(key, orjson.dumps(said), (), _partition(repr(edge))))
    return found
