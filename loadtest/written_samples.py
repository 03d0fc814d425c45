"""What a receiver of remote write was sent, read by protobuf itself: 1.0 and 2.0."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import cramjam
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

_Field = tuple[str, int, str, bool]
_HISTOGRAM: Final[list[_Field]] = [
    ("count_int", 1, "uint64", False), ("sum", 3, "double", False),
    ("schema", 4, "sint32", False), ("zero_threshold", 5, "double", False),
    ("zero_count_int", 6, "uint64", False), ("negative_spans", 8, "Span", True),
    ("negative_deltas", 9, "sint64", True), ("positive_spans", 11, "Span", True),
    ("positive_deltas", 12, "sint64", True), ("timestamp", 15, "int64", False),
    ("start_timestamp", 17, "int64", False),
]  # fmt: skip
_SPAN: Final[list[_Field]] = [("offset", 1, "sint32", False), ("length", 2, "uint32", False)]
_VERSION_1: Final[dict[str, list[_Field]]] = {
    "Request": [("timeseries", 1, "Series", True), ("metadata", 3, "Metadata", True)],
    "Series": [
        ("labels", 1, "Label", True), ("samples", 2, "Sample", True),
        ("exemplars", 3, "Exemplar", True), ("histograms", 4, "Histogram", True),
    ],
    "Label": [("name", 1, "string", False), ("value", 2, "string", False)],
    "Sample": [("value", 1, "double", False), ("timestamp", 2, "int64", False)],
    "Exemplar": [
        ("labels", 1, "Label", True), ("value", 2, "double", False),
        ("timestamp", 3, "int64", False),
    ],
    "Metadata": [
        ("type", 1, "int32", False), ("metric_family_name", 2, "string", False),
        ("help", 4, "string", False), ("unit", 5, "string", False),
    ],
    "Histogram": _HISTOGRAM,
    "Span": _SPAN,
}  # fmt: skip
_VERSION_2: Final[dict[str, list[_Field]]] = {
    "Request": [("symbols", 4, "string", True), ("timeseries", 5, "Series", True)],
    "Series": [
        ("labels_refs", 1, "uint32", True), ("samples", 2, "Sample", True),
        ("histograms", 3, "Histogram", True), ("exemplars", 4, "Exemplar", True),
        ("metadata", 5, "Metadata", False), ("created_timestamp", 6, "int64", False),
    ],
    "Sample": [
        ("value", 1, "double", False), ("timestamp", 2, "int64", False),
        ("start_timestamp", 3, "int64", False),
    ],
    "Exemplar": [
        ("labels_refs", 1, "uint32", True), ("value", 2, "double", False),
        ("timestamp", 3, "int64", False),
    ],
    "Metadata": [
        ("type", 1, "int32", False), ("help_ref", 3, "uint32", False),
        ("unit_ref", 4, "uint32", False),
    ],
    "Histogram": _HISTOGRAM,
    "Span": _SPAN,
}  # fmt: skip

Labels = frozenset[tuple[str, str]]


@dataclass(frozen=True)
class Written:
    """A sample, a histogram or an exemplar. Times in ms; a start of 0 was not told."""

    labels: Labels
    at: int
    value: Any
    start: int = 0

    @property
    def name(self) -> str:
        return dict(self.labels)["__name__"]


@dataclass(frozen=True)
class Delivery:
    """A request as it was read. `metadata`: type, help and unit of each metric of a series."""

    samples: list[Written]
    histograms: list[Written]
    exemplars: list[Written]
    metadata: Mapping[str, tuple[int, str, str]]


def _reader(messages: Mapping[str, list[_Field]], name: str) -> Any:
    package = f"tailrace_loadtest.{name}"
    file = FileDescriptorProto(name=f"{name}.proto", package=package, syntax="proto3")
    for message_name, fields in messages.items():
        message = file.message_type.add(name=message_name)
        for field_name, number, kind, is_many in fields:
            field = message.field.add(name=field_name, number=number, label=3 if is_many else 1)
            if kind in messages:
                field.type = FieldDescriptorProto.TYPE_MESSAGE
                field.type_name = f".{package}.{kind}"
            else:
                field.type = FieldDescriptorProto.Type.Value(f"TYPE_{kind.upper()}")
    pool = DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    return GetMessageClass(pool.FindMessageTypeByName(f"{package}.Request"))


_READERS: Final = {
    "0.1.0": _reader(_VERSION_1, "write_1"),
    "2.0.0": _reader(_VERSION_2, "write_2"),
}


def read_delivery(headers: Mapping[str, str], body: bytes) -> Delivery:
    """Return what the request holds; names of headers in lower case."""
    version = headers["x-prometheus-remote-write-version"]
    assert headers["content-encoding"] == "snappy"
    request = _READERS[version].FromString(bytes(cramjam.snappy.decompress_raw(body)))
    return _delivery_1(request) if version == "0.1.0" else _delivery_2(request)


def _delivery_1(request: Any) -> Delivery:
    found = Delivery([], [], [], {
        each.metric_family_name: (each.type, each.help, each.unit) for each in request.metadata
    })  # fmt: skip
    for series in request.timeseries:
        labels = _sorted((each.name, each.value) for each in series.labels)
        _take(found, labels, series, lambda each: _sorted((p.name, p.value) for p in each.labels))
    return found


def _delivery_2(request: Any) -> Delivery:
    metadata: dict[str, tuple[int, str, str]] = {}
    found = Delivery([], [], [], metadata)
    symbols = list(request.symbols)
    assert symbols[0] == "", "the first symbol must be empty"
    assert len(set(symbols)) == len(symbols), "a symbol is there twice"

    def named(refs: Any) -> Labels:
        texts = [symbols[each] for each in refs]
        return _sorted(zip(texts[::2], texts[1::2], strict=True))

    for series in request.timeseries:
        labels = named(series.labels_refs)
        _take(found, labels, series, lambda each: named(each.labels_refs))
        said = series.metadata
        metadata[dict(labels)["__name__"]] = (
            said.type, symbols[said.help_ref], symbols[said.unit_ref],
        )  # fmt: skip
    return found


def _sorted(pairs: Iterator[tuple[str, str]] | zip[tuple[str, str]]) -> Labels:
    told = list(pairs)
    assert told == sorted(told), "labels must be in the order of their names"
    assert all(value for _, value in told), "no label may be empty"
    return frozenset(told)


def _take(found: Delivery, labels: Labels, series: Any, labels_of: Any) -> None:
    assert bool(series.samples) != bool(series.histograms), "samples or histograms, not both"
    for each in series.samples:
        start = getattr(each, "start_timestamp", 0)
        found.samples.append(Written(labels, each.timestamp, each.value, start))
    found.histograms.extend(
        Written(labels, each.timestamp, each, each.start_timestamp) for each in series.histograms
    )
    found.exemplars.extend(
        Written(labels, each.timestamp, (each.value, labels_of(each))) for each in series.exemplars
    )
