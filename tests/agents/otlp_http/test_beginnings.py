"""The point with which a series begins is taken before the next one of it is on its way."""

from __future__ import annotations

from dataclasses import replace

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from tailrace.agents.otlp_http.messages import Messages
from tailrace.schemas import topics
from tailrace.schemas.config.otlp_http import OtlpHttpConfig
from tests.agents.remote_write.messages import AT, MS, START, Flushed, Message

Point = tuple[str, int]
"""The value of its attribute `route`, and its time."""


def rounds(*records: Flushed) -> list[list[list[Point]]]:
    """The points of each message of each round, and that each message knows how many it has."""
    messages = Messages(OtlpHttpConfig.model_validate({"endpoint": "http://there"}))
    found = []
    for make in messages.translate(records).rounds:
        sent = [*make()]
        found.append([points(request.content) for request in sent])
        assert [each.samples for each in sent] == [len(each) for each in found[-1]]
    return found


def points(content: bytes) -> list[Point]:
    found = []
    for block in ExportMetricsServiceRequest.FromString(content).resource_metrics:
        for scope in block.scope_metrics:
            for metric in scope.metrics:
                for point in getattr(metric, str(metric.WhichOneof("data"))).data_points:
                    [route] = [each.value.string_value for each in point.attributes]
                    found.append((route, point.time_unix_nano // MS))
    return found


def flushed(*messages: Message) -> list[Flushed]:
    count = len(messages)
    return [
        replace(
            message.record(number),
            headers=((topics.FLUSH_HEADER, f"red 0 {number + 1}/{count}".encode()),),
        )
        for number, message in enumerate(messages)
    ]


def of(*routes: str, new: tuple[str, ...] = ()) -> Message:
    """A counter and a histogram of each route; those that are new begin with zero."""
    message = Message()
    for route in (*routes, *new):
        if route in new:
            message.counter(0, at=START, route=route)
            message.histogram([0, 0, 0, 0], 0, at=START, route=route)
        message.counter(1, route=route)
        message.histogram([1, 0, 0, 0], 1, route=route)
    return message


def test_series_that_begin_do_so_in_a_round_of_their_own() -> None:
    """Or whoever has both points, and gets both again after a kill, refuses the first of them."""
    records = flushed(of("/a", new=("/b",)), of("/c"), of(new=("/d",)))
    assert rounds(*records) == [
        [[("/b", START)] * 2, [("/d", START)] * 2],
        [
            [*[("/a", AT)] * 2, *[("/b", AT)] * 2],
            [("/c", AT)] * 2,
            [("/d", AT)] * 2,
        ],
    ]


def test_a_flush_in_which_none_begins_is_sent_as_it_is() -> None:
    records = flushed(of("/a"), of("/b"))
    [make] = Messages(OtlpHttpConfig(endpoint="http://there")).translate(records).rounds
    assert [request.content for request in make()] == [each.value for each in records]


def test_what_is_of_no_flush_is_sent_as_it_is() -> None:
    record = of(new=("/a",)).record()
    [make] = Messages(OtlpHttpConfig(endpoint="http://there")).translate([record]).rounds
    assert [request.content for request in make()] == [record.value]


def test_what_cannot_be_read_whole_is_sent_as_it_is() -> None:
    [record] = flushed(of(new=("/a",)))
    bad = replace(record, value=record.value.replace(b"service.name", b"service\xffname"))
    [make] = Messages(OtlpHttpConfig(endpoint="http://there")).translate([bad]).rounds
    assert [request.content for request in make()] == [bad.value]
