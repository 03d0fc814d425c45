from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tailrace.schemas.otlp.request import by_resource, join, partition, split
from tailrace.schemas.otlp.wire import field, field_size
from tests.schemas.otlp_messages import request_of, span_of
from tests.schemas.otlp_requests import encoded_requests

limits = st.integers(0, 600)


def spans_in_place(*values: bytes) -> list[Any]:
    """Every span, in order, with the resource and the scope it stands under."""
    found = []
    for value in values:
        for block in ExportTraceServiceRequest.FromString(value).resource_spans:
            for scope in block.scope_spans:
                above = [block.resource.SerializeToString(), block.schema_url]
                above += [scope.scope.SerializeToString(), scope.schema_url]
                found += [(above, span.SerializeToString()) for span in scope.spans]
    return found


def unknown_fields(value: bytes) -> int:
    return value.count(b"\x03new")


@given(encoded_requests, limits)
def test_split_keeps_every_span_in_order_and_below_the_limit(value: bytes, limit: int) -> None:
    messages, oversized = split(value, limit)
    assert all(len(message) <= limit for message in messages)
    assert all(len(message) > limit for message in oversized)
    assert all(len(spans_in_place(message)) == 1 for message in oversized)
    remaining = spans_in_place(value)
    apart = spans_in_place(*oversized)
    together = spans_in_place(*messages)
    while remaining:
        source = together if together and remaining[0] == together[0] else apart
        assert source.pop(0) == remaining.pop(0)
    assert not apart
    assert not together


@given(encoded_requests, limits)
def test_split_cuts_no_earlier_than_it_must(value: bytes, limit: int) -> None:
    messages, oversized = split(value, limit)
    if len(messages) > 1 and not oversized:
        for message, following in pairwise(messages):
            first = partition(
                following, ["first", *["rest"] * (len(spans_in_place(following)) - 1)]
            )
            assert len(message) + len(first["first"]) > limit


def test_every_limit_is_kept_to_the_byte() -> None:
    """Sizes cross 127 bytes, where lengths grow, at every level."""
    value = b"".join(
        request_of(*[span_of(name="n" * (7 * size)) for size in range(resource, 12)])
        for resource in range(10)
    )
    spans = spans_in_place(value)
    for limit in range(150, len(value), 3):
        messages, oversized = split(value, limit)
        assert not oversized
        assert spans_in_place(*messages) == spans
        for message, following in pairwise(messages):
            assert len(message) <= limit < len(_with_first_of(message, following))


def _with_first_of(message: bytes, following: bytes) -> bytes:
    """The message and the next span, under the same resource if it is the same one."""
    whole = ExportTraceServiceRequest.FromString(message)
    first = ExportTraceServiceRequest.FromString(following).resource_spans[0]
    del first.scope_spans[0].spans[1:]
    alone = ExportTraceServiceRequest(resource_spans=[first]).SerializeToString()
    last = whole.resource_spans[-1].scope_spans[-1].spans
    if len(last[-1].name) < len(first.scope_spans[0].spans[0].name):
        last.extend(first.scope_spans[0].spans)
        encoded: bytes = whole.SerializeToString()
        return encoded
    return message + alone


@pytest.mark.parametrize("size", [0, 1, 127, 128, 16_383, 16_384, 2**21])
def test_a_field_is_as_large_as_was_said(size: int) -> None:
    assert field_size(size) == len(field(2, bytes(size)))


@given(encoded_requests)
def test_split_returns_what_fits_as_it_is(value: bytes) -> None:
    assert split(value, len(value)) == ([value], [])


@given(st.lists(encoded_requests, max_size=5), limits)
def test_join_keeps_every_span_in_order(values: list[bytes], limit: int) -> None:
    joined = join(values, limit)
    assert spans_in_place(*joined) == spans_in_place(*values)
    for message in joined:
        assert len(message) <= limit or len(spans_in_place(message)) == 1
    for message, following in pairwise(joined):
        assert len(message) + len(following) > limit


def test_join_makes_one_message_of_what_fits_into_one() -> None:
    values = [request_of(span_of(name="a")), request_of(span_of(name="b"))]
    assert join(values, 1_000) == [b"".join(values)]
    assert join([], 1_000) == []
    assert join([b"", b""], 1_000) == []


@given(encoded_requests, st.data())
def test_partition_gives_each_label_its_spans_in_place(value: bytes, data: st.DataObject) -> None:
    spans = spans_in_place(value)
    labels = [data.draw(st.sampled_from("abc")) for _ in spans]
    parts = partition(value, labels)
    assert list(parts) == list(dict.fromkeys(labels))
    for label, part in parts.items():
        mine = [span for span, its in zip(spans, labels, strict=True) if its == label]
        assert spans_in_place(part) == mine
    if len(parts) == 1:
        assert next(iter(parts.values())) is value


def test_fields_that_we_do_not_know_stay_at_every_level() -> None:
    request = ExportTraceServiceRequest.FromString(request_of(span_of(), span_of()))
    block = request.resource_spans[0]
    scope = block.scope_spans[0]
    for message in (request, block, block.resource, scope, scope.scope, *scope.spans):
        message.MergeFromString(b"\xa2\x1f\x03new")
    scope.scope.SetInParent()
    parts = partition(request.SerializeToString(), ["a", "b"])
    assert [unknown_fields(part) for part in parts.values()] == [6, 6]


@given(encoded_requests)
def test_by_resource_each_message_has_the_spans_of_one_block(value: bytes) -> None:
    blocks = ExportTraceServiceRequest.FromString(value).resource_spans
    counts = [sum(len(scope.spans) for scope in block.scope_spans) for block in blocks]
    parts = by_resource(value)
    assert [len(spans_in_place(part)) for part in parts] == [each for each in counts if each]
    assert spans_in_place(*parts) == spans_in_place(value)


@pytest.mark.parametrize("cut", [split, join], ids=["split", "join"])
def test_what_is_not_otlp_is_a_value_error(cut: Any) -> None:
    with pytest.raises(ValueError, match="4 bytes that are not an OTLP message"):
        cut(b"oops" if cut is split else [b"oops"], 3)
