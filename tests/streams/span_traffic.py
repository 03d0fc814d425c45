"""Traffic as Hypothesis draws it: interleaved, mixed, late, out of order, partly bad."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hypothesis import strategies as st

from tests.otlp import ERROR, MS, Span, message
from tests.streams.deaths import Row
from tests.streams.naive_sampler import Limits

BEGIN_MS = 1_700_000_000_000
END_MS = BEGIN_MS + 10**9
LIMIT_BYTES = 1024
RECORD_BYTES = LIMIT_BYTES + 1024
"""Of which the outputs leave 1024 for key, headers and the batch."""

TRACES = [b"high-one-low-low", b"high-two-low-low", b"high-two-lowtwo!", bytes(15) + b"\x01"]
GARBAGE = [None, b"", b"\xffgarbage", b"\x0a\x7fcut off"]

LIMITS = st.sampled_from(
    [
        Limits(1000, 2000),
        Limits(1000, 2000, num_traces=1),
        Limits(1000, 4000, num_traces=2),
        Limits(3000, 1000),
        Limits(0, 1000),
        Limits(3000, 4000, root_wait_ms=500),
        Limits(2000, 2000, num_traces=2, root_wait_ms=1000, max_spans=3),
        Limits(1000, 3000, max_spans=2),
        Limits(1000, 3000, root_wait_ms=400, judges_messages=True),
        Limits(1000, 3000, judges_messages=True, max_spans=2),
        Limits(2000, 3000, max_bytes=600, root_wait_ms=700),
        Limits(500, 10**7, sampled_cache=1, other_cache=2),
        Limits(1500, 10**7, sampled_cache=2, other_cache=1, max_spans=3),
    ]
)


@dataclass(frozen=True)
class Sent:
    """A record: its value is *value*, or else the message of *spans*."""

    step_ms: int
    spans: tuple[Span, ...]
    value: bytes | None = None
    is_garbage: bool = False


_SPANS = st.builds(
    Span,
    trace_id=st.sampled_from([*TRACES, *TRACES, b"fifteen bytes.."]),
    service=st.sampled_from(["api", "api", "cart", ""]),
    scope=st.sampled_from(["http", "sql"]),
    name=st.sampled_from(["GET /", "SELECT"]),
    parent=st.sampled_from([b"", bytes(8), b"parentid", b"parentid"]),
    start=st.integers(0, 4).map(lambda step: BEGIN_MS * MS + step * 20 * MS),
    status=st.sampled_from([0, 0, 0, 1, ERROR]),
)
CLIENT, SERVER, PRODUCER, CONSUMER = 3, 2, 4, 5


def _side(kind: int, span_id: bytes, parent: bytes, **attributes: str) -> Span:
    named = {name.replace("_", "."): value for name, value in attributes.items()}
    return Span(b"", span_id, kind=kind, parent=parent, attributes=named)


_SIDES = [
    _side(1, b"internal", b"parentid"),
    _side(CLIENT, b"call one", b""),
    _side(SERVER, b"server 1", b"call one"),
    _side(CLIENT, b"call one", b""),
    _side(SERVER, b"server 1", b"call one"),
    _side(CLIENT, b"call two", b"parentid"),
    _side(CLIENT, b"call two", b"parentid", peer_service="stock"),
    _side(CLIENT, b"call two", b"parentid", db_name="orders"),
    _side(SERVER, b"server 2", b"call two"),
    _side(SERVER, b"server 3", b""),
    _side(SERVER, b"server 4", bytes(8)),
    _side(PRODUCER, b"sent one", b""),
    _side(CONSUMER, b"consumer", b"sent one"),
]
"""What a client's ID begins with says what kind of call it is."""


def _call(side: Span, other: Span, trace_id: bytes) -> Span:
    return side.but(
        trace_id=trace_id,
        service=other.service,
        name=other.name,
        start=other.start,
        status=other.status,
    )


CALLS = st.builds(
    _call,
    st.sampled_from(_SIDES),
    _SPANS,
    st.sampled_from([*TRACES[:2], *TRACES[:3], b"fifteen bytes.."]),
)
"""Both sides of calls, in few traces, so that they meet."""

_DURATIONS = st.sampled_from([0, 1, 20, 40, 51, 60, 100, -30])
_WEIGHTS = st.sampled_from([0, 0, 0, 400, 1500])
_STEPS = st.sampled_from([0, 0, 1, 500, 999, 1000, 1000, 1001, 1500, 2001, 2500, 4500, -1, -700])


@st.composite
def traffic(
    draw: st.DrawFn,
    spans: st.SearchStrategy[Span] = _SPANS,
    least_records: int = 0,
    most_records: int = 12,
) -> list[Sent]:
    """Records of *spans*; every one is unlike all others, though span IDs repeat."""
    drawn_spans = st.lists(st.tuples(spans, _DURATIONS, _WEIGHTS), max_size=5)
    record = st.tuples(_STEPS, drawn_spans)
    records = draw(st.lists(record, min_size=least_records, max_size=most_records))
    sent = []
    for number, (step, drawn) in enumerate(records):
        if not drawn:
            garbage = draw(st.sampled_from(GARBAGE))
            sent.append(Sent(step, (), garbage, is_garbage=True))
            continue
        whole = tuple(
            span.but(
                end=max(0, span.start + duration * MS),
                attributes={
                    **span.attributes,
                    "number": f"{number}.{index}",
                    "weight": "w" * weight,
                },
            )
            for index, (span, duration, weight) in enumerate(drawn)
        )
        sent.append(Sent(step, whole))
    return sent


def rows(sent: Sequence[Sent]) -> list[Row]:
    """The records as Kafka has them."""
    found, at = [], BEGIN_MS
    for offset, record in enumerate(sent):
        at += record.step_ms
        value = record.value if record.is_garbage else message(*record.spans)
        key = record.spans[0].trace_id.hex().encode() if record.spans else None
        found.append(Row(offset, at, key, value))
    return found
