"""Points of OTLP metrics, whatever their type, read from export requests.

From opentelemetry/proto/metrics/v1/metrics.proto. A point is of a stream: equal resource, scope,
metric, type, temporality and attributes, in whatever order these are written.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    AggregationTemporality,
    DataPointFlags,
    Metric,
)

from tailrace.schemas.metric_samples import Meaning
from tailrace.schemas.otlp.attributes import plain_value
from tailrace.schemas.otlp.wire import framed
from tailrace.schemas.strings import AttributeValue

Of = Literal["value", "count", "sum"]
Request = ExportMetricsServiceRequest

_LARGEST: Final = 1e300
"""Beyond it, a few values together are more than a double holds; what is so large is no measure."""
_STREAM_BYTES: Final = 8


def parse_metrics(value: bytes) -> Request:
    """Return the request that *value* is; ValueError if it is none."""
    try:
        return Request.FromString(value)
    except DecodeError as error:
        raise ValueError(f"is no ExportMetricsServiceRequest: {error}") from error


@dataclass(frozen=True, slots=True)
class Origin:
    """What the points of one metric have in common."""

    metric: str
    meaning: Meaning
    resource: Mapping[str, AttributeValue]
    identity: bytes


class Point:
    """A point, its attributes read when they are asked for. Times in ns; 0: not said."""

    __slots__ = ("_attributes", "_point", "origin")

    def __init__(self, origin: Origin, point: Any) -> None:
        self.origin = origin
        self._point = point
        self._attributes: Mapping[str, AttributeValue] | None = None

    @property
    def time_ns(self) -> int:
        return int(self._point.time_unix_nano)

    @property
    def start_ns(self) -> int:
        return int(self._point.start_time_unix_nano)

    @property
    def has_value(self) -> bool:
        """False of a point that says that the stream has no value now."""
        return not self._point.flags & DataPointFlags.DATA_POINT_FLAGS_NO_RECORDED_VALUE_MASK

    @property
    def attributes(self) -> Mapping[str, AttributeValue]:
        """The point's own; of equal keys the first."""
        if self._attributes is None:
            self._attributes = _plain(self._point.attributes)
        return self._attributes

    @property
    def stream(self) -> bytes:
        """The stream that it is of, hashed."""
        return _hashed(self.origin.identity, _encoded(self._point.attributes))

    def measured(self, of: Of) -> float | None:
        """Return what is asked for; NaN where it is no finite measure, None where there is none.

        A whole number is rounded to a double: it is exact up to 2^53.
        """
        point = self._point
        if of == "value":
            kind = point.WhichOneof("value") if hasattr(point, "as_int") else None
            value = None if kind is None else getattr(point, kind)
        else:
            value = getattr(point, of, None)
            if of == "sum" and value is not None and not _has_sum(point):
                value = None
        if value is None:
            return None
        number = float(value)
        return number if abs(number) <= _LARGEST else math.nan


def point_counts(request: Request) -> int:
    """Return how many points *request* has."""
    return sum(
        len(_data(metric).data_points)
        for block in request.resource_metrics
        for scope in block.scope_metrics
        for metric in scope.metrics
        if metric.WhichOneof("data")
    )


def points(request: Request, metrics: Collection[str]) -> Iterator[Point]:
    """Yield the points of *metrics*, by name, in their order."""
    for block in request.resource_metrics:
        resource = identity = None
        for scope in block.scope_metrics:
            for metric in scope.metrics:
                if metric.name not in metrics or not metric.WhichOneof("data"):
                    continue
                if resource is None or identity is None:
                    resource = _plain(block.resource.attributes)
                    identity = _encoded(block.resource.attributes)
                origin = Origin(
                    metric.name,
                    _meaning(metric),
                    resource,
                    _hashed(identity, *_scope(scope), *_named(metric)),
                )
                for point in _data(metric).data_points:
                    yield Point(origin, point)


def _data(metric: Metric) -> Any:
    return getattr(metric, str(metric.WhichOneof("data")))


def _meaning(metric: Metric) -> Meaning:
    """Return what the metric's values are; a temporality that is not said is cumulative."""
    kind = metric.WhichOneof("data")
    if kind in ("gauge", "summary"):
        return Meaning.TOTAL
    data = _data(metric)
    if data.aggregation_temporality == AggregationTemporality.AGGREGATION_TEMPORALITY_DELTA:
        return Meaning.CHANGE
    return Meaning.BALANCE if kind == "sum" and not data.is_monotonic else Meaning.TOTAL


def _has_sum(point: Any) -> bool:
    """False of a histogram that does not say its sum; a summary always does."""
    field = point.DESCRIPTOR.fields_by_name["sum"]
    return not field.has_presence or bool(point.HasField("sum"))


def _scope(scope: Any) -> tuple[bytes, ...]:
    said = scope.scope
    return said.name.encode(), said.version.encode(), _encoded(said.attributes)


def _named(metric: Metric) -> tuple[bytes, ...]:
    kind = str(metric.WhichOneof("data"))
    return metric.name.encode(), metric.unit.encode(), kind.encode(), bytes((_meaning(metric),))


def _plain(attributes: Iterable[KeyValue]) -> Mapping[str, AttributeValue]:
    found: dict[str, AttributeValue] = {}
    for each in attributes:
        if each.key not in found:
            found[each.key] = plain_value(each.value)
    return found


def _encoded(attributes: Iterable[KeyValue]) -> bytes:
    """Return *attributes* as bytes that are equal whatever their order."""
    return framed(sorted(each.SerializeToString(deterministic=True) for each in attributes))


def _hashed(*parts: bytes) -> bytes:
    return hashlib.blake2b(framed(parts), digest_size=_STREAM_BYTES).digest()
