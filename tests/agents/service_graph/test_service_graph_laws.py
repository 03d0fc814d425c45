"""The laws of the service graph, through the task that the worker runs, on encoded OTLP."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import permutations
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tailrace.agents.service_graph.settings import ServiceGraphSettings
from tailrace.schemas.watermarks import Watermark
from tailrace.streams.batch import Batch
from tailrace.tables.store import MemoryDisk, PartitionStore
from tests.agents.service_graph.graph_task import builder, counted, unpaired, watermarks
from tests.agents.service_graph.naive_graph import expected
from tests.agents.service_graph.traffic import (
    CLIENT,
    DEFAULTS,
    END_MS,
    ERROR,
    IDS,
    INTERVAL_MS,
    MS,
    SERVER,
    Sent,
    Span,
    rows,
    settings_drawn,
    traffic,
)
from tests.streams import deaths
from tests.streams.deaths import EVENTS, by_topic


@settings(max_examples=500, deadline=None)
@given(settings_drawn, traffic)
def test_edges_are_those_of_a_naive_graph(drawn: ServiceGraphSettings, sent: list[Sent]) -> None:
    outputs = deaths.uninterrupted(builder(drawn), rows(sent), END_MS)
    naive = expected(drawn, sent, END_MS)
    assert counted(outputs) == +naive.counted
    assert unpaired(outputs) == naive.unpaired
    first, *others = watermarks(outputs)
    assert all(marks == first for marks in others)
    assert [mark.time for mark in first] == sorted({mark.time for mark in first})
    until = END_MS // INTERVAL_MS * INTERVAL_MS
    assert first[-1] == Watermark("service_graph-0", until, is_idle=True)


@settings(max_examples=500, deadline=None)
@given(settings_drawn, traffic, st.sampled_from([0, 1, 3000]))
def test_every_half_edge_is_accounted_for(
    drawn: ServiceGraphSettings, sent: list[Sent], later_ms: int
) -> None:
    records = rows(sent)
    task = builder(drawn)(PartitionStore(MemoryDisk()))
    assert task.process(Batch(deaths.TOPIC, 0, 0, len(sent), records), deaths.FAR)
    assert task.problems() == []
    end = task.stream_time + later_ms
    task.advance(end)
    assert task.problems() == []
    task.advance(END_MS)
    assert task.problems() == []
    counts = Counter(task.totals.counts)
    assert +counts == +expected(drawn, sent, END_MS).counts


@settings(max_examples=500, deadline=None)
@given(settings_drawn, traffic, st.sets(st.integers(0, 12)), st.sets(st.integers(0, 12)))
def test_outputs_do_not_depend_on_cuts_or_checkpoints(
    drawn: ServiceGraphSettings, sent: list[Sent], cuts: set[int], checkpoints: set[int]
) -> None:
    build, forgetful = builder(drawn), builder(drawn, interned_limit_bytes=1)
    outputs = deaths.cut(forgetful, rows(sent), sorted(cuts), sorted(checkpoints), END_MS)
    assert outputs == deaths.uninterrupted(build, rows(sent), END_MS)


@settings(max_examples=500, deadline=None)
@given(settings_drawn, traffic, st.lists(EVENTS, max_size=12))
def test_outputs_are_those_of_one_uninterrupted_run(
    drawn: ServiceGraphSettings, sent: list[Sent], events: list[object]
) -> None:
    build = builder(drawn)
    log = deaths.interrupted(build, rows(sent), events, END_MS)
    assert by_topic(log.committed) == deaths.uninterrupted(build, rows(sent), END_MS)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.sampled_from([0, 1, 400, 999]), min_size=3, max_size=3),
    st.booleans(),
    st.sampled_from([0, ERROR]),
    st.sampled_from([0, ERROR]),
)
def test_the_order_in_which_sides_come_does_not_matter_within_the_ttl(
    steps: list[int], together: bool, client_status: int, server_status: int
) -> None:
    client = Span(CLIENT, "api", IDS[0], ns=3 * MS, status=client_status)
    server = Span(SERVER, "cart", IDS[1], IDS[0], ns=2 * MS, status=server_status)
    other = server.but(span_id=IDS[2], service="stock")
    seen = []
    for spans in permutations((client, server, other)):
        sent = [Sent(step, (span,)) for step, span in zip(steps, spans, strict=True)]
        if together:
            sent = [Sent(0, spans)]
        task_settings = replace(DEFAULTS, ttl_ms=10_000)
        outputs = deaths.uninterrupted(builder(task_settings), rows(sent), END_MS)
        totals: Counter[tuple[tuple[Any, ...], str]] = Counter()
        for (_, edge, what), amount in counted(outputs).items():
            totals[edge, what] += amount
        seen.append(totals)
    assert all(each == seen[0] for each in seen)
    assert {edge[1:3] for edge, _ in seen[0]} == {("api", "cart"), ("api", "stock")}


def test_a_quiet_partition_with_a_half_that_waits_still_has_watermarks_to_commit() -> None:
    graph = replace(DEFAULTS, ttl_ms=60_000)
    records = rows([Sent(0, (Span(trace_id=b"t" * 16, kind=CLIENT),))])
    task = builder(graph)(PartitionStore(MemoryDisk()))
    assert task.process(Batch(deaths.TOPIC, 0, 0, 1, records), deaths.FAR)
    for _ in range(3):
        task.snapshot()
        task.store.finish_checkpoint(0)
        task.advance(task.stream_time + INTERVAL_MS)
        assert task.has_news
