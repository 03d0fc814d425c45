"""OTLP/JSON to protobuf and back.

Protobuf's JSON with the exceptions of OTLP: trace and span ids are hex, enums are numbers.
https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding
"""

import base64
import binascii
import math
from collections.abc import Callable
from typing import Any

import orjson
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

_HEX_DIGITS = {"trace_id": 32, "span_id": 16, "parent_span_id": 16}
_MAX_DEPTH = 100  # as protobuf
_NOT_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}

_Field = Any  # a FieldDescriptor; protobuf publishes no types


class InvalidJson(ValueError):
    """The line is not OTLP/JSON; the message says where and what is right."""


def decode_json(line: bytes) -> bytes:
    """The protobuf of one ExportTraceServiceRequest or TracesData, which are alike.

    Names in camelCase or snake_case; enums as numbers or names; 64-bit integers as strings or
    numbers; unknown fields are ignored. Ids of a wrong length are kept, for span validation.
    """
    try:
        document = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise InvalidJson(f"not JSON: {error}") from error
    request = ExportTraceServiceRequest()
    _read_message(request, document, "", 0)
    encoded: bytes = request.SerializeToString()
    return encoded


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


def _read_message(message: Any, document: object, path: str, depth: int) -> None:
    if not isinstance(document, dict):
        raise _wrong(path, document, "an object")
    if depth > _MAX_DEPTH:
        start = path.partition(".value.")[0]
        raise InvalidJson(f"{start} is nested too deeply: at most {_MAX_DEPTH} messages")
    fields = _fields(message.DESCRIPTOR)
    for name, item in document.items():
        field = fields.get(name)
        if field is None or item is None:
            continue
        _read_field(message, field, item, f"{path}.{name}" if path else name, depth)


def _fields(descriptor: Any) -> dict[str, _Field]:
    known = _FIELDS.get(descriptor.full_name)
    if known is None:
        known = {field.json_name: field for field in descriptor.fields}
        known |= {field.name: field for field in descriptor.fields}
        _FIELDS[descriptor.full_name] = known
    return known


_FIELDS: dict[str, dict[str, _Field]] = {}


def _read_field(message: Any, field: _Field, item: object, path: str, depth: int) -> None:
    is_message = field.type == FieldDescriptor.TYPE_MESSAGE
    if field.is_repeated:
        if not isinstance(item, list):
            raise _wrong(path, item, "an array")
        container = getattr(message, field.name)
        for index, each in enumerate(item):
            where = f"{path}[{index}]"
            if is_message:
                _read_message(container.add(), each, where, depth + 1)
            else:
                container.append(_read_scalar(field, each, where))
    elif is_message:
        child = getattr(message, field.name)
        child.SetInParent()
        _read_message(child, item, path, depth + 1)
    else:
        setattr(message, field.name, _read_scalar(field, item, path))


def _read_scalar(field: _Field, item: object, path: str) -> object:
    if field.type == FieldDescriptor.TYPE_ENUM:
        return _read_enum(field, item, path)
    if field.name in _HEX_DIGITS:
        return _read_hex(item, path, _HEX_DIGITS[field.name])
    if field.type == FieldDescriptor.TYPE_BYTES:
        return _read_base64(item, path)
    return _READERS[field.cpp_type](item, path)


def _read_hex(item: object, path: str, digits: int) -> bytes:
    try:
        if isinstance(item, str):
            return binascii.unhexlify(item)
    except ValueError:
        pass
    raise _wrong(path, item, f"{digits} hex characters")


def _read_enum(field: _Field, item: object, path: str) -> int:
    if isinstance(item, str) and item in field.enum_type.values_by_name:
        number: int = field.enum_type.values_by_name[item].number
        return number
    return _read_integer(item, path, -(2**31), 2**31)


def _read_integer(item: object, path: str, low: int, end: int) -> int:
    number: int | None = None
    if isinstance(item, int) and not isinstance(item, bool):
        number = item
    elif isinstance(item, float) and item.is_integer():
        number = int(item)
    elif isinstance(item, str) and item.isascii() and item.removeprefix("-").isdigit():
        number = int(item) if len(item) <= 20 else None  # no integer of 64 bits is longer
    if number is None or not low <= number < end:
        raise _wrong(path, item, f"an integer from {low} to {end - 1}")
    return number


def _read_double(item: object, path: str) -> float:
    if isinstance(item, str):
        try:
            return _NOT_FINITE[item] if item in _NOT_FINITE else float(item)
        except ValueError:
            pass
    elif isinstance(item, int | float) and not isinstance(item, bool):
        return float(item)
    raise _wrong(path, item, "a number")


def _read_bool(item: object, path: str) -> bool:
    if isinstance(item, bool):
        return item
    raise _wrong(path, item, "true or false")


def _read_string(item: object, path: str) -> str:
    if isinstance(item, str):
        return item
    raise _wrong(path, item, "a string")


def _read_base64(item: object, path: str) -> bytes:
    try:
        if isinstance(item, str):
            standard = item.translate(_FROM_URL_SAFE).rstrip("=")
            return base64.b64decode(standard + "=" * (-len(standard) % 4), validate=True)
    except ValueError:
        pass
    raise _wrong(path, item, "base64")


_FROM_URL_SAFE = str.maketrans("-_", "+/")

_READERS: dict[int, Callable[[object, str], object]] = {
    FieldDescriptor.CPPTYPE_INT32: lambda item, path: _read_integer(item, path, -(2**31), 2**31),
    FieldDescriptor.CPPTYPE_INT64: lambda item, path: _read_integer(item, path, -(2**63), 2**63),
    FieldDescriptor.CPPTYPE_UINT32: lambda item, path: _read_integer(item, path, 0, 2**32),
    FieldDescriptor.CPPTYPE_UINT64: lambda item, path: _read_integer(item, path, 0, 2**64),
    FieldDescriptor.CPPTYPE_DOUBLE: _read_double,
    FieldDescriptor.CPPTYPE_BOOL: _read_bool,
    FieldDescriptor.CPPTYPE_STRING: _read_string,
}


def _wrong(path: str, item: object, right: str) -> InvalidJson:
    shown = orjson.dumps(item).decode()
    if len(shown) > 80:
        shown = f"{shown[:77]}..."
    return InvalidJson(f"{path or 'the line'} is {shown}: must be {right}")


def _written_message(message: Any) -> dict[str, object]:
    document: dict[str, object] = {}
    for field, item in message.ListFields():
        is_message = field.type == FieldDescriptor.TYPE_MESSAGE
        write = _written_message if is_message else _WRITERS.get(field.cpp_type, _same)
        if field.name in _HEX_DIGITS:
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
