"""When metrics are flushed, and what is counted on the way."""

from __future__ import annotations

from dataclasses import replace

import orjson
import pytest

from tailrace.agents.metrics.admission import Limits
from tailrace.schemas.exemplars import Exemplar, ExemplarBatch
from tailrace.schemas.records import Totals
from tailrace.schemas.series import calls_layout, events_layout, red_layout, service_place
from tailrace.tables.interval_sums import RollupTopic
from tailrace.tables.series_expiry import Expiry
from tests.agents.metrics.flushes import (
    EDGE_LAYOUT,
    EDGES,
    EDGES_MS,
    METRICS,
    MS,
    RED_LAYOUT,
    RED_MS,
    SETTINGS,
    calls,
    edge_key,
    metrics_of,
    red_key,
    rollup,
)
from tests.agents.metrics.owners import Row, Worker

BEGIN_MS = 1_700_000_000_000 // 12_000 * 12_000
HOUR_MS = 3_600_000
RED_ONLY = replace(SETTINGS, edges=None)


def red_row(time: int, start: int, took: int = MS) -> Row:
    return Row(
        BEGIN_MS + time, rollup(RED_LAYOUT, BEGIN_MS + start, {red_key(): {"duration": [took]}})
    )


def edge_row(time: int, start: int) -> Row:
    series = {edge_key(): calls([MS], [MS])}
    return Row(BEGIN_MS + time, rollup(EDGE_LAYOUT, BEGIN_MS + start, series))


def flushed(worker: Worker) -> list[tuple[int, int]]:
    """When calls were flushed since the last time, and how many there were in all."""
    worker.sent.clear()
    worker.checkpoint()
    return [
        (point.time // MS - BEGIN_MS, point.value)
        for point in metrics_of(worker.sent.get(METRICS, []))
        if point.series.metric == "traces.span.metrics.calls" and isinstance(point.value, int)
        if point.time != point.start
    ]


def test_a_boundary_is_due_when_time_reaches_it_with_the_sums_of_that_very_record() -> None:
    worker = Worker(RED_ONLY)
    worker.feed(red_row(1000, 0), red_row(2999, 1000))
    assert flushed(worker) == []
    worker.feed(red_row(3000, 2000), red_row(3000, 3000))
    assert flushed(worker) == [(3000, 3)]


def test_a_rollup_whose_period_has_passed_is_counted_as_late_and_flushed_next() -> None:
    worker = Worker(RED_ONLY)
    worker.feed(red_row(3000, 2000), red_row(5000, 1000), red_row(6000, 5000))
    assert flushed(worker) == [(3000, 1), (6000, 3)]
    assert worker.totals.counts == {"rollups": 3, "rollup_spans": 3, "late_rollups": 1}


def test_after_a_gap_each_period_with_news_is_flushed_and_the_last_boundary() -> None:
    worker = Worker(RED_ONLY)
    worker.feed(
        red_row(0, 0), red_row(0, 7000), red_row(0, HOUR_MS), Row(BEGIN_MS + HOUR_MS + 100, None)
    )
    assert flushed(worker) == [(3000, 1), (9000, 2), (HOUR_MS, 2)]
    worker.feed(Row(BEGIN_MS + 2 * HOUR_MS, None))
    assert flushed(worker) == [(HOUR_MS + 3000, 3), (2 * HOUR_MS, 3)]


def test_series_are_told_again_at_every_boundary_while_nothing_comes() -> None:
    worker = Worker(RED_ONLY)
    worker.feed(red_row(1000, 0))
    for time in range(0, 10_000, 500):
        worker.advance(BEGIN_MS + time)
    assert flushed(worker) == [(3000, 1), (6000, 1), (9000, 1)]


def test_the_end_of_time_flushes_what_is_open_and_nothing_more() -> None:
    worker = Worker(RED_ONLY)
    worker.feed(red_row(1000, 0))
    worker.advance(1 << 60)
    assert flushed(worker) == [(3000, 1)]


def test_edges_without_news_are_in_metrics_but_have_no_record() -> None:
    worker = Worker()
    worker.feed(edge_row(0, 0), Row(BEGIN_MS + EDGES_MS, None), Row(BEGIN_MS + 2 * EDGES_MS, None))
    worker.checkpoint()
    assert [output.timestamp - BEGIN_MS for output in worker.sent[METRICS]] == [
        EDGES_MS,
        2 * EDGES_MS,
    ]
    [edge] = [orjson.loads(output.value) for output in worker.sent[EDGES]]
    assert (edge["calls"], edge["to"]) == (1, "2023-11-14T22:13:14.000000000Z")


def test_flushes_of_both_families_are_in_order_of_time() -> None:
    worker = Worker()
    worker.feed(
        red_row(0, 0), edge_row(0, 0), red_row(0, 3000), edge_row(0, 4500), red_row(6000, 0)
    )
    worker.checkpoint()
    by_record = [
        (output.timestamp - BEGIN_MS, metrics_of([output])[0].series.scope)
        for output in worker.sent[METRICS]
    ]
    assert by_record == [
        (2000, "traces_service_graph"),
        (3000, "spanmetricsconnector"),
        (6000, "spanmetricsconnector"),
        (6000, "traces_service_graph"),
    ]


@pytest.mark.parametrize(
    ("settings", "counts"),
    [
        pytest.param(replace(SETTINGS, red=None), {"rollup_calls": 2}, id="only edges"),
        pytest.param(RED_ONLY, {"rollup_spans": 2}, id="only RED"),
    ],
)
def test_a_family_that_is_turned_off_is_counted_and_ignored(settings, counts) -> None:  # type: ignore[no-untyped-def]
    worker = Worker(settings)
    worker.feed(red_row(0, 0), edge_row(0, 0), edge_row(0, 1000), red_row(9000, 1000))
    worker.checkpoint()
    assert worker.totals.counts == {**counts, "rollups": 2, "ignored_rollups": 2}


def test_a_family_that_is_turned_on_again_goes_on_from_where_it_was() -> None:
    worker = Worker()
    worker.feed(red_row(0, 0), Row(BEGIN_MS + 3000, None), red_row(3000, 3000))
    assert flushed(worker) == [(3000, 1)]
    worker.begin(replace(SETTINGS, red=None))
    worker.feed(red_row(60_000, 50_000))
    assert flushed(worker) == []
    worker.begin(SETTINGS)
    worker.feed(red_row(60_001, 60_000), Row(BEGIN_MS + 63_000, None))
    assert flushed(worker) == [(63_000, 3)]


def test_a_config_with_other_bounds_and_intervals_loses_nothing() -> None:
    worker = Worker()
    worker.feed(red_row(0, 0, 50 * MS), Row(BEGIN_MS + 3000, None), red_row(3000, 4000, 10 * MS))
    assert flushed(worker) == [(3000, 1)]
    assert SETTINGS.red is not None
    red = replace(SETTINGS.red, layout=red_layout((10 * MS, 200 * MS)), flush_ms=4000)
    worker.begin(replace(SETTINGS, red=red))
    worker.feed(Row(BEGIN_MS + 8000, None))
    assert flushed(worker) == [(8000, 2)]
    point = metrics_of(worker.sent[METRICS])[-1]
    assert (point.value, point.bounds) == ((60.0, (1, 1, 0)), (10.0, 200.0))


def test_sums_that_were_lost_are_a_problem() -> None:
    worker = Worker()
    worker.feed(red_row(0, 0), edge_row(0, 0))
    assert worker.logic.problems(worker.totals) == []
    assert worker.logic.problems(Totals(counts={"rollup_spans": 2, "rollup_calls": 1})) == [
        "2 in rollups of red, but 1 in series"
    ]


def test_what_no_record_can_hold_is_counted_at_every_flush() -> None:
    worker = Worker(replace(SETTINGS, record_bytes=3000))
    key = edge_key("a" * 3000)
    worker.feed(Row(BEGIN_MS, rollup(EDGE_LAYOUT, BEGIN_MS, {key: calls([MS], [MS])})))
    worker.advance(BEGIN_MS + 2 * EDGES_MS)
    assert worker.totals.counts["metrics_too_large"] == 2
    assert worker.totals.counts["edges_too_large"] == 1


def test_text_for_prometheus_is_of_the_last_flush() -> None:
    worker = Worker()
    worker.feed(red_row(0, 0), Row(BEGIN_MS + RED_MS, None), red_row(3000, 3000))
    assert b'traces_span_metrics_calls_total{job="api"' in worker.logic.exposition()
    assert b'span_name="GET /"} 1.0' in worker.logic.exposition()


def shown(worker: Worker) -> list[tuple[str, int, float]]:
    """Metric, time and value of each exemplar that was written since the last time."""
    worker.sent.clear()
    worker.checkpoint()
    return [
        (point.series.metric.rpartition(".")[2], point.time // MS - BEGIN_MS, value)
        for point in metrics_of(worker.sent.get(METRICS, []))
        for value, *_ in point.exemplars
    ]


def example(key: bytes, took: int, family: str = "red") -> Row:
    exemplar = Exemplar(took, BEGIN_MS * MS, b"t" * 16, b"s" * 8)
    return Row(BEGIN_MS, ExemplarBatch(family, {key: [exemplar]}))


def test_exemplars_stand_at_the_next_flush_and_outlive_a_restart() -> None:
    assert SETTINGS.red is not None
    worker = Worker(replace(RED_ONLY, red=replace(SETTINGS.red, exemplars=2)))
    worker.feed(red_row(1000, 0), example(red_key(), 2 * MS))
    assert shown(worker) == []
    worker.begin()
    worker.feed(example(red_key(), 2000 * MS), Row(BEGIN_MS + 3000, None))
    assert shown(worker) == [
        (metric, 3000, value) for metric in ("calls", "duration") for value in (2.0, 2000.0)
    ]
    worker.feed(Row(BEGIN_MS + 6000, None))
    assert shown(worker) == []
    assert worker.totals.counts["exemplars"] == worker.totals.counts["shown_exemplars"] == 2


def test_exemplars_stand_where_limits_have_their_spans_counted() -> None:
    assert SETTINGS.red is not None
    red = replace(SETTINGS.red, exemplars=2, limits=Limits(values=1))
    worker = Worker(replace(RED_ONLY, red=red))
    for number, name in enumerate(("GET /", "GET /1", "GET /2")):
        key = red_key(name=name)
        row = rollup(RED_LAYOUT, BEGIN_MS, {key: {"duration": [(1 + number) * MS]}})
        worker.feed(Row(BEGIN_MS + 100 + number, row), example(key, 10**number * MS))
        worker.checkpoint()
        worker.begin()
    worker.feed(Row(BEGIN_MS + 3000, None))
    worker.checkpoint()
    found = [
        (dict(point.series.attributes)["span.name"], sorted(value for value, *_ in point.exemplars))
        for point in metrics_of(worker.sent[METRICS])
        if point.series.metric.endswith("duration") and point.exemplars
    ]
    assert sorted(found) == [("(other)", [10.0, 100.0]), ("GET /", [1.0])]


def test_exemplars_that_nobody_can_show_are_counted() -> None:
    assert SETTINGS.red is not None
    wanted = Worker(replace(RED_ONLY, red=replace(SETTINGS.red, exemplars=2)))
    wanted.feed(red_row(0, 0), example(red_key(), MS), example(red_key(), MS, "calls"))
    wanted.feed(example(red_key("other"), MS), Row(BEGIN_MS + 3000, None))
    assert wanted.totals.counts["exemplars_without_series"] == 1
    assert wanted.totals.counts["ignored_exemplars"] == 1
    deltas = Worker(replace(RED_ONLY, red=replace(SETTINGS.red, exemplars=2, is_delta=True)))
    deltas.feed(red_row(0, 0), Row(BEGIN_MS + 3000, None), example(red_key(), MS))
    deltas.feed(Row(BEGIN_MS + 6000, None))
    assert deltas.totals.counts["exemplars_without_series"] == 1
    assert "shown_exemplars" not in deltas.totals.counts
    unwanted = Worker(RED_ONLY)
    unwanted.feed(example(red_key(), MS))
    assert unwanted.totals.counts == {"ignored_exemplars": 1}


def test_series_expire_and_come_back_anew() -> None:
    assert SETTINGS.red is not None
    red = replace(SETTINGS.red, expiry=Expiry(series_ms=4000))
    worker = Worker(replace(RED_ONLY, red=red))
    worker.feed(red_row(0, 0), Row(BEGIN_MS + 3000, None), Row(BEGIN_MS + 6000, None))
    worker.feed(Row(BEGIN_MS + 9000, None), red_row(12_000, 10_000))
    worker.checkpoint()
    assert [
        (point.time // MS - BEGIN_MS, point.value, point.has_value)
        for point in metrics_of(worker.sent[METRICS])
        if not point.series.unit
    ] == [(0, 0, True), (3000, 1, True), (5999, 0, False), (10_000, 0, True), (12_000, 1, True)]
    assert worker.totals.counts["expired_series"] == 1
    assert worker.logic.problems(worker.totals) == []


def test_totals_that_follow_deltas_are_of_the_whole_life_of_a_series() -> None:
    assert SETTINGS.red is not None
    worker = Worker(replace(RED_ONLY, red=replace(SETTINGS.red, is_delta=True)))
    worker.feed(red_row(0, 0), red_row(1000, 0), Row(BEGIN_MS + 3000, None))
    worker.checkpoint()
    worker.begin(RED_ONLY)
    worker.feed(red_row(4000, 3000), Row(BEGIN_MS + 6000, None))
    assert flushed(worker) == [(6000, 3)]


@pytest.mark.parametrize(
    ("time", "start"),
    [
        pytest.param(7000, 6000, id="at the flush that said its end"),
        pytest.param(7000, 2000, id="with what came late"),
    ],
)
def test_a_series_that_comes_back_begins_after_its_end(time: int, start: int) -> None:
    assert SETTINGS.red is not None
    red = replace(SETTINGS.red, expiry=Expiry(series_ms=4000))
    worker = Worker(replace(RED_ONLY, red=red))
    worker.feed(red_row(0, 0), Row(BEGIN_MS + 3000, None), Row(BEGIN_MS + 6000, None))
    worker.feed(red_row(time, start), Row(BEGIN_MS + 9000, None))
    worker.checkpoint()
    assert [
        (point.time // MS - BEGIN_MS, point.value, point.has_value)
        for point in metrics_of(worker.sent[METRICS])
        if not point.series.unit
    ] == [(0, 0, True), (3000, 1, True), (5999, 0, False), (6000, 0, True), (9000, 1, True)]


def test_every_record_says_of_which_flush_it_is() -> None:
    worker = Worker(replace(SETTINGS, record_bytes=4000))
    series = {red_key("api", "n" * number): {"duration": [MS]} for number in range(40)}
    worker.feed(
        Row(BEGIN_MS, rollup(RED_LAYOUT, BEGIN_MS, series)),
        edge_row(0, 1000),
        Row(BEGIN_MS + RED_MS, None),
    )
    worker.checkpoint()
    said = [dict(output.headers)["tailrace.flush"].decode() for output in worker.sent[METRICS]]
    records = len(said) - 1
    assert records > 3
    assert said == [
        f"edges {BEGIN_MS + EDGES_MS} 1/1",
        *(f"red {BEGIN_MS + RED_MS} {number}/{records}" for number in range(1, records + 1)),
    ]


def test_calls_and_events_apart_are_families_of_their_own() -> None:
    assert SETTINGS.red is not None
    red = replace(SETTINGS.red, calls=calls_layout(), events=events_layout())
    worker = Worker(replace(RED_ONLY, red=red))
    counted = {red_key("api", "apart"): {"calls": [0, 0]}}
    happened = {red_key("api", "apart"): {"events": [0]}}
    worker.feed(
        red_row(0, 0),
        Row(BEGIN_MS, rollup(calls_layout(), BEGIN_MS, counted)),
        Row(BEGIN_MS, rollup(events_layout(), BEGIN_MS, happened)),
        Row(BEGIN_MS + RED_MS, None),
    )
    worker.checkpoint()
    found = {
        point.series.metric.rpartition(".")[2]: point.value
        for point in metrics_of(worker.sent[METRICS])
        if point.time != point.start
    }
    assert found == {"duration": (1.0, (1, 0, 0, 0)), "calls": 2, "events": 1}
    assert worker.logic.problems(worker.totals) == []


def test_series_of_a_service_that_is_not_ours_are_left_to_its_owner() -> None:
    services = [red_key(f"service-{number}") for number in range(20)]
    worker = Worker(RED_ONLY)
    series = {key: {"duration": [MS]} for key in services}
    worker.feed(Row(BEGIN_MS, rollup(RED_LAYOUT, BEGIN_MS, series)), Row(BEGIN_MS + RED_MS, None))
    worker.checkpoint()
    mine = [key for key in services if service_place(key) % 3 == 1]
    assert 0 < len(mine) < len(services)
    worker.begin(replace(RED_ONLY, partition=1, rollups=RollupTopic("rollups", 3, 1000, 1000)))
    [(_, _, table)] = worker.logic.parts
    assert [key for key in table.keys if key] == mine
    assert worker.logic.problems(worker.totals) == []
