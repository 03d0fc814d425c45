"""The laws of metrics, through the logic that the worker runs, on decoded rollups."""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from tailrace.schemas.sums import Rollup
from tests.agents.metrics.flushes import (
    EDGE_LAYOUT,
    EDGES,
    EDGES_MS,
    INTERVAL_MS,
    METRICS,
    MS,
    RED_LAYOUT,
    RED_MS,
    Identity,
    Point,
    calls,
    edge_key,
    metrics_of,
    red_key,
    rollup,
)
from tests.agents.metrics.owners import Row, Sent, interrupted, uninterrupted

BEGIN_MS = 1_700_000_000_000 // 6000 * 6000
RED_KEYS = [red_key("api", "1"), red_key("cart", "2"), red_key("api", "3")]
EDGE_KEYS = [edge_key("api", "cart"), edge_key("api", "db"), edge_key("cart", "db", zone="a")]
FLUSH_MS = {"red": RED_MS, "edges": EDGES_MS}

# Traffic

_TOOK = st.lists(
    st.sampled_from([0, 1, 10 * MS, 11 * MS, 999 * MS, 10**18]), min_size=1, max_size=2
)
_RED = st.dictionaries(st.sampled_from(RED_KEYS), _TOOK, max_size=3)
_EDGES = st.dictionaries(st.sampled_from(EDGE_KEYS), st.tuples(_TOOK, st.booleans()), max_size=3)
_STEPS = st.sampled_from([0, 1, 1, 1, 2, 5, 40])


@dataclass
class Source:
    """What one source says, in its order: rollups, each with the watermark after it."""

    said: list[tuple[int, Rollup | None]] = field(default_factory=list)


@st.composite
def sources(draw: st.DrawFn) -> list[Source]:
    """Sources that speak of one interval after another, and all of them come to one end."""
    found = []
    for _ in range(draw(st.integers(1, 3))):
        source, interval = Source(), BEGIN_MS
        for step in draw(st.lists(_STEPS, max_size=6)):
            interval += step * INTERVAL_MS
            watermark = interval + INTERVAL_MS
            red, edges = draw(_RED), draw(_EDGES)
            if red:
                series = {key: {"duration": took} for key, took in red.items()}
                source.said.append((interval, rollup(RED_LAYOUT, interval, series)))
            if edges:
                by_edge = {
                    key: calls(took, took, failed=failed) for key, (took, failed) in edges.items()
                }
                source.said.append((interval, rollup(EDGE_LAYOUT, interval, by_edge)))
            source.said.append((watermark, None))
            interval = watermark
        source.said.append((BEGIN_MS + 600 * INTERVAL_MS, None))
        found.append(source)
    return found


@st.composite
def interleavings(draw: st.DrawFn, said: Sequence[Source]) -> list[Row]:
    """The sources' records in some order that keeps each source's own; time as they allow."""
    turns = [number for number, source in enumerate(said) for _ in source.said]
    marks, at = [0] * len(said), [0] * len(said)
    rows = []
    for number in draw(st.permutations(turns)):
        marks[number], of_record = said[number].said[at[number]]
        at[number] += 1
        rows.append(Row(min(marks), of_record))
    return rows


@st.composite
def traffic(draw: st.DrawFn) -> list[Row]:
    """Records in one order, with late ones: of sources that time did not wait for."""
    rows = draw(interleavings(draw(sources())))
    late = st.tuples(st.integers(0, len(rows)), st.sampled_from(RED_KEYS), st.integers(0, 9))
    for at, key, back in draw(st.lists(late, max_size=3)):
        time = rows[at - 1].time if at else 0
        start = max(BEGIN_MS, time // 1000 * 1000 - back * INTERVAL_MS)
        of_red = rollup(RED_LAYOUT, start, {key: {"duration": [1]}})
        of_edges = rollup(EDGE_LAYOUT, start, {EDGE_KEYS[0]: calls([1], [1])})
        rows[at:at] = [Row(time, of_red), Row(time, of_edges)]
    return [*rows, Row(BEGIN_MS + 700 * INTERVAL_MS, None)]


EVENTS = st.lists(
    st.tuples(st.integers(0, 30), st.sampled_from(["cut", "checkpoint", "checkpoint", "death"])),
    max_size=8,
)

# What is right


def added(rows: Iterable[Row], family: str) -> dict[bytes, list[int]]:
    """The sums of everything in *rows*, column by column, in numbers of any size."""
    total: dict[bytes, list[int]] = {}
    for row in rows:
        if row.rollup is not None and row.rollup.layout.family == family:
            for key, cells in zip(row.rollup.keys, row.rollup.rows.tolist(), strict=True):
                known = total.get(key, [0] * len(cells))
                total[key] = [one + other for one, other in zip(known, cells, strict=True)]
    return total


def by_series(points: Iterable[Point]) -> dict[Identity, list[Point]]:
    found: dict[Identity, list[Point]] = defaultdict(list)
    for point in points:
        found[point.series].append(point)
    return found


def total_of(value: Any) -> int:
    return value if isinstance(value, int) else sum(value[1])


@settings(max_examples=150, deadline=None)
@given(traffic())
def test_the_last_cumulative_values_are_everything_that_was_added(rows: list[Row]) -> None:
    sent = uninterrupted(rows)
    last = {
        series: points[-1]
        for series, points in by_series(metrics_of(sent.get(METRICS, []))).items()
    }
    found = Counter[tuple[str, Any]]()
    sums: dict[tuple[str, Any], Any] = {}
    for series, point in last.items():
        labels = dict(series.attributes)
        if series.metric == "traces.span.metrics.calls":
            found["calls", labels["span.name"]] = total_of(point.value)
        elif series.metric == "traces.span.metrics.duration":
            sums["duration", labels["span.name"]] = point.value
        elif series.metric == "traces_service_graph_request_total":
            ends = labels["client"], labels["server"]
            found["failed" if labels["failed"] else "succeeded", ends] = total_of(point.value)
    expected = Counter[tuple[str, Any]]()
    names = dict(zip(RED_KEYS, "123", strict=True))
    for key, (seconds, nanoseconds, *buckets) in added(rows, "red").items():
        expected["calls", names[key]] = sum(buckets)
        total = (seconds * 10**9 + nanoseconds) / MS
        assert sums.pop(("duration", names[key])) == (total, tuple(buckets))
    assert not sums
    stride = EDGE_LAYOUT.stride
    ends = dict(zip(EDGE_KEYS, [("api", "cart"), ("api", "db"), ("cart", "db")], strict=True))
    for key, cells in added(rows, "edges").items():
        expected["succeeded", ends[key]] = sum(cells[2:stride])
        expected["failed", ends[key]] = sum(cells[2 * stride + 2 : 3 * stride])
    assert found == +expected


@settings(max_examples=150, deadline=None)
@given(traffic())
def test_edge_records_add_up_to_everything_that_was_added(rows: list[Row]) -> None:
    sent = uninterrupted(rows)
    found: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for output in sent.get(EDGES, []):
        record = orjson.loads(output.value)
        assert orjson.loads(output.key or b"")[1:3] == [record["client"], record["server"]]
        since, until = (_ms(record[end]) for end in ("from", "to"))
        assert (until, until - since, until % EDGES_MS) == (output.timestamp, EDGES_MS, 0)
        counts = {name: record[name] for name in ("calls", "failed")}
        assert 0 <= record["failed"] <= record["calls"] > 0
        found[record["client"], record["server"]].update(counts)
    ends = dict(zip(EDGE_KEYS, [("api", "cart"), ("api", "db"), ("cart", "db")], strict=True))
    stride = EDGE_LAYOUT.stride
    expected = {}
    for key, cells in added(rows, "edges").items():
        failed = sum(cells[2 * stride + 2 : 3 * stride])
        expected[ends[key]] = {"calls": sum(cells[2:stride]) + failed, "failed": failed}
    assert {edge: dict(counts) for edge, counts in found.items()} == expected


def _ms(time: str) -> int:
    return int(np.datetime64(time.removesuffix("Z"), "ms").astype(np.int64))


@settings(max_examples=150, deadline=None)
@given(traffic())
def test_no_counter_goes_down_no_start_changes_and_every_series_begins_with_zero(
    rows: list[Row],
) -> None:
    outputs = uninterrupted(rows).get(METRICS, [])
    assert [output.timestamp for output in outputs] == sorted(
        output.timestamp for output in outputs
    )
    intervals = {row.rollup.start for row in rows if row.rollup is not None}
    for series, points in by_series(metrics_of(outputs)).items():
        flush_ms = FLUSH_MS["red" if series.resource else "edges"]
        first, *rest = points
        assert (first.time, total_of(first.value)) == (first.start, 0)
        assert first.start // MS in intervals or first.start // MS % flush_ms == 0  # if it was late
        assert {point.start for point in rest} == {first.start}
        times = [point.time for point in points]
        assert times == sorted(set(times))
        assert all(point.time // MS % flush_ms == 0 for point in rest)
        totals = [total_of(point.value) for point in points]
        assert totals == sorted(totals)
        assert totals[1] > 0
        for earlier, later in itertools.pairwise(points):
            if series.unit:
                assert isinstance(earlier.value, tuple)
                assert isinstance(later.value, tuple)
                assert earlier.value[0] <= later.value[0]
                assert all(a <= b for a, b in zip(earlier.value[1], later.value[1], strict=True))


@settings(max_examples=200, deadline=None)
@given(traffic(), EVENTS)
def test_outputs_do_not_depend_on_cuts_checkpoints_and_deaths(
    rows: list[Row], events: list[tuple[int, str]]
) -> None:
    assert interrupted(rows, sorted(events)) == uninterrupted(rows)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_what_is_flushed_does_not_depend_on_how_sources_interleave(data: st.DataObject) -> None:
    """Of each period: which boundaries say something may depend on gaps, but not what they say."""
    said = data.draw(sources())
    ends = {
        (of.layout.family, -(-of.end // FLUSH_MS[of.layout.family]) * FLUSH_MS[of.layout.family])
        for source in said
        for _, of in source.said
        if of is not None
    }
    one, other = (flushed(uninterrupted(data.draw(interleavings(said))), ends) for _ in range(2))
    assert one == other
    assert {at for at, _ in one} == ends


def flushed(sent: Sent, ends: set[tuple[str, int]]) -> dict[tuple[tuple[str, int], str], Any]:
    """What is said at each of *ends*, sorted."""
    found: dict[tuple[tuple[str, int], str], list[str]] = defaultdict(list)
    for output in sent.get(METRICS, []):
        for point in metrics_of([output]):
            family = "red" if point.series.resource else "edges"
            found[(family, output.timestamp), METRICS].append(repr(point))
    for output in sent.get(EDGES, []):
        found[("edges", output.timestamp), EDGES].append(repr(output))
    return {place: sorted(texts) for place, texts in found.items() if place[0] in ends}
