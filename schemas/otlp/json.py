"""OTLP/JSON to protobuf and back.

Protobuf's JSON with the exceptions of OTLP: trace and span ids are hex, enums are numbers.
https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding
"""

from __future__ import annotations

import base64
import math
from collections.abc import Callable
from typing import Any

import orjson
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tailrace.schemas.otlp.json_fields import (
    HEX_DIGITS,
    TooDeep,
    Wrong,
    encoded_message,
    fields_of,
)

_REQUEST = fields_of(ExportTraceServiceRequest.DESCRIPTOR)
_SHOWN = 80  # characters of what is wrong


class InvalidJson(ValueError):
    """It is not OTLP/JSON; the message says where and what is right."""


def read_json(value: bytes) -> bytes:
    """The protobuf of one ExportTraceServiceRequest or TracesData, which are alike.

    Names in camelCase or snake_case; enums as numbers or names; 64-bit integers as strings or
    numbers; unknown fields and null are left out. Ids of a wrong length are kept, for span
    validation. All else is an InvalidJson, also an object of other things than spans; `{}` is a
    message without spans.
    """
    try:
        document = orjson.loads(value)
    except orjson.JSONDecodeError as error:
        raise InvalidJson(f"not JSON: {error}") from error
    try:
        encoded = encoded_message(_REQUEST, document)
    except Wrong as wrong:
        raise InvalidJson(_said(wrong)) from None
    if document and _REQUEST.keys().isdisjoint(document):
        raise InvalidJson("it has no resourceSpans: it must be an OTLP request or TracesData")
    return encoded


def _said(wrong: Wrong) -> str:
    path = "".join(
        f"[{step}]" if isinstance(step, int) else f".{step}" for step in reversed(wrong.path)
    ).removeprefix(".")
    if isinstance(wrong, TooDeep):
        start = path.partition(".value.")[0]
        return f"{start} is nested too deeply: {wrong.right}"
    return f"{path or 'it'} is {_shown(wrong.item)}: must be {wrong.right}"


def _shown(item: object) -> str:
    try:
        shown = orjson.dumps(item).decode()
    except orjson.JSONEncodeError:
        return "nested too deeply"
    return shown if len(shown) <= _SHOWN else f"{shown[: _SHOWN - 3]}..."


def encode_json(value: bytes) -> bytes:
    """One line, without its end, as the collector's file exporter writes it.

    Names in camelCase, enums as numbers, 64-bit integers as strings, defaults omitted.
    A *value* that is not OTLP is a ValueError.
    """
    try:
        request = ExportTraceServiceRequest.FromString(value)
    except DecodeError as error:
        raise ValueError(f"{len(value)} bytes that are not an OTLP message: {error}") from error
    return orjson.dumps(_written_message(request))


def _written_message(message: Any) -> dict[str, object]:
    document: dict[str, object] = {}
    for field, item in message.ListFields():
        is_message = field.type == FieldDescriptor.TYPE_MESSAGE
        write = _written_message if is_message else _WRITERS.get(field.cpp_type, _same)
        if field.name in HEX_DIGITS:
            write = bytes.hex
        elif field.type == FieldDescriptor.TYPE_BYTES:
            write = _written_bytes
        document[field.json_name] = list(map(write, item)) if field.is_repeated else write(item)
    return document


def _same(item: object) -> object:
    return item


def _written_bytes(item: bytes) -> str:
    return base64.b64encode(item).decode()


def _written_double(item: float) -> float | str:
    if math.isfinite(item):
        return item
    return "NaN" if math.isnan(item) else f"{'-' if item < 0 else ''}Infinity"


_WRITERS: dict[int, Callable[[Any], object]] = {
    FieldDescriptor.CPPTYPE_INT64: str,
    FieldDescriptor.CPPTYPE_UINT64: str,
    FieldDescriptor.CPPTYPE_DOUBLE: _written_double,
}
