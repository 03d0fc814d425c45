"""What a decision and a kept trace look like as records."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tailrace.agents.sampling.outputs import write
from tailrace.agents.sampling.sampler import Decided, Effect, Late
from tailrace.agents.sampling.services import ServiceNames
from tailrace.tables.decisions import Outcome
from tailrace.tables.traces import OpenTrace
from tests.otlp import Span, flat, message

TRACE = bytes(range(16))
AT = 1_700_000_010_000
START = 1_700_000_000_123_456_789
KEPT = Outcome("sampled", "errors", 1.0)
RECORD_BYTES = 3000
LIMIT = RECORD_BYTES - 1024
"""What is left for a value."""


def trace(start: int = START, end: int = START + 1_500_000, **fields: Any) -> OpenTrace:
    return OpenTrace(TRACE, AT, start, end, **{"spans": 2, **fields})


def decision_of(effect: Effect, services: ServiceNames | None = None) -> dict[str, Any]:
    [written] = write([effect], services or ServiceNames(), RECORD_BYTES, stamps=False)
    assert written.decision.key == TRACE.hex().encode()
    assert written.decision.timestamp == effect.at
    found: dict[str, Any] = orjson.loads(written.decision.value)
    return found


def test_a_decision_has_every_field_in_its_published_form() -> None:
    services = ServiceNames()
    bits = services.bit("pay") | services.bit("api")
    root = (START, "api", "GET /")
    effect = Decided(trace(services=bits, root=root), KEPT, AT, [])
    assert decision_of(effect, services) == {
        "trace_id": "000102030405060708090a0b0c0d0e0f",
        "tenant": "default",
        "decision": "sampled",
        "policy": "errors",
        "probability": 1.0,
        "spans": 2,
        "services": ["api", "pay"],
        "root": {"service": "api", "name": "GET /"},
        "start": "2023-11-14T22:13:20.123456789Z",
        "duration_ms": 1.5,
        "decided_at": "2023-11-14T22:13:30.000000000Z",
        "late": False,
        "reason": "wait",
        "policy_version": "0",
        "missing_root": False,
        "missing_parents": None,
    }


@pytest.mark.parametrize(
    ("effect", "field", "expected"),
    [
        pytest.param(Decided(trace(), KEPT, AT, []), "root", None, id="a trace without a root"),
        pytest.param(
            Decided(trace(end=START - 5), KEPT, AT, []),
            "duration_ms", 0, id="an end before the start is a duration of 0",
        ),
        pytest.param(
            Decided(trace(end=START + 1), KEPT, AT, []),
            "duration_ms", 0.000001, id="a nanosecond is not rounded away",
        ),
        pytest.param(
            Decided(trace(start=0, end=0), KEPT, AT, []),
            "start", "1970-01-01T00:00:00.000000000Z", id="a span that never started",
        ),
        pytest.param(
            Decided(trace(start=2**63 - 1, end=2**63 - 1), KEPT, AT, []),
            "start", "2262-04-11T23:47:16.854775807Z", id="the latest start there is",
        ),
        pytest.param(
            Decided(trace(), Outcome("not_sampled", None, None), AT, []),
            "policy", None, id="a trace that no policy wanted",
        ),
        pytest.param(
            Decided(trace(), Outcome("sampled", "rate", None), AT, []),
            "probability", None, id="a policy that knows no share",
        ),
        pytest.param(Late(trace(), KEPT, AT, []), "late", True, id="spans that came later"),
    ],
)  # fmt: skip
def test_a_decision_says(effect: Effect, field: str, expected: object) -> None:
    assert decision_of(effect)[field] == expected


@pytest.mark.parametrize(
    ("outcome", "headers"),
    [
        (KEPT, {"tailrace.policy": b"errors", "tailrace.probability": b"1"}),
        (Outcome("sampled", "rest", 0.1), {"tailrace.policy": b"rest",
                                           "tailrace.probability": b"0.1"}),
        (Outcome("sampled", "rate", None), {"tailrace.policy": b"rate"}),
    ],
    ids=["a certain policy has 1", "a share is written short", "no share, no header"],
)  # fmt: skip
def test_a_kept_record_says_why_it_is_here(outcome: Outcome, headers: dict[str, bytes]) -> None:
    raw = [message(Span(TRACE))]
    effect = Decided(trace(), outcome._replace(version="7"), AT, raw)
    [written] = write([effect], ServiceNames(), RECORD_BYTES, stamps=False)
    [kept] = written.kept
    assert (kept.key, kept.value, kept.timestamp) == (TRACE.hex().encode(), raw[0], AT)
    assert dict(kept.headers) == headers | {"tailrace.policy_version": b"7"}


def padded(number: int, size: int) -> Span:
    return Span(TRACE, attributes={"number": str(number), "weight": "w" * size})


@pytest.mark.parametrize(
    ("sizes", "records", "unfit"),
    [
        pytest.param([[10], [10], [10]], 1, 0, id="small fragments share a record"),
        pytest.param([[900], [900], [900]], 3, 0, id="a record is not filled beyond its limit"),
        pytest.param([[600, 600, 600, 600]], 2, 0, id="a large fragment is split"),
        pytest.param([[10], [5000], [10]], 2, 1, id="a span that no record can hold is set apart"),
        pytest.param([[10, 5000, 10]], 2, 1, id="also when it came with others"),
        pytest.param([[5000]], 0, 1, id="also when it was all there was"),
    ],
)
def test_a_kept_trace_fits_into_records(sizes: list[list[int]], records: int, unfit: int) -> None:
    fragments = [[padded(size, size) for size in each] for each in sizes]
    raw = [message(*spans) for spans in fragments]
    [written] = write([Decided(trace(), KEPT, AT, raw)], ServiceNames(), RECORD_BYTES, stamps=False)
    values = [kept.value for kept in written.kept]
    assert (len(values), len(written.unfit)) == (records, unfit)
    assert all(len(value) <= LIMIT for value in values)
    assert sorted(flat(values + written.unfit)) == sorted(flat(raw))
    small = [row for row in flat(raw) if len(row.span) <= LIMIT]
    assert flat(values) == small


def test_records_of_several_effects_come_in_their_order() -> None:
    effects = [Decided(trace(start=n), KEPT, AT + n, []) for n in range(3)]
    written = write(effects, ServiceNames(), RECORD_BYTES, stamps=False)
    assert [each.decision.timestamp for each in written] == [AT, AT + 1, AT + 2]
    assert write([], ServiceNames(), RECORD_BYTES, stamps=False) == []


def test_kept_spans_say_who_kept_them_and_the_decision_what_is_missing() -> None:
    outcome = Outcome("sampled", "half", 0.5, "7", "wait", 0.5)
    raw = [message(Span(TRACE, b"childone", parent=b"nobodyhr")), message(Span(TRACE))]
    [written] = write([Decided(trace(), outcome, AT, raw)], ServiceNames(), RECORD_BYTES)
    spans = [
        span
        for kept in written.kept
        for block in ExportTraceServiceRequest.FromString(kept.value).resource_spans
        for scope in block.scope_spans
        for span in scope.spans
    ]
    assert len(spans) == 2
    for span in spans:
        values = {each.key: each.value for each in span.attributes}
        assert values["tailrace.policy"].string_value == "half"
        assert values["tailrace.probability"].double_value == 0.5
        assert values["tailrace.policy_version"].string_value == "7"
        assert "th:8" in span.trace_state
    decision = orjson.loads(written.decision.value)
    assert (decision["missing_root"], decision["missing_parents"]) == (True, 1)


def test_in_a_dry_run_what_is_not_kept_says_so() -> None:
    outcome = Outcome("not_sampled", None, None)
    raw = [message(Span(TRACE))]
    [written] = write([Decided(trace(), outcome, AT, raw)], ServiceNames(), RECORD_BYTES)
    [forwarded] = written.kept
    assert forwarded.value == raw[0]
    assert dict(forwarded.headers)["tailrace.decision"] == b"not_sampled"
