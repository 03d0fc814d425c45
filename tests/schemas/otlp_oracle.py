"""What a batch must hold, read plainly with the official classes."""

import struct
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tailrace.schemas.spans import AttributeColumn, SpanBatch
from tailrace.schemas.strings import text_of

ABSENT = "absent"


@dataclass
class Reading:
    """A batch without its columns: comparable, and legible when it differs."""

    fragments: list[Any] = field(default_factory=list)
    rejected: list[Any] = field(default_factory=list)


def expected(
    values: Sequence[bytes | None],
    columns: Sequence[AttributeColumn],
    of_calls: Collection[AttributeColumn] = (),
) -> Reading:
    """Those of the *columns* that are *of_calls* are absent but on clients and producers."""
    reading = Reading()
    for message, value in enumerate(values):
        if not value:
            continue
        try:
            request = ExportTraceServiceRequest.FromString(value)
        except DecodeError:
            reading.rejected.append((message, "malformed", value, 0))
            continue
        groups: dict[Any, list[Any]] = {}
        for place, (resource, span) in enumerate(_spans(request)):
            label = _fault(span) or span.trace_id
            groups.setdefault(label, []).append((place, _row(resource, span, columns, of_calls)))
        for label, members in groups.items():
            part = value if len(groups) == 1 else _only(request, {place for place, _ in members})
            if isinstance(label, str):
                reading.rejected.append((message, label, canonical(part), len(members)))
            else:
                rows = [row for _, row in members]
                reading.fragments.append((message, label, canonical(part), rows))
    return reading


def actual(batch: SpanBatch, columns: Sequence[AttributeColumn]) -> Reading:
    reading = Reading()
    bounds = batch.fragment_start.tolist()
    assert bounds[0] == 0
    assert bounds[-1] == len(batch)
    for index, trace_id in enumerate(batch.fragment_trace_id):
        rows = [_batch_row(batch, row, columns) for row in range(bounds[index], bounds[index + 1])]
        message = int(batch.fragment_message[index])
        reading.fragments.append((message, trace_id, canonical(batch.raw[index]), rows))
    for each in batch.rejected:
        malformed = each.reason == "malformed"
        value = each.value if malformed else canonical(each.value)
        reading.rejected.append((each.message, each.reason.value, value, each.spans))
    return reading


def canonical(value: bytes) -> bytes:
    """Equal for messages that protobuf holds for equal."""
    encoded: bytes = ExportTraceServiceRequest.FromString(value).SerializeToString()
    return encoded


def typed(value: Any) -> Any:
    """Comparable with ==, yet of its type: True, 1, 1.0 and "1" differ, NaN equals itself."""
    if isinstance(value, float):
        return "float", struct.pack("<d", value)
    if isinstance(value, list):
        return "list", [typed(item) for item in value]
    if isinstance(value, dict):
        return "dict", {key: typed(item) for key, item in value.items()}
    return type(value).__name__, value


def _batch_row(batch: SpanBatch, row: int, columns: Sequence[AttributeColumn]) -> Any:
    ids = [int(batch.attributes[column][row]) for column in columns]
    return {
        "start": int(batch.start[row]),
        "end": int(batch.end[row]),
        "kind": int(batch.kind[row]),
        "status": int(batch.status[row]),
        "is_root": bool(batch.is_root[row]),
        "service": batch.strings[int(batch.service[row])],
        "name": batch.strings[int(batch.name[row])],
        "resource": typed(batch.values[int(batch.resource[row])]),
        "attributes": [ABSENT if each == -1 else typed(batch.values[each]) for each in ids],
        "span_id": batch.span_id[row],
        "parent_span_id": batch.parent_span_id[row],
    }


def _row(
    resource: Any,
    span: Any,
    columns: Sequence[AttributeColumn],
    of_calls: Collection[AttributeColumn],
) -> Any:
    service = _first(resource.attributes, "service.name")
    sources = {"span": span.attributes, "resource": resource.attributes}
    found = [
        ABSENT
        if column in of_calls and span.kind not in (Span.SPAN_KIND_CLIENT, Span.SPAN_KIND_PRODUCER)
        else _first(sources[column.scope], column.key)
        for column in columns
    ]
    keys = [each.key for each in resource.attributes]
    return {
        "start": span.start_time_unix_nano,
        "end": span.end_time_unix_nano,
        "kind": span.kind if 0 <= span.kind <= 5 else 0,
        "status": span.status.code if 0 <= span.status.code <= 2 else 0,
        "is_root": span.parent_span_id in (b"", bytes(8)),
        "service": "" if service is ABSENT else text_of(service),
        "name": span.name,
        "resource": typed({key: _first(resource.attributes, key) for key in keys}),
        "attributes": [each if each is ABSENT else typed(each) for each in found],
        "span_id": span.span_id,
        "parent_span_id": span.parent_span_id,
    }


def _first(attributes: Any, key: str) -> Any:
    return next((_plain(each.value) for each in attributes if each.key == key), ABSENT)


def _plain(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind is None or kind == "string_value_strindex":
        return None
    if kind == "array_value":
        return [_plain(item) for item in value.array_value.values]
    if kind == "kvlist_value":
        return {item.key: _plain(item.value) for item in value.kvlist_value.values}
    return getattr(value, kind)


def _spans(request: Any) -> list[Any]:
    return [
        (block.resource, span)
        for block in request.resource_spans
        for scope in block.scope_spans
        for span in scope.spans
    ]


def _fault(span: Any) -> str | None:
    if len(span.trace_id) != 16 or not any(span.trace_id):
        return "invalid_trace_id"
    if len(span.span_id) != 8 or not any(span.span_id):
        return "invalid_span_id"
    if len(span.parent_span_id) not in (0, 8):
        return "invalid_parent_span_id"
    if max(span.start_time_unix_nano, span.end_time_unix_nano) >= 2**63:
        return "invalid_time"
    return None


def _only(request: Any, places: set[int]) -> bytes:
    """The request without the spans at other places, and without what is then empty."""
    part = ExportTraceServiceRequest()
    part.CopyFrom(request)
    place = 0
    for block in part.resource_spans:
        for scope in block.scope_spans:
            keep = [span for at, span in enumerate(scope.spans, place) if at in places]
            place += len(scope.spans)
            kept = [span.SerializeToString() for span in keep]
            del scope.spans[:]
            for span in kept:
                scope.spans.add().MergeFromString(span)
        for index in reversed(range(len(block.scope_spans))):
            if not block.scope_spans[index].spans:
                del block.scope_spans[index]
    for index in reversed(range(len(part.resource_spans))):
        if not part.resource_spans[index].scope_spans:
            del part.resource_spans[index]
    encoded: bytes = part.SerializeToString()
    return encoded
