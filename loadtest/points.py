"""OTLP metrics as a reader of their topic sees them: what each cumulative series is in the end.

Laws of a series, by the order of its points:

- It has one writer, so all are in one partition.
- Its start never changes; its times ascend, from the start on.
- No count and no sum ever goes down.
"""

from collections.abc import Iterable, Iterator
from enum import StrEnum
from typing import Any, NamedTuple

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)

from tailrace_loadtest.report import Report, Written

Attributes = tuple[tuple[str, Any], ...]
_CUMULATIVE = 2
_NO_RECORDED_VALUE = 1
"""A flag of a point."""


class PointFault(StrEnum):
    """What can be wrong with points, whatever is true."""

    UNREADABLE = "a record that is no OTLP metrics of cumulative sums and histograms"
    TWO_WRITERS = "a series in two partitions"
    CHANGED_START = "a series whose start changed"
    CHANGED_BOUNDS = "a series whose buckets changed"
    REPEATED_TIME = "a point that is no later than the one before it"
    EARLY_TIME = "a point before the start of its series"
    DECREASE = "a count or sum that went down"


class SeriesId(NamedTuple):
    """What tells series apart; attributes in the order of their keys."""

    metric: str
    resource: Attributes
    attributes: Attributes


class Point(NamedTuple):
    """A cumulative value: `counts` of one counter, or of the buckets; `total` of durations."""

    start_ns: int
    time_ns: int
    counts: tuple[int, ...]
    total: float
    bounds: tuple[float, ...] | None
    """None: a counter."""
    partition: int


class CumulativeSeries(dict[SeriesId, Point]):
    """The last point of every series that was read."""

    def read(self, written: Iterable[Written], report: Report) -> None:
        """Read records in the order of their partitions."""
        for record in written:
            try:
                for series_id, point in _points(record):
                    self._take(series_id, point, report)
            except (DecodeError, ValueError) as error:
                report.add(PointFault.UNREADABLE, f"{len(record.value or b'')} bytes: {error}")

    def count(self, metric: str) -> int:
        """What all series of *metric* count together."""
        return sum(
            sum(point.counts) for series_id, point in self.items() if series_id.metric == metric
        )

    def _take(self, series_id: SeriesId, point: Point, report: Report) -> None:
        report.points += 1
        before = self.get(series_id)
        self[series_id] = point
        if point.time_ns < point.start_ns:
            report.add(PointFault.EARLY_TIME, f"{series_id}: {point}")
        if before is not None:
            for fault in _broken_laws(before, point):
                report.add(fault, f"{series_id}: {point} after {before}")


def _broken_laws(before: Point, point: Point) -> Iterator[PointFault]:
    if point.partition != before.partition:
        yield PointFault.TWO_WRITERS
        return  # then their order is not known
    if point.start_ns != before.start_ns:
        yield PointFault.CHANGED_START
    if point.time_ns <= before.time_ns:
        yield PointFault.REPEATED_TIME
    if point.bounds != before.bounds:
        yield PointFault.CHANGED_BOUNDS
        return
    counts = zip(before.counts, point.counts, strict=True)
    if point.total < before.total or any(now < then for then, now in counts):
        yield PointFault.DECREASE


def _points(record: Written) -> Iterator[tuple[SeriesId, Point]]:
    request = ExportMetricsServiceRequest.FromString(record.value or b"")
    for block in request.resource_metrics:
        resource = attributes(block.resource)
        for scope in block.scope_metrics:
            for metric in scope.metrics:
                for its_attributes, point in _points_of(metric, record.partition):
                    yield SeriesId(metric.name, resource, its_attributes), point


def _points_of(metric: Any, partition: int) -> Iterator[tuple[Attributes, Point]]:
    kind = metric.WhichOneof("data")
    if kind not in ("sum", "histogram"):
        raise ValueError(f"{metric.name} is a {kind}")
    data = getattr(metric, kind)
    if data.aggregation_temporality != _CUMULATIVE or (kind == "sum" and not data.is_monotonic):
        raise ValueError(f"{metric.name} is not cumulative and monotonic")
    for each in data.data_points:
        if each.flags & _NO_RECORDED_VALUE:
            continue  # a series that was given up: what it said before stands
        if kind == "sum":
            counts, total, bounds = (_whole(each, metric.name),), 0.0, None
        else:
            counts, total, bounds = tuple(each.bucket_counts), each.sum, tuple(each.explicit_bounds)
            if each.count != sum(counts) or len(counts) != len(bounds) + 1:
                raise ValueError(f"{metric.name} has buckets that do not add up: {each}")
        yield (
            attributes(each),
            Point(each.start_time_unix_nano, each.time_unix_nano, counts, total, bounds, partition),
        )


def _whole(point: Any, name: str) -> int:
    value = getattr(point, point.WhichOneof("value") or "as_int")
    if value != int(value):
        raise ValueError(f"{name} is {value}, which is not whole")
    return int(value)


def attributes(message: Any) -> Attributes:
    """The attributes of a resource or a point."""
    return tuple(
        sorted(
            (each.key, getattr(each.value, each.value.WhichOneof("value") or "string_value"))
            for each in message.attributes
        )
    )
