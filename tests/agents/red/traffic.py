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

from tailrace.agents.red.dimensions import LabelSet
from tailrace.agents.red.settings import RedSettings
from tailrace.schemas.globs import Glob
from tailrace.schemas.series import CALLS, EVENTS, RED
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


TWO = LabelSet((("http.request.method", "none"), ("tier", None)))
NO_DIMENSIONS = RedSettings(LabelSet(), BOUNDS_NS, names)
TWO_DIMENSIONS = RedSettings(TWO, BOUNDS_NS, names)
EXPONENTIAL = RedSettings(TWO, (), names, max_size=4, unit_ns=1_000_000)
ALL_APART = RedSettings(
    TWO,
    BOUNDS_NS,
    names,
    calls=LabelSet((("tier", None),), ("http.*",)),
    events=LabelSet((("tier", "none"), ("http.method", None)), ("o*",)),
    scopes=frozenset({"io.lib", ""}),
    tells_method=True,
    tells_tenant=True,
)
ONLY_CALLS = RedSettings(
    None,
    calls=LabelSet(globs=("http.*", "{t,o}*")),
    excluded=frozenset({"span.name", "status.code", "collector.instance.id"}),
    resource_keys=frozenset({"service.name", "tier"}),
)
ANOTHER_EXCLUDED = RedSettings(
    LabelSet(), BOUNDS_NS, excluded=frozenset({"service.name", "span.kind"}), tells_tenant=True
)


@dataclass(frozen=True)
class Event:
    """An event as a test writes it."""

    name: str = "exception"
    attributes: Mapping[str, Any] = field(default_factory=dict)


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
    events: tuple[Event, ...] = ()
    scope: tuple[str, str] = ("", "")

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
    """A record; None is one that is no message. Its tenant is said by its key."""

    step_ms: int
    spans: tuple[Span, ...] | None
    tenant: str = "default"


def message(spans: Sequence[Span]) -> bytes:
    """Return the OTLP message of *spans*."""
    request = ExportTraceServiceRequest()
    resource, named = None, None
    for index, span in enumerate(spans):
        if span.resource is not resource:
            resource, named = span.resource, None
            block = request.resource_spans.add()
            block.resource.attributes.extend(_pairs(resource))
        if span.scope != named:
            named = span.scope
            scope = block.scope_spans.add()
            scope.scope.name, scope.scope.version = named
        target = scope.spans.add(
            trace_id=span.trace_id,
            span_id=b"%08d" % index,
            name=span.name,
            kind=span.kind,
            start_time_unix_nano=span.start,
            end_time_unix_nano=span.end,
            trace_state=span.state,
            attributes=_pairs(span.attributes),
            events=[
                {"name": each.name, "attributes": _pairs(each.attributes)} for each in span.events
            ],
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
        found.append(Row(offset, at, record.tenant.encode(), value))
    return found


Series = tuple[str, str]
"""Resource and labels, as text that tells 1, 1.0, True and "1" apart."""


def series(resource: Mapping[str, Any], labels: Sequence[tuple[str, Any]]) -> Series:
    return repr(sorted(resource.items())), repr(list(labels))


def counted_of(span: Span, settings: RedSettings, tenant: str) -> list[tuple[str, Series]]:
    """Return what *span* counts as: families and series; nothing if it is not counted."""
    if "service.name" not in span.resource:
        return []
    found = []
    for family, labels in settings.families.items():
        of = span.events if family == EVENTS else [None]
        found += [(family, _series_of(span, event, labels, settings, tenant)) for event in of]
    return found


def spans_of(settings: RedSettings) -> str:
    """The family that has every span."""
    return CALLS if settings.durations is None else RED


def _series_of(
    span: Span, event: Event | None, labels: LabelSet, settings: RedSettings, tenant: str
) -> Series:
    resource = dict(span.resource)
    if settings.resource_keys:
        resource = {key: resource[key] for key in resource if key in settings.resource_keys}
    found = _of_span(span, settings)
    holders = (span.attributes, {} if event is None else event.attributes, span.resource)
    for name, default in labels.named:
        defaults = {} if default is None else {name: default}
        values = [
            holder[key] for holder in (*holders, defaults) for key in names(name) if key in holder
        ]
        if values:
            found[name] = typed(text_of(values[0]))
    globs = [Glob(glob) for glob in labels.globs]
    keys = {key for holder in holders for key in holder}
    for key in sorted(key for key in keys if any(glob.matches(key) for glob in globs)):
        found[key] = typed(text_of(next(holder[key] for holder in holders if key in holder)))
    whose = {"tenant": tenant} if settings.tells_tenant else {}
    overflow = [*whose.items(), ("otel.metric.overflow", True)]
    if HUGE not in (*resource.values(), *found.values()):
        return series(resource, [*found.items(), *whose.items()])
    service = {key: value for key, value in resource.items() if key == "service.name"}
    kept = next(each for each in (resource, service, {}) if HUGE not in each.values())
    return series(kept, overflow)


def _of_span(span: Span, settings: RedSettings) -> dict[str, Any]:
    found = {
        "service.name": span.resource["service.name"],
        "span.name": span.name,
        "span.kind": f"SPAN_KIND_{KINDS[span.kind]}",
        "status.code": f"STATUS_CODE_{STATUSES[span.status]}",
    }
    found = {name: value for name, value in found.items() if name not in settings.excluded}
    if settings.tells_method:
        found["sampling.method"] = "extrapolated" if "th:" in span.state else "counted"
    name, version = span.scope
    if name and name in settings.scopes:
        found["span.instrumentation.scope.name"] = name
        if version:
            found["span.instrumentation.scope.version"] = version
    return found


_METHODS = st.sampled_from(["GET", "POST", 1, True, 1.0, None, "none", HUGE])
_ATTRIBUTES = st.dictionaries(
    st.sampled_from(["http.method", "http.request.method", "tier", "other"]), _METHODS, max_size=3
)
_RESOURCES = st.builds(
    lambda service, more: more if service is None else {"service.name": service, **more},
    st.sampled_from(["api", "api", "cart", "", HUGE, None]),
    st.dictionaries(st.sampled_from(["http.method", "tier", "pod"]), _METHODS, max_size=2),
)
_EVENTS = st.lists(st.builds(Event, st.just("e"), _ATTRIBUTES), max_size=2).map(tuple)
_SCOPES = st.sampled_from([("", ""), ("", "1"), ("io.lib", ""), ("io.lib", "2"), ("other", "2")])
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
    events=_EVENTS,
    scope=_SCOPES,
)
_STEPS = st.sampled_from([0, 0, 1, 500, 999, 1000, 1001, 2500, -700])
_MESSAGES = st.one_of(st.lists(_SPANS, max_size=4).map(tuple), st.none())

_TENANTS = st.sampled_from(["default", "default", "acme"])

traffic = st.lists(st.builds(Sent, _STEPS, _MESSAGES, _TENANTS), max_size=12)
settings_drawn = st.sampled_from(
    [NO_DIMENSIONS, TWO_DIMENSIONS, EXPONENTIAL, ALL_APART, ONLY_CALLS, ANOTHER_EXCLUDED]
)
