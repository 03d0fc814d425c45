"""OTLP's messages with only the fields we read; protobuf keeps the others as unknown fields.

What is declared `bytes` here is a message there: it stays encoded, so that equal ones can be
looked up instead of parsed. A message that may come in pieces, which protobuf merges, is declared
repeated: its pieces, concatenated, are the merged message.
Names and numbers are those of opentelemetry/proto/trace/v1/trace.proto.
"""

from collections.abc import Callable
from typing import Any

from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

_PACKAGE = "tailrace.slim"
_BYTES = FieldDescriptorProto.TYPE_BYTES
_STRING = FieldDescriptorProto.TYPE_STRING
_INT32 = FieldDescriptorProto.TYPE_INT32
_FIXED32 = FieldDescriptorProto.TYPE_FIXED32
_SFIXED64 = FieldDescriptorProto.TYPE_SFIXED64  # on the wire as fixed64; from 2^63 on negative
_ONE = FieldDescriptorProto.LABEL_OPTIONAL
_MANY = FieldDescriptorProto.LABEL_REPEATED

_Field = tuple[str, int, int | str, int]

_SPAN: list[_Field] = [
    ("trace_id", 1, _BYTES, _ONE),
    ("span_id", 2, _BYTES, _ONE),
    ("parent_span_id", 4, _BYTES, _ONE),
    ("name", 5, _STRING, _ONE),
    ("kind", 6, _INT32, _ONE),
    ("start_time_unix_nano", 7, _SFIXED64, _ONE),
    ("end_time_unix_nano", 8, _SFIXED64, _ONE),
    ("status", 15, "Status", _ONE),
]
# What says where a span belongs and what was decided of it; nothing of it is validated.
_STAMPED: list[_Field] = [
    ("span_id", 2, _BYTES, _ONE),
    ("trace_state", 3, _BYTES, _ONE),
    ("parent_span_id", 4, _BYTES, _ONE),
    ("attributes", 9, _BYTES, _MANY),
    ("links", 13, _BYTES, _MANY),
]
_ATTRIBUTES: list[_Field] = [("attributes", 9, _BYTES, _MANY)]
_CONTEXT: list[_Field] = [("trace_state", 3, _STRING, _ONE), ("flags", 16, _FIXED32, _ONE)]


def _request(prefix: str, span: int | str, resource: list[_Field]) -> dict[str, list[_Field]]:
    return {
        f"{prefix}Batch": [("requests", 1, f"{prefix}Request", _MANY)],
        f"{prefix}Request": [("resource_spans", 1, f"{prefix}ResourceSpans", _MANY)],
        f"{prefix}ResourceSpans": [*resource, ("scope_spans", 2, f"{prefix}ScopeSpans", _MANY)],
        f"{prefix}ScopeSpans": [("spans", 2, span, _MANY)],
    }


_RESOURCE: list[_Field] = [("resource", 1, _BYTES, _MANY)]

_MESSAGES: dict[str, list[_Field]] = {
    "Status": [("code", 3, _INT32, _ONE)],
    "Span": _SPAN,
    "AttributedSpan": [*_SPAN, *_ATTRIBUTES],
    "TracedSpan": [*_SPAN, *_CONTEXT],
    "TracedAttributedSpan": [*_SPAN, *_ATTRIBUTES, *_CONTEXT],
    **_request("", "Span", _RESOURCE),
    **_request("Attributed", "AttributedSpan", _RESOURCE),
    **_request("Traced", "TracedSpan", _RESOURCE),
    **_request("TracedAttributed", "TracedAttributedSpan", _RESOURCE),
    **_request("Envelope", _BYTES, []),
    "StampedSpan": _STAMPED,
    **_request("Stamped", "StampedSpan", []),
    "Link": [("trace_id", 1, _BYTES, _ONE)],
    "Attribute": [("key", 1, _BYTES, _ONE)],
}


def _pool() -> DescriptorPool:
    file = FileDescriptorProto(name="tailrace/slim.proto", package=_PACKAGE, syntax="proto3")
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for field_name, number, kind, label in fields:
            field = message.field.add(name=field_name, number=number, label=label)
            if isinstance(kind, str):
                field.type = FieldDescriptorProto.TYPE_MESSAGE
                field.type_name = f".{_PACKAGE}.{kind}"
            else:
                field.type = FieldDescriptorProto.Type.ValueType(kind)
    pool = DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    return pool


def _parser(pool: DescriptorPool, name: str) -> Callable[[bytes], Any]:
    parse: Callable[[bytes], Any] = GetMessageClass(
        pool.FindMessageTypeByName(f"{_PACKAGE}.{name}")
    ).FromString
    return parse


_POOL = _pool()

parse_spans = _parser(_POOL, "Batch")
"""Length-prefixed requests, as `framed` makes them; spans without their attributes."""

parse_attributed_spans = _parser(_POOL, "AttributedBatch")
"""The same with attributes, each still encoded."""

parse_traced_spans = _parser(_POOL, "TracedBatch")
"""As `parse_spans`, with trace state and flags."""

parse_traced_attributed_spans = _parser(_POOL, "TracedAttributedBatch")
"""As `parse_attributed_spans`, with trace state and flags."""

parse_envelope = _parser(_POOL, "EnvelopeRequest")
"""One request, only its nesting; each span still encoded."""

parse_stamped = _parser(_POOL, "StampedRequest")
"""One request, to write on its spans: their ids, trace state, attributes and links, as bytes."""

parse_link = _parser(_POOL, "Link")
"""An encoded link, only its trace id."""

parse_attribute = _parser(_POOL, "Attribute")
"""An encoded attribute, only its key."""
