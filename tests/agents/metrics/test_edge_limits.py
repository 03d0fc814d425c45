"""Limits of edges through the logic that the worker runs: what is refused counts elsewhere."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import replace

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tailrace.agents.metrics.admission import Limits
from tailrace.agents.metrics.settings import EdgeMetrics, MetricsSettings
from tailrace.schemas.series import OTHER
from tailrace.tables.series_expiry import Expiry
from tests.agents.metrics.flushes import (
    EDGE_LAYOUT,
    EDGES,
    EDGES_MS,
    INTERVAL_MS,
    METRICS,
    SETTINGS,
    calls,
    edge_key,
    metrics_of,
    rollup,
)
from tests.agents.metrics.owners import Row, Sent, Worker, interrupted, uninterrupted

BEGIN_MS = 1_700_000_000_000 // EDGES_MS * EDGES_MS
FLUSHES = 8
REST = {"otel.metric.overflow": "true"}


def limited(limits: Limits, series_ms: int = 0) -> MetricsSettings:
    edges = EdgeMetrics(EDGE_LAYOUT, EDGES_MS, Expiry(series_ms), limits=limits)
    return replace(SETTINGS, red=None, edges=edges)


def row(interval: int, *keys: bytes) -> Row:
    start = BEGIN_MS + interval * INTERVAL_MS
    return Row(start, rollup(EDGE_LAYOUT, start, {key: calls([1], [1]) for key in keys}))


def end(after: int = 0) -> Row:
    return Row(BEGIN_MS + (FLUSHES + after) * EDGES_MS, None)


def records_of(sent: Sent) -> list[dict[str, object]]:
    return [orjson.loads(output.value) for output in sent.get(EDGES, [])]


@pytest.mark.parametrize("naming", ["collector", "tempo"])
def test_what_is_too_much_for_a_client_is_an_edge_to_a_node_that_says_so(naming: str) -> None:
    manner = replace(limited(Limits(service_series=2)), naming=naming)
    sent = uninterrupted([row(0, *(edge_key("web", name) for name in "abcd")), end()], manner)
    said = {
        (str(each["server"]), each["calls"], orjson.dumps(each["dimensions"]))
        for each in records_of(sent)
    }
    assert said == {("a", 1, b"{}"), ("b", 1, b"{}"), (OTHER, 2, orjson.dumps(REST))}
    shown = {
        (dict(point.series.attributes)["server"], point.value): dict(point.series.attributes)
        for point in metrics_of(sent[METRICS])
        if point.series.metric == "traces_service_graph_request_total" and point.value
    }
    assert set(shown) == {("a", 1), ("b", 1), (OTHER, 2)}
    overflow = shown[OTHER, 2]
    assert (overflow["client"], overflow["otel.metric.overflow"]) == ("web", True)
    assert overflow["connection_type"] == ""


def test_places_become_free_when_edges_expire() -> None:
    manner = limited(Limits(service_series=1), series_ms=2 * EDGES_MS)
    rows = [row(0, edge_key("web", "a")), row(1, edge_key("web", "b")), end()]
    again = Row(end().time, row(2 * FLUSHES, edge_key("web", "b")).rollup)
    sent = uninterrupted([*rows, again, end(1)], manner)
    assert [each["server"] for each in records_of(sent)] == ["a", OTHER, "b"]


def test_what_was_refused_is_blamed_on_the_client() -> None:
    worker = Worker(limited(Limits(labels={"server": 1})))
    worker.feed(row(0, *(edge_key("web", name) for name in "abc"), edge_key("cart", "a")))
    [(family, blame)] = worker.logic.blamed
    assert (family, blame.service, blame.label) == ("edges", ("default", "", "web"), "server")
    assert (blame.limit, blame.refusals, blame.top) == (1, 2, (("b", 1), ("c", 1)))


KEYS = st.builds(
    edge_key,
    st.sampled_from(["web", "cart"]),
    st.sampled_from("abcde"),
    client_user=st.sampled_from("stu"),
)
ROWS = st.lists(
    st.builds(
        lambda interval, keys: row(interval, *keys),
        st.integers(0, 2 * FLUSHES - 1),
        st.sets(KEYS, min_size=1, max_size=8).map(sorted),
    ),
    max_size=8,
).map(lambda rows: [*sorted(rows, key=lambda each: each.time), end(), end(4)])
LIMITS = st.builds(
    Limits,
    service_series=st.none() | st.integers(1, 4),
    values=st.none() | st.integers(1, 3),
    labels=st.dictionaries(st.just("server"), st.integers(1, 3)),
)
EVENTS = st.lists(
    st.tuples(st.integers(0, 10), st.sampled_from(["cut", "checkpoint", "death"])), max_size=6
)


@settings(max_examples=100, deadline=None)
@given(ROWS, LIMITS, EVENTS, st.sampled_from([0, 2 * EDGES_MS]))
def test_limited_edges_add_up_through_cuts_checkpoints_and_deaths(
    rows: list[Row], limits: Limits, events: list[tuple[int, str]], series_ms: int
) -> None:
    manner = limited(limits, series_ms)
    sent = uninterrupted(rows, manner)
    assert interrupted(rows, events, manner) == sent
    came: Counter[object] = Counter()
    for each in rows:
        for key in [] if each.rollup is None else each.rollup.keys:
            came[orjson.loads(key)[1]] += 1
    found: Counter[object] = Counter()
    edges = defaultdict(set)
    for record in records_of(sent):
        found[record["client"]] += record["calls"]
        if record["dimensions"] != REST:
            edges[record["client"]].add((record["server"], orjson.dumps(record["dimensions"])))
    assert found == came
    if not series_ms:
        for mine in edges.values():
            assert limits.service_series is None or len(mine) <= limits.service_series
            most = limits.of_label("server")
            assert most is None or len({server for server, _ in mine} - {OTHER}) <= most
