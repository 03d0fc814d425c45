"""Witnesses: the spans that show a match, and the groups for which there is room.

Both are looked at span by span, but only at the first of an interval of each kind, and at those
for which there are tokens.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np

from tailrace.agents.matches.arrived import Arrived
from tailrace.agents.matches.evidence import HeldEvidence, Tokens, evidence_outputs
from tailrace.agents.matches.groups import GROUP_BYTES, overflow
from tailrace.agents.matches.open_groups import OpenGroups
from tailrace.agents.matches.outcomes import Outcomes
from tailrace.agents.matches.relations import Found
from tailrace.schemas.alert_events import EvidenceSpan
from tailrace.schemas.matches import Evidence, MatchKey, SignalId
from tailrace.schemas.records import Output
from tailrace.schemas.sums import Ints
from tailrace.tables.interval_sums import RollupTopic
from tailrace.tables.store import PartitionStore

_TOKENS, _EVIDENCE, _FOUND = b"t", b"e", b"f"


class Marks(Protocol):
    """Where the sampler of the same task finds the traces that it is to keep."""

    def mark(self, trace_id: bytes, at_ms: int, signal: SignalId, group: bytes) -> None:
        """Let the trace be kept, for a group of *signal*, from stream time *at_ms* on."""
        ...


class Witnesses:
    """Those of the open interval of one partition. *prefix* is theirs in *store*, one byte."""

    def __init__(
        self,
        store: PartitionStore,
        prefix: bytes,
        topic: RollupTopic,
        marks: Marks,
        tokens: int,
        max_groups: int,
    ) -> None:
        self._topic = topic
        self._marks = marks
        self._tokens = Tokens(store, prefix + _TOKENS, tokens, topic.interval_ms)
        # Apart, because whether spans or relations come first depends on how batches are cut.
        self._of_spans = HeldEvidence(store, prefix + _EVIDENCE)
        self._of_relations = HeldEvidence(store, prefix + _FOUND)
        self._groups = OpenGroups(max_groups)
        self._interval = 0
        self._outcomes: Outcomes | None = None
        self._forget()

    def _forget(self) -> None:
        # By outcome: whether its next span is to be looked at, and what stands in its place.
        self._is_looked_at = np.zeros(0, np.bool_)
        self._instead = np.zeros(0, np.int64)
        self._is_any_replaced = False

    def restore(self, interval: int, open: Iterator[MatchKey]) -> None:
        """Read what is stored; *open* are the keys of the open interval."""
        self._interval = interval
        self._tokens.restore()
        self._of_spans.restore()
        self._of_relations.restore()
        self._groups.restore(open)

    def look(self, of: Outcomes, spans: Arrived, rows: slice, outcomes: Ints) -> Ints:
        """Take evidence of *rows*; return their outcomes as far as there is room for groups."""
        if of is not self._outcomes:
            self._outcomes = of
            self._forget()
        known, flags = len(self._is_looked_at), of.flags.needs_a_look()
        self._is_looked_at = np.concatenate([self._is_looked_at, flags[known:]])
        self._instead = np.concatenate([self._instead, np.arange(known, len(flags))])
        looked_at = np.flatnonzero(self._is_looked_at[outcomes])
        done: set[int] = set()
        for index, number in zip(looked_at.tolist(), outcomes[looked_at].tolist(), strict=True):
            if number not in done and self._is_done(of, spans, rows.start + index, number):
                done.add(number)
        if done:
            self._is_looked_at[list(done)] = False
        return self._instead[outcomes] if self._is_any_replaced else outcomes

    def _is_done(self, of: Outcomes, spans: Arrived, row: int, number: int) -> bool:
        """Look at the span in *row*; True if no further one of its outcome need be looked at."""
        if of.outcomes[number].grouped:
            number = self._admitted(of, number)
        is_done = True
        for place in of.outcomes[number].witnessed:
            left = self._tokens.take(of.keys[place], self._interval)
            if left >= 0:
                series = of.series[place]
                evidence = Evidence(of.signals[series.signal].id, series.group, _span(spans, row))
                self._of_spans.add(evidence)
                self._mark(evidence, spans.trace_id(row), spans.time(row))
            is_done = is_done and left <= 0
        return is_done

    def _admitted(self, of: Outcomes, number: int) -> int:
        """Return the outcome that stands for *number* in this interval."""
        instead = int(self._instead[number])
        if instead == number:
            grouped = of.outcomes[number].grouped
            closed = [place for place in grouped if not self._admits(of, place)]
            if closed:
                self._instead[number] = instead = of.overflowing(number, closed)
                self._is_any_replaced = True
        return instead

    def _admits(self, of: Outcomes, place: int) -> bool:
        signal, group = of.series[place]
        found = of.signals[signal]
        return self._groups.admits(found.id, group, overflow(found.group_by))

    def admitted(self, found: Found) -> bytes:
        """Return the group in which *found* is counted."""
        other = overflow(found.signal.group_by)
        if len(found.group) > GROUP_BYTES:
            return other
        return found.group if self._groups.admits(found.signal.id, found.group, other) else other

    def add_found(self, found: Found, group: bytes, at_ms: int) -> None:
        """Take evidence of a match that was *found* of *group*."""
        signal, span = found.signal, found.span
        key = b"".join((*signal.id, group))
        if not signal.has_evidence or self._tokens.take(key, self._interval) < 0:
            return
        duration = max(0, span.end - span.start)
        shown = EvidenceSpan(
            span.trace_id.hex(), span.span_id.hex(), span.service, span.name, duration, span.end
        )
        evidence = Evidence(signal.id, group, shown)
        self._of_relations.add(evidence)
        self._mark(evidence, span.trace_id, at_ms)

    def _mark(self, evidence: Evidence, trace_id: bytes, at_ms: int) -> None:
        self._marks.mark(trace_id, at_ms, evidence.signal, evidence.group)

    def close(self, interval: int) -> Iterator[Output]:
        """Begin *interval*; yield the evidence of the one before."""
        self._interval = interval
        self._groups.close()
        self._forget()
        spans = [*self._of_spans.take(), *self._of_relations.take()]
        return evidence_outputs(spans, (), self._topic, interval * self._topic.interval_ms)

    def seal(self) -> None:
        """Put into the store what is only in memory."""
        self._tokens.seal(self._interval)
        self._of_spans.seal()
        self._of_relations.seal()


def _span(spans: Arrived, row: int) -> EvidenceSpan:
    batch = spans.batch
    start, end = int(batch.start[row]), int(batch.end[row])
    return EvidenceSpan(
        spans.trace_id(row).hex(),
        batch.span_id[row].hex(),
        batch.strings[int(batch.service[row])],
        batch.strings[int(batch.name[row])],
        max(0, end - start),
        end,
    )
