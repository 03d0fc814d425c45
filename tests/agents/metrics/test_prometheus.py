"""Cumulative series as Prometheus text."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from tailrace.agents.metrics.instruments import Family, edge_family, red_family
from tailrace.agents.metrics.prometheus import exposition
from tailrace.schemas.series import RedSeries, encoded_attributes, encoded_resource
from tailrace.schemas.sums import Rollup
from tailrace.tables.series import SeriesTable
from tailrace.tables.store import MemoryDisk, PartitionStore
from tests.agents.metrics.flushes import (
    EDGE_LAYOUT,
    MS,
    RED_LAYOUT,
    Durations,
    calls,
    edge_key,
    red_key,
    rollup,
)

RED = red_family(RED_LAYOUT, "traces.span.metrics", "ms")
EDGES = edge_family(EDGE_LAYOUT)
CALLS = "traces_span_metrics_calls_total"
DURATION = "traces_span_metrics_duration_milliseconds"
SCOPE = 'otel_scope_schema_url="",otel_scope_version=""'


def part(family: Family, series: dict[bytes, Durations]) -> tuple[Family, SeriesTable]:
    """A partition that has flushed *series*, and has more of the same to come."""
    store = PartitionStore(MemoryDisk())
    table = SeriesTable(store, b"t", family.layout, family.counted, 1000)
    each: Rollup = rollup(family.layout, 0, series)
    table.add(each)
    table.close(1000)
    table.add(each)
    return family, table


def samples(*parts: tuple[Family, SeriesTable]) -> dict[str, list[tuple[dict[str, str], float]]]:
    """Samples by name, as a scrape reads them."""
    found: dict[str, list[tuple[dict[str, str], float]]] = {}
    for family in text_string_to_metric_families(exposition(parts).decode()):
        for sample in family.samples:
            found.setdefault(sample.name, []).append((sample.labels, sample.value))
    return found


def _labels(sample: tuple[dict[str, str], float]) -> list[tuple[str, str]]:
    return sorted(sample[0].items())


def test_red_is_named_as_the_exporter_names_it() -> None:
    key = red_key("api", 'GET "/"', **{"service.instance.id": "one", "host.name": "web-1"})
    labels = (
        f'otel_scope_name="spanmetricsconnector",{SCOPE},'
        r'service_name="api",span_name="GET \"/\""'
    )
    target = 'instance="one",job="api"'
    text = exposition([part(RED, {key: {"duration": [10 * MS, 11 * MS, 2500 * MS]}})]).decode()
    assert text.splitlines() == [
        "# HELP target_info Target metadata",
        "# TYPE target_info gauge",
        f'target_info{{host_name="web-1",{target}}} 1.0',
        f"# HELP {CALLS} ",
        f"# TYPE {CALLS} counter",
        f"{CALLS}{{{target},{labels}}} 3.0",
        f"# HELP {DURATION} ",
        f"# TYPE {DURATION} histogram",
        f'{DURATION}_bucket{{{target},le="10",{labels}}} 1.0',
        f'{DURATION}_bucket{{{target},le="100",{labels}}} 2.0',
        f'{DURATION}_bucket{{{target},le="1000",{labels}}} 2.0',
        f'{DURATION}_bucket{{{target},le="+Inf",{labels}}} 3.0',
        f"{DURATION}_sum{{{target},{labels}}} 2521.0",
        f"{DURATION}_count{{{target},{labels}}} 3.0",
    ]


def test_edges_are_named_as_the_exporter_names_them() -> None:
    durations = {**calls([10 * MS], [MS]), **calls([20 * MS] * 2, [MS] * 2, failed=True)}
    found = samples(
        part(EDGES, {edge_key(client_zone="a"): durations, edge_key("b"): calls([0], [0])})
    )
    prefix = "traces_service_graph_request"
    assert found.keys() == {
        f"{prefix}_total",
        f"{prefix}_failed_total",
        *(f"{prefix}_{end}_seconds_{part}" for end in ("server", "client")
          for part in ("bucket", "sum", "count")),
    }  # fmt: skip
    own = {
        "otel_scope_name": "traces_service_graph",
        "otel_scope_schema_url": "",
        "otel_scope_version": "",
        "server": "cart",
        "connection_type": "",
    }
    of_api = {"client": "api", "client_zone": "a", **own}
    assert found[f"{prefix}_failed_total"] == [({**of_api, "failed": "true"}, 2)]
    assert sorted(found[f"{prefix}_total"], key=_labels) == [
        ({**of_api, "failed": "false"}, 1),
        ({**of_api, "failed": "true"}, 2),
        ({"client": "b", "failed": "false", **own}, 1),
    ]
    assert ({**of_api, "failed": "true"}, 0.04) in found[f"{prefix}_client_seconds_sum"]


def test_series_with_equal_labels_are_added_up_over_resources_and_partitions() -> None:
    one = {red_key(host="a"): {"duration": [MS, 20 * MS]}, red_key(host="b"): {"duration": [MS]}}
    other = {red_key(host="c"): {"duration": [5000 * MS]}}
    found = samples(part(RED, one), part(RED, other))
    assert [value for _, value in found[CALLS]] == [4]
    assert [value for _, value in found[f"{DURATION}_bucket"]] == [2, 3, 3, 4]
    assert [value for _, value in found[f"{DURATION}_sum"]] == [5022]


def test_a_series_that_was_not_flushed_is_not_told() -> None:
    store = PartitionStore(MemoryDisk())
    table = SeriesTable(store, b"t", RED.layout, RED.counted, 1000)
    table.add(rollup(RED_LAYOUT, 0, {red_key(): {"duration": [MS]}}))
    assert exposition([(RED, table)]) == b""


def test_an_instance_is_told_of_once_and_only_if_it_has_a_job() -> None:
    resources = [
        {"service.name": "api", "service.namespace": "shop", "service.instance.id": 7, "n": 1},
        {"service.name": "api", "service.namespace": "shop", "service.instance.id": 7, "n": 2},
        {"service.name": "api", "n": 3},
        {"service.instance.id": "x", "n": 4},
    ]
    keys = [RedSeries(encoded_resource(each), encoded_attributes([])).key() for each in resources]
    found = samples(part(RED, {key: {"duration": [MS]} for key in keys}))
    target = {"job": "shop/api", "instance": "7"}
    # Both began at one time.
    assert found["target_info"] == [({**target, "n": "2"}, 1)]
    own = {
        "otel_scope_name": "spanmetricsconnector",
        "otel_scope_schema_url": "",
        "otel_scope_version": "",
    }
    assert sorted(found[CALLS], key=_labels) == sorted(
        [({**own, **target}, 2), ({**own, "job": "api"}, 1), ({**own, "instance": "x"}, 1)],
        key=_labels,
    )


def test_values_of_labels_are_text_and_attributes_that_get_one_name_share_a_label() -> None:
    attributes = [("b-c", True), ("f", 2.0), ("big", 1e21), ("b.c", [1, "x"]), ("raw", b"\x00")]
    key = RedSeries(b"", encoded_attributes(attributes)).key()
    [(labels, _)] = samples(part(RED, {key: {"duration": [MS]}}))[CALLS]
    assert {name: labels[name] for name in ("b_c", "f", "big", "raw")} == {
        "b_c": 'true;[1,"x"]',
        "f": "2",
        "big": "1e+21",
        "raw": "AA==",
    }
