"""Input that is wrong: a dead letter or a rule, counted, and never at the cost of what is good."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import version
from typing import Any

import orjson
import pytest

from tailrace.schemas.config import parse
from tailrace.schemas.records import Output, Totals
from tailrace.streams.batch import Batch
from tailrace.streams.spans import SpanTasks
from tailrace.streams.task import TaskId
from tailrace.tables.store import MemoryDisk, PartitionStore
from tests.otlp import MS, Span, flat, message
from tests.streams.clusters import RECORD_BYTES, cluster
from tests.streams.deaths import FAR, Row

A, B, C = b"A" * 16, b"B" * 16, b"C" * 16
GOOD = Span(A, b"goodspan", name="good")
CONFIG = """
tail_sampling:
  stamp: false
  decision_wait: 1s
  policies: [{name: all, type: always_sample}]
"""


@dataclass(frozen=True)
class Result:
    """What became of a batch, when everything was decided."""

    decisions: dict[str, dict[str, Any]]
    sampled: list[Output]
    letters: list[Output]
    totals: Totals
    key_mismatches: int

    def kept(self, trace_id: bytes) -> list[bytes]:
        key = trace_id.hex().encode()
        return [output.value for output in self.sampled if output.key == key]


def process(*rows: tuple[bytes | None, bytes | None]) -> Result:
    """Process records with these keys and values, after and before a good one of trace A."""
    good = (A.hex().encode(), message(GOOD))
    records = [
        Row(offset, 1000, key, value, (("origin", b"test"),))
        for offset, (key, value) in enumerate([good, *rows, good])
    ]
    config = parse(CONFIG)
    tasks = SpanTasks(config, cluster(config))
    task = tasks.build(TaskId("spans", 3), PartitionStore(MemoryDisk()))
    assert task.process(Batch("otlp_spans", 3, 0, len(records), records), FAR)
    assert task.problems() == []
    task.advance(10_000)
    outputs = task.snapshot().outputs
    assert task.problems() == []
    assert task.totals.records == len(records)
    decisions = [orjson.loads(output.value) for output in outputs["tailrace.decisions"]]
    result = Result(
        {decision["trace_id"]: decision for decision in decisions},
        list(outputs["otlp_sampled"]),
        list(outputs.get("tailrace.dead_letters", ())),
        task.totals,
        tasks.codec.key_mismatches,
    )
    assert len(result.decisions) == len(decisions)
    return result


def values(*rows: bytes | None) -> Result:
    return process(*((None, row) for row in rows))


def has_good(result: Result) -> bool:
    """Both good records around the bad ones are kept, and in one decision."""
    return (
        flat(result.kept(A)) == flat([message(GOOD), message(GOOD)])
        and result.decisions[A.hex()]["spans"] == 2
    )


CUT_OFF = message(GOOD, GOOD)[:-7]
FIFTEEN = Span(B[:15], b"fifteen_")
NO_TIME = Span(B, b"no__time", end=2**63)
LETTERS = [
    pytest.param(b"\xff\xffnot protobuf", "malformed", b"\xff\xffnot protobuf", True,
                 id="what is not protobuf is a dead letter as it came"),
    pytest.param(CUT_OFF, "malformed", CUT_OFF, True, id="so is a truncated message"),
    pytest.param(b'{"resourceSpans":[]}', "malformed", b'{"resourceSpans":[]}', True,
                 id="so is JSON"),
    pytest.param(message(FIFTEEN), "invalid_trace_id", message(FIFTEEN), True,
                 id="a message of only bad spans counts as dead-lettered"),
    pytest.param(message(GOOD.but(trace_id=C), FIFTEEN, GOOD.but(trace_id=C)), "invalid_trace_id",
                 message(FIFTEEN), False, id="of a partly bad message only the bad spans are"),
    pytest.param(message(Span(bytes(16))), "invalid_trace_id", message(Span(bytes(16))), True,
                 id="a trace ID of zeros is none"),
    pytest.param(message(Span(B, b"short")), "invalid_span_id", message(Span(B, b"short")), True,
                 id="a span ID has 8 bytes"),
    pytest.param(message(Span(B, parent=b"short")), "invalid_parent_span_id",
                 message(Span(B, parent=b"short")), True, id="a parent's ID has 8 bytes or none"),
    pytest.param(message(NO_TIME), "invalid_time", message(NO_TIME), True,
                 id="a time beyond 2262 is none"),
]  # fmt: skip


@pytest.mark.parametrize(("value", "reason", "letter", "is_whole"), LETTERS)
def test_dead_letters(value: bytes, reason: str, letter: bytes, is_whole: bool) -> None:
    key = b"its key"
    result = process((key, value))
    assert has_good(result)
    [dead] = result.letters
    assert (dead.key, dead.timestamp) == (key, 1000)
    assert dead.value == letter or flat([dead.value]) == flat([letter])
    assert dict(dead.headers) == {
        "origin": b"test",
        "tailrace.topic": b"otlp_spans",
        "tailrace.partition": b"3",
        "tailrace.offset": b"1",
        "tailrace.reason": reason.encode(),
        "tailrace.version": version("tailrace").encode(),
    }
    assert result.totals.counts[f"dead_letters.{reason}"] == 1
    assert result.totals.dead_lettered == is_whole
    assert result.totals.processed == 3 - is_whole


def test_good_spans_beside_bad_ones_are_kept_with_their_resource_and_scope() -> None:
    good = Span(C, service="cart", scope="sql")
    result = values(message(FIFTEEN, good, Span(C, b"short")))
    assert flat(result.kept(C)) == flat([message(good)])
    reasons = sorted(dict(dead.headers)["tailrace.reason"] for dead in result.letters)
    assert reasons == [b"invalid_span_id", b"invalid_trace_id"]
    assert result.totals.dead_lettered == 0


def test_a_message_that_is_bad_in_two_ways_counts_once_as_a_record() -> None:
    result = values(message(FIFTEEN, Span(B, b"short")))
    assert (has_good(result), len(result.letters), result.totals.dead_lettered) == (True, 2, 1)


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(b"", id="an empty message"),
        pytest.param(None, id="a tombstone"),
        pytest.param(message(), id="a message without a resource"),
        pytest.param(b"\x0a\x00", id="a message without a span"),
    ],
)
def test_nothing_in_a_record_is_nothing_wrong(value: bytes | None) -> None:
    result = values(value)
    assert has_good(result)
    assert (result.letters, list(result.decisions)) == ([], [A.hex()])
    assert result.totals.processed == 3


@pytest.mark.parametrize(
    ("spans", "field", "expected"),
    [
        pytest.param([Span(B), Span(B)], "spans", 2, id="a repeated span ID is another span"),
        pytest.param([Span(B, start=5 * MS, end=2 * MS)], "duration_ms", 0,
                     id="an end before the start is a duration of 0"),
        pytest.param([Span(B, service="")], "services", [], id="a service may be missing"),
        pytest.param([Span(B, service="")], "root", {"service": "", "name": "GET /"},
                     id="also that of the root"),
        pytest.param([Span(B, parent=bytes(8))], "root", {"service": "api", "name": "GET /"},
                     id="a parent of zeros is none"),
        pytest.param([Span(B, status=99)], "decision", "sampled", id="a status code of tomorrow"),
    ],
)  # fmt: skip
def test_odd_spans_are_spans(spans: Sequence[Span], field: str, expected: object) -> None:
    result = values(message(*spans))
    assert has_good(result)
    assert not result.letters
    assert result.decisions[B.hex()][field] == expected
    assert flat(result.kept(B)) == flat([message(*spans)])


@pytest.mark.parametrize(
    ("key", "spans", "mismatches"),
    [
        pytest.param(B.hex().encode(), [Span(B)], 0, id="32 hex characters"),
        pytest.param(B.hex().upper().encode(), [Span(B)], 0, id="upper-case ones"),
        pytest.param(B, [Span(B)], 0, id="16 raw bytes"),
        pytest.param(None, [Span(B)], 0, id="no key"),
        pytest.param(C.hex().encode(), [Span(B)], 1, id="another trace's ID"),
        pytest.param(b"", [Span(B)], 1, id="an empty key"),
        pytest.param(b"\xff", [Span(B)], 1, id="a key that is no ID"),
        pytest.param(b"x", [Span(B), Span(C), Span(b"D" * 16)], 1, id="a record counts once"),
    ],
)  # fmt: skip
def test_the_trace_id_inside_counts_whatever_the_key(
    key: bytes | None, spans: Sequence[Span], mismatches: int
) -> None:
    result = process((key, message(*spans)))
    assert has_good(result)
    assert result.key_mismatches == mismatches
    assert result.decisions.keys() == {A.hex(), *(span.trace_id.hex() for span in spans)}
    assert not result.letters


def weighty(number: int, size: int) -> Span:
    return Span(B, b"span%4d" % number, attributes={"weight": os.urandom(size // 2).hex()})


def test_a_message_of_5_mb_is_kept_in_several_records() -> None:
    spans = [weighty(number, 50_000) for number in range(100)]
    result = values(message(*spans))
    assert has_good(result)
    assert flat(result.kept(B)) == flat([message(*spans)])
    assert len(result.kept(B)) > 5
    assert result.decisions[B.hex()]["spans"] == 100
    assert all(len(output.value) < RECORD_BYTES for output in result.sampled)


def test_a_span_that_no_record_holds_is_a_dead_letter_and_counts_as_kept() -> None:
    small, large = weighty(1, 100), weighty(2, RECORD_BYTES)
    result = values(message(small, large, small))
    assert has_good(result)
    assert flat(result.kept(B)) == flat([message(small, small)])
    assert result.decisions[B.hex()]["spans"] == 3
    [dead] = result.letters
    assert dict(dead.headers)["tailrace.reason"] == b"span_too_large"
    assert result.totals.counts["dead_letters.span_too_large"] == 1
    assert result.totals.counts["spans_kept"] == 5
    assert result.totals.dead_lettered == 0


def test_with_room_the_dead_letter_of_a_large_span_is_an_otlp_message() -> None:
    large = weighty(2, RECORD_BYTES)
    config = parse(CONFIG)
    roomy = replace(cluster(config), dead_letter_bytes=2 * RECORD_BYTES)
    tasks = SpanTasks(config, roomy)
    task = tasks.build(TaskId("spans", 0), PartitionStore(MemoryDisk()))
    task.process(Batch("in", 0, 0, 1, [Row(0, 0, None, message(large))]), FAR)
    task.advance(5000)
    [dead] = task.snapshot().outputs["tailrace.dead_letters"]
    assert flat([dead.value]) == flat([message(large)])


def _random(size: int) -> bytes:
    return b"\xff" + os.urandom(size)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        pytest.param(None, partial(_random, 5 << 20), id="5 MB that are not protobuf"),
        pytest.param(bytes(2 << 20), partial(_random, 10), id="a bad record with a key of 2 MB"),
        pytest.param(
            None, lambda: message(weighty(1, 5 << 20).but(trace_id=b"B")), id="a bad span of 5 MB"
        ),
        pytest.param(None, lambda: message(weighty(1, 5 << 20)), id="a good span of 5 MB"),
        pytest.param(
            None, lambda: message(Span(B, name=os.urandom(1 << 20).hex())), id="a name of 2 MB"
        ),
        pytest.param(
            None,
            lambda: message(*(Span(B, service=os.urandom(5000).hex()) for _ in range(200))),
            id="200 services with names of 10 KB",
        ),
    ],
)
def test_no_output_is_larger_than_a_record_may_be(key: bytes | None, value: Any) -> None:
    records = [Row(0, 1000, key, value(), (("origin", bytes(1000)),))]
    config = parse(CONFIG)
    task = SpanTasks(config, cluster(config)).build(
        TaskId("spans", 0), PartitionStore(MemoryDisk())
    )
    task.process(Batch("in", 0, 0, 1, records), FAR)
    task.advance(5000)
    for outputs in task.snapshot().outputs.values():
        for output in outputs:
            headers = sum(len(name) + len(value) for name, value in output.headers)
            assert len(output.value) + len(output.key or b"") + headers <= RECORD_BYTES
    assert task.problems() == []


def test_a_message_as_collectors_send_it_is_kept_byte_for_byte() -> None:
    spans = [
        Span(B, b"span%4d" % number, service=service, scope=scope, attributes={"http.route": "/"})
        for number, (service, scope) in enumerate(
            [("api", "http"), ("api", "http"), ("api", "sql"), ("cart", "sql"), ("api", "http")]
        )
    ]
    value = message(*spans)
    result = process((B.hex().encode(), value))
    assert has_good(result)
    assert result.kept(B) == [value]
    [output] = [output for output in result.sampled if output.key == B.hex().encode()]
    assert dict(output.headers) == {
        "tailrace.policy": b"all",
        "tailrace.probability": b"1",
        "tailrace.policy_version": b"0",
    }
    assert result.decisions[B.hex()]["services"] == ["api", "cart"]
    assert result.decisions[B.hex()]["spans"] == 5
