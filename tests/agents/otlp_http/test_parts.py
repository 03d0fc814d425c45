"""The halves of a message are all of it, whatever kinds of points it has, in their order."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from tailrace.agents.otlp_http.messages import Message
from tests.otlp_metrics import write_attributes

KINDS = ("gauge", "sum", "histogram", "exponential_histogram", "summary")
METRICS = st.tuples(st.sampled_from(KINDS), st.integers(0, 4))
BLOCKS = st.lists(st.lists(st.lists(METRICS, max_size=3), max_size=3), max_size=3)


def request(blocks: list[list[list[tuple[str, int]]]]) -> tuple[ExportMetricsServiceRequest, int]:
    """Resources with scopes with metrics with so many points, each point with a time of its own."""
    message, points = ExportMetricsServiceRequest(), 0
    for number, scopes in enumerate(blocks):
        block = message.resource_metrics.add(schema_url="here")
        write_attributes(block.resource.attributes, {"service.name": f"s{number}"})
        for place, metrics in enumerate(scopes):
            scope = block.scope_metrics.add()
            scope.scope.name = f"scope {place}"
            for at, (kind, count) in enumerate(metrics):
                data = getattr(scope.metrics.add(name=f"m{at}", unit="s"), kind)
                data.SetInParent()
                for _ in range(count):
                    points += 1
                    data.data_points.add(time_unix_nano=points)
    return message, points


def told(message: ExportMetricsServiceRequest) -> Iterator[tuple[Any, ...]]:
    """Every point with all that stands around it."""
    for block in message.resource_metrics:
        for scope in block.scope_metrics:
            for metric in scope.metrics:
                kind = metric.WhichOneof("data")
                for point in getattr(metric, kind).data_points:
                    yield (
                        str(block.resource), block.schema_url, scope.scope.name, metric.name,
                        metric.unit, kind, point.time_unix_nano,
                    )  # fmt: skip


@given(BLOCKS)
def test_halves_have_all_points_and_nothing_without_points(
    blocks: list[list[list[tuple[str, int]]]],
) -> None:
    whole, count = request(blocks)
    halves = Message(whole.SerializeToString(), count, "none").halves()
    if halves is None:
        assert count < 2
        return
    parts = [ExportMetricsServiceRequest.FromString(half.content) for half in halves]
    assert [len([*told(part)]) for part in parts] == [half.samples for half in halves]
    assert {half.samples for half in halves} == {count // 2, count - count // 2}
    assert [*told(parts[0]), *told(parts[1])] == [*told(whole)]
    for part in parts:
        for block in part.resource_metrics:
            assert block.scope_metrics
            assert all(scope.metrics for scope in block.scope_metrics)


def test_what_can_be_sent_and_not_be_read_whole_is_not_halved() -> None:
    whole, count = request([[[("sum", 2)]]])
    content = whole.SerializeToString().replace(b"service.name", b"service\xffname")
    assert Message(content, count, "none").halves() is None
