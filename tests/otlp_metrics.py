"""OTLP metrics for tests, written by the official protobuf classes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric

MS = 1_000_000
DELTA, CUMULATIVE = 1, 2

Kind = Literal["gauge", "sum", "histogram", "exponential_histogram", "summary"]


@dataclass(frozen=True)
class MetricPoint:
    """A point as a test writes it; times in ms. `value` is of numbers, the rest of the others.

    `is_monotonic` is of sums. An int goes as `as_int`.
    """

    name: str = "requests"
    value: float = 0.0
    at: int = 0
    start: int = 0
    kind: Kind = "sum"
    temporality: int = CUMULATIVE
    is_monotonic: bool = True
    count: int = 0
    sum: float | None = None
    is_missing: bool = False
    attributes: Mapping[str, Any] = field(default_factory=dict)
    resource: Mapping[str, Any] = field(default_factory=lambda: {"service.name": "api"})
    scope: str = "meter"

    def but(self, **changes: Any) -> MetricPoint:
        """The same point with *changes*."""
        return replace(self, **changes)


def metrics_request(*points: MetricPoint) -> bytes:
    """One request; each point stands in a metric of its own."""
    request = ExportMetricsServiceRequest()
    for point in points:
        block = request.resource_metrics.add()
        write_attributes(block.resource.attributes, point.resource)
        scope = block.scope_metrics.add()
        scope.scope.name = point.scope
        _write(scope.metrics.add(name=point.name, unit="1"), point)
    encoded: bytes = request.SerializeToString()
    return encoded


def write_attributes(target: Any, attributes: Mapping[str, Any]) -> None:
    """Add *attributes*, each as the type that its value has."""
    for key, value in attributes.items():
        written = target.add(key=key).value
        name = {str: "string_value", bool: "bool_value", int: "int_value", float: "double_value"}
        setattr(written, name[type(value)], value)


def _write(metric: Metric, point: MetricPoint) -> None:
    data = getattr(metric, point.kind)
    data.SetInParent()
    if point.kind in ("sum", "histogram", "exponential_histogram"):
        data.aggregation_temporality = point.temporality
    if point.kind == "sum":
        data.is_monotonic = point.is_monotonic
    written = data.data_points.add(
        time_unix_nano=point.at * MS, start_time_unix_nano=point.start * MS
    )
    write_attributes(written.attributes, point.attributes)
    written.flags = int(point.is_missing)
    if point.kind in ("gauge", "sum"):
        if not point.is_missing:
            name = "as_int" if isinstance(point.value, int) else "as_double"
            setattr(written, name, point.value)
    else:
        written.count = point.count
        if point.sum is not None:
            written.sum = point.sum
