"""What the demo knows of the flow: what was sent, what was decided, and what the worker says."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Any

import orjson

from tailrace_loadtest.check import Written
from tailrace_loadtest.kafka import Produced

SAMPLED, DECISIONS = "otlp_sampled", "tailrace.decisions"
_SHOWN_TRACES = 8


@dataclass(slots=True)
class Flow:
    """Counts of the demo so far. `outputs` are all records of the output topics."""

    sent: Produced = field(default_factory=Produced)
    decided: Counter[str] = field(default_factory=Counter)
    kept_by: Counter[str] = field(default_factory=Counter)
    late_spans: int = 0
    repeated: int = 0
    newest: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=_SHOWN_TRACES))
    outputs: dict[str, list[Written]] = field(default_factory=lambda: {SAMPLED: [], DECISIONS: []})
    worker_pid: int = 0
    worker_starts: int = 0
    note: str = ""
    _seen: set[str] = field(default_factory=set)

    def add(self, topic: str, record: Written) -> None:
        """Count a record that a reader of the output topics saw."""
        self.outputs[topic].append(record)
        if topic != DECISIONS:
            return
        decision = orjson.loads(record.value or b"{}")
        if decision["late"]:
            self.late_spans += decision["spans"]
            return
        self.repeated += decision["trace_id"] in self._seen
        self._seen.add(decision["trace_id"])
        self.decided[decision["decision"]] += 1
        if decision["decision"] == "sampled":
            self.kept_by[decision["policy"]] += 1
            self.newest.append(decision)
