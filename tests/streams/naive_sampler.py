"""Tail sampling written as plainly as possible, for laws to compare with: dicts of lists of spans.

Policies, in order: `errors` (status ERROR), `brief` (50 ms < duration ≤ 80 ms after some span),
`slow` (100 ms or longer), `half` (50 % of trace IDs).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.otlp import ERROR, MS, FlatSpan, Span, flat, message

POLICIES = {
    "errors": "{name: errors, type: status_code, status_code: {status_codes: [ERROR]}}",
    "brief": "{name: brief, type: latency, latency: {threshold_ms: 50, upper_threshold_ms: 80}}",
    "slow": "{name: slow, type: latency, latency: {threshold_ms: 100}}",
    "half": "{name: half, type: probabilistic, "
    "probabilistic: {sampling_percentage: 50, hash_salt: pepper}}",
}
ALL = tuple(POLICIES)


def listed(names: Sequence[str]) -> str:
    """The policies *names*, as YAML or a part of it."""
    return f"[{', '.join(POLICIES[name] for name in names)}]"


@dataclass(frozen=True)
class Limits:
    """Times in ms."""

    wait_ms: int
    retention_ms: int
    num_traces: int | None = None
    root_wait_ms: int = 0
    max_spans: int = 0
    judges_messages: bool = False
    max_bytes: int = 0
    sampled_cache: int = 0
    other_cache: int = 0

    def yaml(self) -> str:
        """The config of a worker with these limits."""
        limit = "" if self.num_traces is None else f"  num_traces: {self.num_traces}\n"
        strategy = "span-ingest" if self.judges_messages else "trace-complete"
        return (
            f"tail_sampling:\n  stamp: false\n  decision_wait: {self.wait_ms}ms\n"
            f"  decision_wait_after_root_received: {self.root_wait_ms}ms\n"
            f"  maximum_trace_spans: {self.max_spans}\n  sampling_strategy: {strategy}\n"
            f"  maximum_trace_size_bytes: {self.max_bytes}\n"
            f"  decision_cache: {{sampled_cache_size: {self.sampled_cache}, "
            f"non_sampled_cache_size: {self.other_cache}}}\n"
            f"  decision_retention: {self.retention_ms}ms\n{limit}  policies: {listed(ALL)}\n"
        )


@dataclass
class Verdict:
    """What was decided of a trace, and when (ms)."""

    decision: str
    policy: str | None
    probability: float | None
    at: int
    version: str
    reason: str = "wait"
    tenant: str = "default"


@dataclass
class Waiting:
    """An open trace: when it is due, after its wait (`turn` 0) or by its root, and its spans."""

    due: int
    turn: int
    order: int
    tenant: str
    spans: list[Span] = field(default_factory=list)
    bytes: int = 0


@dataclass
class NaiveSampler:
    """Feed it records in order; `decisions` and `sampled` are then what must have been sent.

    `policies` and `version`: what stands; `own`: that of tenants which have their own.
    """

    limits: Limits
    decisions: list[dict[str, Any]] = field(default_factory=list)
    sampled: Counter[tuple[bytes, str, FlatSpan]] = field(default_factory=Counter)
    """Trace ID, policy and span of everything kept."""
    now: int = 0
    arrived: int = 0
    waiting: dict[bytes, Waiting] = field(default_factory=dict)
    verdicts: dict[bytes, Verdict] = field(default_factory=dict)
    policies: Sequence[str] = ALL
    version: str = "0"
    own: dict[str, tuple[Sequence[str], str]] = field(default_factory=dict)
    made: list[Verdict] = field(default_factory=list)
    """All verdicts, in order."""

    def record(self, timestamp: int, spans: Iterable[Span], tenant: str = "default") -> None:
        """One record of *tenant* with *spans*; those without a trace ID of 16 bytes are left out.

        Neighbours of one service have a resource in common.
        """
        self.now = max(self.now, timestamp)
        self.decide_before(self.now)
        spans = list(spans)
        parts: dict[bytes, dict[int, list[Span]]] = {}
        resource, before = 0, None
        for span in spans:
            resource += before is not None and before.service != span.service
            before = span
            if len(span.trace_id) == 16:
                parts.setdefault(span.trace_id, {}).setdefault(resource, []).append(span)
        for trace_id, blocks in parts.items():
            self._arrive(trace_id, list(blocks.values()), _size(spans, trace_id), tenant)

    def decide_before(self, now: int) -> None:
        """Time goes on to *now*."""
        due = [(w.due, w.turn, w.order, trace_id) for trace_id, w in self.waiting.items()]
        for at, turn, _, trace_id in sorted(due):
            if at < now:
                self._decide(trace_id, at, "root" if turn else "wait")

    def _arrive(self, trace_id: bytes, blocks: list[list[Span]], size: int, tenant: str) -> None:
        spans = [span for block in blocks for span in block]
        self.arrived += 1
        verdict = self.verdicts.get(trace_id)
        if trace_id not in self.waiting:
            if verdict is not None and self._is_remembered(verdict):
                self._send(trace_id, spans, verdict, self.now, late=True)
                return
            if len(self.waiting) == self.limits.num_traces:
                self._decide(next(iter(self.waiting)), self.now, "traces")
            due = self.now + self.limits.wait_ms
            self.waiting[trace_id] = Waiting(due, 0, self.arrived, tenant)
        waiting = self.waiting[trace_id]
        waiting.spans.extend(spans)
        waiting.bytes += size
        sooner = self.now + self.limits.root_wait_ms
        has_root = any(span.parent in (b"", bytes(8)) for span in spans)
        if self.limits.root_wait_ms and has_root and sooner < waiting.due:
            waiting.due, waiting.turn, waiting.order = sooner, 1, self.arrived
        if self.limits.judges_messages:
            alone = (self._judged(trace_id, block, self.now) for block in blocks)
            sampled = next((each for each in alone if each.decision == "sampled"), None)
            if sampled is not None:
                self._end(trace_id, sampled, "ingest")
                return
        elif 0 < self.limits.max_bytes < waiting.bytes:
            self._end(trace_id, self._not_sampled(trace_id, self.now), "bytes")
            return
        if 0 < self.limits.max_spans <= len(waiting.spans):
            self._decide(trace_id, self.now, "spans")

    def _is_remembered(self, verdict: Verdict) -> bool:
        """True if *verdict* is recent, and fewer than the limit are from a later second."""
        kept = verdict.decision == "sampled"
        limit = self.limits.sampled_cache if kept else self.limits.other_cache
        later = sum(
            (each.decision == "sampled") is kept and each.at // 1000 > verdict.at // 1000
            for each in self.made
        )
        is_recent = self.now <= verdict.at + self.limits.retention_ms
        return is_recent and (not limit or later < limit)

    def _judged(self, trace_id: bytes, spans: Sequence[Span], at: int) -> Verdict:
        tenant = self.waiting[trace_id].tenant
        policies, version = self.own.get(tenant, (self.policies, self.version))
        verdict = judged(trace_id, spans, at, policies, version)
        verdict.tenant = tenant
        if self.limits.judges_messages and verdict.policy == "half":
            verdict.probability = 0.5  # nobody is asked after the first who samples
        return verdict

    def _not_sampled(self, trace_id: bytes, at: int) -> Verdict:
        verdict = self._judged(trace_id, self.waiting[trace_id].spans, at)
        return replace(verdict, decision="not_sampled", policy=None, probability=None)

    def _decide(self, trace_id: bytes, at: int, reason: str) -> None:
        verdict = self._judged(trace_id, self.waiting[trace_id].spans, at)
        if self.limits.judges_messages:
            verdict = self._not_sampled(trace_id, at)
        self._end(trace_id, verdict, reason)

    def _end(self, trace_id: bytes, verdict: Verdict, reason: str) -> None:
        verdict.reason = reason
        self.verdicts[trace_id] = verdict
        self.made.append(verdict)
        self._send(trace_id, self.waiting.pop(trace_id).spans, verdict, verdict.at, late=False)

    def _send(
        self, trace_id: bytes, spans: Sequence[Span], verdict: Verdict, at: int, *, late: bool
    ) -> None:
        roots = [span for span in spans if span.parent in (b"", bytes(8))]
        root = min(roots, key=lambda span: span.start, default=None)
        start, end = min(span.start for span in spans), max(span.end for span in spans)
        self.decisions.append(
            {
                "trace_id": trace_id.hex(),
                "tenant": verdict.tenant,
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
                "reason": verdict.reason,
                "policy_version": verdict.version,
                "missing_root": None if late else root is None,
                "missing_parents": None,
            }
        )
        if verdict.decision == "sampled":
            encoded = flat([message(span) for span in spans])
            self.sampled.update((trace_id, verdict.policy or "", span) for span in encoded)


def judged(
    trace_id: bytes, spans: Sequence[Span], at: int, policies: Sequence[str], version: str
) -> Verdict:
    """The verdict of *policies*, in their order, on a trace whose *spans* came in this order."""
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
    voters = [name for name in policies if votes[name]]
    if not voters:
        return Verdict("not_sampled", None, None, at, version)
    return Verdict("sampled", voters[0], 0.5 if voters == ["half"] else 1.0, at, version)


def _size(spans: Sequence[Span], trace_id: bytes) -> int:
    """The bytes of what the message of *spans* has of one trace, in the blocks of that message."""
    request = ExportTraceServiceRequest.FromString(message(*spans))
    for block in request.resource_spans:
        for scope in block.scope_spans:
            own = [span for span in scope.spans if span.trace_id == trace_id]
            del scope.spans[:]
            scope.spans.extend(own)
        scopes = [scope for scope in block.scope_spans if scope.spans]
        del block.scope_spans[:]
        block.scope_spans.extend(scopes)
    blocks = [block for block in request.resource_spans if block.scope_spans]
    del request.resource_spans[:]
    request.resource_spans.extend(blocks)
    size: int = request.ByteSize()
    return size
