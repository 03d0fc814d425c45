"""What the collector's library said: of which spans, of which texts, and what.

`spans.json` has OTLP. In `values.json`, `conditions.json` and `event_conditions.json` a case is the
name of a document there, a text, and what was said of it for each span or event in order; or
"refused" if the text could not be parsed. "error" is said of what has no answer.
"""

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from tailrace.schemas.otlp.json import read_json
from tailrace.schemas.ottl import Context, Subject
from tailrace.schemas.ottl.functions.calendar import rfc3339
from tailrace.schemas.ottl.values import (
    Duration,
    Moment,
    ProfileId,
    SpanId,
    Texts,
    TraceId,
    Written,
    as_bytes,
)

_HERE = Path(__file__).parent


class Case(NamedTuple):
    """What was said of a text."""

    document: str
    text: str
    said: Any

    @property
    def id(self) -> str:
        return f"{self.document}: {self.text}"


def read(name: str) -> Any:
    return json.loads((_HERE / name).read_bytes())


def cases(name: str) -> list[Case]:
    return [Case(*case) for case in read(name)]


@cache
def encoded(document: str) -> bytes:
    """A document of `spans.json` as protobuf."""
    return read_json(json.dumps(read("spans.json")[document]).encode())


def spans(document: str) -> list[Subject]:
    data = TracesData.FromString(encoded(document))
    return [
        Subject(resource_spans, scope_spans, span)
        for resource_spans in data.resource_spans
        for scope_spans in resource_spans.scope_spans
        for span in scope_spans.spans
    ]


def subjects(document: str, context: Context) -> Iterator[Subject]:
    """What conditions of *context* are asked about, in order."""
    for subject in spans(document):
        if context == "span":
            yield subject
            continue
        for index, event in enumerate(subject.span.events):
            yield subject._replace(event=event, event_index=index)


def typed(value: Any) -> Any:
    """*value* as it is written in `values.json`."""
    kind = type(value)
    if kind is dict:
        items = sorted([key, typed(item)] for key, item in value.items())
        return ["map", items or None]
    if kind in _LISTS:
        return [_LISTS[kind], [typed(item) for item in value]]
    if kind is Moment:
        seconds, nanos = divmod(value.nanos, 10**9)
        return ["time", str(seconds), nanos, rfc3339(value)]
    return _PLAIN[kind](value)


_LISTS = {list: "slice", Written: "list", Texts: "[]string"}
_PLAIN: dict[type, Any] = {
    type(None): lambda _: ["nil"],
    str: lambda value: ["string", as_bytes(value).decode("utf-8", "replace")],
    bool: lambda value: ["bool", value],
    int: lambda value: ["int", str(value)],
    float: lambda value: ["float", repr(value)],
    bytes: lambda value: ["bytes", value.hex()],
    Duration: lambda value: ["duration", str(value.nanos)],
    TraceId: lambda value: ["trace_id", value.id.hex()],
    SpanId: lambda value: ["span_id", value.id.hex()],
    ProfileId: lambda value: ["profile_id", value.id.hex()],
}


def with_doubles(said: Any) -> Any:
    """*said* with every double written as Python writes it."""
    if isinstance(said, list):
        if said[:1] == ["float"]:
            return ["float", repr(float(said[1]))]
        return [with_doubles(each) for each in said]
    return said
