"""What every decoder of OTLP must do: subclass `DecoderContract` and name the decoder."""

import random
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tailrace.schemas.otlp.wire import field
from tailrace.schemas.spans import AttributeColumn, SpanBatch
from tests.schemas.otlp_attribute_contract import AttributeContract
from tests.schemas.otlp_context_contract import ContextContract
from tests.schemas.otlp_messages import (
    MALFORMED_MESSAGES,
    UNUSUAL_ENCODINGS,
    request_of,
    span_of,
    with_attribute,
)
from tests.schemas.otlp_oracle import actual, expected
from tests.schemas.otlp_parts_contract import PartsContract
from tests.schemas.otlp_requests import (
    KEYS,
    SPAN_BYTES,
    TRACE_A,
    TRACE_B,
    encoded_requests,
    requests,
    scattered,
)

COLUMNS = [AttributeColumn("span", key) for key in KEYS if key != "client.address"] + [
    AttributeColumn("resource", key) for key in KEYS[:3]
]
SPAN_COLUMNS = [column for column in COLUMNS if column.scope == "span"]


class DecoderContract(AttributeContract, ContextContract, PartsContract):
    """Tests of `decoder`, which makes one as `Decoder` of `tailrace.schemas.otlp.decoder` does."""

    def check(self, *values: bytes | None) -> SpanBatch:
        """Decode with and without attributes; all must read what the official classes read."""
        plain = self.decode(*values, ids=True)
        batch = self.decode(*values, attributes=COLUMNS, ids=True)
        traced = self.decode(*values, attributes=COLUMNS, ids=True, trace_state=True, flags=True)
        assert actual(batch, COLUMNS) == actual(traced, COLUMNS) == expected(values, COLUMNS)
        assert actual(plain, []).fragments == expected(values, []).fragments
        self.check_client_attributes(*values)
        return batch

    def check_client_attributes(self, *values: bytes | None) -> None:
        """Alone, and beside plain ones, of which one is wanted both ways and is then plain."""
        alone = self.decode(*values, client_attributes=SPAN_COLUMNS, ids=True)
        assert actual(alone, SPAN_COLUMNS) == expected(values, SPAN_COLUMNS, SPAN_COLUMNS)
        clients, plain = SPAN_COLUMNS[:4], [SPAN_COLUMNS[0], *COLUMNS[4:]]
        beside = self.decode(*values, attributes=plain, client_attributes=clients, ids=True)
        assert set(beside.attributes) == set(COLUMNS)
        assert actual(beside, COLUMNS) == expected(values, COLUMNS, clients[1:])

    @given(st.lists(encoded_requests | st.sampled_from([None, b""]), max_size=4))
    def test_columns_are_what_the_official_classes_read(self, values: list[bytes | None]) -> None:
        self.check(*values)

    @given(requests(), st.randoms(use_true_random=False))
    def test_another_encoding_of_a_message_gives_what_protobuf_reads(
        self, request: Any, rng: random.Random
    ) -> None:
        self.check(scattered(request.SerializeToString(), rng))

    @given(st.lists(encoded_requests, min_size=2, max_size=6), st.data())
    def test_one_decoder_reads_batch_after_batch(
        self, values: list[bytes], data: st.DataObject
    ) -> None:
        limit = data.draw(st.sampled_from([0, 500, 1 << 20]))
        decoder = type(self).decoder(COLUMNS, ids=True, interned_limit_bytes=limit)
        for value in values * 2:
            batch = decoder.decode([value])
            assert actual(batch, COLUMNS) == expected([value], COLUMNS)

    @given(encoded_requests, st.data())
    def test_a_truncated_message_is_rejected_or_read_as_protobuf_reads_it(
        self, value: bytes, data: st.DataObject
    ) -> None:
        self.check_damaged(value[: data.draw(st.integers(0, len(value)))])

    @settings(max_examples=200)
    @given(encoded_requests.filter(bool), st.data())
    def test_a_mutated_message_never_gives_a_wrong_span(
        self, value: bytes, data: st.DataObject
    ) -> None:
        damaged = bytearray(value)
        for _ in range(data.draw(st.integers(1, 3))):
            at = data.draw(st.integers(0, len(damaged) - 1))
            damaged[at] = data.draw(st.sampled_from([0, 1, 0x0A, 0x12, 0x7A, 0x7F, 0x80, 0xFF]))
        self.check_damaged(bytes(damaged))

    def check_damaged(self, value: bytes) -> None:
        """Where protobuf refuses, a part that no column reads may be to blame; then raw holds."""
        neighbour = request_of(span_of(TRACE_B, name="neighbour"))
        values = [neighbour, value, neighbour]
        batch = self.decode(*values, attributes=COLUMNS, ids=True)
        if not any(each[1] == "malformed" for each in expected(values, []).rejected):
            assert actual(batch, COLUMNS) == expected(values, COLUMNS)
            return
        assert batch.fragment_message[0] == 0
        assert batch.fragment_message[-1] == 2
        if batch.rejected and batch.rejected[0].reason == "malformed":
            assert batch.rejected[0].value == value
            assert batch.fragment_message.tolist() == [0, 2]
            return
        for index, raw in enumerate(batch.raw):
            again = self.decode(raw, attributes=COLUMNS, ids=True)
            rows = slice(batch.fragment_start[index], batch.fragment_start[index + 1])
            assert not again.rejected
            assert again.fragment_trace_id == [batch.fragment_trace_id[index]]
            assert again.start.tolist() == batch.start[rows].tolist()
            assert again.span_id == batch.span_id[rows]

    @pytest.mark.parametrize("value", MALFORMED_MESSAGES)
    def test_is_rejected_whole_and_alone(self, value: bytes) -> None:
        good = request_of(span_of(TRACE_B))
        for values in ([good, value, good] * 100, [good, value, good]):
            batch = self.decode(*values, attributes=COLUMNS, ids=True)
            assert actual(batch, COLUMNS) == expected(values, COLUMNS)
        assert [(each.message, each.reason) for each in batch.rejected] == [(1, "malformed")]
        assert batch.fragment_message.tolist() == [0, 2]

    def test_a_malformed_attribute_that_no_column_wants_is_passed_on(self) -> None:
        value = with_attribute(field(1, b"unwanted") + field(2, field(1, b"\xff")))
        for copies in (1, 100):
            batch = self.decode(*[value] * copies, attributes=COLUMNS)
            assert batch.raw == [value] * copies
            assert batch.rejected == []

    @pytest.mark.parametrize("value", UNUSUAL_ENCODINGS)
    def test_is_read_as_protobuf_reads_it(self, value: bytes) -> None:
        assert len(self.check(value)) > 0
        self.check(*[value] * 100)  # where many attributes are looked at together

    @pytest.mark.parametrize("values", [[], [None], [b""], [None, b"", field(1, b"")]], ids=repr)
    def test_values_without_spans_add_nothing(self, values: list[bytes | None]) -> None:
        batch = self.check(*values)
        assert len(batch) == 0
        assert batch.fragment_start.tolist() == [0]
        assert batch.raw == []
        assert batch.rejected == []

    def test_a_message_of_one_trace_is_not_copied(self) -> None:
        value = request_of(span_of(), span_of(span_id=b"otherone"))
        assert self.decode(value).raw[0] is value

    def test_a_trace_that_is_interrupted_by_another_is_one_fragment(self) -> None:
        spans = [
            span_of(trace, name=name)
            for trace, name in ((TRACE_B, "b1"), (TRACE_A, "a1"), (TRACE_B, "b2"), (TRACE_A, "a2"))
        ]
        batch = self.check(request_of(*spans))
        assert [batch.strings[number] for number in batch.name] == ["b1", "b2", "a1", "a2"]
        assert batch.fragment_trace_id == [TRACE_B, TRACE_A]

    def test_a_bad_span_does_not_take_the_good_ones_with_it(self) -> None:
        batch = self.check(
            request_of(span_of(name="good"), span_of(b"15 bytes of id!", name="bad"))
        )
        assert len(batch) == 1
        assert [(each.reason, each.spans) for each in batch.rejected] == [("invalid_trace_id", 1)]

    def test_end_before_start_and_equal_span_ids_are_kept(self) -> None:
        late = span_of(start_time_unix_nano=9, end_time_unix_nano=5)
        batch = self.check(request_of(late, late))
        assert batch.end.tolist() == [5, 5]

    def test_span_ids_are_given_only_when_asked_for_but_always_validated(self) -> None:
        batch = self.decode(request_of(span_of(), span_of(span_id=b"bad")))
        assert batch.span_id == batch.parent_span_id == []
        assert batch.rejected[0].reason == "invalid_span_id"

    def test_values_that_python_holds_for_equal_stay_apart(self) -> None:
        request = ExportTraceServiceRequest()
        spans = request.resource_spans.add().scope_spans.add().spans
        for kind, value in (("bool", True), ("int", 1), ("double", 1.0), ("string", "1")):
            span = spans.add(trace_id=TRACE_A, span_id=SPAN_BYTES)
            setattr(span.attributes.add(key="a").value, f"{kind}_value", value)
        column = AttributeColumn("span", "a")
        batch = self.decode(request.SerializeToString(), attributes=[column])
        held = [batch.values[number] for number in batch.attributes[column]]
        assert [(type(value), value) for value in held] == [
            (bool, True),
            (int, 1),
            (float, 1.0),
            (str, "1"),
        ]

    @pytest.mark.parametrize("traces", [1, 2], ids=["of one trace", "of two mixed traces"])
    def test_a_message_of_five_megabytes(self, traces: int) -> None:
        spans = []
        for index in range(4_000):
            span = span_of((TRACE_A, TRACE_B)[index % traces], name=f"n{index % 7}")
            span.attributes.add(key="a").value.int_value = index
            span.attributes.add(key="payload").value.string_value = "x" * 1_250
            spans.append(span)
        value = request_of(*spans)
        assert len(value) > 5_000_000
        assert len(self.check(value)) == 4_000

    def test_a_batch_of_some_megabytes_is_read_as_one(self) -> None:
        values: list[bytes | None] = []
        for index in range(300):
            spans = [span_of(name=f"n{index}"), span_of((TRACE_A, TRACE_B)[index % 2], kind=3)]
            spans += [span_of(b"bad")] * (index % 7 == 0)
            for span in spans:
                span.attributes.add(key="a").value.int_value = index
                span.attributes.add(key="payload").value.string_value = "x" * 3_000
            values.append(request_of(*spans, service=f"s{index % 11}"))
            if index % 5 == 0:
                values += [None, request_of(), values[-1][:-1]]
        assert sum(len(value or b"") for value in values) > 2_000_000
        batch = self.check(*values)
        assert len(batch.rejected) == 43 + 60
        assert len(batch.fragment_trace_id) == 450

    def test_many_attributes_at_once_are_told_apart(self) -> None:
        spans = []
        for index in range(200):
            span = span_of(kind=index % 6)
            for key in (
                "client.address",
                "server.address",
                "a",
                "b",
                "",
                "k" * 200,
                "ключ",
                "x" * 90,
            ):
                span.attributes.add(key=key).value.string_value = f"{key[:5]}{index}" * (index % 40)
            spans.append(span)
        self.check(request_of(*spans))

    def test_ids_are_stable_until_the_interned_bytes_pass_the_limit(self) -> None:
        column = AttributeColumn("span", "a")
        decoder = type(self).decoder([column], interned_limit_bytes=20_000)
        tables = []
        for turn in range(20):
            spans = [span_of(name=f"n{turn}-{index}") for index in range(20)]
            for span in spans:
                span.attributes.add(key="a").value.string_value = f"v{span.name}" * 10
            batch = decoder.decode([request_of(*spans)])
            assert [batch.strings[each] for each in batch.name] == [span.name for span in spans]
            held = [batch.values[each] for each in batch.attributes[column]]
            assert held == [f"v{span.name}" * 10 for span in spans]
            assert batch.strings.size_bytes + batch.values.size_bytes < 20_000 + 15_000
            tables.append((batch.strings, batch.values))
        swaps = sum(a[0] is not b[0] for a, b in pairwise(tables))
        assert 2 < swaps < 19
        assert all((a[0] is b[0]) == (a[1] is b[1]) for a, b in pairwise(tables))
