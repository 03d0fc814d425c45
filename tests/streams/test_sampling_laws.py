"""The laws of sampling, through the task that the worker runs, on encoded OTLP."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from tailrace.schemas.config import document, parse
from tailrace.schemas.definitions import Definitions
from tailrace.schemas.records import Output
from tailrace.schemas.spans import SpanBatch
from tailrace.schemas.watermarks import WATERMARK_HEADER, read_watermark
from tailrace.streams.spans import SpanTasks
from tailrace.streams.task import Task, TaskId
from tailrace.tables.store import PartitionStore
from tests.otlp import MS, FlatSpan, Span, flat
from tests.streams import deaths
from tests.streams.clusters import cluster
from tests.streams.deaths import EVENTS, Build, by_topic
from tests.streams.memory_log import CrashPoint
from tests.streams.naive_sampler import ALL, Limits, NaiveSampler, listed
from tests.streams.sampling_lives import EVENTS as EVENTS_OF_LIVES
from tests.streams.sampling_lives import Story, lived, policies
from tests.streams.span_traffic import (
    END_MS,
    LIMIT_BYTES,
    LIMITS,
    RECORD_BYTES,
    TRACES,
    Sent,
    rows,
    traffic,
)

DECISIONS, SAMPLED, LETTERS = "tailrace.decisions", "otlp_sampled", "tailrace.dead_letters"
ROLLUPS = "tailrace-rollups"


def builder(limits: Limits) -> Build:
    """Builds tasks as a new process would, with nothing shared between two."""
    config = parse(limits.yaml())

    def build(store: PartitionStore) -> Task[SpanBatch]:
        return SpanTasks(config, cluster(config, RECORD_BYTES)).build(TaskId("spans", 0), store)

    return build


def comparable(sent: deaths.Sent) -> dict[str, list[Any]]:
    """Kept traces and decisions in order; dead letters, which have no order, sorted.

    Rollups are in order for each source only.
    """
    letters = sorted(sent.get(LETTERS, []), key=repr)
    return {**sent, LETTERS: letters, ROLLUPS: by_source(sent.get(ROLLUPS, []))}


def by_source(rollups: Iterable[Output]) -> list[Output]:
    """The rollups of each source in order, for each partition that they go to.

    The last of those that a source sends at once says whose they are.
    """
    found: dict[tuple[str, int], list[Output]] = {}
    begun: dict[int, list[Output]] = {}
    for output in rollups:
        assert output.partition is not None
        begun.setdefault(output.partition, []).append(output)
        for name, value in output.headers:
            if name == WATERMARK_HEADER:
                source = read_watermark(value).source, output.partition
                found.setdefault(source, []).extend(begun.pop(output.partition))
    assert not begun
    return [output for _, outputs in sorted(found.items()) for output in outputs]


def nanos(time: str) -> int:
    assert time.endswith("Z")
    return int(np.datetime64(time[:-1], "ns").astype(np.int64))


def decisions(sent: deaths.Sent) -> list[dict[str, Any]]:
    found = [(output, orjson.loads(output.value)) for output in sent.get(DECISIONS, [])]
    for output, decision in found:
        assert output.key == decision["trace_id"].encode()
        decision["start"] = nanos(decision["start"])
        decision["decided_at"] = nanos(decision["decided_at"]) // 1_000_000
        assert output.timestamp == decision["decided_at"]
    return [decision for _, decision in found]


def sampled(output: Output) -> list[tuple[bytes, str, FlatSpan]]:
    assert output.key is not None
    trace_id = bytes.fromhex(output.key.decode())
    policy = dict(output.headers)["tailrace.policy"].decode()
    return [(trace_id, policy, span) for span in flat([output.value])]


Changes = Mapping[int, tuple[str, ...]]
"""By the number of a record: the policies that stand from there on; none: the config's do."""


def change(model: NaiveSampler, number: int, changes: Changes | None) -> None:
    """Let the policies stand that come before record *number*."""
    if changes and number in changes:
        model.policies = changes[number] or ALL
        model.version = str(number + 1) if changes[number] else "0"


def expected(limits: Limits, records: list[Sent], changes: Changes | None = None) -> NaiveSampler:
    model = NaiveSampler(limits)
    for number, (row, record) in enumerate(zip(rows(records), records, strict=True)):
        change(model, number, changes)
        model.record(row.timestamp, record.spans)
    change(model, len(records), changes)
    model.decide_before(END_MS)
    return model


@settings(max_examples=250, deadline=None)
@given(LIMITS, traffic())
def test_decisions_and_kept_spans_are_those_of_a_naive_sampler(
    limits: Limits, records: list[Sent]
) -> None:
    model = expected(limits, records)
    sent = deaths.uninterrupted(builder(limits), rows(records), END_MS)
    assert decisions(sent) == model.decisions
    kept = Counter(row for output in sent.get(SAMPLED, []) for row in sampled(output))
    too_large = [
        output
        for output in sent.get(LETTERS, [])
        if dict(output.headers)["tailrace.reason"] == b"span_too_large"
    ]
    missing = model.sampled - kept
    assert not kept - model.sampled
    assert all(len(span.span) > LIMIT_BYTES for _, _, span in missing)
    assert missing.total() == len(too_large)
    assert all(len(output.value) <= LIMIT_BYTES for output in sent.get(SAMPLED, []))


@settings(max_examples=250, deadline=None)
@given(LIMITS, traffic(), st.sets(st.integers(0, 12)), st.sets(st.integers(0, 12)))
def test_outputs_do_not_depend_on_cuts_or_checkpoints(
    limits: Limits, records: list[Sent], cuts: set[int], checkpoints: set[int]
) -> None:
    build = builder(limits)
    sent = deaths.cut(build, rows(records), sorted(cuts), sorted(checkpoints), END_MS)
    assert comparable(sent) == comparable(deaths.uninterrupted(build, rows(records), END_MS))


@settings(max_examples=250, deadline=None)
@given(LIMITS, traffic(), st.lists(EVENTS, max_size=12))
def test_outputs_are_those_of_one_uninterrupted_run(
    limits: Limits, records: list[Sent], events: list[object]
) -> None:
    build = builder(limits)
    log = deaths.interrupted(build, rows(records), events, END_MS)
    whole = deaths.uninterrupted(build, rows(records), END_MS)
    assert comparable(by_topic(log.committed)) == comparable(whole)


_CHANGES = st.dictionaries(
    st.integers(0, 9),
    st.lists(st.sampled_from(ALL), max_size=3, unique=True).map(tuple),
    min_size=1,
    max_size=4,
)


@settings(max_examples=100, deadline=None)
@given(LIMITS, traffic(least_records=4), _CHANGES, EVENTS_OF_LIVES)
def test_policies_that_change_decide_what_is_due_from_then_on(
    limits: Limits, records: list[Sent], changes: Changes, events: list[str]
) -> None:
    told = {}
    for at, names in changes.items():
        spec = {"policies": document.read(listed(names), "policies")}
        told[at] = Definitions.of_all([policies(at + 1, spec)] if names else [], at + 1)
    section = document.read(limits.yaml(), "limits")["tail_sampling"]
    sent = lived(Story(section, rows(records), told=told), events)
    model = expected(limits, records, changes)
    assert decisions(sent) == model.decisions


def test_a_retention_shorter_than_the_wait_decides_nothing_twice() -> None:
    limits = Limits(wait_ms=3000, retention_ms=1000)
    one, two, three = (Span(trace_id, end=200 * MS) for trace_id in TRACES[:3])
    records = [Sent(0, (one,)), Sent(2001, (two,)), Sent(2500, (three,))]
    events = ["", "", "checkpoint", CrashPoint.BEFORE_LOCAL_WRITE]
    log = deaths.interrupted(builder(limits), rows(records), events, END_MS)
    assert decisions(by_topic(log.committed)) == expected(limits, records).decisions
