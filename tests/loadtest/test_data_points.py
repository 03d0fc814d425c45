"""Every series of the load has its turn, and the reader counts what is there."""

from __future__ import annotations

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tailrace_loadtest.data_points import (
    SERVICES,
    SPANS_A_MESSAGE,
    SPANS_A_SECOND,
    PointReader,
    records,
)
from tailrace_loadtest.report import Written
from tailrace_loadtest.workers import METRICS


def test_every_series_has_had_its_turn_after_as_many_spans_as_there_are_series() -> None:
    series = SERVICES * 200
    found = set()
    for record in records(series, series / SPANS_A_SECOND, 1_700_000_000_000):
        for block in ExportTraceServiceRequest.FromString(record.value).resource_spans:
            [service] = block.resource.attributes
            spans = [span for scope in block.scope_spans for span in scope.spans]
            assert len(spans) == SPANS_A_MESSAGE
            found |= {(service.value.string_value, span.name) for span in spans}
    assert len(found) == series


def test_the_reader_counts_points_and_calls_by_flush_without_the_zeros_of_new_series() -> None:
    request = ExportMetricsServiceRequest()
    metrics = request.resource_metrics.add().scope_metrics.add().metrics
    calls, durations = metrics.add(name="calls"), metrics.add(name="duration")
    for at, value in ((10, 3), (20, 5)):
        calls.sum.data_points.add(time_unix_nano=at, as_int=value)
        durations.histogram.data_points.add(time_unix_nano=at, count=value)
    calls.sum.data_points.add(time_unix_nano=10, start_time_unix_nano=10)
    reader = PointReader()
    reader.add(METRICS, Written(None, request.SerializeToString()))
    assert reader.points == {10: 2, 20: 2}
    assert reader.calls == {10: 3, 20: 5}
