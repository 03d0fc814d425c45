"""What is read from kept spans, and when it agrees with a decision."""

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tailrace_loadtest.stamps import attributes, header_values, read_stamp
from tailrace_loadtest.wire import spans
from tests import otlp

TRACE_ID = "0" * 18 + "f" * 14
"""Of the largest randomness."""


def stamp(trace_state: str, **texts: str) -> bytes:
    span = Span(trace_state=trace_state)
    for key, value in texts.items():
        span.attributes.add(key=f"tailrace.{key}").value.string_value = value
    return bytes(span.SerializeToString())


@pytest.mark.parametrize(
    ("trace_state", "probability", "agrees"),
    [
        pytest.param("", 1.0, True, id="what is certain has no threshold"),
        pytest.param("", None, True, id="nor has what nobody knows"),
        pytest.param("", 0.5, False, id="what was drawn has one"),
        pytest.param("ot=th:8", 0.5, True, id="that of its probability"),
        pytest.param("ot=th:8", 1.0, False, id="and no other, if it is certain"),
        pytest.param("ot=th:8", None, False, id="or not known"),
        pytest.param("ot=th:c", 0.5, False, id="or another"),
        pytest.param("ot=th:80000000000001", 0.5, True, id="to the unit of thresholds"),
        pytest.param("ot=th:80000000000002", 0.5, False, id="and not to two"),
        pytest.param("a=b,ot=th:8;x:y", 0.5, True, id="whatever else is said"),
    ],
)
def test_a_threshold_is_that_of_a_probability(
    trace_state: str, probability: float | None, agrees: bool
) -> None:
    assert read_stamp(stamp(trace_state)).has_threshold_of(probability) == agrees


@pytest.mark.parametrize(
    ("trace_state", "trace_id", "is_consistent"),
    [
        pytest.param("ot=th:8", TRACE_ID, True, id="by the trace ID"),
        pytest.param("ot=th:8", "f" * 18 + "0" * 14, False, id="not by the trace ID"),
        pytest.param("ot=rv:80000000000000;th:8", "0" * 32, True, id="by what is said"),
        pytest.param("ot=rv:7fffffffffffff;th:8", TRACE_ID, False, id="not by what is said"),
        pytest.param("", "0" * 32, True, id="without a threshold"),
    ],
)
def test_a_randomness_is_sampled_by_its_threshold(
    trace_state: str, trace_id: str, is_consistent: bool
) -> None:
    assert read_stamp(stamp(trace_state)).is_consistent(trace_id) == is_consistent


def test_attributes_are_read_with_all_that_is_there_twice() -> None:
    once = stamp("", policy="rest", policy_version="3")
    assert read_stamp(once).attributes == attributes("rest", None, "3")
    assert read_stamp(once * 2).attributes != attributes("rest", None, "3")
    assert read_stamp(b"\x4a\x01").attributes == ()


def test_headers_name_what_is_known() -> None:
    assert header_values("rest", 0.1, "0") == {
        "tailrace.policy": b"rest",
        "tailrace.probability": b"0.1",
        "tailrace.policy_version": b"0",
    }
    assert header_values("some", None, "0")["tailrace.probability"] is None


def test_a_span_is_what_was_sent_and_what_was_written_on_it() -> None:
    sent = otlp.message(otlp.Span(bytes(16), attributes={"a": "b"}))
    (before,) = spans(sent)
    marked = ExportTraceServiceRequest.FromString(sent)
    span = marked.resource_spans[0].scope_spans[0].spans[0]
    span.MergeFromString(stamp("ot=th:8", policy="rest"))
    (after,) = spans(marked.SerializeToString())
    assert before.stamp == b""
    assert read_stamp(after.stamp).attributes == (("tailrace.policy", "rest"),)
    assert read_stamp(after.stamp).trace_state == "ot=th:8"
    assert after[:3] == before[:3]
