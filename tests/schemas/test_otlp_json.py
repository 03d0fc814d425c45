import orjson
import pytest
from hypothesis import given
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tailrace.schemas.otlp.json import InvalidJson, decode_json, encode_json
from tests.schemas.otlp_requests import requests


def line_of(span: str) -> bytes:
    return f'{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{span}]}}]}}]}}'.encode()


def span_from(text: str) -> Span:
    request = ExportTraceServiceRequest.FromString(decode_json(line_of(text)))
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
    assert decode_json(line) == without_unknown(request)


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
        pytest.param('{"name":null}', Span(), id="null is absent"),
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


SPAN = r"resourceSpans\[0\]\.scopeSpans\[0\]\.spans\[0\]"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        pytest.param(b"{", "^not JSON: ", id="half an object"),
        pytest.param(b"", "^not JSON: ", id="nothing"),
        pytest.param(b"[]", r"^the line is \[\]: must be an object$", id="an array"),
        pytest.param(
            b'{"resourceSpans":{}}', "^resourceSpans is {}: must be an array$", id="one block"
        ),
        pytest.param(
            line_of('{"traceId":"xyz"}'),
            f'^{SPAN}.traceId is "xyz": must be 32 hex characters$',
            id="a trace id that is not hex",
        ),
        pytest.param(
            line_of('{"parent_span_id":7}'),
            f"^{SPAN}.parent_span_id is 7: must be 16 hex characters$",
            id="a parent that is a number",
        ),
        pytest.param(
            line_of('{"kind":"CLIENT"}'), f'^{SPAN}.kind is "CLIENT": must be', id="an unknown enum"
        ),
        pytest.param(
            line_of('{"startTimeUnixNano":"-1"}'),
            f'^{SPAN}.startTimeUnixNano is "-1": must be an integer from 0 to',
            id="a time before 1970",
        ),
        pytest.param(
            line_of('{"endTimeUnixNano":18446744073709551616}'),
            f"^{SPAN}.endTimeUnixNano is ",
            id="a time beyond 64 bits",
        ),
        pytest.param(line_of('{"name":5}'), f"^{SPAN}.name is 5: must be a string$", id="a name 5"),
        pytest.param(
            line_of('{"attributes":[{"value":{"boolValue":"true"}}]}'),
            rf'^{SPAN}.attributes\[0\].value.boolValue is "true": must be true or false$',
            id="a bool as text",
        ),
        pytest.param(
            line_of('{"attributes":[{"value":{"bytesValue":"?"}}]}'),
            "must be base64$",
            id="no base64",
        ),
        pytest.param(
            line_of('{"attributes":[{"value":{"doubleValue":true}}]}'),
            "must be a number$",
            id="a true",
        ),
        pytest.param(
            line_of(
                '{"attributes":[{"value":' + '{"arrayValue":{"values":[' * 200 + "]}}" * 200 + "}]}"
            ),
            rf"^{SPAN}.attributes\[0\] is nested too deeply: at most 100 messages$",
            id="a list 200 deep",
        ),
    ],
)
def test_error_says_what_is_wrong_and_where(line: bytes, message: str) -> None:
    with pytest.raises(InvalidJson, match=message):
        decode_json(line)


def test_what_is_not_otlp_cannot_be_written() -> None:
    with pytest.raises(ValueError, match="4 bytes that are not an OTLP message"):
        encode_json(b"oops")
