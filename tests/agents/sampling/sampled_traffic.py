"""A population of traces, samplers before and after ours, and what kept spans claim to stand for.

Traces are of few kinds, so that many are made quickly. Their randomness is that of their trace ids.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from tailrace.agents.sampling.policies import SamplingPolicies, build_policies
from tailrace.agents.sampling.stamps import Stamp, kept
from tailrace.schemas.config.policies import policy
from tailrace.schemas.otlp.decoder import Decoder
from tailrace.schemas.tracestate import Sampling, adjusted_count, randomness, sampling
from tests.schemas.otlp_messages import request_of, span_of

MS = 1_000_000
_PLACE = b"in place of this"
"""A trace id in messages that are made once."""

States = tuple[str | None, ...]
"""The trace states of a trace's spans; None: the span is not there any more."""


@dataclass(frozen=True)
class Kind:
    """Traces of a span for each of *durations* (ms), all of one tier."""

    name: str
    durations: tuple[int, ...]
    tier: str = "silver"
    is_error: bool = False


KINDS = (
    Kind("plain", (5,)),
    Kind("nested", (50, 40, 10)),
    Kind("failed", (5, 5), is_error=True),
    Kind("slow", (2000, 10, 10, 10, 10)),
    Kind("golden", (7, 3), tier="gold"),
)
_SHARES = (50, 30, 5, 5, 10)


@lru_cache(maxsize=1024)
def _message(kind: Kind, states: States) -> bytes:
    spans = []
    for number, (duration, state) in enumerate(zip(kind.durations, states, strict=True)):
        if state is not None:
            span = span_of(_PLACE, b"span %03d" % number, trace_state=state)
            span.start_time_unix_nano, span.end_time_unix_nano = MS, (1 + duration) * MS
            span.status.code = 2 if kind.is_error else 0
            span.attributes.add(key="tier").value.string_value = kind.tier
            spans.append(span)
    return request_of(*spans)


@dataclass
class Traced:
    """A trace as far as it came, as policies see it; `facts` are what the last ones asked for."""

    trace_id: bytes
    kind: Kind
    states: States
    facts: int = 0

    start = MS
    size = 0

    @property
    def end(self) -> int:
        return (1 + max(self.kind.durations)) * MS

    @property
    def spans(self) -> int:
        return len(self.states) - self.states.count(None)

    @property
    def message(self) -> bytes:
        return _message(self.kind, self.states).replace(_PLACE, self.trace_id)


def population(count: int, seed: int) -> list[Traced]:
    """So many traces, of kinds that have nothing to do with their trace ids."""
    rng = random.Random(seed)
    kinds = rng.choices(KINDS, _SHARES, k=count)
    return [Traced(rng.randbytes(16), kind, ("",) * len(kind.durations)) for kind in kinds]


Stage = Callable[[Sequence[Traced]], list[Traced]]
"""A sampler: what it keeps, with the trace states that it writes."""


def head(*digits: str) -> Stage:
    """A consistent sampler: the thresholds of the first, second, … spans; the last of all others.

    A threshold that the span has already stays, if it is larger.
    """

    def sample(traces: Sequence[Traced]) -> list[Traced]:
        found = []
        for trace in traces:
            states = tuple(
                None if state is None else _sampled(state, trace.trace_id, threshold)
                for state, threshold in zip(
                    trace.states, [*digits, *digits[-1:] * len(trace.states)], strict=False
                )
            )
            if states.count(None) < len(states):
                found.append(Traced(trace.trace_id, trace.kind, states))
        return found

    return sample


def _sampled(state: str, trace_id: bytes, digits: str) -> str | None:
    said = sampling(state)
    threshold = max(said.threshold or 0, int(digits.ljust(14, "0"), 16))
    drawn = randomness(trace_id) if said.randomness is None else said.randomness
    if drawn < threshold:
        return None
    return f"ot={Sampling(threshold, said.randomness).written()}"


def tail(*bodies: Mapping[str, Any]) -> Stage:
    """Our policies and stamps."""
    policies = build_policies(
        policy({"name": f"policy {number}", **body}) for number, body in enumerate(bodies)
    )
    facts = {kind: _facts(kind, policies) for kind in KINDS}

    def sample(traces: Sequence[Traced]) -> list[Traced]:
        for trace in traces:
            trace.facts = facts[trace.kind]
        verdicts = policies.decide(traces, range(len(traces)))
        sampled = [
            (trace, Stamp(trace.trace_id, verdict.policy, verdict.probability, "0", inclusion))
            for trace, verdict in zip(traces, verdicts, strict=True)
            for inclusion in [verdict.inclusion]
            if verdict.decision == "sampled"
        ]
        values = [kept([trace.message], stamp).value for trace, stamp in sampled]
        batch = Decoder(trace_state=True).decode(values)
        written = iter([batch.strings[number] for number in batch.trace_state.tolist()])
        return [
            Traced(
                trace.trace_id,
                trace.kind,
                tuple(None if state is None else next(written) for state in trace.states),
            )
            for trace, _ in sampled
        ]

    return sample


def _facts(kind: Kind, policies: SamplingPolicies) -> int:
    """The facts of all traces of *kind*, of which each span has the same."""
    decoder = Decoder(policies.facts.attributes)
    bits = policies.facts.observe(decoder.decode([_message(kind, ("",) * len(kind.durations))]))
    return 0 if bits is None else int(np.bitwise_or.reduce(bits))


def adjusted(traces: Iterable[Traced]) -> list[float]:
    """For each trace, how many spans its own stand for."""
    return [_adjusted(trace.states) for trace in traces]


@lru_cache(maxsize=1024)
def _adjusted(states: States) -> float:
    thresholds = [sampling(state).threshold or 0 for state in states if state is not None]
    return float(sum(map(adjusted_count, thresholds)))


def weighed(traces: Sequence[Traced]) -> list[int]:
    """The same as a decoder has it, in whole numbers."""
    batch = Decoder(trace_state=True).decode([trace.message for trace in traces])
    weights = np.ones(len(batch), np.int64) if batch.weight is None else batch.weight
    sums: list[int] = np.add.reduceat(weights, batch.fragment_start[:-1]).tolist()
    return sums
