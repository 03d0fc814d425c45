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
_DURATIONS = st.sampled_from([0, 1, 20, 40, 51, 60, 100, -30])
_WEIGHTS = st.sampled_from([0, 0, 0, 400, 1500])
_STEPS = st.sampled_from([0, 0, 1, 500, 999, 1000, 1000, 1001, 1500, 2001, 2500, 4500, -1, -700])


@st.composite
def traffic(draw: st.DrawFn) -> list[Sent]:
    """Records; every span of theirs is unlike all others, though span IDs repeat."""
    records = draw(st.lists(st.tuples(_STEPS, st.lists(_drawn, max_size=5)), max_size=12))
    sent = []
    for number, (step, drawn) in enumerate(records):
        if not drawn:
            garbage = draw(st.sampled_from(GARBAGE))
            sent.append(Sent(step, (), garbage, is_garbage=True))
            continue
        spans = tuple(
            span.but(
                end=max(0, span.start + duration * MS),
                attributes={"number": f"{number}.{index}", "weight": "w" * weight},
            )
            for index, (span, duration, weight) in enumerate(drawn)
        )
        sent.append(Sent(step, spans))
    return sent


_drawn = st.tuples(_SPANS, _DURATIONS, _WEIGHTS)


def rows(sent: Sequence[Sent]) -> list[Row]:
    """The records as Kafka has them."""
    found, at = [], BEGIN_MS
    for offset, record in enumerate(sent):
        at += record.step_ms
        value = record.value if record.is_garbage else message(*record.spans)
        key = record.spans[0].trace_id.hex().encode() if record.spans else None
        found.append(Row(offset, at, key, value))
    return found
