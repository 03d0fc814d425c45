"""What every decoder must do with client attributes and with whole resources."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tailrace.schemas.otlp.wire import field
from tailrace.schemas.spans import AttributeColumn, SpanBatch
from tailrace.schemas.strings import ABSENT, AttributeValue
from tests.schemas.otlp_messages import request_of, span_of, with_attribute
from tests.schemas.otlp_requests import TRACE_A, TRACE_B

A = AttributeColumn("span", "a")
B = AttributeColumn("span", "b")
KINDS = range(6)
MALFORMED_A = field(1, b"a") + field(2, field(1, b"\xff"))


class AttributeContract:
    """A part of `DecoderContract`."""

    decoder: Callable[..., Any]

    def decode(self, *values: bytes | None, **options: Any) -> SpanBatch:
        batch: SpanBatch = type(self).decoder(**options).decode(values)
        return batch

    @pytest.mark.parametrize("copies", [1, 50], ids=["few", "many"])
    def test_a_client_attribute_is_read_of_clients_and_producers_only(self, copies: int) -> None:
        batch = self.decode(*[spans_of_all_kinds()] * copies, client_attributes=[A])
        assert read(batch, A) == [None, None, None, "a of 3", "a of 4", None] * copies

    @pytest.mark.parametrize("copies", [1, 50], ids=["few", "many"])
    def test_beside_plain_attributes_client_attributes_are_the_same(self, copies: int) -> None:
        values = [spans_of_all_kinds()] * copies
        batch = self.decode(*values, attributes=[B], client_attributes=[A])
        assert read(batch, A) == [None, None, None, "a of 3", "a of 4", None] * copies
        assert read(batch, B) == [f"b of {kind}" for kind in KINDS] * copies

    def test_an_attribute_wanted_of_all_spans_and_of_clients_is_that_of_all(self) -> None:
        batch = self.decode(spans_of_all_kinds(), attributes=[A], client_attributes=[A, B])
        assert read(batch, A) == [f"a of {kind}" for kind in KINDS]
        assert read(batch, B) == [None, None, None, "b of 3", "b of 4", None]

    def test_client_attributes_follow_their_spans_when_traces_are_told_apart(self) -> None:
        spans = [
            span_of((TRACE_A, TRACE_B)[kind % 2], kind=kind, attributes=[pair("a", kind)])
            for kind in KINDS
        ]
        batch = self.decode(request_of(*spans), client_attributes=[A])
        assert batch.kind.tolist() == [0, 2, 4, 1, 3, 5]
        assert read(batch, A) == [None, None, "a of 4", None, "a of 3", None]

    def test_without_clients_client_attributes_are_absent(self) -> None:
        batch = self.decode(request_of(span_of(kind=2)), client_attributes=[A])
        assert read(batch, A) == [None]
        assert read(self.decode(client_attributes=[A]), A) == []

    @pytest.mark.parametrize("copies", [1, 200], ids=["alone", "among many"])
    @pytest.mark.parametrize(
        ("kind", "reasons"),
        [
            pytest.param(0, [], id="of no kind is passed on"),
            pytest.param(1, [], id="of an internal span is passed on"),
            pytest.param(2, [], id="of a server is passed on"),
            pytest.param(3, ["malformed"], id="of a client is rejected"),
            pytest.param(4, ["malformed"], id="of a producer is rejected"),
            pytest.param(5, [], id="of a consumer is passed on"),
        ],
    )
    def test_a_malformed_client_attribute(self, kind: int, reasons: list[str], copies: int) -> None:
        bad = with_attribute(MALFORMED_A, kind=kind)
        good = request_of(span_of(TRACE_B, kind=3, attributes=[pair("a", 3)]))
        batch = self.decode(*[good] * copies, bad, good, client_attributes=[A])
        assert [each.reason for each in batch.rejected] == reasons
        assert read(batch, A)[:copies] == ["a of 3"] * copies
        assert read(batch, A)[-1] == "a of 3"

    def test_an_attribute_of_a_resource_cannot_be_asked_of_clients_only(self) -> None:
        with pytest.raises(ValueError, match="is of no span"):
            type(self).decoder(client_attributes=[AttributeColumn("resource", "a")])

    def test_resources_with_attributes_in_another_order_are_one(self) -> None:
        one = [pair("service.name", 1), pair("a", 2), pair("b", 3)]
        batch = self.decode(*resources(one, one[::-1], one[:2], one))
        first, turned, smaller, again = batch.resource.tolist()
        assert first == turned == again
        assert smaller != first
        assert batch.values[first] == {"service.name": "service.name of 1"} | {
            "a": "a of 2",
            "b": "b of 3",
        }

    def test_resources_that_differ_in_type_only_are_two(self) -> None:
        attributes = [
            {"key": "a", "value": {kind: value}}
            for kind, value in (("int_value", 1), ("bool_value", True), ("double_value", 1.0))
        ]
        batch = self.decode(*resources(*([each] for each in attributes)))
        assert len(set(batch.resource.tolist())) == 3
        assert [type(batch.values[each]["a"]) for each in batch.resource] == [int, bool, float]

    @pytest.mark.parametrize(
        ("attributes", "held", "service"),
        [
            pytest.param([], {}, "", id="without attributes"),
            pytest.param(None, {}, "", id="that is not there"),
            pytest.param([("a", 1)], {"a": "a of 1"}, "", id="without a service"),
            pytest.param(
                [("a", 1), ("a", 2), ("service.name", 1), ("service.name", 2)],
                {"a": "a of 1", "service.name": "service.name of 1"},
                "service.name of 1",
                id="with keys twice, of which the first counts",
            ),
        ],
    )
    def test_a_resource(
        self,
        attributes: list[tuple[str, int]] | None,
        held: dict[str, AttributeValue],
        service: str,
    ) -> None:
        pairs = None if attributes is None else [pair(*each) for each in attributes]
        batch = self.decode(*resources(pairs))
        assert batch.values[int(batch.resource[0])] == held
        assert batch.strings[int(batch.service[0])] == service

    def test_the_resources_of_one_message_stay_with_their_spans(self) -> None:
        request = ExportTraceServiceRequest()
        for number, trace_id in enumerate((TRACE_B, TRACE_A, TRACE_B)):
            block = request.resource_spans.add()
            block.resource.attributes.add(**pair("a", number))
            block.scope_spans.add().spans.append(span_of(trace_id))
        batch = self.decode(request.SerializeToString())
        held = [batch.values[each] for each in batch.resource.tolist()]
        assert held == [{"a": "a of 0"}, {"a": "a of 2"}, {"a": "a of 1"}]


def pair(key: str, number: int) -> dict[str, Any]:
    return {"key": key, "value": {"string_value": f"{key} of {number}"}}


def spans_of_all_kinds() -> bytes:
    return request_of(
        *(span_of(kind=kind, attributes=[pair("b", kind), pair("a", kind)]) for kind in KINDS)
    )


def resources(*attributes: Sequence[Any] | None) -> list[bytes]:
    """A message for each, of one span; None for one that has no resource at all."""
    values = []
    for each in attributes:
        request = ExportTraceServiceRequest()
        block = request.resource_spans.add()
        if each is not None:
            block.resource.SetInParent()
            for attribute in each:
                block.resource.attributes.add(**attribute)
        block.scope_spans.add().spans.append(span_of())
        values.append(request.SerializeToString())
    return values


def read(batch: SpanBatch, column: AttributeColumn) -> list[AttributeValue]:
    """The values of *column*, None for absent ones."""
    ids = batch.attributes[column].tolist()
    return [None if each == ABSENT else batch.values[each] for each in ids]
