"""Traces at random, in the messages in which they come.

The same seed gives the same bytes. Among the traces are a few whose spans no sampler should see,
and some whose messages bring two traces at once.
"""

from __future__ import annotations

from random import Random

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span, Status

from tailrace_loadtest.compare.messages import Traces, arrived
from tailrace_loadtest.compare.values import KEYS, any_value, attributes

START = 1_750_000_000_000_000_000
_MS = 1_000_000
DURATIONS = (
    *(0, 1, _MS - 1, _MS, 3 * _MS // 2, 50 * _MS - 1, 50 * _MS, 50 * _MS + 1, 51 * _MS),
    *(99 * _MS, 100 * _MS, 101 * _MS, 250 * _MS, 999 * _MS, 1000 * _MS, 1001 * _MS, 5000 * _MS),
    *(-1, -_MS, -2 * _MS, -60 * _MS),
)
"""In ns: around what policies ask for."""
NAMES = ("GET /cart", "GET /health", "POST /pay", "checkout", "select", "", "größe")
TRACE_STATES = (
    *("", "", "", "ot=th:8", "ot=th:8;rv:0123456789abcd", "vendor=a", "vendor=a,other=b"),
    *("vendor=b,ot=th:c", "vendor = a", "vendor=a, other=b", " vendor=a", "vendor=a ,other=b"),
    *("Vendor=a", "vendor=", "vendor", "=a", "vendor=a=b", "vendor=a,vendor=b", ",", "vendor=a,"),
    *("tenant@vendor=a", "1vendor=a", "vendor=\t", "vendor=ä", "vendor=" + "a" * 256),
    *("vendor=" + "a" * 257, ",".join(f"k{n}=v" for n in range(32)) + ",vendor=a"),
    *(
        ",".join(f"k{n}=v" for n in range(31)) + ",vendor=a",
        "vendor=a b",
        "vendor=a ",
        "vendor=\u007f",
    ),
)
FLAGS = (0, 0, 0, 1, 1, 2, 3, 0x100, 0x101, 0x300, 0x301, 0xFF00, 0xFFFFFFFE, 0xFFFFFFFF)
_KINDS = tuple(map(Span.SpanKind.ValueType, (0, 1, 2, 2, 3, 3, 4, 5)))
_CODES = tuple(map(Status.StatusCode.ValueType, (0, 1, 2)))
_RESOURCE_KEYS = ("env", "code", "ratio", "cached", "user", "tags", "context", "http.method")


def traces(random: Random, count: int) -> Traces:
    """Return *count* traces, their messages shuffled among each other."""
    requests = [request for _ in range(count) for request in _trace(random)]
    random.shuffle(requests)
    merged: list[ExportTraceServiceRequest] = []
    for request in requests:
        if merged and random.random() < 0.08:
            _merge(random, merged[-1], request)
        else:
            merged.append(request)
    return arrived(merged)


def one_message_each(random: Random, count: int) -> Traces:
    """Return *count* traces without a bad span, each in one message of its own."""
    found: list[ExportTraceServiceRequest] = []
    while len(found) < count:
        request = ExportTraceServiceRequest()
        for part in _trace(random):
            request.resource_spans.extend(part.resource_spans)
        load = arrived([request])
        if len(load.spans) == 1 and not any(load.bad()):
            found.append(request)
    return arrived(found)


def _merge(
    random: Random, into: ExportTraceServiceRequest, request: ExportTraceServiceRequest
) -> None:
    """Let one message bring both; now and then spans of both traces in one scope."""
    if random.random() < 0.5 and into.resource_spans[-1].scope_spans:
        scope = request.resource_spans[0].scope_spans[0]
        into.resource_spans[-1].scope_spans[-1].spans.extend(scope.spans)
        del scope.spans[:]
    into.resource_spans.extend(request.resource_spans)


def _trace(random: Random) -> list[ExportTraceServiceRequest]:
    trace_id = random.randbytes(16)
    if random.random() < 0.05:
        trace_id = bytes(8) + trace_id[8:]
    if random.random() < 0.001:
        trace_id = bytes(16)
    spans = _spans(random, trace_id)
    resources = [_resource(random) for _ in range(random.choice((1, 1, 2, 3)))]
    pieces = random.choice((1, 1, 2, 3, 4))
    requests = [ExportTraceServiceRequest() for _ in range(pieces)]
    for span in spans:
        _put(random, random.choice(requests), random.choice(resources), span)
    return [request for request in requests if request.resource_spans]


def _put(
    random: Random, request: ExportTraceServiceRequest, resource: ResourceSpans, span: Span
) -> None:
    """Add *span* under *resource*: to what stands there, or to a new block or scope."""
    blocks = [each for each in request.resource_spans if each.resource == resource.resource]
    if blocks and random.random() < 0.85:
        block = blocks[-1]
    else:
        block = request.resource_spans.add()
        block.CopyFrom(resource)
    if not block.scope_spans or random.random() < 0.25:
        block.scope_spans.append(_scope(random))
    block.scope_spans[-1].spans.append(span)


def _resource(random: Random) -> ResourceSpans:
    block = ResourceSpans(schema_url=random.choice(("", "https://opentelemetry.io/schemas/1.21.0")))
    if random.random() < 0.05:
        return block
    found = attributes(random, _RESOURCE_KEYS, 0.15)
    if random.random() < 0.9:
        found.append(_named("service.name", random.choice(("shop", "cart", "payment", ""))))
    dropped = random.choice((0, 0, 0, 3))
    block.resource.CopyFrom(Resource(attributes=found, dropped_attributes_count=dropped))
    return block


def _scope(random: Random) -> ScopeSpans:
    if random.random() < 0.2:
        return ScopeSpans()
    scope = InstrumentationScope(
        name=random.choice(("http", "sql", "")),
        version=random.choice(("", "1.2.0", "2")),
        attributes=attributes(random, ("env", "code", "cached"), 0.1),
    )
    return ScopeSpans(scope=scope, schema_url=random.choice(("", "https://example.com/1")))


def _spans(random: Random, trace_id: bytes) -> list[Span]:
    base = START + random.randrange(10**12)
    count = random.choice((1, 1, 2, 2, 3, 4, 5, 6, 8, 10, 12))
    has_root = random.random() < 0.8
    ids = [random.randbytes(8) for _ in range(count)]
    spans = []
    for row, span_id in enumerate(ids):
        parent = random.choice(ids[:row]) if row else random.randbytes(8)
        if row == 0 and has_root:
            parent = random.choice((b"", b"", bytes(8)))
        span = _span(random, base)
        span.trace_id, span.span_id, span.parent_span_id = trace_id, span_id, parent
        spans.append(span)
    if random.random() < 0.005:
        random.choice(spans).span_id = bytes(8)
    random.shuffle(spans)
    return spans


def _span(random: Random, base: int) -> Span:
    start = base + random.choice((0, 0, 0, 1, _MS, 10 * _MS, -_MS, 49 * _MS))
    end = start + random.choice(DURATIONS)
    if random.random() < 0.004:
        start = 0
    if random.random() < 0.01:
        end = 0
    span = Span(
        name=random.choice(NAMES),
        kind=random.choice(_KINDS),
        start_time_unix_nano=start,
        end_time_unix_nano=end,
        attributes=attributes(random, KEYS, 0.15),
        trace_state=random.choice(TRACE_STATES) if random.random() < 0.25 else "",
        flags=random.choice(FLAGS) if random.random() < 0.15 else 0,
        dropped_attributes_count=random.choice((0, 0, 0, 2)),
        dropped_events_count=random.choice((0, 0, 0, 2)),
        dropped_links_count=random.choice((0, 0, 0, 2)),
    )
    if random.random() < 0.5:
        code = random.choices(_CODES, (2, 2, 1))[0]
        span.status.CopyFrom(Status(code=code, message=random.choice(("", "timeout", "x"))))
    if random.random() < 0.002:
        _set_unknown(random, span)
    for _ in range(random.choice((0, 0, 0, 1, 1, 3))):
        _add_event(random, span, start)
    for _ in range(random.choice((0, 0, 0, 0, 1, 2))):
        span.links.add(
            trace_id=random.randbytes(16),
            span_id=random.randbytes(8),
            trace_state=random.choice(TRACE_STATES[:7]),
            attributes=attributes(random, ("env", "code"), 0.3),
        )
    return span


def _set_unknown(random: Random, span: Span) -> None:
    """A number that no version of the format gives a meaning to."""
    if random.random() < 0.5:
        span.status.MergeFromString(bytes((0x18, 3)))
    else:
        span.MergeFromString(bytes((0x30, 6)))


def _add_event(random: Random, span: Span, start: int) -> None:
    event = span.events.add(
        name=random.choice(("exception", "log", "retry", "")),
        time_unix_nano=max(0, start) + random.choice((0, _MS, -_MS)) if start else 0,
        attributes=attributes(random, ("env", "code", "cached", "user"), 0.25),
        dropped_attributes_count=random.choice((0, 0, 1)),
    )
    if random.random() < 0.3:
        event.attributes.append(_named("exception.type", random.choice(("Timeout", "IOError", ""))))
    if random.random() < 0.05:
        event.attributes.add(key="exception.message", value=any_value(random))


def _named(key: str, value: str) -> KeyValue:
    return KeyValue(key=key, value=AnyValue(string_value=value))
