"""Parts of a message: what a receiver refuses is halved, so that only what is bad is lost to it.

And the points with which series begin are apart from the next of the same series: whoever got both
and is sent them again would refuse the older one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest


def part(content: bytes, first: int, end: int) -> bytes:
    """Return the message *content* with only its data points from *first* to before *end*."""
    message = ExportMetricsServiceRequest.FromString(content)
    before = 0
    for block in message.resource_metrics:
        for scope in block.scope_metrics:
            for metric in scope.metrics:
                before += _cut(metric, first - before, end - before)
    return _packed(message)


def begins(point: Any) -> bool:
    """Whether *point* says how its series began: of the very time at which it started."""
    return bool(point.time_unix_nano == point.start_time_unix_nano)


def beginnings(content: bytes) -> tuple[bytes, bytes]:
    """Return the message *content* with only the points with which series begin, and the others."""
    return _only(content, begins), _only(content, lambda point: not begins(point))


def _only(content: bytes, is_wanted: Callable[[Any], bool]) -> bytes:
    message = ExportMetricsServiceRequest.FromString(content)
    for block in message.resource_metrics:
        for scope in block.scope_metrics:
            for metric in scope.metrics:
                points = _points(metric)
                wanted = [point for point in points if is_wanted(point)]
                if len(wanted) < len(points):
                    del points[:]
                    points.extend(wanted)
    return _packed(message)


def _cut(metric: Any, first: int, end: int) -> int:
    """Leave the points of *metric* from *first* to before *end*; return how many it had."""
    points = _points(metric)
    count = len(points)
    if points:
        del points[max(0, end) :]
        del points[: max(0, first)]
    return count


def _points(metric: Any) -> Any:
    kind = metric.WhichOneof("data")
    return getattr(metric, kind).data_points if kind else ()


def _has_points(metric: Any) -> bool:
    return len(_points(metric)) > 0


def _packed(message: ExportMetricsServiceRequest) -> bytes:
    """Return *message* without what has no points."""
    for block in message.resource_metrics:
        for scope in block.scope_metrics:
            _drop_empty(scope.metrics, _has_points)
        _drop_empty(block.scope_metrics, lambda scope: scope.metrics)
    _drop_empty(message.resource_metrics, lambda block: block.scope_metrics)
    encoded: bytes = message.SerializeToString()
    return encoded


def _drop_empty(elements: Any, is_full: Any) -> None:
    for place in reversed(range(len(elements))):
        if not is_full(elements[place]):
            del elements[place]
