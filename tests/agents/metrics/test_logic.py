"""When metrics are flushed, and what is counted on the way."""

from __future__ import annotations

from dataclasses import replace

import orjson
import pytest

from tailrace.schemas.records import Totals
from tailrace.schemas.series import red_layout
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
    assert flushed(worker) == [(6000, 2), (63_000, 3)]


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
