"""OTLP's metrics with what equal series have in common still encoded, so that it can be looked up.

Resources, scopes and attributes are declared `bytes`; a message that may come in pieces, which
protobuf merges, is declared repeated: its pieces, concatenated, are the merged message. Names and
numbers are those of opentelemetry/proto/metrics/v1/metrics.proto.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass

DELTA: Final = 1
"""The temporality of counts since the last point."""
CUMULATIVE: Final = 2
NO_VALUE: Final = 1
"""The flag of a point that says that its series has ended."""

_PACKAGE: Final = "tailrace.metric_columns"
_Field = tuple[str, int, str, bool]
_TIMES: Final[list[_Field]] = [
    ("start_time_unix_nano", 2, "fixed64", False),
    ("time_unix_nano", 3, "fixed64", False),
]
_MESSAGES: Final[dict[str, list[_Field]]] = {
    "Request": [("resource_metrics", 1, "ResourceMetrics", True)],
    "ResourceMetrics": [
        ("resource", 1, "bytes", True),
        ("scope_metrics", 2, "ScopeMetrics", True),
    ],
    "ScopeMetrics": [("scope", 1, "bytes", True), ("metrics", 2, "Metric", True)],
    "Metric": [
        ("name", 1, "string", False), ("description", 2, "string", False),
        ("unit", 3, "string", False), ("gauge", 5, "Numbers", False),
        ("sum", 7, "Numbers", False), ("histogram", 9, "Histogram", False),
        ("exponential_histogram", 10, "Exponential", False), ("summary", 11, "Summary", False),
    ],
    "Numbers": [
        ("data_points", 1, "Number", True), ("aggregation_temporality", 2, "int32", False),
        ("is_monotonic", 3, "bool", False),
    ],
    "Number": [
        *_TIMES, ("attributes", 7, "bytes", True), ("as_double", 4, "double", False),
        ("as_int", 6, "sfixed64", False), ("exemplars", 5, "Exemplar", True),
        ("flags", 8, "uint32", False),
    ],
    "Histogram": [
        ("data_points", 1, "HistogramPoint", True),
        ("aggregation_temporality", 2, "int32", False),
    ],
    "HistogramPoint": [
        *_TIMES, ("attributes", 9, "bytes", True), ("count", 4, "fixed64", False),
        ("sum", 5, "double", False), ("bucket_counts", 6, "fixed64", True),
        ("explicit_bounds", 7, "double", True), ("exemplars", 8, "Exemplar", True),
        ("flags", 10, "uint32", False),
    ],
    "Exponential": [
        ("data_points", 1, "ExponentialPoint", True),
        ("aggregation_temporality", 2, "int32", False),
    ],
    "ExponentialPoint": [
        *_TIMES, ("attributes", 1, "bytes", True), ("count", 4, "fixed64", False),
        ("sum", 5, "double", False), ("scale", 6, "sint32", False),
        ("zero_count", 7, "fixed64", False), ("positive", 8, "Buckets", False),
        ("negative", 9, "Buckets", False), ("flags", 10, "uint32", False),
        ("exemplars", 11, "Exemplar", True), ("zero_threshold", 14, "double", False),
    ],
    "Buckets": [("offset", 1, "sint32", False), ("bucket_counts", 2, "uint64", True)],
    "Summary": [("data_points", 1, "SummaryPoint", True)],
    "SummaryPoint": [
        *_TIMES, ("attributes", 7, "bytes", True), ("count", 4, "fixed64", False),
        ("sum", 5, "double", False), ("quantile_values", 6, "Quantile", True),
        ("flags", 8, "uint32", False),
    ],
    "Quantile": [("quantile", 1, "double", False), ("value", 2, "double", False)],
    "Exemplar": [
        ("time_unix_nano", 2, "fixed64", False), ("as_double", 3, "double", False),
        ("as_int", 6, "sfixed64", False), ("span_id", 4, "bytes", False),
        ("trace_id", 5, "bytes", False), ("filtered_attributes", 7, "bytes", True),
    ],
}  # fmt: skip


def _parser() -> Callable[[bytes], Any]:
    # proto2, for it tells what is there from what is not, and reads repeated numbers either way.
    file = FileDescriptorProto(
        name="tailrace/metric_columns.proto", package=_PACKAGE, syntax="proto2"
    )
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for field_name, number, kind, is_many in fields:
            field = message.field.add(name=field_name, number=number, label=3 if is_many else 1)
            if kind in _MESSAGES:
                field.type = FieldDescriptorProto.TYPE_MESSAGE
                field.type_name = f".{_PACKAGE}.{kind}"
            else:
                field.type = FieldDescriptorProto.Type.Value(f"TYPE_{kind.upper()}")
    pool = DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    parse: Callable[[bytes], Any] = GetMessageClass(
        pool.FindMessageTypeByName(f"{_PACKAGE}.Request")
    ).FromString
    return parse


_parse = _parser()


def parse_columns(value: bytes) -> Any:
    """Return the export request that *value* is; ValueError if it is none."""
    try:
        return _parse(value)
    except DecodeError as error:
        raise ValueError(f"is no ExportMetricsServiceRequest: {error}") from error
