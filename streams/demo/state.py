"""What the demo knows of the flow: what was sent, and what a reader of the output topics saw."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Any

import orjson

from tailrace.streams.demo.edges import Edges
from tailrace.streams.demo.services import Services
from tailrace_loadtest.check import check
from tailrace_loadtest.edge_check import EdgeRecords, check_edges
from tailrace_loadtest.kafka import Produced
from tailrace_loadtest.metric_check import CALLS, REQUESTS, check_metrics
from tailrace_loadtest.points import CumulativeSeries
from tailrace_loadtest.report import Report, Written
from tailrace_loadtest.truth import Truth
from tailrace_loadtest.workers import DECISIONS, EDGES, METRICS, SAMPLED

TOPICS = (SAMPLED, DECISIONS, METRICS, EDGES)
WINDOW_S = 5
"""Rates are those of so much time: less would make them jump, and more would hide a change."""
_SHOWN_TRACES = 8


@dataclass(slots=True)
class Evidence:
    """Everything that came out, as far as a comparison with the truth needs it."""

    sampled: list[Written] = field(default_factory=list)
    decisions: list[Written] = field(default_factory=list)
    series: CumulativeSeries = field(default_factory=CumulativeSeries)
    edges: EdgeRecords = field(default_factory=EdgeRecords)
    report: Report = field(default_factory=Report)
    """Of laws that hold for every point and record, whatever the truth."""

    def add(self, topic: str, record: Written) -> None:
        """Take a record of an output topic."""
        if topic == SAMPLED:
            self.sampled.append(record)
        elif topic == DECISIONS:
            self.decisions.append(record)
        elif topic == METRICS:
            self.series.read([record], self.report)
        else:
            self.edges.read([record], self.report)

    def is_whole(self, truth: Truth) -> bool:
        """True once every span and every call of *truth* is counted, or more than these."""
        calls = min(self.series.count(REQUESTS), self.edges.calls)
        has_spans = self.series.count(CALLS) >= truth.totals["spans"]
        return has_spans and calls >= truth.edge_calls.total()

    def compare(self, truth: Truth) -> Report:
        """Return how all of it differs from *truth*, to the digit."""
        report = check(truth, self.sampled, self.decisions)
        check_metrics(truth, self.series, report)
        check_edges(truth, self.edges, report)
        report.faults.update(self.report.faults)
        report.examples.update(self.report.examples)
        report.points, report.edge_records = self.report.points, self.report.edge_records
        return report


@dataclass(slots=True)
class Flow:
    """The demo so far. Without `evidence` no output is kept, but the IDs of decided traces."""

    sent: Produced = field(default_factory=Produced)
    decided: Counter[str] = field(default_factory=Counter)
    kept_by: Counter[str] = field(default_factory=Counter)
    newest: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=_SHOWN_TRACES))
    services: Services = field(default_factory=lambda: Services(WINDOW_S))
    edges: Edges = field(default_factory=lambda: Edges(WINDOW_S))
    evidence: Evidence | None = None
    repeated: int = 0
    worker_pid: int = 0
    worker_starts: int = 0
    note: str = ""
    _seen: set[bytes] = field(default_factory=set)

    def add(self, topic: str, record: Written) -> None:
        """Count a record that a reader of the output topics saw."""
        if self.evidence is not None:
            self.evidence.add(topic, record)
        if topic == DECISIONS:
            self._decide(orjson.loads(record.value or b"{}"))
        elif topic == METRICS:
            self.services.add(record)
        elif topic == EDGES:
            self.edges.add(record)

    def _decide(self, decision: dict[str, Any]) -> None:
        if decision["late"]:
            return
        trace_id = bytes.fromhex(decision["trace_id"])
        self.repeated += trace_id in self._seen
        self._seen.add(trace_id)
        self.decided[decision["decision"]] += 1
        if decision["decision"] == "sampled":
            self.kept_by[decision["policy"]] += 1
            self.newest.append(decision)

    @property
    def traces(self) -> int:
        """How many were decided."""
        return self.decided.total()

    @property
    def kept_share(self) -> str:
        """Of the decided traces, the share that is kept, in words."""
        return f"{self.decided['sampled'] / self.traces:.1%}" if self.traces else "-"
