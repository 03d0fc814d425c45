"""Tail sampling written as plainly as possible, for laws to compare with: dicts of lists of spans.

Policies, in order: `errors` (status ERROR), `brief` (50 ms < duration ≤ 80 ms after some span),
`slow` (100 ms or longer), `half` (50 % of trace IDs).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.otlp import ERROR, MS, FlatSpan, Span, flat, message

POLICIES = """
    - {name: errors, type: status_code, status_code: {status_codes: [ERROR]}}
    - {name: brief, type: latency, latency: {threshold_ms: 50, upper_threshold_ms: 80}}
    - {name: slow, type: latency, latency: {threshold_ms: 100}}
    - {name: half, type: probabilistic, probabilistic: {sampling_percentage: 50, hash_salt: pepper}}
"""


@dataclass(frozen=True)
class Limits:
    """Times in ms."""

    wait_ms: int
    retention_ms: int
    num_traces: int | None = None

    def yaml(self) -> str:
        """The config of a worker with these limits."""
        limit = "" if self.num_traces is None else f"  num_traces: {self.num_traces}\n"
        return (
            f"tail_sampling:\n  decision_wait: {self.wait_ms}ms\n"
            f"  decision_retention: {self.retention_ms}ms\n{limit}  policies:{POLICIES}"
        )


@dataclass
class Verdict:
    """What was decided of a trace, and when (ms)."""

    decision: str
    policy: str | None
    probability: float | None
    at: int


@dataclass
class NaiveSampler:
    """Feed it records in order; `decisions` and `sampled` are then what must have been sent."""

    limits: Limits
    decisions: list[dict[str, Any]] = field(default_factory=list)
    sampled: Counter[tuple[bytes, str, FlatSpan]] = field(default_factory=Counter)
    """Trace ID, policy and span of everything kept."""
    now: int = 0
    waiting: dict[bytes, tuple[int, list[Span]]] = field(default_factory=dict)
    verdicts: dict[bytes, Verdict] = field(default_factory=dict)

    def record(self, timestamp: int, spans: Iterable[Span]) -> None:
        """One record with its good *spans*."""
        self.now = max(self.now, timestamp)
        self.decide_before(self.now)
        parts: dict[bytes, list[Span]] = {}
        for span in spans:
            parts.setdefault(span.trace_id, []).append(span)
        for trace_id, part in parts.items():
            self._arrive(trace_id, part)

    def decide_before(self, now: int) -> None:
        """Time goes on to *now*."""
        for trace_id, (due, _) in list(self.waiting.items()):
            if due < now:
                self._decide(trace_id, due)

    def _arrive(self, trace_id: bytes, spans: list[Span]) -> None:
        verdict = self.verdicts.get(trace_id)
        if trace_id in self.waiting:
            self.waiting[trace_id][1].extend(spans)
        elif verdict is not None and self.now <= verdict.at + self.limits.retention_ms:
            self._send(trace_id, spans, verdict, self.now, late=True)
        else:
            if len(self.waiting) == self.limits.num_traces:
                self._decide(next(iter(self.waiting)), self.now)
            self.waiting[trace_id] = (self.now + self.limits.wait_ms, list(spans))

    def _decide(self, trace_id: bytes, at: int) -> None:
        _, spans = self.waiting.pop(trace_id)
        verdict = self.verdicts[trace_id] = judged(trace_id, spans, at)
        self._send(trace_id, spans, verdict, at, late=False)

    def _send(
        self, trace_id: bytes, spans: Sequence[Span], verdict: Verdict, at: int, *, late: bool
    ) -> None:
        roots = [span for span in spans if span.parent in (b"", bytes(8))]
        root = min(roots, key=lambda span: span.start, default=None)
        start, end = min(span.start for span in spans), max(span.end for span in spans)
        self.decisions.append(
            {
                "trace_id": trace_id.hex(),
                "tenant": "default",
                "decision": verdict.decision,
                "policy": verdict.policy,
                "probability": verdict.probability,
                "spans": len(spans),
                "services": sorted({span.service for span in spans} - {""}),
                "root": None if root is None else {"service": root.service, "name": root.name},
                "start": start,
                "duration_ms": max(0, end - start) / MS,
                "decided_at": at,
                "late": late,
            }
        )
        if verdict.decision == "sampled":
            encoded = flat([message(span) for span in spans])
            self.sampled.update((trace_id, verdict.policy or "", span) for span in encoded)


def judged(trace_id: bytes, spans: Sequence[Span], at: int) -> Verdict:
    """The verdict on a trace whose *spans* came in this order."""
    lasted = [
        (max(s.end for s in seen) - min(s.start for s in seen)) // MS
        for seen in (spans[: count + 1] for count in range(len(spans)))
    ]
    state = 0xCBF29CE484222325
    for octet in b"pepper" + trace_id:
        state = (state ^ octet) * 0x100000001B3 % 2**64
    votes = {
        "errors": any(span.status == ERROR for span in spans),
        "brief": any(50 < ms <= 80 for ms in lasted),
        "slow": lasted[-1] >= 100,
        "half": state < 2**63,
    }
    voters = [name for name, is_for in votes.items() if is_for]
    if not voters:
        return Verdict("not_sampled", None, None, at)
    return Verdict("sampled", voters[0], 0.5 if voters == ["half"] else 1.0, at)
