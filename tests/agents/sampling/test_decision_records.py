"""A decision's record is what encoding the whole of it at once would give, byte for byte."""

from __future__ import annotations

from typing import Any

import numpy as np
import orjson
from hypothesis import given
from hypothesis import strategies as st

from tailrace.agents.sampling.outputs import write
from tailrace.agents.sampling.sampler import Decided, Effect, Late
from tailrace.agents.sampling.services import ServiceNames
from tailrace.tables.decisions import Outcome
from tailrace.tables.traces import OpenTrace
from tests.otlp import Span, message

TRACE = bytes(range(16))
RECORD_BYTES = 1 << 20
NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
SERVICES = ServiceNames()
OUTCOMES = st.builds(
    Outcome,
    st.sampled_from(["sampled", "not_sampled", "dropped"]),
    NAMES | st.none(),
    st.none() | st.floats(0, 1),
    NAMES,
    st.sampled_from(["wait", "root", "spans"]),
    st.none() | st.floats(0, 1, exclude_min=True, allow_subnormal=False),
)


@st.composite
def effects(draw: st.DrawFn) -> Effect:
    """Any trace that was decided, or spans of it that came later."""
    start = draw(st.integers(0, 2**63 - 1))
    trace = OpenTrace(
        TRACE,
        0,
        start,
        draw(st.integers(0, 2**63 - 1) | st.integers(start, start + 2000)),
        spans=draw(st.integers(1, 10**6)),
        services=sum({SERVICES.bit(name) for name in draw(st.lists(NAMES, max_size=4))}),
        root=draw(st.none() | st.tuples(st.just(start), NAMES, NAMES)),
    )
    raw = draw(st.sampled_from([[], [message(Span(TRACE, b"childone", parent=b"nobodyhr"))]]))
    kind = draw(st.sampled_from([Decided, Late]))
    return kind(trace, draw(OUTCOMES), draw(st.integers(0, 9 * 10**12)), raw)


@given(effects())
def test_a_record_is_that_of_its_fields(effect: Effect) -> None:
    [written] = write([effect], SERVICES, RECORD_BYTES)
    assert written.decision.value == orjson.dumps(fields(effect))


def fields(effect: Effect) -> dict[str, Any]:
    trace, outcome, is_late = effect.trace, effect.outcome, isinstance(effect, Late)
    is_stamped = bool(effect.raw) and outcome.is_sampled and not is_late
    return {
        "trace_id": trace.trace_id.hex(),
        "tenant": outcome.tenant,
        "decision": outcome.decision,
        "policy": outcome.policy,
        "probability": outcome.probability,
        "spans": trace.spans,
        "services": orjson.loads(SERVICES.encoded(trace.services)),
        "root": trace.root and {"service": trace.root[1], "name": trace.root[2]},
        "start": rfc3339(trace.start),
        "duration_ms": max(0, trace.end - trace.start) / 1_000_000,
        "decided_at": rfc3339(effect.at * 1_000_000),
        "late": is_late,
        "reason": outcome.reason,
        "policy_version": outcome.version,
        "missing_root": None if is_late else trace.root is None,
        "missing_parents": 1 if is_stamped else None,
    }


def rfc3339(nanos: int) -> str:
    return f"{np.datetime_as_string(np.datetime64(nanos, 'ns'))}Z"
