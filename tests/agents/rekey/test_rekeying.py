"""Laws of re-keying, through a task on encoded OTLP."""

from __future__ import annotations

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from tailrace.agents.rekey.rekeying import RekeyedTopic, RekeyLogic, partition_of
from tailrace.schemas.otlp.decoder import Decoder
from tailrace.schemas.records import Output
from tailrace.schemas.spans import SpanBatch
from tailrace.schemas.watermarks import WATERMARK_HEADER, Watermark, read_watermark
from tailrace.streams.batch import Batch
from tailrace.streams.dead_letters import DeadLetters
from tailrace.streams.span_codec import SpanCodec
from tailrace.streams.task import Task, TaskId
from tailrace.tables.store import MemoryDisk, PartitionStore
from tests.otlp import Span, flat, message
from tests.streams import deaths
from tests.streams.deaths import EVENTS, Row, by_topic
from tests.streams.span_traffic import BEGIN_MS, END_MS, Sent, rows, traffic

TOPIC, PARTITIONS, INTERVAL_MS = "app-spans", 3, 1000
TENANT = "x-tenant"


def build(store: PartitionStore) -> Task[SpanBatch]:
    topic = RekeyedTopic(TOPIC, PARTITIONS, INTERVAL_MS, TENANT)
    logic = RekeyLogic(store, topic, "rekey-in-4")
    codec = SpanCodec(Decoder(), is_keyed=False)
    dead_letters = DeadLetters("dead", 10_000)
    return Task(TaskId("rekey-in", 4), store, codec, {"rekey": logic}, dead_letters.of_record)


def rekeyed(records: list[Sent]) -> list[Output]:
    return deaths.uninterrupted(build, rows(records), END_MS).get(TOPIC, [])


def watermark(output: Output) -> Watermark:
    return read_watermark(dict(output.headers)[WATERMARK_HEADER])


@settings(max_examples=200, deadline=None)
@given(traffic())
def test_every_good_span_comes_out_once_where_its_trace_belongs(records: list[Sent]) -> None:
    found = Counter[bytes]()
    for output in rekeyed(records):
        spans = flat([output.value])
        found.update(span.span for span in spans)
        if spans:
            assert output.partition == partition_of(output.key or b"", PARTITIONS)
    sent = [
        row.value or b"" for row, each in zip(rows(records), records, strict=True) if each.spans
    ]
    good = Counter(span.span for span in flat(sent) if b"fifteen bytes.." not in span.span)
    assert found == good


@settings(max_examples=200, deadline=None)
@given(traffic())
def test_no_record_is_from_before_a_watermark_that_its_partition_has_seen(
    records: list[Sent],
) -> None:
    told = [0] * PARTITIONS
    for output in rekeyed(records):
        assert output.partition is not None
        mark = watermark(output)
        assert told[output.partition] <= mark.time <= output.timestamp
        told[output.partition] = mark.time


@settings(max_examples=200, deadline=None)
@given(traffic())
def test_every_partition_hears_of_every_interval_that_has_begun(records: list[Sent]) -> None:
    at = [row.timestamp for row in rows(records)]
    begun = {
        time // INTERVAL_MS * INTERVAL_MS for n, time in enumerate(at) if time == max(at[: n + 1])
    }
    outputs = rekeyed(records)
    for partition in range(PARTITIONS):
        marks = [watermark(output) for output in outputs if output.partition == partition]
        assert begun <= {mark.time for mark in marks}
        assert [mark.is_idle for mark in marks].count(True) == 1
        assert marks[-1] == ("rekey-in-4", END_MS, True)


@settings(max_examples=200, deadline=None)
@given(traffic(), st.lists(EVENTS, max_size=12))
def test_what_comes_out_is_that_of_one_uninterrupted_run(
    records: list[Sent], events: list[object]
) -> None:
    log = deaths.interrupted(build, rows(records), events, END_MS)
    whole = deaths.uninterrupted(build, rows(records), END_MS)
    assert by_topic(log.committed) == whole


def test_a_source_that_was_idle_says_so_before_it_says_anything_else() -> None:
    task = build(PartitionStore(MemoryDisk()))
    task.advance(BEGIN_MS)
    span = Span(b"0123456789abcdef")
    task.process(Batch("in", 4, 0, 1, [Row(0, BEGIN_MS + 1, None, message(span))]), END_MS)
    outputs = task.snapshot().outputs[TOPIC]
    marks = [watermark(output) for output in outputs if output.partition == 0]
    assert [(mark.time, mark.is_idle) for mark in marks[:2]] == [
        (BEGIN_MS, True),
        (BEGIN_MS, False),
    ]


def test_the_parts_of_a_message_of_many_traces_have_its_tenant() -> None:
    task = build(PartitionStore(MemoryDisk()))
    value = message(Span(b"0123456789abcdef"), Span(b"fedcba9876543210"))
    headers = ((TENANT, b"first"), (TENANT, b"acme"), ("other", b"x"))
    task.process(Batch("in", 4, 0, 1, [Row(0, BEGIN_MS, None, value, headers)]), END_MS)
    parts = [output for output in task.snapshot().outputs[TOPIC] if output.value]
    assert [output.headers[1:] for output in parts] == [((TENANT, b"acme"),)] * 2


def test_a_record_that_says_no_tenant_is_passed_on_without_one() -> None:
    task = build(PartitionStore(MemoryDisk()))
    value, headers = message(Span(b"0123456789abcdef")), (("other", b"x"),)
    task.process(Batch("in", 4, 0, 1, [Row(0, BEGIN_MS, None, value, headers)]), END_MS)
    (part,) = [output for output in task.snapshot().outputs[TOPIC] if output.value]
    assert [name for name, _ in part.headers] == [WATERMARK_HEADER]
