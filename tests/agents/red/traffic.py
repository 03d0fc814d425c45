"""Traffic for RED as Hypothesis draws it, and what each span of it counts as.

The expectation is worked out span by span from what was drawn, without a column in sight.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

from tailrace.agents.red.logic import RedSettings
from tailrace.schemas.strings import text_of, typed
from tests.streams.deaths import Row

BEGIN_MS = 1_700_000_000_000
END_MS = BEGIN_MS + 10**9
INTERVAL_MS = 1000
HUGE = "x" * 20_000
BOUNDS_NS = (0, 2_000_000, 1_000_000_000)

KINDS = ["UNSPECIFIED", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER"]
STATUSES = ["UNSET", "OK", "ERROR"]
TRACES = [b"sixteen bytes: a", b"sixteen bytes: b", b"fifteen bytes.."]

WEIGHTS = {"": 1, "ot=th:8": 2, "k=v,ot=th:fff": 4096, "ot=rv:ffffffffffffff": 1, "no": 1}

OTHER_NAMES = {"http.request.method": "http.method", "http.method": "http.request.method"}


def names(key: str) -> tuple[str, ...]:
    """The names of one attribute, old and new."""
    return (key, OTHER_NAMES[key]) if key in OTHER_NAMES else (key,)


NO_DIMENSIONS = RedSettings((), BOUNDS_NS, names)
TWO_DIMENSIONS = RedSettings((("http.request.method", "none"), ("tier", None)), BOUNDS_NS, names)


@dataclass(frozen=True)
class Span:
    """A span as a test writes it; times in ns. Neighbours of equal resources share theirs."""

    resource: Mapping[str, Any] = field(default_factory=lambda: {"service.name": "api"})
    name: str = "GET /"
    kind: int = 2
    status: int = 0
    start: int = BEGIN_MS * 1_000_000
    end: int = BEGIN_MS * 1_000_000
    attributes: Mapping[str, Any] = field(default_factory=dict)
    trace_id: bytes = TRACES[0]
    state: str = ""

    @property
    def weight(self) -> int:
        """How many spans it stands for."""
        return WEIGHTS[self.state]

    @property
    def is_good(self) -> bool:
        """False for one that the decoder refuses."""
        return len(self.trace_id) == 16


@dataclass(frozen=True)
class Sent:
    """A record; None is one that is no message."""

    step_ms: int
    spans: tuple[Span, ...] | None


def message(spans: Sequence[Span]) -> bytes:
    """Return the OTLP message of *spans*."""
    request = ExportTraceServiceRequest()
    resource = None
    for index, span in enumerate(spans):
        if span.resource is not resource:
            resource = span.resource
            block = request.resource_spans.add()
            block.resource.attributes.extend(_pairs(resource))
            scope = block.scope_spans.add()
        target = scope.spans.add(
            trace_id=span.trace_id,
            span_id=b"%08d" % index,
            name=span.name,
            kind=span.kind,
            start_time_unix_nano=span.start,
            end_time_unix_nano=span.end,
            trace_state=span.state,
            attributes=_pairs(span.attributes),
        )
        target.status.code = span.status
    encoded: bytes = request.SerializeToString()
    return encoded


def _pairs(attributes: Mapping[str, Any]) -> list[KeyValue]:
    return [KeyValue(key=key, value=_any_value(value)) for key, value in attributes.items()]


def _any_value(value: Any) -> AnyValue:
    names = {bool: "bool_value", int: "int_value", float: "double_value", str: "string_value"}
    return AnyValue() if value is None else AnyValue(**{names[type(value)]: value})


def rows(sent: Sequence[Sent]) -> list[Row]:
    """The records as Kafka has them."""
    found, at = [], BEGIN_MS
    for offset, record in enumerate(sent):
        at += record.step_ms
        value = b"\xffgarbage" if record.spans is None else message(record.spans)
        found.append(Row(offset, at, None, value))
    return found


Series = tuple[str, str]
"""Resource and labels, as text that tells 1, 1.0, True and "1" apart."""


def series(resource: Mapping[str, Any], labels: Sequence[tuple[str, Any]]) -> Series:
    return repr(sorted(resource.items())), repr(list(labels))


def series_of(span: Span, settings: RedSettings) -> Series | None:
    """Return what *span* counts as; None if it is not counted."""
    if "service.name" not in span.resource:
        return None
    service = span.resource["service.name"]
    labels = [
        ("service.name", service),
        ("span.name", span.name),
        ("span.kind", f"SPAN_KIND_{KINDS[span.kind]}"),
        ("status.code", f"STATUS_CODE_{STATUSES[span.status]}"),
    ]
    for name, default in settings.dimensions:
        defaults = {} if default is None else {name: default}
        holders = (span.attributes, span.resource, defaults)
        found = [holder[key] for holder in holders for key in names(name) if key in holder]
        labels += [(name, typed(text_of(value))) for value in found[:1]]
    overflow = [("otel.metric.overflow", True)]
    if service == HUGE:
        return series({}, overflow)
    if HUGE in span.resource.values():
        return series({"service.name": service}, overflow)
    if HUGE in [value for _, value in labels]:
        return series(span.resource, overflow)
    return series(span.resource, labels)


_METHODS = st.sampled_from(["GET", "POST", 1, True, 1.0, None, "none", HUGE])
_ATTRIBUTES = st.dictionaries(
    st.sampled_from(["http.method", "http.request.method", "tier", "other"]), _METHODS, max_size=3
)
_RESOURCES = st.builds(
    lambda service, more: more if service is None else {"service.name": service, **more},
    st.sampled_from(["api", "api", "cart", "", HUGE, None]),
    st.dictionaries(st.sampled_from(["http.method", "tier", "pod"]), _METHODS, max_size=2),
)
_TIMES = st.integers(0, 3).map(lambda step: BEGIN_MS * 1_000_000 + step * 7)
_SPANS = st.builds(
    Span,
    resource=_RESOURCES,
    name=st.sampled_from(["GET /", "SELECT", "", HUGE]),
    kind=st.integers(0, 5),
    status=st.integers(0, 2),
    start=st.one_of(_TIMES, st.just(0)),
    end=st.one_of(_TIMES, st.integers(0, 2**63 - 1)),
    attributes=_ATTRIBUTES,
    trace_id=st.sampled_from(TRACES),
    state=st.sampled_from(["", "", "", *WEIGHTS]),
)
_STEPS = st.sampled_from([0, 0, 1, 500, 999, 1000, 1001, 2500, -700])
_MESSAGES = st.one_of(st.lists(_SPANS, max_size=4).map(tuple), st.none())

traffic = st.lists(st.builds(Sent, _STEPS, _MESSAGES), max_size=12)
settings_drawn = st.sampled_from([NO_DIMENSIONS, TWO_DIMENSIONS])
