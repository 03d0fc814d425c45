"""The laws of re-keying, through the tasks that the worker runs, on encoded OTLP.

Spans of the same traces stand in several partitions of several topics, in messages that mix them.
Between two stages, who wrote faster is anybody's guess.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import accumulate
from typing import Any, NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from tailrace.schemas.config import WorkerConfig, parse
from tailrace.schemas.series import (
    EDGES,
    RED,
    UNPAIRED,
    EdgeSeries,
    RedSeries,
    decoded_attributes,
)
from tailrace.schemas.spans import SpanBatch
from tailrace.schemas.sums import decode, histogram
from tailrace.streams.rekey import RekeyTasks
from tailrace.streams.spans import SpanTasks
from tailrace.streams.stages import rekey_stage
from tailrace.streams.task import Task, TaskId
from tailrace.tables.store import PartitionStore
from tests.otlp import Span
from tests.streams import deaths
from tests.streams.clusters import cluster
from tests.streams.deaths import Build, by_topic
from tests.streams.interleavings import RESTS, TURNS, Log, interleaved, lives, rested
from tests.streams.memory_log import MemoryLog
from tests.streams.naive_sampler import Limits, NaiveSampler
from tests.streams.naive_sums import Edge, Histogram, NaiveSums, Red
from tests.streams.span_traffic import BEGIN_MS, CALLS, END_MS, Sent, rows, traffic
from tests.streams.test_sampling_laws import SAMPLED, comparable, decisions, sampled
from tests.streams.written_sums import KINDS, STATUSES

INPUTS = {"one": 1, "two": 2}
"""Topics with their partitions."""
SOURCES = [(topic, number) for topic, count in INPUTS.items() for number in range(count)]
PARTITIONS = 3
"""Of the spans by trace ID, and of the rollups."""
SPANS, ROLLUPS = "tailrace-spans", "tailrace-rollups"
LATER_MS = END_MS + 5000
"""When the second stage is idle: all that the first one has to say it has said at the end."""
SOON_MS = BEGIN_MS + 200_000
"""After all traffic, when nothing that was decided is forgotten yet."""

Load = list[list[Sent]]
"""What is sent to each source."""
Events = list[list[object]]


def config(wait_ms: int) -> WorkerConfig:
    return parse(
        "input: {topics: [one, two], keyed_by_trace_id: false}\n"
        "service_graph: {store: {ttl: 1h}, links: {enabled: false}}\n"
        + Limits(wait_ms, 10**8).yaml()
    )


CONFIGS = {wait_ms: config(wait_ms) for wait_ms in (0, 1000, 3000)}

WAITS = st.sampled_from(list(CONFIGS))
LOADS = st.lists(traffic(CALLS, 2, 8), min_size=len(SOURCES), max_size=len(SOURCES))
BEFORE = st.lists(lives(8), min_size=len(SOURCES), max_size=len(SOURCES))
AFTER = st.lists(lives(30), min_size=PARTITIONS, max_size=PARTITIONS)


def rekey_builder(config: WorkerConfig, topic: str, partition: int) -> Build:
    """Builds tasks as a new process would, with nothing shared between two."""
    around = cluster(config, partitions=PARTITIONS, inputs=INPUTS)

    def build(store: PartitionStore) -> Task[SpanBatch]:
        return RekeyTasks(config, around).build(TaskId(rekey_stage(topic), partition), store)

    return build


def spans_builder(config: WorkerConfig, partition: int) -> Build:
    """The same of what reads the spans by trace ID."""
    around = cluster(config, partitions=PARTITIONS, rollup_partitions=PARTITIONS, inputs=INPUTS)

    def build(store: PartitionStore) -> Task[SpanBatch]:
        return SpanTasks(config, around).build(TaskId("spans", partition), store)

    return build


def rekeyed(config: WorkerConfig, load: Load, events: Events) -> list[MemoryLog]:
    """What each source's task committed."""
    return [
        deaths.interrupted(rekey_builder(config, *source), rows(sent), of_it, END_MS)
        for source, sent, of_it in zip(SOURCES, load, events, strict=True)
    ]


def logs(writers: Sequence[MemoryLog], turns: Sequence[int]) -> list[Log]:
    """The partitions of the spans by trace ID, as the writers took *turns*."""
    return [interleaved(writers, SPANS, number, turns) for number in range(PARTITIONS)]


def spans_stage(config: WorkerConfig, logs: Sequence[Log], events: Events) -> list[deaths.Sent]:
    """What each partition of the spans stage committed."""
    return [
        by_topic(deaths.interrupted(spans_builder(config, number), log, of_it, LATER_MS).committed)
        for number, (log, of_it) in enumerate(zip(logs, events, strict=True))
    ]


class Arrival(NamedTuple):
    """A message at its own time, and whose it is."""

    time: int
    source: str
    offset: int
    spans: tuple[Span, ...]


def in_order(load: Load) -> list[Arrival]:
    """All messages in the order of their sources' time, with their good spans."""
    found = []
    for (topic, partition), sent in zip(SOURCES, load, strict=True):
        times = accumulate((row.timestamp for row in rows(sent)), max)
        for offset, (time, record) in enumerate(zip(times, sent, strict=True)):
            good = tuple(span for span in record.spans if len(span.trace_id) == 16)
            found.append(Arrival(time, f"{topic}-{partition}", offset, good))
    return sorted(found)


def expected(wait_ms: int, load: Load) -> NaiveSampler:
    model = NaiveSampler(Limits(wait_ms, 10**8))
    for arrival in in_order(load):
        model.record(arrival.time, arrival.spans)
    model.decide_before(END_MS)
    return model


def by_trace(decisions: Sequence[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    found: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for decision in decisions:
        found[decision["trace_id"]].append(decision)
    return dict(found)


@settings(max_examples=60, deadline=None)
@given(WAITS, LOADS, BEFORE, TURNS, AFTER)
def test_every_trace_is_decided_once_and_as_if_all_had_been_read_in_order_of_time(
    wait_ms: int, load: Load, before: Events, turns: list[int], after: Events
) -> None:
    config = CONFIGS[wait_ms]
    written = spans_stage(config, logs(rekeyed(config, load, before), turns), after)
    found = by_trace([decision for part in written for decision in decisions(part)])
    spans = Counter(span.trace_id.hex() for each in in_order(load) for span in each.spans)
    assert {trace: sum(each["spans"] for each in of_it) for trace, of_it in found.items()} == spans
    for of_it in found.values():
        assert [decision["late"] for decision in of_it].count(False) == 1
    model = expected(wait_ms, load)
    assert found == by_trace(model.decisions)
    kept = [row for part in written for output in part.get(SAMPLED, []) for row in sampled(output)]
    assert Counter(kept) == model.sampled


@settings(max_examples=60, deadline=None)
@given(LOADS, BEFORE)
def test_what_is_rekeyed_is_that_of_one_uninterrupted_run(load: Load, before: Events) -> None:
    config = CONFIGS[0]
    for writer, source, sent in zip(rekeyed(config, load, before), SOURCES, load, strict=True):
        whole = deaths.uninterrupted(rekey_builder(config, *source), rows(sent), END_MS)
        assert by_topic(writer.committed) == whole


@settings(max_examples=60, deadline=None)
@given(WAITS, LOADS, TURNS, AFTER)
def test_what_the_spans_stage_writes_is_that_of_one_uninterrupted_run(
    wait_ms: int, load: Load, turns: list[int], after: Events
) -> None:
    config = CONFIGS[wait_ms]
    read = logs(rekeyed(config, load, [[], [], []]), turns)
    for number, part in enumerate(spans_stage(config, read, after)):
        whole = deaths.uninterrupted(spans_builder(config, number), read[number], LATER_MS)
        assert comparable(part) == comparable(whole)


@settings(max_examples=60, deadline=None)
@given(WAITS, LOADS, TURNS, TURNS)
def test_what_the_spans_stage_writes_does_not_depend_on_which_source_was_faster(
    wait_ms: int, load: Load, turns: list[int], other_turns: list[int]
) -> None:
    config = CONFIGS[wait_ms]
    writers = rekeyed(config, load, [[], [], []])
    for number in range(PARTITIONS):
        one, other = (
            deaths.uninterrupted(
                spans_builder(config, number), logs(writers, each)[number], LATER_MS
            )
            for each in (turns, other_turns)
        )
        assert comparable(one) == comparable(other)


@settings(max_examples=60, deadline=None)
@given(LOADS, BEFORE, TURNS, AFTER)
def test_sums_are_a_naive_count_of_the_spans(
    load: Load, before: Events, turns: list[int], after: Events
) -> None:
    config = CONFIGS[0]
    written = spans_stage(config, logs(rekeyed(config, load, before), turns), after)
    naive = NaiveSums()
    naive.count(span for arrival in in_order(load) for span in arrival.spans)
    assert rolled_up(written) == numbers(naive)


@settings(max_examples=60, deadline=None)
@given(WAITS, LOADS, st.lists(RESTS, min_size=len(SOURCES), max_size=len(SOURCES)), TURNS, AFTER)
def test_a_trace_is_decided_once_and_counted_whole_though_a_source_wakes_late(
    wait_ms: int, load: Load, rests: list[list[int]], turns: list[int], after: Events
) -> None:
    config = CONFIGS[wait_ms]
    writers = [
        rested(rekey_builder(config, *source), rows(sent), of_it, SOON_MS)
        for source, sent, of_it in zip(SOURCES, load, rests, strict=True)
    ]
    written = spans_stage(config, logs(writers, turns), after)
    found = [decision for part in written for decision in decisions(part)]
    arrivals = in_order(load)
    traces = {span.trace_id.hex() for each in arrivals for span in each.spans}
    assert sorted(each["trace_id"] for each in found if not each["late"]) == sorted(traces)
    assert sum(each["spans"] for each in found) == sum(len(each.spans) for each in arrivals)
    naive = NaiveSums()
    naive.count(span for each in arrivals for span in each.spans)
    assert of_red(rolled_up(written)) == of_red(numbers(naive))


def of_red(sums: Counter[tuple[Any, ...]]) -> Counter[tuple[Any, ...]]:
    return Counter({series: count for series, count in sums.items() if series[0] == RED})


def rolled_up(parts: Sequence[deaths.Sent]) -> Counter[tuple[Any, ...]]:
    """Every number of every rollup, added up by series."""
    found: Counter[tuple[Any, ...]] = Counter()
    values = (output.value for part in parts for output in part.get(ROLLUPS, []))
    for rollup in map(decode, filter(None, values)):
        if rollup.layout.family == UNPAIRED:
            continue
        for key, row in zip(rollup.keys, rollup.rows, strict=True):
            for name in rollup.layout.histograms:
                seen = histogram(rollup.layout, row, name)
                series = (rollup.layout.family, _series(rollup.layout.family, key), name)
                found[*series, "sum"] += seen.sum_ns
                found.update({(*series, n): count for n, count in enumerate(seen.buckets)})
    return +found


def _series(family: str, key: bytes) -> Red | Edge:
    if family == EDGES:
        return Edge(*EdgeSeries.of_key(key)[1:4])
    labels = dict(decoded_attributes(RedSeries.of_key(key).dimensions))
    kind, status = str(labels["span.kind"]), str(labels["status.code"])
    return Red(
        str(labels["service.name"]),
        str(labels["span.name"]),
        KINDS.index(kind.removeprefix("SPAN_KIND_")),
        STATUSES.index(status.removeprefix("STATUS_CODE_")),
    )


def numbers(naive: NaiveSums) -> Counter[tuple[Any, ...]]:
    """The same of a naive count."""
    found: Counter[tuple[Any, ...]] = Counter()
    histograms: list[tuple[tuple[str, Red | Edge, str], Histogram]] = [
        ((RED, each, "duration"), seen) for each, seen in naive.red.items()
    ]
    for (edge, is_failed), calls in naive.edges.items():
        for side, seen in (("client", calls.client), ("server", calls.server)):
            histograms.append(((EDGES, edge, f"{side}_failed" if is_failed else side), seen))
    for series, seen in histograms:
        found[*series, "sum"] += seen.sum_ns
        found.update({(*series, n): count for n, count in seen.buckets.items()})
    return +found
