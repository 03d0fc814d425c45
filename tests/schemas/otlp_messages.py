"""Messages made by hand: malformed ones, and valid ones that are encoded unusually."""

from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tailrace.schemas.otlp.wire import field
from tests.schemas.otlp_requests import SPAN_BYTES, TRACE_A, TRACE_B


def request_of(*spans: Any, service: str | None = "shop") -> bytes:
    request = ExportTraceServiceRequest()
    block = request.resource_spans.add()
    if service is not None:
        block.resource.attributes.add(key="service.name").value.string_value = service
    block.scope_spans.add().spans.extend(spans)
    encoded: bytes = request.SerializeToString()
    return encoded


def span_of(trace_id: bytes = TRACE_A, span_id: bytes = SPAN_BYTES, **fields: Any) -> Any:
    return Span(trace_id=trace_id, span_id=span_id, **fields)


def with_attribute(encoded: bytes, **fields: Any) -> bytes:
    """A request of one span, whose only attribute is *encoded*."""
    span = span_of(**fields).SerializeToString() + field(9, encoded)
    return field(1, field(2, field(2, span)))


MALFORMED_MESSAGES = [
    pytest.param(b"\xff", id="a byte that is no tag"),
    pytest.param(b"not protobuf at all", id="text"),
    pytest.param(request_of(span_of())[:-1], id="a message that lacks its last byte"),
    pytest.param(field(1, field(2, field(2, field(5, b"\xff")))), id="a name that is not UTF-8"),
    pytest.param(
        field(1, field(1, field(1, b"\xff")) + field(2, field(2, span_of().SerializeToString()))),
        id="a resource that is not protobuf",
    ),
    pytest.param(
        request_of(span_of())
        + field(1, field(1, b"\xff") + field(2, field(2, span_of().SerializeToString()))),
        id="a good resource, then one that is not protobuf",
    ),
    pytest.param(
        with_attribute(field(1, b"a") + field(2, field(1, b"\xff"))),
        id="a wanted attribute that is not UTF-8",
    ),
    pytest.param(with_attribute(b"\xff"), id="an attribute that is not protobuf"),
]

A_IS_1 = field(1, field(1, b"a") + field(2, field(1, b"1")))
A_IS_2 = field(1, field(1, b"a") + field(2, field(1, b"2")))
_STATUS_CODE_2 = b"\x18\x02"
UNUSUAL_ENCODINGS = [
    pytest.param(with_attribute(field(2, field(1, b"v")) + field(1, b"a")), id="value, then key"),
    pytest.param(
        with_attribute(field(1, b"http.route") + field(1, b"a") + field(2, field(1, b"v"))),
        id="a key twice, the last wins",
    ),
    pytest.param(
        with_attribute(field(1, b"client.address") + field(2, b"") + field(1, b"a")),
        id="an unwanted key, then a wanted one",
    ),
    pytest.param(
        with_attribute(field(1, b"client.address") + field(1, b"a")),
        id="an unwanted key, then a wanted one without a value",
    ),
    pytest.param(
        field(
            1,
            field(1, 2 * field(1, field(1, b"a") + field(2, b"")) + field(1, field(1, b"a")))
            + field(2, field(2, span_of().SerializeToString())),
        ),
        id="an attribute of a resource without a value, thrice",
    ),
    pytest.param(
        field(
            1,
            field(
                1, b"".join(field(1, field(1, b"a") + field(2, field(1, v))) for v in (b"1", b"2"))
            )
            + field(2, field(2, span_of().SerializeToString())),
        ),
        id="an attribute of a resource twice, the first wins",
    ),
    pytest.param(with_attribute(field(1, b"a")), id="a key without a value"),
    pytest.param(with_attribute(b""), id="an attribute of nothing"),
    pytest.param(with_attribute(field(2, field(1, b"v"))), id="a value without a key"),
    pytest.param(
        with_attribute(b"\x0a\x81\x00a" + field(2, field(1, b"v"))), id="a length of two bytes"
    ),
    pytest.param(
        with_attribute(field(1, b"a") + field(2, field(1, b"x" * 20_000))), id="a long value"
    ),
    pytest.param(
        request_of(span_of()) + request_of(span_of(TRACE_B)), id="two messages in one value"
    ),
    pytest.param(
        field(
            1,
            field(
                2,
                field(
                    2,
                    span_of().SerializeToString()
                    + field(15, _STATUS_CODE_2)
                    + field(15, field(2, b"why")),
                ),
            ),
        ),
        id="a status in two pieces",
    ),
]
