"""Metrics under the names that Tempo's metrics-generator gives them."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from tailrace.agents.metrics import tempo
from tailrace.agents.metrics.instruments import edge_family
from tailrace.schemas.series import (
    RedSeries,
    UnpairedSeries,
    encoded_attributes,
    encoded_resource,
    unpaired_layout,
)
from tailrace.schemas.sums import Rollup
from tests.agents.metrics.flushes import (
    EDGE_LAYOUT,
    MS,
    RED_LAYOUT,
    calls,
    edge_key,
    rollup,
)
from tests.agents.metrics.written import AT_MS, Series


def test_tempo_has_seconds_and_its_own_labels() -> None:
    series = Series(tempo.red_family(RED_LAYOUT))
    labels = [
        ("service.name", "api"),
        ("span.name", "GET /"),
        ("span.kind", "SPAN_KIND_SERVER"),
        ("status.code", "STATUS_CODE_ERROR"),
        ("service", "mine"),
        ("http.route", "/"),
    ]
    key = RedSeries(encoded_resource({"service.name": "api"}), encoded_attributes(labels)).key()
    series.flush(rollup(RED_LAYOUT, AT_MS, {key: {"duration": [1500 * MS]}}))
    calls_made, latency = series.flush()
    attributes = (
        ("service", "api"),
        ("span_name", "GET /"),
        ("span_kind", "SPAN_KIND_SERVER"),
        ("status_code", "STATUS_CODE_ERROR"),
        ("__service", "mine"),
        ("http.route", "/"),
    )
    assert (calls_made.series.metric, calls_made.value) == ("traces_spanmetrics_calls_total", 1)
    assert (latency.series.metric, latency.series.unit) == ("traces_spanmetrics_latency", "")
    assert latency.value == (1.5, (0, 0, 0, 1))
    assert latency.bounds == (0.01, 0.1, 1.0)
    assert {point.series.attributes for point in (calls_made, latency)} == {attributes}


@pytest.mark.parametrize(
    ("missing", "client", "server"), [("server", "api", ""), ("client", "", "api")]
)
def test_a_span_that_lacks_a_side_is_an_edge_of_tempo_with_an_empty_side(
    missing: str, client: str, server: str
) -> None:
    series = Series(tempo.unpaired_family(unpaired_layout()))
    key = UnpairedSeries("default", "api", missing, "", "expired").key()
    series.flush(Rollup(unpaired_layout(), AT_MS, AT_MS + 1000, [key], np.array([[3]])))
    (point,) = series.flush()
    assert (point.series.metric, point.value) == ("traces_service_graph_unpaired_spans_total", 3)
    assert dict(point.series.attributes) == {
        "client": client, "server": server, "connection_type": "", "reason": "expired",
    }  # fmt: skip


def test_an_edge_of_tempo_is_one_series_with_its_failed_calls() -> None:
    series = Series(tempo.edge_family(EDGE_LAYOUT))
    key = edge_key("api", "db")
    start = AT_MS + 4000
    first = series.flush(rollup(EDGE_LAYOUT, start, {key: calls([MS], [MS], failed=True)}))
    prefix = "traces_service_graph_request"
    assert Counter((p.series.metric, p.start // MS, p.time // MS) for p in first) == {
        (f"{prefix}_{name}", start, time): 1
        for name in ("total", "failed_total", "server_seconds", "client_seconds")
        for time in (start, series.at)
    }
    found = series.flush(rollup(EDGE_LAYOUT, series.at, {key: calls([20 * MS], [9 * MS])}))
    ends = (("client", "api"), ("server", "db"), ("connection_type", ""))
    assert {point.series.attributes for point in found} == {ends}
    assert {point.series.metric: point.value for point in found} == {
        f"{prefix}_total": 2,
        f"{prefix}_failed_total": 1,
        f"{prefix}_server_seconds": (0.01, (2, 0, 0, 0)),
        f"{prefix}_client_seconds": (0.021, (1, 1, 0, 0)),
    }
    assert {point.start for point in found} == {start * MS}  # no second beginning


def test_edges_name_their_tenant_where_there_are_any() -> None:
    for family in (edge_family, tempo.edge_family):
        series = Series(family(EDGE_LAYOUT, has_tenants=True))
        found = series.flush(rollup(EDGE_LAYOUT, AT_MS, {edge_key(): calls([MS], [MS])}))
        assert all(("tenant", "default") in point.series.attributes for point in found)
