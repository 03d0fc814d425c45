import random
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tailrace.schemas.otlp.decoder import Decoder
from tailrace.schemas.otlp.json import InvalidJson, encode_json, read_json
from tailrace.schemas.spans import AttributeColumn
from tests.schemas.otlp_json_documents import (
    NESTINGS,
    documents,
    line_of,
    nested,
    rewritten,
    with_another_node,
)
from tests.schemas.otlp_requests import requests


def span_from(text: str) -> Span:
    request = ExportTraceServiceRequest.FromString(read_json(line_of(text)))
    span: Span = request.resource_spans[0].scope_spans[0].spans[0]
    return span


def without_unknown(request: ExportTraceServiceRequest) -> bytes:
    request.DiscardUnknownFields()
    encoded: bytes = request.SerializeToString()
    return encoded


@given(requests())
def test_protobuf_to_json_and_back_is_the_same(request: ExportTraceServiceRequest) -> None:
    line = encode_json(request.SerializeToString())
    assert b"\n" not in line
    assert read_json(line) == without_unknown(request)


@given(requests(), st.randoms(use_true_random=False))
def test_other_ways_to_write_a_message_say_the_same(
    request: ExportTraceServiceRequest, rng: random.Random
) -> None:
    document = orjson.loads(encode_json(request.SerializeToString()))
    read = ExportTraceServiceRequest.FromString(
        read_json(orjson.dumps(rewritten(document, rng)) if document else b" {}\n")
    )
    assert read == ExportTraceServiceRequest.FromString(without_unknown(request))


def check_refused_or_otlp(line: bytes) -> None:
    refused = ""
    try:
        ExportTraceServiceRequest.FromString(read_json(line))
    except InvalidJson as error:
        refused = str(error)
    assert len(refused) < 300


@given(documents)
def test_whatever_is_json_is_refused_or_otlp(document: Any) -> None:
    check_refused_or_otlp(orjson.dumps(document))


@settings(max_examples=300)
@given(requests().filter(lambda request: request.resource_spans), st.data())
def test_a_message_with_something_else_in_it_is_refused_or_otlp(
    request: ExportTraceServiceRequest, data: st.DataObject
) -> None:
    document = orjson.loads(encode_json(request.SerializeToString()))
    check_refused_or_otlp(orjson.dumps(with_another_node(document, data.draw)))


@given(
    st.binary(max_size=20) | st.text('{}[]":,0123.eE-resourceSpans', max_size=30).map(str.encode)
)
def test_whatever_is_not_json_is_refused_or_otlp(line: bytes) -> None:
    check_refused_or_otlp(line)


@pytest.mark.parametrize("kind", NESTINGS)
def test_every_value_that_is_not_too_deep_can_be_read_on(kind: str) -> None:
    ids = f'"traceId":"{"a" * 32}","spanId":"{"b" * 16}"'
    accepted = []
    for depth in range(60):
        value = orjson.dumps(nested(kind, depth)).decode()
        try:
            read = read_json(line_of(f'{{{ids},"attributes":[{{"key":"k","value":{value}}}]}}'))
        except InvalidJson:
            continue
        accepted.append(depth)
        assert read_json(encode_json(read)) == read
        assert len(Decoder([AttributeColumn("span", "k")]).decode([read])) == 1
    assert accepted == list(range(len(accepted)))
    assert len(accepted) > 30


def test_json_is_as_the_collector_writes_it() -> None:
    span = Span(trace_id=b"\xab" * 16, span_id=b"\x01" * 8, name="é", kind=2)
    span.start_time_unix_nano = 2**63
    span.status.code = 2
    span.attributes.add(key="n").value.int_value = 0
    span.attributes.add(key="b").value.bytes_value = b"\xff\xfe"
    span.attributes.add(key="d").value.double_value = float("-inf")
    request = ExportTraceServiceRequest()
    request.resource_spans.add().scope_spans.add().spans.append(span)
    assert orjson.loads(encode_json(request.SerializeToString())) == {
        "resourceSpans": [{"scopeSpans": [{"spans": [{
            "traceId": "ab" * 16,
            "spanId": "01" * 8,
            "name": "é",
            "kind": 2,
            "startTimeUnixNano": "9223372036854775808",
            "attributes": [
                {"key": "n", "value": {"intValue": "0"}},
                {"key": "b", "value": {"bytesValue": "//4="}},
                {"key": "d", "value": {"doubleValue": "-Infinity"}},
            ],
            "status": {"code": 2},
        }]}]}]
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param('{"traceId":"0aFF"}', Span(trace_id=b"\x0a\xff"), id="hex in any case"),
        pytest.param('{"traceId":""}', Span(), id="an empty id"),
        pytest.param('{"span_id":"01"}', Span(span_id=b"\x01"), id="snake_case"),
        pytest.param('{"kind":"SPAN_KIND_CLIENT"}', Span(kind=3), id="an enum by name"),
        pytest.param('{"kind":3}', Span(kind=3), id="an enum by number"),
        pytest.param('{"endTimeUnixNano":"5"}', Span(end_time_unix_nano=5), id="64 bits as text"),
        pytest.param('{"endTimeUnixNano":5}', Span(end_time_unix_nano=5), id="64 bits as number"),
        pytest.param('{"endTimeUnixNano":5e3}', Span(end_time_unix_nano=5000), id="an exponent"),
        pytest.param('{"endTimeUnixNano":0}', Span(), id="no time"),
        pytest.param('{"flags":257}', Span(flags=257), id="flags"),
        pytest.param(
            '{"endTimeUnixNano":"18446744073709551615"}',
            Span(end_time_unix_nano=2**64 - 1),
            id="the largest time",
        ),
        pytest.param('{"kind":"3"}', Span(kind=3), id="an enum's number as text"),
        pytest.param('{"kind":9}', Span(kind=9), id="an enum of a later version"),
        pytest.param('{"kind":-1}', Span(kind=-1), id="an enum below 0"),
        pytest.param(
            '{"status":{"code":"STATUS_CODE_ERROR","message":"é"}}',
            Span(status={"code": 2, "message": "é"}),
            id="a status by name",
        ),
        pytest.param(
            '{"links":[{"traceId":"0A","spanId":"0b"}]}',
            Span(links=[{"trace_id": b"\x0a", "span_id": b"\x0b"}]),
            id="the ids of a link",
        ),
        pytest.param('{"name":null}', Span(), id="null is absent"),
        pytest.param(
            '{"attributes":null,"status":null,"traceId":null,"kind":null,"flags":null}',
            Span(),
            id="null is absent everywhere",
        ),
        *[
            pytest.param(
                f'{{"attributes":[{{"key":"k","value":{text}}}]}}',
                Span(attributes=[{"key": "k", "value": value}]),
                id=f"the value {text}",
            )
            for text, value in [
                ('{"stringValue":""}', {"string_value": ""}),
                ('{"boolValue":false}', {"bool_value": False}),
                ('{"boolValue":true}', {"bool_value": True}),
                ('{"intValue":"-9223372036854775808"}', {"int_value": -(2**63)}),
                ('{"intValue":-5}', {"int_value": -5}),
                ('{"intValue":7.0}', {"int_value": 7}),
                ('{"int_value":"0"}', {"int_value": 0}),
                ('{"doubleValue":0}', {"double_value": 0.0}),
                ('{"doubleValue":"Infinity"}', {"double_value": float("inf")}),
                ('{"bytesValue":""}', {"bytes_value": b""}),
                ('{"bytesValue":"//4="}', {"bytes_value": b"\xff\xfe"}),
                (
                    '{"kvlistValue":{"values":[{"key":"a"}]}}',
                    {"kvlist_value": {"values": [{"key": "a"}]}},
                ),
                ('{"stringValue":null}', {}),
                ("{}", {}),
                ('{"stringValue":"a","later":1}', {"string_value": "a"}),
                ('{"later":1}', {}),
            ]
        ],
        pytest.param(
            '{"attributes":[{"key":"k","value":{"boolValue":true},"keyStrindex":5}]}',
            Span(attributes=[{"key": "k", "value": {"bool_value": True}, "key_strindex": 5}]),
            id="a third field of an attribute",
        ),
        pytest.param('{"attributes":[{"key":"k"}]}', Span(attributes=[{"key": "k"}]), id="a key"),
        pytest.param(
            '{"attributes":[{"key":"k","value":null,"later":1}]}',
            Span(attributes=[{"key": "k"}]),
            id="a value that is null",
        ),
        pytest.param('{"later":[{"a":1}],"name":"n"}', Span(name="n"), id="an unknown field"),
        pytest.param(
            '{"attributes":[{"key":"k","value":{"bytesValue":"_-4"}}]}',
            Span(attributes=[{"key": "k", "value": {"bytes_value": b"\xff\xee"}}]),
            id="base64 for URLs without padding",
        ),
        pytest.param(
            '{"attributes":[{"key":"k","value":{"arrayValue":{}}}]}',
            Span(attributes=[{"key": "k", "value": {"array_value": {}}}]),
            id="an empty list is a value",
        ),
        pytest.param(
            '{"attributes":[{"key":"k","value":{"doubleValue":"1.5"}}]}',
            Span(attributes=[{"key": "k", "value": {"double_value": 1.5}}]),
            id="a double as text",
        ),
    ],
)
def test_json_is_read(text: str, expected: Span) -> None:
    assert span_from(text) == expected


def test_what_is_not_otlp_cannot_be_written() -> None:
    with pytest.raises(ValueError, match="4 bytes that are not an OTLP message"):
        encode_json(b"oops")
