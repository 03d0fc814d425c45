"""Points of every type, read from messages of the official protobuf classes."""

from __future__ import annotations

import math
from typing import Any

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from tailrace.schemas.metric_samples import Meaning
from tailrace.schemas.otlp.metrics import Of, Point, parse_metrics, point_counts, points
from tests.otlp_metrics import DELTA, MetricPoint, metrics_request

HISTOGRAM = MetricPoint(kind="histogram", count=7, sum=1.5)
EXPONENTIAL = HISTOGRAM.but(kind="exponential_histogram")
SUMMARY = HISTOGRAM.but(kind="summary")
SUM, GAUGE = MetricPoint(value=3), MetricPoint(kind="gauge", value=-2.5)


def read(*written: MetricPoint, name: str = "requests") -> list[Point]:
    return list(points(parse_metrics(metrics_request(*written)), {name}))


MEASURED: dict[str, tuple[MetricPoint, Of, float | None]] = {
    "a whole number": (SUM, "value", 3.0),
    "a double": (GAUGE, "value", -2.5),
    "a number has no count": (SUM, "count", None),
    "the count of a histogram": (HISTOGRAM, "count", 7.0),
    "the sum of a histogram": (HISTOGRAM, "sum", 1.5),
    "a histogram that does not say its sum": (HISTOGRAM.but(sum=None), "sum", None),
    "a histogram that says a sum of zero": (HISTOGRAM.but(sum=0.0), "sum", 0.0),
    "a histogram has no value": (HISTOGRAM, "value", None),
    "the count of an exponential histogram": (EXPONENTIAL, "count", 7.0),
    "the sum of an exponential histogram": (EXPONENTIAL, "sum", 1.5),
    "the count of a summary": (SUMMARY, "count", 7.0),
    "the sum of a summary, which always has one": (SUMMARY.but(sum=None), "sum", 0.0),
    "a point without a number": (SUM.but(is_missing=True), "value", None),
}


@pytest.mark.parametrize(("point", "of", "value"), MEASURED.values(), ids=MEASURED)
def test_what_is_asked_of_a_point(point: MetricPoint, of: Of, value: float | None) -> None:
    assert [each.measured(of) for each in read(point)] == [value]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e301])
def test_what_is_no_finite_measure_is_not_a_number(value: float) -> None:
    [point] = read(GAUGE.but(value=value))
    measured = point.measured("value")
    assert measured is not None
    assert math.isnan(measured)


MEANT: dict[str, tuple[MetricPoint, Meaning]] = {
    "a counter": (SUM, Meaning.TOTAL),
    "a counter of unknown type": (GAUGE, Meaning.TOTAL),
    "a counter that goes down, too": (SUM.but(is_monotonic=False), Meaning.BALANCE),
    "a counter of changes": (SUM.but(temporality=DELTA), Meaning.CHANGE),
    "a temporality that is not said": (SUM.but(temporality=0), Meaning.TOTAL),
    "a cumulative histogram": (HISTOGRAM, Meaning.TOTAL),
    "a histogram of changes": (HISTOGRAM.but(temporality=DELTA), Meaning.CHANGE),
    "an exponential histogram of changes": (EXPONENTIAL.but(temporality=DELTA), Meaning.CHANGE),
    "a summary": (SUMMARY, Meaning.TOTAL),
}


@pytest.mark.parametrize(("point", "meaning"), MEANT.values(), ids=MEANT)
def test_what_the_value_of_a_point_means(point: MetricPoint, meaning: Meaning) -> None:
    assert [each.origin.meaning for each in read(point)] == [meaning]


def test_a_point_says_its_times_attributes_and_whether_it_has_a_value() -> None:
    [point] = read(SUM.but(at=5, start=2, attributes={"code": 500}, resource={"pod": "a"}))
    assert (point.time_ns, point.start_ns, point.has_value) == (5_000_000, 2_000_000, True)
    assert point.attributes == {"code": 500}
    assert point.origin.resource == {"pod": "a"}
    assert not read(SUM.but(is_missing=True))[0].has_value


SAME: dict[str, dict[str, Any]] = {
    "another order of attributes": {"attributes": {"b": 2, "a": "1"}},
    "another value": {"value": 9},
    "other times": {"at": 7, "start": 3},
}
OTHER: dict[str, dict[str, Any]] = {
    "another attribute": {"attributes": {"a": "1", "b": 3}},
    "an attribute of another type": {"attributes": {"a": "1", "b": "2"}},
    "one attribute fewer": {"attributes": {"a": "1"}},
    "another resource": {"resource": {"service.name": "api", "pod": "1"}},
    "another scope": {"scope": "other"},
    "another type": {"kind": "gauge"},
    "another temporality": {"temporality": DELTA},
}
STREAM = SUM.but(attributes={"a": "1", "b": 2})


@pytest.mark.parametrize("changes", SAME.values(), ids=SAME)
def test_a_stream_is_the_same_with(changes: dict[str, Any]) -> None:
    one, two = read(STREAM, STREAM.but(**changes))
    assert one.stream == two.stream


@pytest.mark.parametrize("changes", OTHER.values(), ids=OTHER)
def test_a_stream_is_another_with(changes: dict[str, Any]) -> None:
    one, two = read(STREAM, STREAM.but(**changes))
    assert one.stream != two.stream


def test_metrics_that_nobody_asks_for_are_counted_and_not_read() -> None:
    request = parse_metrics(metrics_request(SUM, SUM.but(name="other"), HISTOGRAM))
    assert point_counts(request) == 3
    assert [each.origin.metric for each in points(request, {"other"})] == ["other"]


def test_a_metric_without_data_has_no_points() -> None:
    request = ExportMetricsServiceRequest()
    request.resource_metrics.add().scope_metrics.add().metrics.add(name="requests")
    read_back = parse_metrics(request.SerializeToString())
    assert point_counts(read_back) == 0
    assert list(points(read_back, {"requests"})) == []


def test_what_is_no_request_is_said_to_be_none() -> None:
    with pytest.raises(ValueError, match="is no ExportMetricsServiceRequest"):
        parse_metrics(b"\xff\xff")
