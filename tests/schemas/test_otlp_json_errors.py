"""What is not OTLP/JSON is refused, in words that say where and what is right."""

import pytest

from tailrace.schemas.otlp.json import InvalidJson, read_json
from tests.schemas.otlp_json_documents import line_of

SPAN = r"resourceSpans\[0\]\.scopeSpans\[0\]\.spans\[0\]"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        pytest.param(b"{", "^not JSON: ", id="half an object"),
        pytest.param(b"", "^not JSON: ", id="nothing"),
        pytest.param(b" ", "^not JSON: ", id="a blank"),
        pytest.param(b"{} {}", "^not JSON: ", id="two objects"),
        pytest.param(b"[" * 2000 + b"]" * 2000, "^not JSON: ", id="an array 2000 deep"),
        pytest.param(line_of('{"name":NaN}'), "^not JSON: ", id="NaN"),
        pytest.param(line_of('{"flags":1e999}'), "^not JSON: ", id="a number beyond all doubles"),
        pytest.param(line_of('{"name":"\\ud800"}'), "^not JSON: ", id="half a character"),
        pytest.param(
            line_of('{"name":"\xff"}').decode().encode("latin-1"), "^not JSON: ", id="not UTF-8"
        ),
        pytest.param(b"[]", r"^it is \[\]: must be an object$", id="an array"),
        pytest.param(b'"x"', '^it is "x": must be an object$', id="a text"),
        pytest.param(b"null", "^it is null: must be an object$", id="null alone"),
        pytest.param(b"7", "^it is 7: must be an object$", id="a number"),
        pytest.param(b'{"foo":1}', "^it has no resourceSpans: ", id="an object of another kind"),
        pytest.param(b'{"resourceLogs":[]}', "^it has no resourceSpans: ", id="logs"),
        pytest.param(
            b'{"resourceSpans":[null]}',
            r"^resourceSpans\[0\] is null: must be an object$",
            id="null in an array",
        ),
        pytest.param(
            b'{"resourceSpans":[{},{"scopeSpans":[{},{},{"spans":7}]}]}',
            r"^resourceSpans\[1\].scopeSpans\[2\].spans is 7: must be an array$",
            id="a number of spans",
        ),
        pytest.param(
            b'{"resourceSpans":' + b'{"a":' * 300 + b"1" + b"}" * 301,
            "^resourceSpans is nested too deeply: must be an array$",
            id="an object 300 deep where it must be an array",
        ),
        pytest.param(
            line_of(f'{{"name":[{"7," * 100}7]}}'),
            f"^{SPAN}.name is .{{77}}\\.\\.\\.: must be a string$",
            id="a long array for a name",
        ),
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
        *[
            pytest.param(line_of(span), f"^{SPAN}.{message}", id=f"{span}")
            for span, message in [
                ('{"startTimeUnixNano":"1.5"}', 'startTimeUnixNano is "1.5": must be an integer'),
                ('{"startTimeUnixNano":1.5}', "startTimeUnixNano is 1.5: must be an integer"),
                ('{"startTimeUnixNano":" 1"}', 'startTimeUnixNano is " 1": must be an integer'),
                ('{"startTimeUnixNano":"1_0"}', 'startTimeUnixNano is "1_0": must be an integer'),
                (
                    '{"startTimeUnixNano":"\u0967"}',
                    'startTimeUnixNano is "\u0967": must be an integer',
                ),
                ('{"startTimeUnixNano":""}', 'startTimeUnixNano is "": must be an integer'),
                ('{"startTimeUnixNano":true}', "startTimeUnixNano is true: must be an integer"),
                (
                    '{"startTimeUnixNano":1e300}',
                    r"startTimeUnixNano is 1e\+300: must be an integer",
                ),
                ('{"kind":2147483648}', "kind is 2147483648: must be an integer"),
                ('{"kind":[3]}', r"kind is \[3\]: must be an integer"),
                ('{"kind":true}', "kind is true: must be an integer"),
                ('{"status":2}', "status is 2: must be an object"),
                ('{"status":[]}', r"status is \[\]: must be an object"),
                ('{"traceId":"abc"}', 'traceId is "abc": must be 32 hex'),
                ('{"traceId":"ab cd "}', 'traceId is "ab cd ": must be 32 hex'),
                ('{"spanId":"éé"}', 'spanId is "éé": must be 16 hex'),
                ('{"links":[{},{"traceId":1}]}', r"links\[1\].traceId is 1: must be 32 hex"),
                ('{"attributes":[7]}', r"attributes\[0\] is 7: must be an object"),
                ('{"attributes":["key"]}', r'attributes\[0\] is "key": must be an object'),
                ('{"attributes":{}}', "attributes is {}: must be an array"),
                (
                    '{"attributes":[{"key":1,"value":{"stringValue":""}}]}',
                    r"attributes\[0\].key is 1: must be a string",
                ),
                (
                    '{"attributes":[{"key":"","value":7}]}',
                    r"attributes\[0\].value is 7: must be an object",
                ),
                (
                    '{"attributes":[{"key":"","value":{"stringValue":7}}]}',
                    r"attributes\[0\].value.stringValue is 7: must be a string",
                ),
                (
                    '{"attributes":[{"key":"","value":{"intValue":-9223372036854775809}}]}',
                    r"attributes\[0\].value.intValue is .*: must be an integer",
                ),
                (
                    '{"attributes":[{"key":"","value":{"intValue":9223372036854775808}}]}',
                    r"attributes\[0\].value.intValue is .*: must be an integer",
                ),
                (
                    '{"attributes":[{"key":"","value":{"doubleValue":"1_0"}}]}',
                    r'attributes\[0\].value.doubleValue is "1_0": must be a number',
                ),
                (
                    '{"attributes":[{"key":"","value":{"doubleValue":"[]"}}]}',
                    r'attributes\[0\].value.doubleValue is "\[\]": must be a number',
                ),
                (
                    '{"attributes":[{"key":"","value":{"arrayValue":{"values":[{"boolValue":1}]}}}]}',
                    r"attributes\[0\].value.arrayValue.values\[0\].boolValue is 1: must be true or",
                ),
            ]
        ],
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
        read_json(line)
