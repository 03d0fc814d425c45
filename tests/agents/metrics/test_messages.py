"""What a flush writes as OTLP, read back with the official classes."""

from __future__ import annotations

from collections import Counter

import pytest

from tailrace.agents.metrics.instruments import red_family
from tailrace.agents.metrics.messages import MetricsWriter
from tailrace.schemas.series import (
    red_layout,
)
from tailrace.tables.series import SeriesTable
from tailrace.tables.store import MemoryDisk, PartitionStore
from tests.agents.metrics.flushes import (
    EDGE_LAYOUT,
    MS,
    RED_LAYOUT,
    Identity,
    Point,
    calls,
    edge_key,
    red_key,
    rollup,
)
from tests.agents.metrics.written import AT_MS, EDGES, PERIOD_MS, RED, Series


def test_red_is_written_as_the_connector_writes_it() -> None:
    series = Series(RED)
    key = red_key("api", "GET /", host="web-1")
    series.flush(rollup(RED_LAYOUT, AT_MS + 2000, {key: {"duration": [10 * MS]}}))
    took = [0, 10 * MS, 10 * MS + 1, 5000 * MS]
    found = series.flush(rollup(RED_LAYOUT, AT_MS + PERIOD_MS, {key: {"duration": took}}))
    resource = (("host", "web-1"), ("service.name", "api"))
    labels = (("service.name", "api"), ("span.name", "GET /"))
    span = (AT_MS + 2000) * MS, series.at * MS
    name = "traces.span.metrics"
    assert found == [
        Point(Identity(resource, "spanmetricsconnector", f"{name}.calls", "", labels), *span, 5),
        Point(
            Identity(resource, "spanmetricsconnector", f"{name}.duration", "ms", labels),
            *span,
            (5030.000001, (3, 1, 0, 1)),
            (10.0, 100.0, 1000.0),
        ),
    ]


def test_edges_are_written_as_the_connector_writes_them() -> None:
    series = Series(EDGES)
    key = edge_key("api", "db", client_zone="a")
    durations = {**calls([10 * MS], [0]), **calls([20 * MS, 2000 * MS], [1, 2], failed=True)}
    series.flush(rollup(EDGE_LAYOUT, AT_MS, {key: durations}))
    found = series.flush()
    values = {
        (point.series.metric, dict(point.series.attributes)["failed"]): point for point in found
    }
    prefix = "traces_service_graph_request"
    assert {place: point.value for place, point in values.items()} == {
        (f"{prefix}_total", False): 1,
        (f"{prefix}_total", True): 2,
        (f"{prefix}_failed_total", True): 2,
        (f"{prefix}_server", False): (0.0, (1, 0, 0, 0)),
        (f"{prefix}_server", True): (3e-9, (2, 0, 0, 0)),
        (f"{prefix}_client", False): (0.01, (1, 0, 0, 0)),
        (f"{prefix}_client", True): (2.02, (0, 1, 0, 1)),
    }
    assert len(found) == len(values)
    ends = (("client", "api"), ("server", "db"), ("connection_type", ""))
    for (metric, failed), point in values.items():
        is_histogram = not metric.endswith("_total")
        assert point.series == Identity(
            (),
            "traces_service_graph",
            metric,
            "s" if is_histogram else "",
            (*ends, ("failed", failed), ("client_zone", "a")),
        )
        assert point.bounds == ((0.01, 0.1, 1.0) if is_histogram else ())


def test_a_series_appears_as_zero_at_its_start_and_its_value_at_the_flush() -> None:
    series = Series(RED)
    key = red_key()
    late = rollup(RED_LAYOUT, AT_MS + 5000, {key: {"duration": [10 * MS]}})
    early = rollup(RED_LAYOUT, AT_MS + 3000, {key: {"duration": [MS]}})
    start = (AT_MS + 3000) * MS
    at = (AT_MS + PERIOD_MS) * MS
    assert [(point.start, point.time, point.value) for point in series.flush(late, early)] == [
        (start, start, 0),
        (start, at, 2),
        (start, start, (0.0, (0, 0, 0, 0))),
        (start, at, (11.0, (2, 0, 0, 0))),
    ]
    assert [(point.start, point.time) for point in series.flush()] == [(start, series.at * MS)] * 2


def test_failed_calls_of_an_edge_appear_when_the_first_one_fails() -> None:
    series = Series(EDGES)
    series.flush(rollup(EDGE_LAYOUT, AT_MS, {edge_key(): calls([MS], [MS])}))
    start = AT_MS + PERIOD_MS + 1000
    failed = {edge_key(): calls([MS], [MS], failed=True)}
    found = series.flush(rollup(EDGE_LAYOUT, start, failed))
    by_outcome = Counter(
        (dict(point.series.attributes)["failed"], point.start // MS, point.time // MS)
        for point in found
    )
    assert by_outcome == {
        (False, AT_MS, series.at): 3,
        (True, start, start): 4,
        (True, start, series.at): 4,
    }


@pytest.mark.parametrize(
    ("unit", "bounds", "expected"),
    [
        pytest.param("s", (MS, 1500 * MS), (0.001, 1.5), id="seconds"),
        pytest.param("ms", (MS, 1500 * MS), (1.0, 1500.0), id="milliseconds"),
        pytest.param("ms", (1,), (1e-06,), id="a nanosecond"),
        pytest.param("ms", (), (), id="one bucket for everything"),
        pytest.param(
            "ms",
            tuple(range(MS, 31 * MS, MS)),
            tuple(map(float, range(1, 31))),
            id="more buckets than a byte of length has room for",
        ),
    ],
)
def test_bounds_and_sums_are_in_the_unit(
    unit: str, bounds: tuple[int, ...], expected: tuple[float, ...]
) -> None:
    layout = red_layout(bounds)
    series = Series(red_family(layout, "", unit))
    found = series.flush(rollup(layout, AT_MS, {red_key(): {"duration": [1, 10**12]}}))
    [histogram] = [point for point in found if point.bounds == expected and point.value != 0][-1:]
    assert (histogram.series.metric, histogram.series.unit) == ("duration", unit)
    total, buckets = histogram.value  # type: ignore[misc]  # it is no sum
    assert total == (10**12 + 1) / {"ms": 10**6, "s": 10**9}[unit]
    assert buckets == ((1, *[0] * (len(bounds) - 1), 1) if bounds else (2,))


def test_sums_that_64_bits_of_nanoseconds_do_not_hold_are_exact() -> None:
    series = Series(RED)
    age = 1_700_000_000 * 10**9 + 1
    each = rollup(RED_LAYOUT, AT_MS, {red_key(): {"duration": [age] * 8}})
    series.flush(*[each] * 5)
    histogram = series.flush()[-1]
    assert histogram.value == (40 * age / MS, (0, 0, 0, 40))


def test_a_sum_is_rounded_once() -> None:
    series = Series(RED)
    took = [16 * 10**9, 690_443_029]
    series.flush(rollup(RED_LAYOUT, AT_MS, {red_key(): {"duration": took}}))
    histogram = series.flush()[-1]
    assert sum(took) / MS != took[0] / MS + took[1] / MS
    assert histogram.value == (sum(took) / MS, (0, 0, 1, 1))


def test_series_come_by_resource_in_order_of_first_appearance() -> None:
    series = Series(RED)
    keys = [red_key("a", "1"), red_key("b", "2"), red_key("a", "3"), red_key("b", "4")]
    series.flush(rollup(RED_LAYOUT, AT_MS, {keys[3]: {"duration": [1]}}))
    durations = {key: {"duration": [1]} for key in keys}
    series.flush(rollup(RED_LAYOUT, AT_MS + PERIOD_MS, durations))
    names = [dict(p.series.attributes)["span.name"] for p in series.flush() if not p.series.unit]
    assert names == ["4", "2", "1", "3"]


@pytest.mark.parametrize("limit", [2000, 4000, 20_000])
def test_messages_stay_within_the_limit_and_lose_nothing(limit: int) -> None:
    keys = [
        red_key(f"service-{number % 7}", "n" * (number % 40), host="h" * (300 * (number % 3)))
        for number in range(300)
    ]
    whole, cut = Series(RED), Series(RED, limit)
    durations = rollup(RED_LAYOUT, AT_MS, {key: {"duration": [MS]} for key in keys})
    for _ in range(2):
        expected = Counter(whole.flush(durations))
        assert Counter(cut.flush(durations)) == expected
        assert len(whole.values) == 1
        assert all(len(value) <= limit for value in cut.values)
        assert len(cut.values) < 4 * len(whole.values[0]) // limit


def test_a_series_that_no_record_can_hold_is_counted_and_costs_no_other() -> None:
    series = Series(RED, 4000)
    keys = [red_key("api", "1"), red_key("api", "2" * 4000), red_key("api", "3")]
    durations = rollup(RED_LAYOUT, AT_MS, {key: {"duration": [MS]} for key in keys})
    found = series.flush(durations)
    assert series.too_large == 1
    assert {dict(point.series.attributes)["span.name"] for point in found} == {"1", "3"}


def test_attributes_of_any_length_and_type_arrive_as_they_are() -> None:
    series = Series(RED)
    resource = {"list": [1, "two", None], "map": {"k": 2.5}, "long": "é" * 200, "yes": True}
    found = series.flush(
        rollup(RED_LAYOUT, AT_MS, {red_key("a" * 130, "", **resource): {"duration": [1]}})
    )
    assert len(found) == 4
    labels = (("service.name", "a" * 130), ("span.name", ""))
    assert {point.series.attributes for point in found} == {labels}
    assert {key: dict(found[0].series.resource)[key] for key in resource} == resource


def test_the_bytes_are_a_function_of_the_table() -> None:
    store = PartitionStore(MemoryDisk())
    rollups = [
        rollup(
            RED_LAYOUT, AT_MS, {red_key(f"s{n % 3}", f"{n}"): {"duration": [n]} for n in numbers}
        )
        for numbers in (range(5), range(3, 9))
    ]
    table = SeriesTable(store, b"t", RED.layout, RED.counted, PERIOD_MS, split=RED.split)
    writer = MetricsWriter(RED, table, 3000)
    table.add(rollups[0])
    writer.write(table.close(AT_MS + PERIOD_MS), AT_MS + PERIOD_MS)
    table.add(rollups[1])
    table.seal()
    successor = SeriesTable(store, b"t", RED.layout, RED.counted, PERIOD_MS, split=RED.split)
    successor.restore(0)
    at = AT_MS + 2 * PERIOD_MS
    expected = writer.write(table.close(at), at)
    assert MetricsWriter(RED, successor, 3000).write(successor.close(at), at) == expected
