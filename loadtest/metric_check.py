"""Compares OTLP metrics, RED and those of the service graph, with the truth: to the digit.

The series are those that the collector's connectors make with their defaults.
"""

from collections.abc import Iterator, Sequence
from enum import StrEnum
from functools import cache

from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from tailrace_loadtest.edges import EdgeSeries
from tailrace_loadtest.histograms import BOUNDS_NS, Histogram
from tailrace_loadtest.points import Attributes, CumulativeSeries, Point, SeriesId, attributes
from tailrace_loadtest.red import RedSeries
from tailrace_loadtest.report import Report
from tailrace_loadtest.templates import resource
from tailrace_loadtest.truth import Truth

CALLS, DURATION = "traces.span.metrics.calls", "traces.span.metrics.duration"
REQUESTS = "traces_service_graph_request_total"
_FAILED = "traces_service_graph_request_failed_total"
_CLIENT, _SERVER = "traces_service_graph_request_client", "traces_service_graph_request_server"
_KINDS = ("UNSPECIFIED", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER")
_UNPAIRED = "traces_service_graph_unpaired"
"""What the truth of edges does not tell: which of them have only one side."""
OF_DEFINITIONS = "tailrace."
"""Series whose names begin so are those of definitions."""
_STATUSES = ("UNSET", "OK", "ERROR")
_MILLISECOND, _SECOND = 1_000_000, 1_000_000_000


class MetricFault(StrEnum):
    """What can be wrong with what series count in the end."""

    MISSING = "a series that was not written"
    FOREIGN = "a series of which no span was sent"
    WRONG_COUNT = "a series that counts other calls than there were"
    WRONG_SUM = "a series with another sum of durations"
    WRONG_BUCKETS = "a series with other buckets"


def check_metrics(
    truth: Truth, series: CumulativeSeries, report: Report, dimensions: Sequence[str] = ()
) -> None:
    """Compare the last points of all series with *truth*, but for those of definitions.

    What these count is compared where it is counted: see `matches`. *dimensions*: attributes of
    resources that are labels of RED too.
    """
    report.series += len(series)
    expected: dict[SeriesId, Point] = {**dict(_red(truth, dimensions)), **dict(_graph(truth))}
    for series_id, right in expected.items():
        found = series.get(series_id)
        if found is None:
            report.add(MetricFault.MISSING, f"{series_id}, {sum(right.counts)} calls")
        else:
            _compare(series_id, found, right, report)
    for series_id in series.keys() - expected.keys():
        if series_id.metric.startswith((OF_DEFINITIONS, _UNPAIRED)):
            continue
        report.add(MetricFault.FOREIGN, f"{series_id}: {series[series_id]}")


def _compare(series_id: SeriesId, found: Point, right: Point, report: Report) -> None:
    found = _without_more_bounds(found, right)
    count, right_count = sum(found.counts), sum(right.counts)
    if count != right_count:
        report.add(MetricFault.WRONG_COUNT, f"{series_id}: {count}, expected {right_count}")
    elif (found.bounds, found.counts) != (right.bounds, right.counts):
        report.add(
            MetricFault.WRONG_BUCKETS,
            f"{series_id}: {found.counts} of {found.bounds}, "
            f"expected {right.counts} of {right.bounds}",
        )
    if found.total != right.total:
        report.add(MetricFault.WRONG_SUM, f"{series_id}: {found.total!r}, expected {right.total!r}")


def _without_more_bounds(found: Point, right: Point) -> Point:
    """*found* by the bounds of *right*: thresholds of latency SLOs are bounds besides."""
    if found.bounds is None or right.bounds is None or not {*right.bounds} < {*found.bounds}:
        return found
    counts, folded = iter(found.counts), [0]
    for bound in found.bounds:
        folded[-1] += next(counts)
        if bound in right.bounds:
            folded.append(0)
    folded[-1] += next(counts)
    return found._replace(counts=tuple(folded), bounds=right.bounds)


def _red(truth: Truth, dimensions: Sequence[str]) -> Iterator[tuple[SeriesId, Point]]:
    for series, histogram in truth.red.items():
        resource = _resource(series.service, series.pod)
        more = [pair for pair in resource if pair[0] in dimensions]
        about = resource, tuple(sorted([*_dimensions(series), *more]))
        yield SeriesId(CALLS, *about), _counter(histogram)
        yield SeriesId(DURATION, *about), _durations(histogram, _MILLISECOND)


def _graph(truth: Truth) -> Iterator[tuple[SeriesId, Point]]:
    for series, calls in truth.graph.items():
        about: tuple[Attributes, Attributes] = (), _labels(series)
        yield SeriesId(REQUESTS, *about), _counter(calls.client)
        if series.is_failed:
            yield SeriesId(_FAILED, *about), _counter(calls.client)
        yield SeriesId(_CLIENT, *about), _durations(calls.client, _SECOND)
        yield SeriesId(_SERVER, *about), _durations(calls.server, _SECOND)


def _counter(histogram: Histogram) -> Point:
    return Point(0, 0, (histogram.count,), 0.0, None, 0)


def _durations(histogram: Histogram, unit_ns: int) -> Point:
    """The sum is exact until it becomes the nearest double of its unit, once."""
    bounds = tuple(bound / unit_ns for bound in BOUNDS_NS)
    return Point(0, 0, tuple(histogram.buckets), histogram.sum_ns / unit_ns, bounds, 0)


@cache
def _resource(service: str, pod: int) -> Attributes:
    return attributes(Resource.FromString(resource(service, pod)))


def _dimensions(series: RedSeries) -> Attributes:
    return (
        ("service.name", series.service),
        ("span.kind", f"SPAN_KIND_{_KINDS[series.kind]}"),
        ("span.name", series.name),
        ("status.code", f"STATUS_CODE_{_STATUSES[series.status]}"),
    )


def _labels(series: EdgeSeries) -> Attributes:
    edge = series.edge
    return (
        ("client", edge.client),
        ("connection_type", edge.connection_type),
        ("failed", series.is_failed),
        ("server", edge.server),
    )
