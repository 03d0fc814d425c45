"""Exemplars as Prometheus has them: with a histogram, each in the bucket that it fell into."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from google.protobuf.message import DecodeError
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from tailrace.schemas.otlp.attributes import plain_value
from tailrace.schemas.otlp.wire import framed
from tailrace.schemas.prometheus import naming
from tailrace.schemas.prometheus.remote_write import Exemplar, Pairs
from tailrace.schemas.strings import text_of

_MS_NS: Final = 1_000_000
_LONGEST: Final = 128
"""Characters that the labels of an exemplar may have together, by OpenMetrics."""


def of_point(bounds: Sequence[float], exemplars: Iterable[Any]) -> Iterator[tuple[int, Exemplar]]:
    """Yield each of *exemplars* with the number of its bucket, in the order of their times."""
    found = sorted(map(_exemplar, exemplars), key=lambda each: each.at)
    for each in found:
        yield bisect_left(bounds, each.value), each


def _exemplar(exemplar: Any) -> Exemplar:
    value = exemplar.as_int if exemplar.HasField("as_int") else exemplar.as_double
    return Exemplar(_labels(exemplar), float(value), exemplar.time_unix_nano // _MS_NS)


def _labels(exemplar: Any) -> Pairs:
    """Return the ids, and of the attributes as many as there is room for."""
    labels: dict[str, str] = {}
    if exemplar.trace_id:
        labels["trace_id"] = exemplar.trace_id.hex()
    if exemplar.span_id:
        labels["span_id"] = exemplar.span_id.hex()
    if exemplar.filtered_attributes:
        try:
            parsed = Resource.FromString(framed(exemplar.filtered_attributes))
        except DecodeError:
            return tuple(sorted(labels.items()))
        room = _LONGEST - sum(len(name) + len(value) for name, value in labels.items())
        for each in parsed.attributes:
            name, value = naming.label_name(each.key), text_of(plain_value(each.value))
            room -= len(name) + len(value)
            if room < 0:
                break
            labels.setdefault(name, value)
    return tuple(sorted(labels.items()))
