"""Parts of a message: what a receiver refuses is halved, so that only what is bad is lost to it."""

from __future__ import annotations

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
            _drop_empty(scope.metrics, _has_points)
        _drop_empty(block.scope_metrics, lambda scope: scope.metrics)
    _drop_empty(message.resource_metrics, lambda block: block.scope_metrics)
    encoded: bytes = message.SerializeToString()
    return encoded


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


def _drop_empty(elements: Any, is_full: Any) -> None:
    for place in reversed(range(len(elements))):
        if not is_full(elements[place]):
            del elements[place]
