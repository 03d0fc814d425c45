from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tailrace.agents.sampling.stamps import Stamp, kept
from tailrace.schemas.otlp.decoder import Decoder
from tailrace.schemas.otlp.wire import field
from tailrace.schemas.tracestate import composed
from tests.schemas.otlp_messages import request_of, span_of
from tests.schemas.otlp_oracle import canonical
from tests.schemas.otlp_requests import SPAN_BYTES, TRACE_A, TRACE_B, requests

NAMES = ("tailrace.policy", "tailrace.probability", "tailrace.policy_version")

stamps = st.builds(
    Stamp,
    st.just(TRACE_A),
    st.sampled_from([None, "", "errors", "политика"]),
    st.sampled_from([None, 0.0, 0.1, 1.0]),
    st.sampled_from(["0", "", "v12"]),
    st.sampled_from([None, 0.1, 1.0]),
)
states = st.sampled_from(["", "k=v", "ot=th:0;x:1,k=v", "ot=th:8;rv:c0000000000000", "invalid"])


def spans_of(value: bytes) -> list[Any]:
    request = ExportTraceServiceRequest.FromString(value)
    return [
        span
        for block in request.resource_spans
        for scope in block.scope_spans
        for span in scope.spans
    ]


def stamped_plainly(request: Any, stamp: Stamp) -> bytes:
    """What `kept` must do, with the official classes."""
    for block in request.resource_spans:
        for scope in block.scope_spans:
            for span in scope.spans:
                others = [each for each in span.attributes if each.key not in NAMES]
                encoded = [each.SerializeToString() for each in others]
                del span.attributes[:]
                for each in encoded:
                    span.attributes.add().MergeFromString(each)
                values = zip(NAMES, (stamp.policy, stamp.probability, stamp.version), strict=True)
                for key, value in values:
                    if isinstance(value, float):
                        span.attributes.add(key=key).value.double_value = value
                    elif value is not None:
                        span.attributes.add(key=key).value.string_value = value
                span.trace_state = composed(span.trace_state, stamp.trace_id, stamp.inclusion)
    encoded_request: bytes = request.SerializeToString()
    return encoded_request


@given(requests(), stamps, st.data())
def test_stamps_change_trace_state_and_our_attributes_and_nothing_else(
    request: Any, stamp: Stamp, data: st.DataObject
) -> None:
    for block in request.resource_spans:
        for scope in block.scope_spans:
            for span in scope.spans:
                span.trace_state = data.draw(states)
                for key in data.draw(st.lists(st.sampled_from([*NAMES, "tailrace.other"]))):
                    span.attributes.add(key=key).value.int_value = 5
                for link in span.links:
                    link.trace_state, link.flags = "k=v", 1
                    link.attributes.add(key="a")
    value = request.SerializeToString()
    found = kept([value], stamp).value
    assert canonical(found) == canonical(stamped_plainly(request, stamp))
    again = kept([found], stamp._replace(inclusion=1.0)).value
    assert canonical(again) == canonical(found)


def test_all_fragments_are_stamped_in_their_order() -> None:
    fragments = [request_of(span_of(name=name)) for name in "abc"]
    spans = spans_of(kept(fragments, Stamp(TRACE_A, "errors", None, "0", 0.5)).value)
    assert [span.name for span in spans] == ["a", "b", "c"]
    for span in spans:
        written = [(each.key, each.value.string_value) for each in span.attributes]
        assert written == [("tailrace.policy", "errors"), ("tailrace.policy_version", "0")]


def test_late_spans_get_the_trace_state_of_the_others() -> None:
    stamp = Stamp(TRACE_A, "tenth", 0.1, "0", 0.1)
    first = kept([request_of(span_of(trace_state="ot=th:0"))], stamp)
    late = kept([request_of(span_of(span_id=b"late one", trace_state="ot=th:0"))], stamp)
    assert spans_of(first.value)[0].trace_state == spans_of(late.value)[0].trace_state


def test_a_decoder_counts_what_was_stamped() -> None:
    stamp = Stamp(TRACE_A, "quarter", 0.25, "0", 0.25)
    value = kept([request_of(span_of(), span_of(trace_state="ot=th:0"))], stamp).value
    batch = Decoder(trace_state=True).decode([value])
    assert batch.weight is not None
    assert batch.weight.tolist() == [4, 4]


def test_links_to_other_traces_are_told() -> None:
    spans = [span_of(), span_of()]
    spans[0].links.add(trace_id=TRACE_B, span_id=SPAN_BYTES)
    spans[0].links.add(trace_id=b"C" * 16, span_id=SPAN_BYTES)
    spans[1].links.add(trace_id=TRACE_A, span_id=SPAN_BYTES)
    spans[1].links.add(trace_id=bytes(16), span_id=SPAN_BYTES)
    spans[1].links.add(trace_id=b"short", span_id=SPAN_BYTES)
    found = kept([request_of(span) for span in spans], Stamp(TRACE_A, "p", 1.0, "0", 1.0))
    assert found.linked == {TRACE_B, b"C" * 16}


@given(requests(), stamps)
def test_links_stay_as_they_were_where_nobody_asks_for_them(request: Any, stamp: Stamp) -> None:
    value = request.SerializeToString()
    found, asked = kept([value], stamp, links=False), kept([value], stamp)
    assert canonical(found.value) == canonical(asked.value)
    assert (found.linked, found.missing_parents) == (set(), asked.missing_parents)


@pytest.mark.parametrize(
    ("parents", "missing"),
    [
        pytest.param([b"", b"span 000", b"span 001"], 0, id="all are there"),
        pytest.param([b"span 002", b"span 000", b""], 0, id="whatever their order"),
        pytest.param([bytes(8), b"absent 1", b"absent 1"], 2, id="two name one that is not"),
    ],
)
def test_parents_are_looked_for_in_all_fragments(parents: list[bytes], missing: int) -> None:
    fragments = [
        request_of(span_of(span_id=b"span %03d" % number, parent_span_id=parent))
        for number, parent in enumerate(parents)
    ]
    assert kept(fragments, Stamp(TRACE_A, "p", 1.0, "0", 1.0)).missing_parents == missing


@pytest.mark.parametrize(
    "part",
    [
        pytest.param(field(13, b"\xff"), id="a link"),
        pytest.param(field(9, b"\xfftailrace."), id="an attribute"),
        pytest.param(field(9, field(1, b"tailrace.\xff") + field(2, b"\xff")), id="its value"),
        pytest.param(field(3, b"k=\xff"), id="a trace state"),
        pytest.param(field(11, b"\xff"), id="an event"),
    ],
)
@pytest.mark.parametrize("inclusion", [1.0, None])
def test_what_is_malformed_where_no_decoder_looked_is_passed_on(
    part: bytes, inclusion: float | None
) -> None:
    span = span_of().SerializeToString() + part
    fragment = field(1, field(2, field(2, span)))
    value = kept([fragment], Stamp(TRACE_A, "p", 1.0, "0", inclusion)).value
    assert part in value
    assert b"tailrace.policy_version" in value
