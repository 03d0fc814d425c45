"""Traffic for the service graph: spans as tests write them and as Hypothesis draws them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

from tailrace.agents.service_graph.settings import ServiceGraphSettings
from tests.streams.deaths import Row

MS = 1_000_000
BEGIN_MS = 1_700_000_000_000
END_MS = BEGIN_MS + 10**9
INTERVAL_MS = 1000
BOUNDS_NS = (0, 2 * MS, 1000 * MS)
SERVER, CLIENT, PRODUCER, CONSUMER = 2, 3, 4, 5
ERROR = 2

TRACES = [b"sixteen bytes: a", b"sixteen bytes: b"]
IDS = [b"span ids", b"of eight", b"bytes..."]
ROOTS = [b"", bytes(8)]

WEIGHTS = {"": 1, "ot=th:8": 2, "k=v,ot=th:fff": 4096, "no": 1}
"""Trace states and how many spans one with it stands for."""

_OTHER_NAMES = {"db.name": "db.namespace", "tier": "deployment.tier"}


def names(key: str) -> tuple[str, ...]:
    """The names of one attribute, old and new."""
    return (key, _OTHER_NAMES[key]) if key in _OTHER_NAMES else (key,)


DEFAULTS = ServiceGraphSettings(
    ttl_ms=2000,
    max_items=None,
    bounds_ns=BOUNDS_NS,
    peer_attributes=("peer.service", "db.name", "db.system"),
    database_name_attributes=("db.name",),
    dimensions=(),
    names=names,
)


@dataclass(frozen=True)
class Span:
    """A span as a test writes it; it lasts *ns*. An empty service: the resource has none."""

    kind: int = CLIENT
    service: str = "api"
    span_id: bytes = IDS[0]
    parent: bytes = b""
    ns: int = 0
    status: int = 0
    attributes: Mapping[str, Any] = field(default_factory=dict)
    resource: Mapping[str, Any] = field(default_factory=dict)
    trace_id: bytes = TRACES[0]
    state: str = ""
    links: tuple[tuple[bytes, bytes], ...] = ()
    """Trace and span IDs."""

    def but(self, **changes: Any) -> Span:
        """The same span with *changes*."""
        return replace(self, **changes)


@dataclass(frozen=True)
class Sent:
    """A record; None is one that is no message."""

    step_ms: int
    spans: tuple[Span, ...] | None


def message(spans: Sequence[Span]) -> bytes:
    """Return the OTLP message of *spans*, each with a resource of its own."""
    request = ExportTraceServiceRequest()
    for span in spans:
        block = request.resource_spans.add()
        if span.service:
            block.resource.attributes.extend(_pairs({"service.name": span.service}))
        block.resource.attributes.extend(_pairs(span.resource))
        target = block.scope_spans.add().spans.add(
            trace_id=span.trace_id,
            span_id=span.span_id,
            parent_span_id=span.parent,
            name="GET /",
            kind=span.kind,
            start_time_unix_nano=BEGIN_MS * MS,
            end_time_unix_nano=BEGIN_MS * MS + span.ns,
            trace_state=span.state,
            attributes=_pairs(span.attributes),
        )
        target.status.code = span.status
        for trace_id, span_id in span.links:
            target.links.add(trace_id=trace_id, span_id=span_id)
    encoded: bytes = request.SerializeToString()
    return encoded


def _pairs(attributes: Mapping[str, Any]) -> list[KeyValue]:
    return [KeyValue(key=key, value=_any_value(value)) for key, value in attributes.items()]


def _any_value(value: Any) -> AnyValue:
    kinds = {bool: "bool_value", int: "int_value", float: "double_value", str: "string_value"}
    return AnyValue() if value is None else AnyValue(**{kinds[type(value)]: value})


def rows(sent: Sequence[Sent]) -> list[Row]:
    """The records as Kafka has them."""
    found, at = [], BEGIN_MS
    for offset, record in enumerate(sent):
        at += record.step_ms
        value = b"\xffgarbage" if record.spans is None else message(record.spans)
        found.append(Row(offset, at, None, value))
    return found


_VALUES = st.sampled_from(["orders", "", None, True, 2, 2.0, "2"])
_ATTRIBUTES = st.dictionaries(
    st.sampled_from(
        ["db.name", "db.namespace", "db.system", "peer.service", "tier", "tier", "deployment.tier"]
    ),
    _VALUES,
    max_size=2,
)
_NO_ATTRIBUTES: st.SearchStrategy[dict[str, Any]] = st.just({})
_IDS = [IDS[0], *IDS[:2], *IDS]  # so that few are met often
_SPANS = st.builds(
    Span,
    kind=st.sampled_from([1, SERVER, SERVER, SERVER, CLIENT, CLIENT, CLIENT, PRODUCER, CONSUMER]),
    service=st.sampled_from(["api", "api", "api", "cart", "cart", ""]),
    span_id=st.sampled_from([*_IDS, *_IDS, b"unlawful id"]),
    parent=st.sampled_from([*_IDS, *_IDS, *ROOTS]),
    ns=st.sampled_from([0, 1, 2 * MS, 2 * MS + 1, 1500 * MS, -7, 1 << 61]),
    status=st.sampled_from([0, 1, ERROR]),
    attributes=_NO_ATTRIBUTES | _ATTRIBUTES,
    resource=_NO_ATTRIBUTES | _NO_ATTRIBUTES | _ATTRIBUTES,
    trace_id=st.sampled_from([*TRACES[:1] * 6, TRACES[1], b"fifteen bytes.."]),
    state=st.sampled_from([*[""] * 8, *WEIGHTS]),
    links=st.sampled_from([(), ()])
    | st.lists(
        st.tuples(
            st.sampled_from([*TRACES, *TRACES, bytes(16), b"short"]),
            st.sampled_from([*IDS, *IDS, bytes(8)]),
        ),
        max_size=3,
    ).map(tuple),
)
_STEPS = st.sampled_from([0, 0, 1, 300, 699, 700, 701, 1000, 2000, 2001, 5000, -1, -700])

traffic = st.lists(
    st.builds(Sent, _STEPS, st.none() | st.lists(_SPANS, max_size=6).map(tuple)), max_size=12
)

LINKED = st.builds(
    lambda span, span_id, links: (
        span.but(kind=PRODUCER, trace_id=TRACES[0], span_id=span_id)
        if span.kind in (CLIENT, PRODUCER)
        else span.but(kind=CONSUMER, trace_id=TRACES[1], links=links)
    ),
    _SPANS,
    st.sampled_from(_IDS),
    st.lists(
        st.tuples(st.sampled_from(TRACES[:1] * 2 + TRACES), st.sampled_from(_IDS)), max_size=3
    ).map(tuple),
)
MESSAGES = LINKED | _SPANS.map(
    lambda span: span.but(kind={SERVER: CONSUMER, CLIENT: PRODUCER}.get(span.kind, span.kind))
)
"""Spans that are mostly of producers and consumers, which link to each other."""

messages = st.lists(
    st.builds(Sent, _STEPS, st.none() | st.lists(MESSAGES, max_size=4).map(tuple)), max_size=8
)

settings_drawn = st.builds(
    ServiceGraphSettings,
    ttl_ms=st.sampled_from([1, 700, 2000, 2000, 2000, 10_000]),
    max_items=st.sampled_from([None, None, None, None, 1, 2, 4]),
    bounds_ns=st.just(BOUNDS_NS),
    peer_attributes=st.sampled_from([(), ("peer.service", "db.name", "db.system")]),
    database_name_attributes=st.sampled_from([("db.name",), ("tier", "db.name")]),
    dimensions=st.sampled_from([(), (), ("tier",), ("db.system", "tier")]),
    names=st.just(names),
    labels_virtual_nodes=st.sampled_from([False, False, True]),
    has_links=st.booleans(),
)
