"""The laws of the join by links, through both tasks that the worker runs, on encoded OTLP."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from tailrace.agents.service_graph.link_join import LinkSettings
from tailrace.agents.service_graph.settings import ServiceGraphSettings
from tests.agents.service_graph import naive_links
from tests.agents.service_graph.graph_task import ROLLUPS, counted, unpaired
from tests.agents.service_graph.link_task import (
    LONG_AFTER_MS,
    PARTITIONS,
    join_builder,
    joined,
    logs,
    spans_builder,
    told,
    totals,
)
from tests.agents.service_graph.naive_graph import NaiveGraph, expected
from tests.agents.service_graph.traffic import END_MS, Sent, messages, rows, settings_drawn
from tests.streams import deaths
from tests.streams.deaths import by_topic
from tests.streams.interleavings import TURNS, lives

Load = list[list[Sent]]


def _joining(graph: ServiceGraphSettings, wait_ms: int) -> LinkSettings:
    return LinkSettings(wait_ms, None, replace(graph, has_links=True))


LOADS = st.lists(messages, min_size=PARTITIONS, max_size=PARTITIONS)
WAITS = st.sampled_from([1, 1000, 1000, 1500, 3000, 10_000])
JOINS = st.builds(_joining, settings_drawn, WAITS)


def naive(drawn: LinkSettings, load: Load) -> NaiveGraph:
    """What the joins count of *load*."""
    graphs = [expected(drawn.graph, sent, END_MS) for sent in load]
    every = [each for graph in graphs for each in graph.told]
    return naive_links.joined(drawn, every, LONG_AFTER_MS)


@settings(max_examples=300, deadline=None)
@given(JOINS, LOADS, TURNS)
def test_pairs_are_those_of_a_naive_join(drawn: LinkSettings, load: Load, turns: list[int]) -> None:
    found, plain = joined(drawn, logs(told(drawn.graph, load), turns)), naive(drawn, load)
    assert counted(found) == +plain.counted
    assert unpaired(found) == plain.unpaired


@settings(max_examples=200, deadline=None)
@given(JOINS, LOADS, TURNS)
def test_every_half_is_accounted_for(drawn: LinkSettings, load: Load, turns: list[int]) -> None:
    assert +totals(drawn, logs(told(drawn.graph, load), turns)) == +naive(drawn, load).counts


@settings(max_examples=200, deadline=None)
@given(JOINS, st.sampled_from([1, 2, 4]), LOADS, TURNS, TURNS)
def test_who_wrote_faster_decides_nothing(
    drawn: LinkSettings, limit: int, load: Load, turns: list[int], other_turns: list[int]
) -> None:
    writers, crowded = told(drawn.graph, load), replace(drawn, max_items=limit)
    for each in (drawn, crowded):
        assert joined(each, logs(writers, turns)) == joined(each, logs(writers, other_turns))


@settings(max_examples=200, deadline=None)
@given(JOINS, LOADS, TURNS, st.sets(st.integers(0, 30)), st.sets(st.integers(0, 30)))
def test_outputs_do_not_depend_on_cuts_or_checkpoints(
    drawn: LinkSettings, load: Load, turns: list[int], cuts: set[int], checkpoints: set[int]
) -> None:
    build = join_builder(drawn)
    for log in logs(told(drawn.graph, load), turns):
        again = deaths.cut(build, log, sorted(cuts), sorted(checkpoints), LONG_AFTER_MS)
        assert again == deaths.uninterrupted(build, log, LONG_AFTER_MS)


@settings(max_examples=200, deadline=None)
@given(JOINS, LOADS, TURNS, lives(30))
def test_outputs_are_those_of_one_uninterrupted_run(
    drawn: LinkSettings, load: Load, turns: list[int], events: list[object]
) -> None:
    build = join_builder(drawn)
    for log in logs(told(drawn.graph, load), turns):
        dying = deaths.interrupted(build, log, events, LONG_AFTER_MS)
        assert by_topic(dying.committed) == deaths.uninterrupted(build, log, LONG_AFTER_MS)


@settings(max_examples=200, deadline=None)
@given(JOINS, messages, lives(8))
def test_what_is_told_is_that_of_one_uninterrupted_run(
    drawn: LinkSettings, sent: list[Sent], events: list[object]
) -> None:
    build = spans_builder(drawn.graph, 0)
    dying = deaths.interrupted(build, rows(sent), events, END_MS)
    assert by_topic(dying.committed) == deaths.uninterrupted(build, rows(sent), END_MS)


@settings(max_examples=200, deadline=None)
@given(settings_drawn, messages)
def test_without_links_nothing_is_told_of_them(
    graph: ServiceGraphSettings, sent: list[Sent]
) -> None:
    off = replace(graph, has_links=False)
    bare = [
        each
        if each.spans is None
        else replace(each, spans=tuple(span.but(links=()) for span in each.spans))
        for each in sent
    ]
    build = spans_builder(off, 0)
    outputs = deaths.uninterrupted(build, rows(sent), END_MS)
    assert outputs == deaths.uninterrupted(build, rows(bare), END_MS)
    assert not any(output.value[:3] == b"TRH" for output in outputs[ROLLUPS.name])
