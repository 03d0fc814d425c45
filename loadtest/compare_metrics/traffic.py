"""Spans at random, as they come to metrics: services that call each other, and oddities.

The same seed gives the same bytes. All spans end before the scenario begins, the last of them
just then.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from random import Random

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, Span, Status

from tailrace_loadtest.compare.values import attributes
from tailrace_loadtest.compare_metrics.scenario import BEGIN_NS, Arrival

_MS = 1_000_000
ODDITIES = (
    *("bad_ids", "unknown_numbers", "backwards", "root_servers", "servers_of_one", "repeats"),
    *("service_types", "unnamed", "old_names", "thresholds", "databases_late"),
)
"""What most producers do not do; a load has some of these, or none."""

_SERVICES = ("shop", "cart", "pay", "web")
_STRANGE_SERVICES = (
    *(AnyValue(int_value=7), AnyValue(bool_value=True), AnyValue(string_value="")),
)
_NAMES = ("GET /cart", "POST /pay", "SELECT", "größe", "")
_KINDS = ("internal", "internal", "server", "client", "producer", "consumer", "unspecified")
_DURATIONS = (
    *(0, 1, 999, _MS, 2 * _MS, 2 * _MS + 1, 3 * _MS, 9_990_000, 10 * _MS, 49 * _MS, 50 * _MS),
    *(
        64 * _MS,
        128 * _MS,
        250 * _MS,
        999 * _MS,
        1000 * _MS,
        1024 * _MS,
        15_000 * _MS,
        3_600_000 * _MS,
    ),
)
STATES = {
    "ot=th:8": 2,
    "ot=th:c": 4,
    "ot=th:0": 1,
    "vendor=a,ot=th:e": 8,
    "ot=th:f0;rv:fffffffffffffe": 16,
}
"""For how many spans each stands: whole numbers, for a collector rounds others at random."""
_PLAIN_STATES = ("", "", "", "vendor=a", "ot=rv:0123456789abcd", "ot=th:", "ot=th:xyz", "a=b,c=d")
_KEYS = ("env", "code", "ratio", "cached", "user", "tags", "context", "blob")
_DOTTED = ("app.tier", "app.tier.level", "app.x")
_PEERS = ("peer.service", "app.peer", "db.name", "db.system", "host")
"""The first two never name a database."""
_OLD_NAMES = (
    ("http.method", "http.request.method"),
    ("db.name", "db.namespace"),
    ("db.system", "db.system.name"),
)
_GAPS, _LATER = (0.0, 0.0, 0.0, 1.0, 3.0, 7.0), (0, 4)
"""In s: no two sides of a call come 2 s apart, for that is how long the first waits."""
_EVENTS = ("exception", "log", "")


@dataclass
class Load:
    """Messages in order of arrival, as requests that may still be changed."""

    messages: list[tuple[float, ExportTraceServiceRequest]]

    def arrivals(self) -> list[Arrival]:
        """Return them as they are sent."""
        return [Arrival(at, request.SerializeToString()) for at, request in self.messages]


@dataclass
class _Draw:
    """What a load is drawn from: few resources and scopes, so that series come again."""

    random: Random
    oddities: Sequence[str]
    resources: list[ResourceSpans] = field(default_factory=list)
    spans: list[tuple[float, int, int, Span]] = field(default_factory=list)
    """When it comes, the places of its resource and scope, and the span."""

    def has(self, oddity: str, share: float = 0.15) -> bool:
        """Whether to do it now."""
        return oddity in self.oddities and self.random.random() < share


def load(
    random: Random,
    traces: int,
    lasts_s: int,
    oddities: Sequence[str] = (),
    *,
    one_a_second: bool = False,
) -> Load:
    """Return *traces* whose spans come within *lasts_s*, at halves of seconds.

    *one_a_second*: so much later that no two come in one second, with an event at most.
    """
    draw = _Draw(random, oddities)
    draw.resources = [_resource(draw) for _ in range(random.choice((2, 4, 6)))]
    for number in range(traces):
        _trace(draw, number + 1, random.randrange(lasts_s) + 0.5)
    if one_a_second:
        draw.spans = [*_in_line(draw)]
    latest = max(span.end_time_unix_nano for *_, span in draw.spans)
    for *_, span in draw.spans:
        span.start_time_unix_nano += BEGIN_NS - latest
        span.end_time_unix_nano += BEGIN_NS - latest
    return Load(_messages(draw))


def _in_line(draw: _Draw) -> Iterator[tuple[float, int, int, Span]]:
    draw.spans.sort(key=lambda each: each[0])
    for second, (_, resource, scope, span) in enumerate(draw.spans):
        del span.events[1:]
        yield second + 0.5, resource, scope, span


def _messages(draw: _Draw) -> list[tuple[float, ExportTraceServiceRequest]]:
    """Spans that come at one time share messages, most of them."""
    draw.spans.sort(key=lambda each: each[0])
    found: list[tuple[float, ExportTraceServiceRequest]] = []
    for at, resource, scope, span in draw.spans:
        if not found or found[-1][0] != at or draw.random.random() < 0.2:
            found.append((at, ExportTraceServiceRequest()))
        request = found[-1][1]
        wanted = draw.resources[resource]
        if not request.resource_spans or request.resource_spans[-1].resource != wanted.resource:
            request.resource_spans.append(wanted)
        block = request.resource_spans[-1]
        name, version = _SCOPES[scope]
        if not block.scope_spans or block.scope_spans[-1].scope.name != name:
            block.scope_spans.add().scope.name = name
            block.scope_spans[-1].scope.version = version
        block.scope_spans[-1].spans.append(span)
    return found


_SCOPES = (("http", "1.2"), ("sql", ""), ("", ""), ("", "3"))


def _resource(draw: _Draw) -> ResourceSpans:
    random, found = draw.random, ResourceSpans()
    own = found.resource.attributes
    if not draw.has("unnamed", 0.4):
        own.append(_named("service.name", random.choice(_SERVICES)))
        if draw.has("service_types", 0.4):
            own[0].value.CopyFrom(random.choice(_STRANGE_SERVICES))
    if random.random() < 0.3:
        own.append(_named("service.instance.id", random.choice("ab")))
    if random.random() < 0.3:
        own.append(_named("service.namespace", "eu"))
    own.extend(_once(attributes(random, ("env", "code", "cached"), 0.2)))
    if random.random() < 0.2:
        own.append(_named("host", random.choice(("h1", "h2"))))
    return found


def _trace(draw: _Draw, number: int, at: float) -> None:
    """Calls from one to the next, some with a part missing, and spans that are no calls."""
    random = draw.random
    parent = 0
    for step in range(random.choice((1, 1, 2, 3))):
        client, server = 10 * step + 1, 10 * step + 2
        what = random.random()
        if what < 0.6:
            parent = _call(draw, number, parent, client, server, at)
        elif what < 0.8:
            kind = random.choice(_KINDS)
            if (
                kind in ("server", "consumer")
                and not parent
                and "root_servers" not in draw.oddities
            ):
                kind = "internal" if step else kind
            _add(draw, number, client, parent or 99, kind, at)
            parent = client if kind == "internal" else parent
        else:
            _add(draw, number, client, parent or 99, "internal", at)
    if draw.has("root_servers"):
        for row in range(random.choice((1, 2))):
            _add(draw, number, 80 + row, 0, "server", at + row)
    elif random.random() < 0.15 and not parent:
        _add(draw, number, 80, 0, random.choice(("server", "consumer")), at)


def _call(draw: _Draw, number: int, parent: int, client: int, server: int, at: float) -> int:
    """A client and its server, in any order; returns the ID of the last."""
    random = draw.random
    sends = random.random() < 0.2
    kinds = random.choice(
        (("producer", "consumer"), ("client", "consumer"), ("producer", "server"))
    )
    one, other = kinds if sends else ("client", "server")
    gap = random.choice(_GAPS)
    first, second = (at, at + gap) if random.random() < 0.7 else (at + gap, at)
    has_server = random.random() < 0.85
    peers = _PEERS if not has_server or "databases_late" in draw.oddities else _PEERS[:2]
    peer = random.choice(peers) if random.random() < 0.3 else ""
    _add(draw, number, client, parent or 98, one, first, peer)
    if draw.has("repeats"):
        _, resource, scope, span = draw.spans[-1]
        draw.spans.append((first + random.choice((0, 20)), resource, scope, deepcopy(span)))
    if has_server:
        _add(draw, number, server, client, other, second)
        if draw.has("servers_of_one"):
            _add(draw, number, server + 1, client, "server", second + random.choice(_LATER))
    return server


def _add(
    draw: _Draw, trace: int, id: int, parent: int, kind: str, at: float, peer: str = ""
) -> None:
    random = draw.random
    end = BEGIN_NS - random.choice((0, 0, 1, _MS))
    span = Span(
        trace_id=trace.to_bytes(16, "big"),
        span_id=id.to_bytes(8, "big"),
        parent_span_id=parent.to_bytes(8, "big") if parent else b"",
        name=random.choice(_NAMES),
        kind=Span.SpanKind.Value(f"SPAN_KIND_{kind.upper()}"),
        start_time_unix_nano=end - random.choice(_DURATIONS),
        end_time_unix_nano=end,
        trace_state=random.choice([*STATES] if draw.has("thresholds", 0.3) else _PLAIN_STATES),
        attributes=_once(attributes(random, _KEYS, 0.15)),
    )
    if random.random() < 0.4:
        span.status.CopyFrom(Status(code=random.choice(_CODES)))
    if peer:
        span.attributes.append(_named(peer, random.choice(("x", "y"))))
    if random.random() < 0.3:
        span.attributes.append(_named("http.method", random.choice(("GET", "POST", ""))))
    if random.random() < 0.3:
        span.attributes.append(_named(random.choice(_DOTTED), random.choice("12")))
    for _ in range(random.choice((0, 0, 0, 1, 3))):
        span.events.add(
            name=random.choice(_EVENTS), attributes=_once(attributes(random, _KEYS[:5], 0.3))
        )
    _make_odd(draw, span)
    resource = random.randrange(len(draw.resources))
    draw.spans.append((at, resource, random.randrange(len(_SCOPES)), span))


_CODES = tuple(map(Status.StatusCode.ValueType, (0, 1, 2)))


def _make_odd(draw: _Draw, span: Span) -> None:
    if draw.has("bad_ids"):
        draw.random.choice((_without_trace, _without_id))(span)
    if draw.has("unknown_numbers"):
        span.MergeFromString(bytes((0x30, 9)))
    if draw.has("backwards"):
        span.start_time_unix_nano = span.end_time_unix_nano + draw.random.choice((1, _MS))
    if draw.has("old_names", 0.3):
        old, new = draw.random.choice(_OLD_NAMES)
        span.attributes.append(_named(draw.random.choice((old, new)), "named"))
        once = _once(span.attributes)
        del span.attributes[:]
        span.attributes.extend(once)


def _without_trace(span: Span) -> None:
    span.trace_id = bytes(16)


def _without_id(span: Span) -> None:
    span.span_id = bytes(8)


def _once(found: Sequence[KeyValue]) -> list[KeyValue]:
    """*found* with each key once."""
    return [*{each.key: each for each in found}.values()]


def _named(key: str, value: str) -> KeyValue:
    return KeyValue(key=key, value=AnyValue(string_value=value))
