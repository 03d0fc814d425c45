"""Counts, exponential histograms, deltas, ends and exemplars, as a flush writes them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.metrics.v1.metrics_pb2 import ExponentialHistogramDataPoint

from tailrace.agents.metrics.instruments import calls_family, events_family, red_family
from tailrace.agents.metrics.messages import MetricsWriter
from tailrace.agents.metrics.points import ExponentialPoints
from tailrace.schemas.exemplars import Exemplar
from tailrace.schemas.series import (
    calls_layout,
    events_layout,
    red_layout,
)
from tailrace.schemas.sums import exponential_histogram, observed
from tailrace.tables.series_expiry import Expiry
from tests.agents.metrics.flushes import (
    EDGE_LAYOUT,
    MS,
    RED_LAYOUT,
    calls,
    edge_key,
    red_key,
    rollup,
)
from tests.agents.metrics.written import AT_MS, EDGES, PERIOD_MS, RED, Series

# Counts alone, exponential histograms


@pytest.mark.parametrize("name", ["calls", "events"])
def test_what_is_only_counted_is_a_sum(name: str) -> None:
    layout = {"calls": calls_layout(), "events": events_layout()}[name]
    family = {"calls": calls_family, "events": events_family}[name](layout, "", "ms")
    series = Series(family)
    series.flush(rollup(layout, AT_MS, {red_key(): {name: [0, 0]}}))
    [point] = series.flush(rollup(layout, AT_MS + PERIOD_MS, {red_key(): {name: [0]}}))
    assert (point.series.metric, point.series.unit, point.value) == (name, "", 3)


def test_durations_without_calls_are_one_metric() -> None:
    series = Series(red_family(RED_LAYOUT, "", "ms", has_calls=False))
    found = series.flush(rollup(RED_LAYOUT, AT_MS, {red_key(): {"duration": [1]}}))
    assert {point.series.metric for point in found} == {"duration"}


def test_exponential_histograms_say_what_was_observed_in_their_unit() -> None:
    layout = red_layout((), 4, MS)
    series = Series(red_family(layout, "", "ms"))
    took = [0, MS, 2 * MS, 3 * MS, 16 * MS]
    series.flush(rollup(layout, AT_MS, {red_key(): {"duration": took}}))
    point = series.flush()[-1]
    # Four buckets reach from 1 to 16 when each is four times as wide as the one before; a bucket
    # has its upper end.
    assert point.value == (22.0, (1, 1, 2, 1))
    assert point.bounds == (0.0, 16.0, 0.25, 1.0, 4.0, 16.0)


def test_an_exponential_histogram_begins_with_nothing() -> None:
    layout = red_layout((), 4, MS)
    series = Series(red_family(layout, "", "ms"))
    _, _, zero, first = series.flush(rollup(layout, AT_MS, {red_key(): {"duration": [MS]}}))
    assert (zero.value, zero.bounds) == ((0.0, (0,)), ())
    assert first.value == (1.0, (0, 1))


def test_only_zeros_have_no_buckets() -> None:
    layout = red_layout((), 4, MS)
    series = Series(red_family(layout, "", "ms"))
    point = series.flush(rollup(layout, AT_MS, {red_key(): {"duration": [0, 0]}}))[-1]
    assert (point.value, point.bounds) == ((0.0, (2,)), (0.0, 0.0))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.lists(
            st.tuples(
                st.sampled_from([0, 1, 999, MS, 1_500_000, 77 * MS, 10**12]),
                st.sampled_from([1, 127, 128, 2**14, 2**31]),
            ),
            max_size=5,
        ),
        min_size=1,
        max_size=4,
    )
)
def test_exponential_points_are_what_their_rows_say(series: list[list[tuple[int, int]]]) -> None:
    layout = red_layout((), 20, MS)
    groups = np.array([row for row, took in enumerate(series) for _ in took], np.int64)
    took, often = np.array([pair for each in series for pair in each], np.int64).reshape(-1, 2).T
    rows = observed(layout, "duration", groups, len(series), took, often)
    at = np.zeros(len(series), np.int64)
    encoded = ExponentialPoints(layout, MS).encode(at, at, rows)
    for row, value in zip(rows, encoded, strict=True):
        point = ExponentialHistogramDataPoint.FromString(value)
        said = exponential_histogram(layout, row, "duration")
        assert (point.count, point.zero_count) == (said.count, said.zeros)
        assert point.sum == said.sum_ns / MS
        # What is empty makes nothing coarser that it is added to.
        scale = said.scale if said.count else 20
        assert (point.scale, point.positive.offset) == (scale, said.offset)
        assert list(point.positive.bucket_counts) == said.buckets
        assert point.HasField("min") == bool(said.count)
        if said.count:
            assert (point.min, point.max) == (said.min_ns / MS, said.max_ns / MS)


# Delta


def test_deltas_tell_what_came_in_the_period_and_only_of_what_has_news() -> None:
    series = Series(RED, is_delta=True)
    one, other = red_key("api", "1"), red_key("api", "2")
    both = {one: {"duration": [MS]}, other: {"duration": [2 * MS, 3 * MS]}}
    first = series.flush(rollup(RED_LAYOUT, AT_MS + 5000, both))
    assert [point.value for point in first] == [1, 2, (1.0, (1, 0, 0, 0)), (5.0, (2, 0, 0, 0))]
    assert {(point.start, point.time) for point in first} == {
        (AT_MS * MS, (AT_MS + PERIOD_MS) * MS)
    }
    second = series.flush(rollup(RED_LAYOUT, AT_MS + PERIOD_MS, {other: {"duration": [7 * MS]}}))
    assert [(point.value, dict(point.series.attributes)["span.name"]) for point in second] == [
        (1, "2"),
        ((7.0, (1, 0, 0, 0)), "2"),
    ]
    assert series.flush() == []


def test_deltas_of_edges_have_the_outcomes_that_have_news() -> None:
    series = Series(EDGES, is_delta=True)
    key = edge_key()
    series.flush(rollup(EDGE_LAYOUT, AT_MS, {key: calls([MS], [MS], failed=True)}))
    found = series.flush(rollup(EDGE_LAYOUT, AT_MS + PERIOD_MS, {key: calls([MS], [MS])}))
    assert {dict(point.series.attributes)["failed"] for point in found} == {False}


# Times


def test_points_seem_older_where_that_is_asked_for() -> None:
    series = Series(EDGES)
    series.writer = MetricsWriter(EDGES, series.table, 1_000_000, offset_ms=700)
    start = AT_MS + 5000
    found = series.flush(rollup(EDGE_LAYOUT, start, {edge_key(): calls([MS], [MS])}))
    assert {(point.start // MS, point.time // MS) for point in found} == {
        (start - 700, start - 700),
        (start - 700, series.at - 700),
    }


# The end of a series


def test_a_series_that_expires_says_once_that_it_has_no_value() -> None:
    series = Series(RED, expiry=Expiry(series_ms=2 * PERIOD_MS))
    key, other = red_key("api", "1"), red_key("api", "2")
    start = AT_MS + 5000
    series.flush(rollup(RED_LAYOUT, start, {key: {"duration": [MS]}}))
    for step in (1, 2, 3):
        news = rollup(RED_LAYOUT, AT_MS + step * PERIOD_MS, {other: {"duration": [MS]}})
        found = [p for p in series.flush(news) if ("span.name", "1") in p.series.attributes]
        assert [point.has_value for point in found] == {1: [True] * 2, 2: [False] * 2}.get(step, [])
        if step == 2:
            assert [(point.start, point.time) for point in found] == [
                (start * MS, (series.at - 1) * MS)
            ] * 2
            assert [point.value for point in found] == [0, (0.0, (0, 0, 0, 0))]
            assert found[1].bounds == (10.0, 100.0, 1000.0)


def test_a_series_that_comes_back_starts_anew() -> None:
    series = Series(RED, expiry=Expiry(series_ms=PERIOD_MS))
    key, other = red_key("api", "1"), red_key("cart", "2")
    series.flush(rollup(RED_LAYOUT, AT_MS, {key: {"duration": [MS]}}))
    assert [point.has_value for point in series.flush()] == [False, False]
    again = series.at + 4000
    found = series.flush(rollup(RED_LAYOUT, again, {other: {"duration": [MS]}}))
    assert {dict(point.series.resource)["service.name"] for point in found} == {"cart"}
    found = series.flush(rollup(RED_LAYOUT, series.at, {key: {"duration": [MS]}}))
    mine = [p for p in found if p.has_value]
    assert {dict(point.series.resource)["service.name"] for point in mine} == {"api"}
    assert [point.value for point in mine if not point.series.unit] == [0, 1]


# Exemplars

EXEMPLAR = Exemplar(1_500_000, (AT_MS + 3) * MS + 5, b"t" * 16, b"s" * 8)


def test_exemplars_stand_at_calls_and_durations() -> None:
    series = Series(RED)
    one, other = red_key("api", "1"), red_key("api", "2")
    both = rollup(RED_LAYOUT, AT_MS, {one: {"duration": [MS]}, other: {"duration": [MS]}})
    for news in ([both], []):  # as they appear, and later
        found = series.flush(*news, exemplars={one: [EXEMPLAR, EXEMPLAR]})
        told = (1.5, (AT_MS + 3) * MS + 5, b"t" * 16, b"s" * 8)
        expected = {
            (metric, name): (told, told) if name == "1" else ()
            for metric in ("calls", "duration")
            for name in "12"
        }
        assert {
            (
                p.series.metric.rpartition(".")[2],
                dict(p.series.attributes)["span.name"],
            ): p.exemplars
            for p in found
            if p.time != p.start
        } == expected
    assert not any(point.exemplars for point in series.flush())


def test_exemplars_change_nothing_else() -> None:
    series, plain = Series(RED), Series(RED)
    news = rollup(RED_LAYOUT, AT_MS, {red_key(n, n): {"duration": [MS]} for n in "abc"})
    for each in ([news], []):
        shown = series.flush(*each, exemplars={red_key("b", "b"): [EXEMPLAR]})
        assert [replace(point, exemplars=()) for point in shown] == plain.flush(*each)
