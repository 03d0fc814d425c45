"""The laws of both stages together, through the tasks that the worker runs, on encoded OTLP."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from tailrace.schemas.config import WorkerConfig, parse
from tailrace.schemas.spans import SpanBatch
from tailrace.streams.rollups import Rollups, RollupTasks
from tailrace.streams.spans import SpanTasks
from tailrace.streams.task import Task, TaskId
from tailrace.tables.store import PartitionStore
from tests.otlp import Span
from tests.streams import deaths
from tests.streams.clusters import cluster
from tests.streams.deaths import Build, by_topic
from tests.streams.interleavings import RESTS, TURNS, Log, interleaved, lives, rested
from tests.streams.memory_log import MemoryLog
from tests.streams.naive_sums import NaiveSums
from tests.streams.span_traffic import CALLS, END_MS, Sent, rows, traffic
from tests.streams.written_sums import (
    all_series,
    cumulative_edges,
    edge_records,
    edge_sums,
    expected_edges,
    expected_values,
    last_values,
    steps,
)

PARTITIONS, ROLLUP_PARTITIONS = 2, 3
ROLLUPS = "tailrace-rollups"
LONG_AFTER_MS = END_MS + 60_000
"""When producers that came last have waited for links, and that was flushed."""

Events = list[list[object]]
Load = list[list[Sent]]
"""What is sent to each partition of the spans."""


def config(ttl: str) -> WorkerConfig:
    return parse(
        "span_metrics: {metrics_flush_interval: 3s}\n"
        # Nothing ends, so that the last point of a series is its total.
        "service_graph: {metrics_flush_interval: 2s, series_expiration: 0s, "
        f"store: {{ttl: {ttl}}}}}\n"
    )


PATIENT, HASTY = config("1h"), config("700ms")


def _apart(load: Load) -> Load:
    """The same load, in which no two partitions have a trace in common."""
    return [
        [
            replace(record, spans=tuple(_of_partition(span, number) for span in record.spans))
            for record in sent
        ]
        for number, sent in enumerate(load)
    ]


def _of_partition(span: Span, number: int) -> Span:
    return span.but(trace_id=bytes([number + 1]) + span.trace_id[1:])


LOADS = st.lists(traffic(CALLS, 1, 8), min_size=PARTITIONS, max_size=PARTITIONS).map(_apart)
BEFORE = st.lists(lives(8), min_size=PARTITIONS, max_size=PARTITIONS)
AFTER = st.lists(lives(30), min_size=ROLLUP_PARTITIONS, max_size=ROLLUP_PARTITIONS)


def spans_builder(config: WorkerConfig, partition: int) -> Build:
    """Builds tasks as a new process would, with nothing shared between two."""
    around = cluster(config, partitions=PARTITIONS, rollup_partitions=ROLLUP_PARTITIONS)

    def build(store: PartitionStore) -> Task[SpanBatch]:
        return SpanTasks(config, around).build(TaskId("spans", partition), store)

    return build


def rollups_builder(config: WorkerConfig, partition: int) -> Build:
    """The same of the second stage."""
    around = cluster(config, partitions=PARTITIONS, rollup_partitions=ROLLUP_PARTITIONS)

    def build(store: PartitionStore) -> Task[Rollups]:
        return RollupTasks(config, around).build(TaskId("rollups", partition), store)

    return build


def first_stage(config: WorkerConfig, load: Load, events: Events) -> list[MemoryLog]:
    """What each partition of the first stage committed."""
    return [
        deaths.interrupted(spans_builder(config, number), rows(load[number]), of_it, END_MS)
        for number, of_it in enumerate(events)
    ]


def logs(writers: Sequence[MemoryLog], turns: Sequence[int]) -> list[Log]:
    """The rollups' partitions, as the writers took *turns*."""
    return [interleaved(writers, ROLLUPS, number, turns) for number in range(ROLLUP_PARTITIONS)]


def second_stage(
    config: WorkerConfig, logs: Sequence[Log], events: Events, end: int = END_MS
) -> list[deaths.Sent]:
    """What each partition of the second stage committed until *end*."""

    def written(logs: Sequence[Log]) -> list[deaths.Sent]:
        return [
            by_topic(deaths.interrupted(rollups_builder(config, number), log, of_it, end).committed)
            for number, (log, of_it) in enumerate(zip(logs, events, strict=True))
        ]

    return written(returned(logs, written(logs)))


def returned(logs: Sequence[Log], written: Sequence[deaths.Sent]) -> list[Log]:
    """The same partitions, in which the second stage has *written* what links brought together."""
    again = MemoryLog([(ROLLUPS, output) for sent in written for output in sent.get(ROLLUPS, ())])
    logs_again = [interleaved([again], ROLLUPS, number, [0]) for number in range(ROLLUP_PARTITIONS)]
    return [
        [*log, *(replace(row, offset=row.offset + len(log)) for row in more)]
        for log, more in zip(logs, logs_again, strict=True)
    ]


def whole(config: WorkerConfig, logs: Sequence[Log]) -> list[deaths.Sent]:
    """What each partition of the second stage writes when nothing dies."""

    def written(logs: Sequence[Log]) -> list[deaths.Sent]:
        return [
            deaths.uninterrupted(rollups_builder(config, number), log, END_MS)
            for number, log in enumerate(logs)
        ]

    return written(returned(logs, written(logs)))


def counted(load: Load) -> NaiveSums:
    """What all spans of *load* are; the calls of each partition are its own."""
    naive = NaiveSums()
    for sent in load:
        naive.count(span for record in sent for span in record.spans)
    return naive


@settings(max_examples=60, deadline=None)
@given(LOADS, BEFORE, TURNS, AFTER)
def test_sums_over_all_partitions_are_a_naive_count_of_the_spans(
    load: Load, before: Events, turns: list[int], after: Events
) -> None:
    written = second_stage(
        PATIENT, logs(first_stage(PATIENT, load, before), turns), after, LONG_AFTER_MS
    )
    naive = counted(load)
    assert last_values(written) == expected_values(naive)
    found, expected = edge_sums(written), expected_edges(naive)
    assert found.keys() == expected.keys()
    assert all(found[edge].is_close(expected[edge]) for edge in found)


@settings(max_examples=60, deadline=None)
@given(LOADS, BEFORE, TURNS, AFTER)
def test_what_is_written_is_that_of_one_uninterrupted_run(
    load: Load, before: Events, turns: list[int], after: Events
) -> None:
    read = logs(first_stage(HASTY, load, before), turns)
    assert second_stage(HASTY, read, after) == whole(HASTY, read)


@settings(max_examples=60, deadline=None)
@given(LOADS, TURNS, TURNS)
def test_what_a_series_is_at_a_time_does_not_depend_on_which_partition_was_faster(
    load: Load, turns: list[int], other_turns: list[int]
) -> None:
    writers = first_stage(HASTY, load, [[], []])
    one, other = (whole(HASTY, logs(writers, each)) for each in (turns, other_turns))
    assert edge_records(one) == edge_records(other)
    of_one, of_other = all_series(one), all_series(other)
    assert of_one.keys() == of_other.keys()
    for each, points in of_one.items():
        assert steps(points) == steps(of_other[each])


@settings(max_examples=60, deadline=None)
@given(LOADS, BEFORE, TURNS, AFTER)
def test_a_series_has_one_writer_one_start_and_never_goes_down(
    load: Load, before: Events, turns: list[int], after: Events
) -> None:
    written = second_stage(HASTY, logs(first_stage(HASTY, load, before), turns), after)
    for points in all_series(written).values():
        assert len({point.start for point in points}) == 1
        assert points[0].time == points[0].start
        for earlier, later in pairwise(points):
            assert earlier.time < later.time
            assert not is_less(later.value, earlier.value)


def is_less(
    one: int | tuple[float, tuple[int, ...]], other: int | tuple[float, tuple[int, ...]]
) -> bool:
    """True if any number of *one* is less than that of *other*."""
    if isinstance(one, int):
        assert isinstance(other, int)
        return one < other
    assert isinstance(other, tuple)
    return one[0] < other[0] or any(
        mine < theirs for mine, theirs in zip(one[1], other[1], strict=True)
    )


@settings(max_examples=60, deadline=None)
@given(LOADS, BEFORE, TURNS, AFTER)
def test_edge_records_add_up_to_the_metrics_whatever_expires(
    load: Load, before: Events, turns: list[int], after: Events
) -> None:
    written = second_stage(HASTY, logs(first_stage(HASTY, load, before), turns), after)
    found, expected = edge_sums(written), cumulative_edges(written)
    assert found.keys() == expected.keys()
    assert all(found[edge].is_close(expected[edge]) for edge in found)
    naive = counted(load)
    red = {each for each in expected_values(naive) if each.scope == "spanmetricsconnector"}
    values = last_values(written)
    assert {each: values[each] for each in red} == {
        each: value for each, value in expected_values(naive).items() if each in red
    }


@settings(max_examples=60, deadline=None)
@given(LOADS, st.lists(RESTS, min_size=PARTITIONS, max_size=PARTITIONS), TURNS, AFTER)
def test_nothing_is_lost_of_what_comes_late_after_a_rest(
    load: Load, rests: list[list[int]], turns: list[int], after: Events
) -> None:
    writers = [
        rested(spans_builder(PATIENT, number), rows(sent), of_it, END_MS)
        for number, (sent, of_it) in enumerate(zip(load, rests, strict=True))
    ]
    written = second_stage(PATIENT, logs(writers, turns), after, LONG_AFTER_MS)
    naive = counted(load)
    assert last_values(written) == expected_values(naive)
    found, expected = edge_sums(written), expected_edges(naive)
    assert found.keys() == expected.keys()
    assert all(found[edge].is_close(expected[edge]) for edge in found)
