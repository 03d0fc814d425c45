"""What every decoder must do with trace state and flags."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tailrace.schemas.otlp.json import read_json
from tailrace.schemas.otlp.wire import field
from tailrace.schemas.spans import AttributeColumn, SpanBatch
from tests.schemas.otlp_messages import request_of, span_of
from tests.schemas.otlp_requests import SPAN_BYTES, TRACE_A, TRACE_B

_states = st.sampled_from(["", "", "k=v", "ot=th:8;rv:ffffffffffffff,k=v", "no trace state", "日"])
_flags = st.sampled_from([0, 0, 1, 257, 2**32 - 1])
_spans = st.builds(
    span_of,
    st.sampled_from([TRACE_A, TRACE_A, TRACE_B, b"bad"]),
    trace_state=_states,
    flags=_flags,
    attributes=st.just([{"key": "a", "value": {"int_value": 1}}]),
)
A = AttributeColumn("span", "a")


class ContextContract:
    """A part of `DecoderContract`."""

    decoder: Callable[..., Any]

    @given(st.lists(st.lists(_spans, max_size=5), max_size=4), st.booleans())
    def test_trace_state_and_flags_are_those_of_the_span(
        self, messages: list[list[Any]], has_attributes: bool
    ) -> None:
        values = [request_of(*spans) for spans in messages]
        columns = [A] * has_attributes
        both = decoded(self, values, attributes=columns, trace_state=True, flags=True)
        assert contexts(both) == expected_contexts(both.raw)
        states = decoded(self, values, attributes=columns, trace_state=True)
        assert states.trace_state.tolist() == both.trace_state.tolist()
        assert len(states.flags) == 0
        flags = decoded(self, values, attributes=columns, flags=True)
        assert flags.flags.tolist() == both.flags.tolist()
        assert len(flags.trace_state) == 0
        assert both.raw == flags.raw == states.raw

    def test_they_come_as_well_from_otlp_json(self) -> None:
        ids = f'"traceId":"{TRACE_A.hex()}","spanId":"{SPAN_BYTES.hex()}"'
        spans = f'{{{ids},"traceState":"a=b","flags":257}},{{{ids},"trace_state":"c=d"}},{{{ids}}}'
        value = read_json(
            f'{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{spans}]}}]}}]}}'.encode()
        )
        batch = decoded(self, [value], trace_state=True, flags=True)
        assert contexts(batch) == [("a=b", 257), ("c=d", 0), ("", 0)]

    @pytest.mark.parametrize("limit", [0, 1 << 20], ids=["interned afresh", "interned once"])
    def test_they_are_read_batch_after_batch_across_chunks(self, limit: int) -> None:
        decoder = type(self).decoder(trace_state=True, flags=True, interned_limit_bytes=limit)
        for turn in range(3):
            values = [
                request_of(span_of(trace_state="k=v" * (index % 2), flags=index, name="n" * 5_000))
                for index in range(200)
            ]
            batch = decoder.decode(values)
            wanted = [("k=v" * (index % 2), index) for index in range(200)]
            assert contexts(batch) == wanted, turn

    def test_they_are_read_from_when_they_are_asked_for(self) -> None:
        decoder = type(self).decoder([A])
        value = request_of(span_of(trace_state="ot=th:8", flags=1))
        assert len(decoder.decode([value]).trace_state) == 0
        decoder.widen([A])
        first = decoder.decode([value])
        decoder.widen([], flags=True)
        second = decoder.decode([value])
        assert second.strings is not first.strings
        assert (second.flags.tolist(), second.weight) == ([1], None)
        decoder.widen([A], trace_state=True)
        third = decoder.decode([value])
        assert contexts(third) == [("ot=th:8", 1)]
        assert third.weight is not None
        decoder.widen([A], trace_state=True)
        assert decoder.decode([value]).strings is third.strings

    def test_a_trace_state_that_is_not_utf8_is_malformed_only_where_it_is_read(self) -> None:
        span = span_of().SerializeToString() + field(3, b"\xff")
        value = field(1, field(2, field(2, span)))
        good = request_of(span_of(TRACE_B))
        read = decoded(self, [good, value, good], trace_state=True)
        assert [(each.message, each.reason) for each in read.rejected] == [(1, "malformed")]
        assert read.fragment_message.tolist() == [0, 2]
        passed_on = decoded(self, [good, value, good], flags=False)
        assert passed_on.raw == [good, value, good]


def decoded(contract: ContextContract, values: list[bytes], **options: Any) -> SpanBatch:
    batch: SpanBatch = type(contract).decoder(**options).decode(values)
    return batch


def contexts(batch: SpanBatch) -> list[tuple[str, int]]:
    states = [batch.strings[each] for each in batch.trace_state.tolist()]
    assert len(states) == len(batch.flags) == len(batch)
    return list(zip(states, batch.flags.tolist(), strict=True))


def expected_contexts(raw: list[bytes]) -> list[tuple[str, int]]:
    """As the official classes read the spans of *raw*."""
    spans: list[Span] = [
        span
        for value in raw
        for block in ExportTraceServiceRequest.FromString(value).resource_spans
        for scope in block.scope_spans
        for span in scope.spans
    ]
    return [(span.trace_state, span.flags) for span in spans]
