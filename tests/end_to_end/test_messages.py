"""What producers really send, good and bad, through Kafka and back."""

import random
import time
from importlib.metadata import version

import orjson

from tailrace_loadtest.processes import total
from tests.end_to_end.conftest import NewPipeline, Row
from tests.otlp import ERROR, MS, Span, counted, message, unstamped

TRACE = bytes(range(16))
START = 1_700_000_000 * 1_000 * MS
MEGABYTE = 1 << 20


def collector_message(trace_id: bytes) -> bytes:
    """One trace in one message: two resources, three scopes, four spans; one has failed."""
    root = Span(trace_id, b"root....", "shop", "GET /cart", START, START + 20 * MS, scope="http")
    return message(
        root,
        root.but(span_id=b"internal", parent=b"root....", name="price", scope="prices"),
        Span(trace_id, b"server..", "stock", "Reserve", START + MS, START + 9 * MS, b"internal"),
        Span(trace_id, b"client..", "stock", "SELECT", START + 2 * MS, START + 8 * MS, b"server..",
             ERROR, attributes={"db.system": "postgresql"}),
    )  # fmt: skip


def past_ms() -> int:
    """A time so long ago that all of it is decided at once."""
    return int(time.time() * 1000) - 60_000


def test_a_collectors_message_is_kept_and_read_back_as_it_was_whatever_its_key(
    new_pipeline: NewPipeline,
) -> None:
    trace_ids = [bytes([number]) * 16 for number in range(1, 6)]
    keys = [
        trace_ids[0].hex().encode(),  # as the collector writes it
        trace_ids[1].hex().upper().encode(),
        trace_ids[2],
        None,
        b"another key",
    ]
    pipeline, at = new_pipeline(), past_ms()
    values = list(map(collector_message, trace_ids))
    pipeline.send(Row(value, at, key) for value, key in zip(values, keys, strict=True))
    pipeline.worker.start()
    samples = pipeline.settle(len(keys))
    assert total(samples, "tailrace_key_mismatches_total") == 1
    written = pipeline.read()
    for trace_id, value in zip(trace_ids, values, strict=True):
        key = trace_id.hex().encode()
        (kept,) = (record for record in written[pipeline.sampled] if record.key == key)
        assert counted(unstamped([kept.value or b""])) == counted([value])
        assert dict(kept.headers) == {
            "tailrace.policy": b"errors",
            "tailrace.probability": b"1",
            "tailrace.policy_version": b"0",
        }
        (decision,) = (record for record in written[pipeline.decisions] if record.key == key)
        assert orjson.loads(decision.value or b"") == {
            "trace_id": trace_id.hex(),
            "tenant": "default",
            "decision": "sampled",
            "policy": "errors",
            "probability": 1,
            "spans": 4,
            "services": ["shop", "stock"],
            "root": {"service": "shop", "name": "GET /cart"},
            "start": "2023-11-14T22:13:20.000000000Z",
            "duration_ms": 20.0,
            "decided_at": _rfc3339(at + 10_000),
            "late": False,
            "reason": "wait",
            "policy_version": "0",
            "missing_root": False,
            "missing_parents": 0,
        }
    assert written[pipeline.dead_letters] == []


BAD = {
    "not protobuf": (b"\xff\xff no message", "malformed"),
    "a message that is cut off": (collector_message(TRACE)[:-3], "malformed"),
    "a 15-byte trace ID": (message(Span(TRACE[:15])), "invalid_trace_id"),
    "a 7-byte span ID": (message(Span(TRACE, TRACE[:7])), "invalid_span_id"),
    "5 MB that are not protobuf": (b"\xff" + random.randbytes(5 * MEGABYTE), "malformed"),
}


def test_bad_messages_become_dead_letters_and_the_worker_goes_on(
    new_pipeline: NewPipeline,
) -> None:
    pipeline = new_pipeline(topic={"max.message.bytes": str(8 * MEGABYTE)})
    at = past_ms()
    bad = [Row(value, at, b"key of %d" % index) for index, (value, _) in enumerate(BAD.values())]
    good = [Row(collector_message(bytes([each]) * 16), at) for each in (1, 2)]
    pipeline.send([good[0], *bad, Row(b"", at), good[1]])
    pipeline.worker.start()
    samples = pipeline.settle(len(bad) + 3)
    assert total(samples, "tailrace_records_dead_lettered_total") == len(bad)
    assert total(samples, "tailrace_task_failures_total") == 0
    written = pipeline.read()
    letters = written[pipeline.dead_letters]
    assert len(letters) == len(bad)
    for offset, (letter, row, (_, reason)) in enumerate(
        zip(letters, bad, BAD.values(), strict=True), start=1
    ):
        assert letter.key == row.key
        assert letter.value == row.value
        assert dict(letter.headers) == {
            "tailrace.topic": pipeline.spans.encode(),
            "tailrace.partition": b"0",
            "tailrace.offset": b"%d" % offset,
            "tailrace.reason": reason.encode(),
            "tailrace.version": version("tailrace").encode(),
        }
    assert len(written[pipeline.decisions]) == 2
    assert counted(unstamped([each.value or b"" for each in written[pipeline.sampled]])) == counted(
        [row.value for row in good]
    )


def test_a_message_of_5_mb_is_kept_but_for_a_span_that_no_record_holds(
    new_pipeline: NewPipeline,
) -> None:
    pipeline = new_pipeline(topic={"max.message.bytes": str(8 * MEGABYTE)})
    spans = [weighty(number, 50_000) for number in range(60)]
    too_large = weighty(60, 2_000_000)
    pipeline.send([Row(message(*spans, too_large), past_ms(), TRACE)])
    pipeline.worker.start()
    samples = pipeline.settle(1)
    assert total(samples, "tailrace_task_failures_total") == 0
    written = pipeline.read()
    kept = [record.value or b"" for record in written[pipeline.sampled]]
    assert counted(unstamped(kept)) == counted([message(*spans)])
    assert max(map(len, kept)) < MEGABYTE
    (letter,) = written[pipeline.dead_letters]
    assert dict(letter.headers)["tailrace.reason"] == b"span_too_large"
    assert counted(unstamped([letter.value or b""])) == counted([message(too_large)])
    (decision,) = written[pipeline.decisions]
    assert orjson.loads(decision.value or b"")["spans"] == 61


def weighty(number: int, size: int) -> Span:
    """A failed span of about *size* bytes that cannot be compressed to less than half."""
    weight = random.randbytes(size // 2).hex()
    return Span(TRACE, b"span%4d" % number, status=ERROR, attributes={"weight": weight})


def _rfc3339(ms: int) -> str:
    whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(ms // 1000))
    return f"{whole}.{ms % 1000:03d}000000Z"
