"""The laws of metrics where series have all that they may have."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.metrics.v1.metrics_pb2 import AGGREGATION_TEMPORALITY_DELTA

from tailrace.agents.metrics.settings import EdgeMetrics, MetricsSettings, RollUpMetrics
from tailrace.schemas.exemplars import Exemplar, ExemplarBatch
from tailrace.schemas.records import Output
from tailrace.tables.series_expiry import Expiry
from tests.agents.metrics.flushes import (
    EDGE_LAYOUT,
    EDGES_MS,
    METRICS,
    MS,
    RED_MS,
    SETTINGS,
    points,
)
from tests.agents.metrics.owners import Row, interrupted, uninterrupted
from tests.agents.metrics.test_laws import (
    EVENTS,
    RED_KEYS,
    added,
    by_series,
    total_of,
    traffic,
)

assert SETTINGS.red is not None
_RED_METRICS = replace(
    SETTINGS.red,
    expiry=Expiry(series_ms=2 * RED_MS),
    exemplars=2,
    roll_ups=(RollUpMetrics("weekly", ("span.name",)),),
)
_EDGE_METRICS = EdgeMetrics(EDGE_LAYOUT, EDGES_MS, Expiry(series_ms=3 * EDGES_MS), 100)
FULL = replace(SETTINGS, red=_RED_METRICS, edges=_EDGE_METRICS)
MANNERS = [
    FULL,
    replace(FULL, red=replace(_RED_METRICS, is_delta=True)),
    replace(FULL, naming="tempo", has_tenants=True),
]


@st.composite
def traffic_with_examples(draw: st.DrawFn) -> list[Row]:
    """Records, and exemplars of some of their series among them."""
    rows = draw(traffic())
    example = st.tuples(st.integers(0, len(rows)), st.sampled_from(RED_KEYS), st.integers(0, 60))
    for at, key, took in draw(st.lists(example, max_size=5)):
        time = rows[at - 1].time if at else 0
        exemplar = Exemplar(took * took * MS, time * MS, bytes([took]) * 16, b"s" * 8)
        rows[at:at] = [Row(time, ExemplarBatch("red", {key: [exemplar]}))]
    return rows


@settings(max_examples=100, deadline=None)
@given(traffic_with_examples(), EVENTS, st.sampled_from(MANNERS))
def test_whatever_a_series_may_have_survives_cuts_checkpoints_and_deaths(
    rows: list[Row], events: list[tuple[int, str]], manner: MetricsSettings
) -> None:
    assert interrupted(rows, events, manner) == uninterrupted(rows, manner)


@settings(max_examples=150, deadline=None)
@given(traffic())
def test_no_series_says_two_things_of_one_time(rows: list[Row]) -> None:
    outputs = uninterrupted(rows, FULL).get(METRICS, [])
    for said in by_series(points(each.value for each in outputs)).values():
        times = [point.time for point in said]
        assert times == sorted(set(times))


@settings(max_examples=50, deadline=None)
@given(traffic())
def test_deltas_add_up_to_everything_that_was_added(rows: list[Row]) -> None:
    sent = uninterrupted(rows, MANNERS[1])
    found = Counter[str]()
    red = [output for output in sent.get(METRICS, []) if _is_of(output, "red ")]
    for point in points([output.value for output in red], AGGREGATION_TEMPORALITY_DELTA):
        if point.series.metric == "traces.span.metrics.calls":
            found[dict(point.series.attributes)["span.name"]] += total_of(point.value)
    expected = {
        name: sum(added(rows, "red")[key][2:])
        for key, name in zip(RED_KEYS, "123", strict=True)
        if key in added(rows, "red")
    }
    assert found == expected


def _is_of(output: Output, family: str) -> bool:
    return dict(output.headers)["tailrace.flush"].startswith(family.encode())
