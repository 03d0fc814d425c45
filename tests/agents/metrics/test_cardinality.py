"""Which label is to blame, from the series that were written."""

from __future__ import annotations

from collections.abc import Mapping

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)

from tailrace.agents.metrics.cardinality import Cardinality


def written(
    *series: Mapping[str, str], metric: str = "calls", service: str = "web", flags: int = 0
) -> bytes:
    request = ExportMetricsServiceRequest()
    block = request.resource_metrics.add()
    block.resource.attributes.add(key="service.name").value.string_value = service
    points = block.scope_metrics.add().metrics.add(name=metric).sum.data_points
    for labels in series:
        point = points.add(flags=flags)
        for key, value in labels.items():
            point.attributes.add(key=key).value.string_value = value
    return request.SerializeToString()


def test_the_label_without_which_least_is_left_comes_first() -> None:
    found = Cardinality()
    found.add(
        written(
            *[
                {"route": f"/{number}", "method": method}
                for number in range(10)
                for method in ("GET", "PUT")
            ]
        )
    )
    [report] = found.reports(top=2)
    assert (report.metric, report.series) == ("calls", 20)
    assert [(each.label, each.values, each.without) for each in report.labels] == [
        ("route", 10, 2),
        ("method", 2, 10),
        ("service.name", 1, 20),
    ]
    assert report.labels[1].top == (("GET", 10), ("PUT", 10))


def test_series_without_the_label_stay_when_it_goes() -> None:
    found = Cardinality()
    found.add(written({"user": "a", "x": "1"}, {"user": "b", "x": "1"}, {"x": "1"}))
    [report] = found.reports(top=5)
    [user] = [each for each in report.labels if each.label == "user"]
    assert user.without == 2


def test_services_and_tenants_are_told_apart() -> None:
    found = Cardinality()
    found.add(written({"x": "1"}, {"x": "2"}, service="web"))
    found.add(written({"x": "1", "tenant": "red"}, service="web"))
    [report] = found.reports(top=5)
    assert report.services == (("default", "web", 2), ("red", "web", 1))
    [of_red] = found.reports(top=5, tenant="red")
    assert of_red.series == 1


def test_edges_are_of_their_clients() -> None:
    found = Cardinality()
    edges = [{"client": "web", "server": server} for server in "abc"]
    found.add(written(*edges, {"client": "api", "server": "a"}, metric="requests", service=""))
    [report] = found.reports(top=5)
    assert report.services == (("default", "web", 3), ("default", "api", 1))


def test_a_series_written_at_two_flushes_is_one_and_one_that_ended_none() -> None:
    found = Cardinality()
    for _ in range(2):
        found.add(written({"x": "1"}, {"x": "2"}))
    found.add(written({"x": "2"}, flags=1))
    [report] = found.reports(top=5)
    assert report.series == 1


def test_the_metric_with_most_series_comes_first() -> None:
    found = Cardinality()
    found.add(written({"x": "1"}, metric="few"))
    found.add(written({"x": "1"}, {"x": "2"}, metric="many"))
    assert [each.metric for each in found.reports(top=1)] == ["many", "few"]
