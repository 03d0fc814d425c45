"""JSON as others write it: messages of spans in other words, and documents of anything."""

import random
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

NAMES = [
    "resourceSpans",
    "resource_spans",
    "scopeSpans",
    "spans",
    "attributes",
    "key",
    "value",
    "arrayValue",
    "kvlistValue",
    "values",
    "traceId",
    "kind",
    "status",
    "intValue",
    "doubleValue",
]


def line_of(span: str) -> bytes:
    """A message of one span."""
    return f'{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{span}]}}]}}]}}'.encode()


_leaves = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(["", "NaN", "ff", "12", "-1", "SPAN_KIND_CLIENT", "é", "x" * 500])
)
documents = st.recursive(
    _leaves,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=3)
    ),
    max_leaves=12,
)


def rewritten(document: Any, rng: random.Random) -> Any:
    """The same message: other names, order, case, kinds of number; with null and unknown fields."""
    if isinstance(document, list):
        return [rewritten(item, rng) for item in document]
    if not isinstance(document, dict):
        return document
    items = [
        (_renamed(name, rng), _said_otherwise(name, item, rng)) for name, item in document.items()
    ]
    if rng.random() < 0.3:
        items += [("later", {"a": [1, {}]}), ("schemaUrlOfLater", None)]
        items += [("attributes", None)] * ("attributes" not in document)
    rng.shuffle(items)
    return dict(items)


def _renamed(name: str, rng: random.Random) -> str:
    snake = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)
    return rng.choice([name, snake])


def _said_otherwise(name: str, item: Any, rng: random.Random) -> Any:
    if isinstance(item, dict | list):
        return rewritten(item, rng)
    if rng.random() < 0.5:
        return item
    if name in ("traceId", "spanId", "parentSpanId"):
        return item.upper()
    if name in ("intValue", "startTimeUnixNano", "endTimeUnixNano", "timeUnixNano"):
        return int(item)
    if name == "kind" and 0 <= item <= 5:
        return Span.SpanKind.Name(item)
    if name == "code" and 0 <= item <= 2:
        return Status.StatusCode.Name(item)
    if name == "bytesValue":
        return item.replace("+", "-").replace("/", "_").rstrip("=")
    if name == "doubleValue" and not isinstance(item, str):
        return repr(item)
    return item


def with_another_node(document: Any, draw: Callable[[Any], Any]) -> Any:
    """*document*, in which one part, drawn, is something else."""
    if isinstance(document, dict | list) and document and draw(st.integers(0, 9)):
        keys = list(document) if isinstance(document, dict) else range(len(document))
        key = draw(st.sampled_from(keys))
        document[key] = with_another_node(document[key], draw)
        return document
    return draw(documents)


_ARRAY, _MAP = "arrays", "maps"
NESTINGS = [_ARRAY, _MAP]


def nested(kind: str, depth: int) -> dict[str, Any]:
    """An AnyValue of so many lists, or maps, in each other."""
    value: dict[str, Any] = {"stringValue": "v"}
    for _ in range(depth):
        if kind == _ARRAY:
            value = {"arrayValue": {"values": [value]}}
        else:
            value = {"kvlistValue": {"values": [{"key": "k", "value": value}]}}
    return value
