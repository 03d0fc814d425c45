"""The laws of alerts, through both stages' tasks as the worker runs them, on encoded OTLP."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from tailrace.schemas.alert_events import AlertEvent, event_id, fingerprint
from tailrace.schemas.definitions import Definitions
from tailrace.schemas.matches import decode_evidence, is_evidence
from tailrace.schemas.records import Output
from tailrace.streams.batch import Batch
from tailrace.streams.rollups import RollupTasks
from tailrace.streams.task import Task, TaskId
from tailrace.tables.store import MemoryDisk, PartitionStore
from tests.streams import deaths
from tests.streams.alert_traffic import (
    AFTER,
    ALERTS,
    ALL,
    BEFORE,
    BEGIN,
    CHANGED,
    CONFIG,
    DECISIONS,
    DEFINITIONS,
    END_MS,
    EPISODES,
    LOADS,
    ON_TIME,
    PARTITIONS,
    ROLLUP_PARTITIONS,
    ROLLUPS,
    Came,
    Events,
    Sent,
    anew,
    first_stage,
    load,
    logs,
    rollups_builder,
    rows,
    spans_builder,
    told,
    whole,
)
from tests.streams.clusters import cluster
from tests.streams.deaths import FAR, TOPIC, Row, by_topic
from tests.streams.interleavings import TURNS, interleaved
from tests.streams.memory_log import MemoryLog


@settings(max_examples=60, deadline=None)
@given(LOADS, BEFORE, TURNS, AFTER)
def test_alert_events_are_those_of_one_uninterrupted_run(
    load: list[list[Sent]], before: Events, turns: list[int], after: Events
) -> None:
    read = logs(first_stage(load, before), turns)
    died = [
        deaths.interrupted(rollups_builder(number), log, of_it, END_MS)
        for number, (log, of_it) in enumerate(zip(read, after, strict=True))
    ]
    assert [by_topic(each.committed).get(ALERTS, []) for each in died] == whole(read)


@settings(max_examples=60, deadline=None)
@given(load(ON_TIME), BEFORE, TURNS, TURNS)
def test_whoever_was_faster_or_died_alerts_begin_and_end_at_the_same_seconds(
    load: list[list[Sent]], before: Events, turns: list[int], others: list[int]
) -> None:
    one = told(whole(logs(first_stage(load, [[], []]), turns)))
    other = told(whole(logs(first_stage(load, before), others)))
    assert _lives(one) == _lives(other)


def _lives(events: Sequence[AlertEvent]) -> set[tuple[Any, ...]]:
    """Of all whose seconds come before they are over: what a whole trace is, comes later."""
    return {
        (event.id, event.status, event.starts_at, event.ends_at)
        for event in events
        if event.name != "whole"
    }


@settings(max_examples=60, deadline=None)
@given(load(ON_TIME, 12), TURNS)
def test_an_alert_fires_exactly_while_a_naive_count_of_the_spans_says_so(
    load: list[list[Sent]], turns: list[int]
) -> None:
    events = told(whole(logs(first_stage(load, [[], []]), turns)))
    of_it = [event for event in events if event.name == EPISODES.name]
    assert {
        (event.labels["service"], event.status, event.ends_at or event.starts_at, event.id)
        for event in of_it
    } == expected_episodes(load)


def expected_episodes(load: list[list[Sent]]) -> set[tuple[str, str, int, str]]:
    """When which service had two bad spans in ten seconds that were over."""
    seconds: dict[str, Counter[int]] = defaultdict(Counter)
    for sent in load:
        at, time = BEGIN * 1000, 0
        for record in sent:
            at += record.step_ms
            time = max(time, at)
            for each in record.spans:
                seconds[each.service][time // 1000] += each.status == 2
    found = set()
    for service, counts in seconds.items():
        by = fingerprint("default", EPISODES.name, "warning", {"service": service})
        begun = None
        for tick in range(BEGIN, BEGIN + 1000):
            is_bad = sum(counts[second] for second in range(tick - 10, tick)) >= 2
            if is_bad and begun is None:
                begun = tick * 1000
                found.add((service, "firing", begun, event_id(by, begun)))
            elif begun is not None and not is_bad:
                found.add((service, "resolved", tick * 1000, event_id(by, begun)))
                begun = None
    return found


@settings(max_examples=60, deadline=None)
@given(LOADS, TURNS)
def test_no_id_fires_twice_and_whatever_was_told_is_resolved_once(
    load: list[list[Sent]], turns: list[int]
) -> None:
    lives: dict[str, list[str]] = defaultdict(list)
    for event in told(whole(logs(first_stage(load, [[], []]), turns))):
        lives[event.id].append(event.status)
    for statuses in lives.values():
        assert statuses.count("resolved") <= 1
        assert "resolved" not in statuses[:-1]
        if {"firing", "unknown"} & set(statuses):
            # Without data an alert waits for a day. Flapping and the SLO are over before the end.
            assert statuses[-1] in ("resolved", "no_data")


# Evidence


@settings(max_examples=60, deadline=None)
@given(LOADS, BEFORE, TURNS)
def test_traces_of_evidence_are_kept_and_events_say_so(
    load: list[list[Sent]], before: Events, turns: list[int]
) -> None:
    writers = first_stage(load, before)
    decided, shown = decisions(writers), evidence(writers)
    for trace_id, at in shown.items():
        first = decided[trace_id][0]
        # What matched after the decision could not change it.
        assert first.is_sampled or first.at <= at
    last: dict[tuple[str, str], bool | None] = {}
    for event in told(whole(logs(writers, turns))):
        for span in event.spans:
            last[event.id, span.trace_id] = span.sampled
            if span.sampled is not None:
                assert span.sampled == decided[span.trace_id][0].is_sampled


class Decided(NamedTuple):
    """What was decided of a trace, and when (ms)."""

    at: int
    is_sampled: bool


def decisions(writers: Sequence[MemoryLog]) -> Mapping[str, list[Decided]]:
    found: dict[str, list[Decided]] = defaultdict(list)
    for writer in writers:
        for output in by_topic(writer.committed).get(DECISIONS, []):
            said = orjson.loads(output.value)
            is_sampled = said["decision"] == "sampled"
            found[said["trace_id"]].append(Decided(output.timestamp, is_sampled))
    return found


def evidence(writers: Sequence[MemoryLog]) -> Mapping[str, int]:
    """When each trace was first shown (ms), rounded up to the end of an interval."""
    found: dict[str, int] = {}
    for writer in writers:
        for output in by_topic(writer.committed).get(ROLLUPS, []):
            if is_evidence(output.value):
                for each in decode_evidence(output.value).spans:
                    found.setdefault(each.span.trace_id, output.timestamp)
    return found


def test_what_was_shown_before_the_decision_is_told_to_be_kept() -> None:
    spans = (Came("api", 2, 1, 0, 5), Came("api", 2, 2, 0, 5))
    sent = [Sent(0, spans), Sent(70_000, ()), Sent(2000, ()), Sent(40_000, spans), Sent(70_000, ())]
    writers = first_stage([sent, []], [[], []])
    events = told(whole(logs(writers, [0, 1])))
    of_it = [each for each in events if each.name == "levels" and each.severity == "warning"]
    assert [[each.sampled for each in event.spans] for event in of_it][:1] == [[None, None]]
    assert {each.sampled for event in of_it for each in event.spans} == {None, True}
    assert all(each[0].is_sampled for each in decisions(writers).values())


# Definitions that change

NOW_AND_THEN = Definitions.of_all([*CHANGED, *DEFINITIONS[3:6]], 1)
"""What the first stage counts: some of either."""


def in_force(told: Mapping[int, Definitions], position: int) -> Definitions:
    """The definitions that were told last up to *position*."""
    return told[max(each for each in told if each <= position)]


def lived(
    build: Callable[[PartitionStore, Definitions], Task[Any]],
    records: Sequence[Row],
    told: Mapping[int, Definitions],
    events: Sequence[str],
) -> list[Output]:
    """The alert events of a task that is *told* definitions before records, and meets *events*."""
    disk, changelog, sent = MemoryDisk(), list[Any](), list[Output]()
    position = 0

    def begin() -> Task[Any]:
        store = PartitionStore(disk)
        for number in range(store.changelog_offset or 0, len(changelog)):
            store.apply(changelog[number], number + 1)
        task = build(store, in_force(told, 0))
        position = task.positions.get(TOPIC, 0)
        task.inform(anew(in_force(told, position)))
        return task

    def checkpoint() -> None:
        snapshot = task.snapshot()
        assert task.problems() == []
        changelog.append(dict(snapshot.changes))
        sent.extend(snapshot.outputs.get(ALERTS, ()))
        task.committed(len(changelog))

    task, pending = begin(), dict(enumerate(events))
    while position < len(records):
        if position in told and position:
            task.inform(told[position])
        event = pending.pop(position, "")
        if event in ("checkpoint", "new disk"):
            checkpoint()
        if event in ("death", "new disk", "restart"):
            disk = MemoryDisk() if event == "new disk" else disk
            task = begin()
            position = task.positions.get(TOPIC, 0)
            continue
        task.process(Batch(TOPIC, 0, position, position + 1, [records[position]]), FAR)
        position += 1
    task.advance(END_MS)
    checkpoint()
    return sent


def build_rollups(store: PartitionStore, _: Definitions) -> Task[Any]:
    around = cluster(CONFIG, partitions=PARTITIONS, rollup_partitions=ROLLUP_PARTITIONS)
    return RollupTasks(CONFIG, around).build(TaskId("rollups", 0), store)


_DEATHS = st.lists(st.sampled_from(["", "", "", "checkpoint", "death", "new disk"]), max_size=40)
_TOLD = st.dictionaries(
    st.integers(1, 30),
    st.sampled_from([CHANGED, DEFINITIONS, CHANGED[:2], DEFINITIONS[2:]]),
    max_size=4,
).map(
    lambda said: {
        0: ALL,
        **{at: Definitions.of_all(each, at) for at, each in sorted(said.items())},
    }
)


@settings(max_examples=60, deadline=None)
@given(LOADS, TURNS, _TOLD, _DEATHS)
def test_definitions_that_change_are_as_good_as_records(
    load: list[list[Sent]], turns: list[int], told: Mapping[int, Definitions], events: list[str]
) -> None:
    writers = [
        deaths.cut(spans_builder(number, NOW_AND_THEN), rows(number, sent), [], [], END_MS)
        for number, sent in enumerate(load)
    ]
    committed = [
        MemoryLog([(topic, row) for topic, outputs in sent.items() for row in outputs])
        for sent in writers
    ]
    read = interleaved(committed, ROLLUPS, 0, turns)
    once = lived(build_rollups, read, told, [])
    assert lived(build_rollups, read, told, events) == once
