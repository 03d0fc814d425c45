"""OTLP's messages with only the fields we read; protobuf keeps the others as unknown fields.

What is declared `bytes` here is a message there: it stays encoded, so that equal ones can be
looked up instead of parsed. A message that may come in pieces, which protobuf merges, is declared
repeated: its pieces, concatenated, are the merged message.
Names and numbers are those of opentelemetry/proto/trace/v1/trace.proto.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

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
_EVENTS: list[_Field] = [("events", 11, "Event", _MANY)]
_LINKS: list[_Field] = [("links", 13, _BYTES, _MANY)]
_SCOPE: list[_Field] = [("scope", 1, "Scope", _ONE)]


def _request(
    span: int | str, resource: list[_Field], scope: list[_Field]
) -> dict[str, list[_Field]]:
    return {
        "Batch": [("requests", 1, "Request", _MANY)],
        "Request": [("resource_spans", 1, "ResourceSpans", _MANY)],
        "ResourceSpans": [*resource, ("scope_spans", 2, "ScopeSpans", _MANY)],
        "ScopeSpans": [*scope, ("spans", 2, span, _MANY)],
    }


_RESOURCE: list[_Field] = [("resource", 1, _BYTES, _MANY)]
_ENVELOPE = _request(_BYTES, [], [])
_PIECES: dict[str, list[_Field]] = {
    "LinkedTrace": [("trace_id", 1, _BYTES, _ONE)],
    "Link": [("trace_id", 1, _BYTES, _ONE), ("span_id", 2, _BYTES, _ONE)],
    "Links": [("links", 1, "Link", _MANY)],
    "Attribute": [("key", 1, _BYTES, _ONE)],
}


class Parts(NamedTuple):
    """What is read of spans beyond what always is; the rest stays an unknown field."""

    attributes: bool = False
    """Each still encoded."""
    context: bool = False
    """Trace state and flags."""
    scopes: bool = False
    """Name and version of the instrumentation scope."""
    events: bool = False
    """Their names and attributes, each attribute still encoded."""
    links: bool = False
    """Each still encoded."""


def _read(parts: Parts) -> dict[str, list[_Field]]:
    asked = zip(parts, (_ATTRIBUTES, _CONTEXT, [], _EVENTS, _LINKS), strict=True)
    scope: dict[str, list[_Field]] = {
        "Scope": [("name", 1, _STRING, _ONE), ("version", 2, _STRING, _ONE)]
    }
    return {
        "Status": [("code", 3, _INT32, _ONE)],
        "Event": [("name", 2, _STRING, _ONE), ("attributes", 3, _BYTES, _MANY)],
        "Span": [*_SPAN, *(field for is_asked, fields in asked if is_asked for field in fields)],
        **(scope if parts.scopes else {}),
        **_request("Span", _RESOURCE, _SCOPE if parts.scopes else []),
    }


def _pool(messages: dict[str, list[_Field]]) -> DescriptorPool:
    file = FileDescriptorProto(name="tailrace/slim.proto", package=_PACKAGE, syntax="proto3")
    for name, fields in messages.items():
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


@lru_cache
def parser(parts: Parts) -> Callable[[bytes], Any]:
    """Return what parses length-prefixed requests, as `framed` makes them, as far as *parts*."""
    return _parser(_pool(_read(parts)), "Batch")


_PIECE_POOL = _pool(_PIECES)

parse_envelope = _parser(_pool(_ENVELOPE), "Request")
"""One request, only its nesting; each span still encoded."""


@lru_cache
def stamp_parser(*, attributes: bool, links: bool) -> Callable[[bytes], Any]:
    """Return what parses one request, to write on its spans: their ids and trace state, and what is
    asked for besides, as bytes."""
    left_out = {
        name for name, is_read in (("attributes", attributes), ("links", links)) if not is_read
    }
    span = [field for field in _STAMPED if field[0] not in left_out]
    return _parser(_pool({"StampedSpan": span, **_request("StampedSpan", [], [])}), "Request")


parse_link = _parser(_PIECE_POOL, "LinkedTrace")
"""An encoded link, only its trace id."""

parse_links = _parser(_PIECE_POOL, "Links")
"""Length-prefixed links, as `framed` makes them: their trace and span ids."""

parse_attribute = _parser(_PIECE_POOL, "Attribute")
"""An encoded attribute, only its key."""
