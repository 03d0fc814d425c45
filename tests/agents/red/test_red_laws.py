"""The laws of RED, through the task that the worker runs, on encoded OTLP."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
from hypothesis import given, settings
from hypothesis import strategies as st

from tailrace.agents.red import agent
from tailrace.agents.red.dimensions import LabelSet
from tailrace.agents.red.logic import RedLogic
from tailrace.agents.red.settings import RedSettings
from tailrace.schemas.otlp.decoder import Decoder
from tailrace.schemas.records import DeadLetter, Output, Record
from tailrace.schemas.series import RED, RedSeries, decoded_attributes, service_place
from tailrace.schemas.spans import SpanBatch
from tailrace.schemas.strings import Strings
from tailrace.schemas.sums import Ints, Layout, counted, decode, exponential_histogram, histogram
from tailrace.schemas.watermarks import Watermark, read_watermark
from tailrace.streams.batch import Batch
from tailrace.streams.task import Task, TaskId
from tailrace.tables.interval_sums import RollupTopic
from tailrace.tables.store import MemoryDisk, PartitionStore
from tests.agents.red.traffic import (
    BEGIN_MS,
    BOUNDS_NS,
    END_MS,
    INTERVAL_MS,
    Sent,
    Series,
    Span,
    counted_of,
    rows,
    series,
    settings_drawn,
    spans_of,
    traffic,
)
from tests.streams import deaths
from tests.streams.deaths import EVENTS, Build, by_topic

ROLLUPS = RollupTopic("rollups", 3, 40_000, INTERVAL_MS)


class Codec:
    """Decodes; who refuses what is not asked here."""

    def __init__(self, settings: RedSettings, interned_limit_bytes: int) -> None:
        self._decoder = Decoder(
            settings.columns,
            trace_state=True,
            scopes=settings.asks_for_scopes,
            events=settings.asks_for_events,
            interned_limit_bytes=interned_limit_bytes,
        )

    def decode(self, records: Sequence[Record]) -> tuple[SpanBatch, Sequence[DeadLetter]]:
        batch = self._decoder.decode([record.value for record in records])
        whose = [(record.key or b"").decode() for record in records]
        if any(tenant != "default" for tenant in whose):
            batch.tenant = _tenants(batch, whose, batch.strings)
        return batch, ()


def _tenants(batch: SpanBatch, whose: Sequence[str], strings: Strings) -> npt.NDArray[np.int32]:
    ids = np.array([strings.intern(tenant) for tenant in whose], np.int32)
    return np.repeat(ids[batch.fragment_message], np.diff(batch.fragment_start))


def no_letter(*_: object) -> tuple[str, Output]:
    raise AssertionError("nothing is refused")


def builder(settings: RedSettings, interned_limit_bytes: int = 32 << 20) -> Build:
    """Builds tasks as a new process would, with nothing shared between two."""

    def build(store: PartitionStore) -> Task[SpanBatch]:
        codec = Codec(settings, interned_limit_bytes)
        logic = RedLogic(settings, store, ROLLUPS, "red-0")
        return Task(TaskId("spans", 0), store, codec, {agent.NAME: logic}, no_letter)

    return build


Counted = Counter[tuple[int, str, Series, str]]
"""What was counted: interval's start, family, series, and what of it, to how much."""


def all_counted(sent: deaths.Sent) -> Counted:
    found: Counted = Counter()
    for output in sent.get(ROLLUPS.name, []):
        if not output.value:
            continue
        rollup = decode(output.value)
        assert rollup.end - rollup.start == INTERVAL_MS
        assert len(output.value) < ROLLUPS.record_bytes
        for key, row in zip(rollup.keys, rollup.rows, strict=True):
            assert output.partition == service_place(key) % ROLLUPS.partitions
            resource, labels = map(decoded_attributes, RedSeries.of_key(key))
            of = rollup.start, rollup.layout.family, series(dict(resource), labels)
            for what, amount in _of_row(rollup.layout, row).items():
                found[(*of, what)] += amount
    return +found


def _of_row(layout: Layout, row: Ints) -> dict[str, int]:
    (name,) = (*layout.histograms, *layout.counts)
    (count,) = counted(layout, row[np.newaxis], name).tolist()
    assert count
    if layout.counts:
        return {"count": count}
    if layout.is_exponential:
        seen = exponential_histogram(layout, row, name)
        assert len(seen.buckets) <= layout.max_size
        return {"sum": seen.sum_ns, "count": count, "zeros": seen.zeros}
    of_bounds = histogram(layout, row, name)
    buckets = {f"bucket {bucket}": many for bucket, many in enumerate(of_bounds.buckets)}
    return {"sum": of_bounds.sum_ns, "count": count, **buckets}


def spans(sent: Sequence[Sent]) -> Iterator[tuple[int, str, Span]]:
    """Yield every good span with the stream time at which it came, and whose it is."""
    now = 0
    for row, record in zip(rows(sent), sent, strict=True):
        now = max(now, row.timestamp)
        for span in record.spans or ():
            if span.is_good:
                yield now, record.tenant, span


def expected(settings: RedSettings, sent: Sequence[Sent]) -> Counted:
    found: Counted = Counter()
    for now, tenant, span in spans(sent):
        start = now // INTERVAL_MS * INTERVAL_MS
        for family, of in counted_of(span, settings, tenant):
            found[start, family, of, "count"] += span.weight
            if family == RED:
                duration = max(0, span.end - span.start)
                found[start, family, of, "sum"] += duration * span.weight
                bucket = f"bucket {bisect_left(BOUNDS_NS, duration)}"
                if settings.max_size:
                    bucket = "zeros" if duration == 0 else ""
                found[start, family, of, bucket] += span.weight * bool(bucket)
    return +found


def watermarks(sent: deaths.Sent) -> list[list[Watermark]]:
    """For each partition of the rollup topic, what it was told."""
    return [
        [
            read_watermark(value)
            for output in sent.get(ROLLUPS.name, [])
            for _, value in output.headers
            if output.partition == partition
        ]
        for partition in range(ROLLUPS.partitions)
    ]


@settings(max_examples=300, deadline=None)
@given(settings_drawn, traffic)
def test_rollups_hold_what_counting_span_by_span_gives(
    settings: RedSettings, sent: list[Sent]
) -> None:
    outputs = deaths.uninterrupted(builder(settings), rows(sent), END_MS)
    assert all_counted(outputs) == expected(settings, sent)
    first, *others = watermarks(outputs)
    assert all(marks == first for marks in others)
    assert first[-1] == Watermark("red-0", END_MS // INTERVAL_MS * INTERVAL_MS, True)
    assert [mark.time for mark in first] == sorted({mark.time for mark in first})


@settings(max_examples=300, deadline=None)
@given(settings_drawn, traffic)
def test_every_span_is_counted_or_skipped(settings: RedSettings, sent: list[Sent]) -> None:
    task = builder(settings)(PartitionStore(MemoryDisk()))
    assert task.process(Batch(deaths.TOPIC, 0, 0, len(sent), rows(sent)), deaths.FAR)
    kinds: Counter[str] = Counter()
    for _, tenant, span in spans(sent):
        of = dict(counted_of(span, settings, tenant)).get(spans_of(settings))
        overflows = of is not None and "otel.metric.overflow" in of[1]
        kinds["skipped" if of is None else "overflow" if overflows else "counted"] += 1
    counts = task.totals.counts
    assert counts.get("red_spans", 0) == kinds["counted"] + kinds["overflow"]
    assert counts.get("red_overflow_spans", 0) == kinds["overflow"]
    assert counts.get("red_skipped_spans", 0) == kinds["skipped"]
    assert task.problems() == []
    task.totals.add("red_spans", -1)
    assert len(task.problems()) == 1


@settings(max_examples=300, deadline=None)
@given(
    settings_drawn,
    traffic,
    st.sets(st.integers(0, 12)),
    st.sets(st.integers(0, 12)),
    st.sampled_from([32 << 20, 3000, 0]),
)
def test_rollups_do_not_depend_on_cuts_or_checkpoints_or_interned_ids(
    settings: RedSettings,
    sent: list[Sent],
    cuts: set[int],
    checkpoints: set[int],
    interned_limit_bytes: int,
) -> None:
    build = builder(settings, interned_limit_bytes)
    outputs = deaths.cut(build, rows(sent), sorted(cuts), sorted(checkpoints), END_MS)
    assert outputs == deaths.uninterrupted(builder(settings), rows(sent), END_MS)


@settings(max_examples=300, deadline=None)
@given(settings_drawn, traffic, st.lists(EVENTS, max_size=12))
def test_rollups_are_those_of_one_uninterrupted_run(
    settings: RedSettings, sent: list[Sent], events: list[object]
) -> None:
    build = builder(settings)
    log = deaths.interrupted(build, rows(sent), events, END_MS)
    assert by_topic(log.committed) == deaths.uninterrupted(build, rows(sent), END_MS)


def test_more_series_than_are_remembered_are_counted_again_in_the_next_interval() -> None:
    many = tuple(Span(name=f"GET /{number}") for number in range(20_001))
    few = tuple(Span(name=f"GET /{number}") for number in range(3))
    sent = [Sent(0, many), Sent(1, few), Sent(1000, few), Sent(0, many[:5]), Sent(1000, few)]
    settings = RedSettings(LabelSet(), BOUNDS_NS)
    outputs = deaths.cut(builder(settings), rows(sent), [1, 3], [], BEGIN_MS + 5000)
    assert all_counted(outputs) == expected(settings, sent)
