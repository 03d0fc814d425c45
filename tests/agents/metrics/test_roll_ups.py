"""Roll-ups: the same metrics by fewer labels."""

from __future__ import annotations

import tracemalloc
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

from tailrace.agents.metrics.family_series import Destination, FamilySeries, Manner
from tailrace.agents.metrics.instruments import red_family
from tailrace.agents.metrics.roll_ups import PREFIX, RollUp
from tailrace.agents.metrics.settings import MetricsSettings, RedMetrics, RollUpMetrics
from tailrace.schemas.series import (
    RedSeries,
    calls_layout,
    encoded_attributes,
    encoded_resource,
)
from tailrace.tables.store import MemoryDisk, PartitionStore
from tests.agents.metrics.flushes import (
    METRICS,
    MS,
    RED_LAYOUT,
    RED_MS,
    SETTINGS,
    Point,
    metrics_of,
    rollup,
)
from tests.agents.metrics.owners import Row, Worker

BEGIN_MS = 1_700_000_000_000 // RED_MS * RED_MS
WEEKLY = RollUpMetrics("weekly", ("status.code", "http.route"))
RED = RedMetrics(RED_LAYOUT, RED_MS, "spans", "ms", roll_ups=(WEEKLY,))
ROLLED_UP = replace(SETTINGS, edges=None, red=RED)


def key(service: str, pod: str, name: str, status: str, **more: str) -> bytes:
    labels = {"service.name": service, "span.name": name, "status.code": status, **more}
    resource = {"service.name": service, "service.namespace": "shop", "pod": pod}
    return RedSeries(encoded_resource(resource), encoded_attributes(list(labels.items()))).key()


def flushed(worker: Worker, *rows: Row) -> list[Point]:
    worker.sent.clear()
    worker.feed(*rows)
    worker.checkpoint()
    return [point for point in metrics_of(worker.sent[METRICS]) if point.time != point.start]


def row(time: int, *keys: bytes) -> Row:
    durations = {each: {"duration": [(place + 1) * MS]} for place, each in enumerate(keys)}
    return Row(BEGIN_MS + time, rollup(RED_LAYOUT, BEGIN_MS + time - 1000, durations))


def by_series(points: list[Point], metric: str) -> Counter[tuple[object, ...]]:
    return Counter(
        {
            (point.series.resource, point.series.attributes): point.value
            for point in points
            if point.series.metric == metric
        }
    )


def test_series_that_differ_in_other_labels_are_one_in_a_roll_up() -> None:
    keys = [
        key("api", "1", "GET /", "OK"),
        key("api", "2", "GET /", "OK"),
        key("api", "1", "PUT /", "ERROR"),
        key("cart", "1", "GET /", "OK"),
    ]
    points = flushed(Worker(ROLLED_UP), row(RED_MS, *keys))
    assert sum(by_series(points, "spans.calls").values()) == 4

    def series(service: str, status: str) -> tuple[object, ...]:
        resource = (("service.name", service), ("service.namespace", "shop"))
        return resource, (("service.name", service), ("status.code", status))

    assert by_series(points, "weekly.calls") == {
        series("api", "OK"): 2,
        series("api", "ERROR"): 1,
        series("cart", "OK"): 1,
    }
    [duration] = [
        point
        for point in points
        if point.series.metric == "weekly.duration"
        and ("status.code", "OK") in point.series.attributes
        and ("service.name", "api") in point.series.attributes
    ]
    assert duration.value == (3.0, (2, 0, 0, 0))


def test_each_family_has_its_roll_up() -> None:
    red = replace(RED, layout=None, calls=calls_layout())
    counts = rollup(calls_layout(), BEGIN_MS, {key("api", "1", "a", "OK"): {"calls": [0, 0]}})
    points = flushed(Worker(replace(ROLLED_UP, red=red)), Row(BEGIN_MS + RED_MS, counts))
    assert {point.series.metric: point.value for point in points} == {
        "spans.calls": 2,
        "weekly.calls": 2,
    }


def test_a_roll_up_by_tempos_names() -> None:
    settings = replace(ROLLED_UP, naming="tempo")
    points = flushed(Worker(settings), row(RED_MS, key("api", "1", "GET /", "OK")))
    assert {point.series.metric for point in points} == {
        "traces_spanmetrics_calls_total",
        "traces_spanmetrics_latency",
        "weekly_calls_total",
        "weekly_latency",
    }


def restarted(worker: Worker, settings: MetricsSettings, time: int) -> Counter[tuple[object, ...]]:
    worker.checkpoint()
    worker.begin(settings)
    return by_series(flushed(worker, row(time, key("api", "1", "GET /", "OK"))), "weekly.calls")


def test_a_roll_up_outlives_restarts_and_goes_when_nobody_wants_it() -> None:
    worker = Worker(ROLLED_UP)
    flushed(worker, row(RED_MS, key("api", "1", "GET /", "OK")))
    assert list(restarted(worker, ROLLED_UP, 2 * RED_MS).values()) == [2]
    without = replace(ROLLED_UP, red=replace(RED, roll_ups=()))
    assert not restarted(worker, without, 3 * RED_MS)
    assert list(restarted(worker, ROLLED_UP, 4 * RED_MS).values()) == [1]


def test_a_roll_up_by_other_labels_begins_anew() -> None:
    worker = Worker(ROLLED_UP)
    flushed(worker, row(RED_MS, key("api", "1", "GET /", "OK")))
    other = replace(RED, roll_ups=(replace(WEEKLY, dimensions=()),))
    assert list(restarted(worker, replace(ROLLED_UP, red=other), 2 * RED_MS).values()) == [1]


def held_after(batches: int, batch: Callable[[int], list[bytes]]) -> int:
    """How many bytes a roll-up, which has one series, holds after *batches* of keys."""
    store = PartitionStore(MemoryDisk())
    family = red_family(RED_LAYOUT, "weekly", "ms")
    series = FamilySeries("red", family, store, PREFIX, Manner(RED_MS), Destination("m", "e", 9999))
    roll_up = RollUp(series, ())
    tracemalloc.start()
    for number in range(batches):
        durations = {each: {"duration": [MS]} for each in batch(number)}
        roll_up.add(rollup(RED_LAYOUT, BEGIN_MS, durations))
        del durations
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(series.table) == 1
    assert series.table.count == sum(len(batch(number)) for number in range(batches))
    return held


def test_what_a_roll_up_remembers_is_of_resources_and_of_labels_not_of_all_pairs() -> None:
    def batch(pod: int) -> list[bytes]:
        return [key("api", f"pod-{pod}", f"GET /{route}", "OK") for route in range(100)]

    assert held_after(100, batch) < 250_000


def test_what_a_roll_up_remembers_is_limited_in_bytes() -> None:
    def batch(number: int) -> list[bytes]:
        routes = [f"{number}/{each}/".ljust(8000, "-") for each in range(50)]
        return [key("api", "1", route, "OK") for route in routes]

    assert held_after(60, batch) < 18 << 20
