"""What a flush of OTLP metrics says, series by series, whoever wrote it."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    ExponentialHistogramDataPoint,
    HistogramDataPoint,
    Metric,
    NumberDataPoint,
)

_KINDS = ("sum", "gauge", "histogram", "exponential_histogram")
_TEMPORALITIES = {1: "delta", 2: "cumulative"}
_NO_VALUE = 1
_NS = 1e9

Attributes: TypeAlias = dict[str, Any]
_Point: TypeAlias = NumberDataPoint | HistogramDataPoint | ExponentialHistogramDataPoint


@dataclass(frozen=True)
class Point:
    """One data point, times in seconds since the beginning; `value` is all else that it says."""

    metric: str
    unit: str
    kind: str
    temporality: str
    scope: str
    resource: Attributes
    attributes: Attributes
    """In the order of their keys; the service graph's come in any."""
    start: float | None
    time: float | None
    value: dict[str, Any]


@dataclass(frozen=True)
class Flush:
    """The points that were written *at* seconds after the beginning, by the section *of*."""

    at: float
    of: str
    points: tuple[Point, ...]
    encoded: bytes = field(default=b"", compare=False, repr=False)


def read(value: bytes, at: float, of: str, begin_ns: int) -> Flush:
    """The flush that stands in *value*."""
    request = ExportMetricsServiceRequest.FromString(value)
    return Flush(at, of, tuple(points(request, begin_ns)), value)


def points(request: ExportMetricsServiceRequest, begin_ns: int) -> Iterator[Point]:
    """Every point of *request*, in order."""
    for block in request.resource_metrics:
        resource = plain_attributes(block.resource.attributes)
        for scope in block.scope_metrics:
            for metric in scope.metrics:
                yield from _points(metric, scope.scope.name, resource, begin_ns)


def _points(metric: Metric, scope: str, resource: Attributes, begin_ns: int) -> Iterator[Point]:
    kind = str(metric.WhichOneof("data"))
    data = getattr(metric, kind)
    temporality = _TEMPORALITIES.get(getattr(data, "aggregation_temporality", 0), "")
    for point in data.data_points:
        yield Point(
            metric=metric.name,
            unit=metric.unit,
            kind=kind,
            temporality=temporality,
            scope=scope,
            resource=resource,
            attributes=dict(sorted(plain_attributes(point.attributes).items())),
            start=_seconds(point.start_time_unix_nano, begin_ns),
            time=_seconds(point.time_unix_nano, begin_ns),
            value=_value(kind, point),
        )


def _seconds(time_ns: int, begin_ns: int) -> float | None:
    return (time_ns - begin_ns) / _NS if time_ns else None


def _value(kind: str, point: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if kind in ("sum", "gauge"):
        found["value"] = getattr(point, point.WhichOneof("value") or "as_int")
    else:
        found |= {"count": point.count, "sum": point.sum}
    if kind == "histogram":
        found |= {"bounds": [*point.explicit_bounds], "buckets": [*point.bucket_counts]}
    if kind == "exponential_histogram":
        found |= {
            "scale": point.scale,
            "zero_count": point.zero_count,
            "offset": point.positive.offset,
            "buckets": [*point.positive.bucket_counts],
        }
    for bound in ("min", "max"):
        if kind != "sum" and point.HasField(bound):
            found[bound] = getattr(point, bound)
    if point.flags & _NO_VALUE:
        found["is_stale"] = True
    if point.exemplars:
        found["exemplars"] = [_exemplar(each) for each in point.exemplars]
    return found


def _exemplar(exemplar: Any) -> dict[str, Any]:
    return {
        "trace_id": exemplar.trace_id.hex(),
        "span_id": exemplar.span_id.hex(),
        "value": getattr(exemplar, exemplar.WhichOneof("value")),
    }


def plain_attributes(attributes: Iterable[KeyValue]) -> Attributes:
    """Each attribute as JSON has it, by its key."""
    return {each.key: plain(each.value) for each in attributes}


def plain(value: AnyValue) -> Any:
    """*value* as JSON has it; bytes as base64."""
    match value.WhichOneof("value"):
        case None:
            return None
        case "array_value":
            return [plain(each) for each in value.array_value.values]
        case "kvlist_value":
            return plain_attributes(value.kvlist_value.values)
        case "bytes_value":
            return b64encode(value.bytes_value).decode()
        case kind:
            return getattr(value, kind)
