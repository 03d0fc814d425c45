"""Witnesses: the spans that show a match, and the groups for which there is room.

Both are looked at span by span, but only at the first of an interval of each kind, and at those
for which there are tokens.
"""

from __future__ import annotations

from collections.abc import Iterator
from operator import itemgetter
from typing import Protocol

import numpy as np

from tailrace.agents.matches.arrived import NAME_CHARACTERS, Arrived
from tailrace.agents.matches.evidence import HeldEvidence, Tokens, evidence_outputs
from tailrace.agents.matches.groups import GROUP_BYTES, overflow
from tailrace.agents.matches.open_groups import OpenGroups
from tailrace.agents.matches.outcomes import Outcomes, Part
from tailrace.agents.matches.relations import Found
from tailrace.schemas.alert_events import EvidenceSpan
from tailrace.schemas.matches import Evidence, MatchKey, SignalId
from tailrace.schemas.records import Output
from tailrace.schemas.sums import Ints
from tailrace.tables.interval_sums import RollupTopic
from tailrace.tables.store import PartitionStore

_TOKENS, _EVIDENCE = b"t", b"e"


class Marks(Protocol):
    """Where the sampler of the same task finds the traces that it is to keep."""

    def mark(self, trace_id: bytes, at_ms: int, signal: SignalId, group: bytes) -> None:
        """Let the trace be kept, for a group of *signal*, from stream time *at_ms* on."""
        ...


class NoMarks:
    """Marks where nobody samples: marks that nobody takes away would only grow in number."""

    def mark(self, trace_id: bytes, at_ms: int, signal: SignalId, group: bytes) -> None:
        """Nothing is to be kept."""


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
        self._held = HeldEvidence(store, prefix + _EVIDENCE)
        self._groups = OpenGroups(max_groups)
        self._interval = 0
        self._outcomes: Outcomes | None = None
        self._forget()

    def _forget(self) -> None:
        # By outcome: whether its next span is to be looked at, and what stands in its place.
        self._is_looked_at = np.zeros(0, np.bool_)
        self._instead = np.zeros(0, np.int64)
        self._is_any_moved = False
        # By series: whether it has its place in this interval, and no token any more.
        self._is_open = np.zeros(0, np.bool_)
        self._is_spent = np.zeros(0, np.bool_)

    def restore(self, interval: int, open: Iterator[MatchKey]) -> None:
        """Read what is stored; *open* are the keys of the open interval."""
        self._interval = interval
        self._tokens.restore()
        self._held.restore()
        self._groups.restore(open)

    def look(self, of: Outcomes, spans: Arrived, part: Part) -> Ints:
        """Take evidence of *part*; return its outcomes as far as there is room for groups."""
        if of is not self._outcomes:
            self._outcomes = of
            self._forget()
        self._grow(of)
        is_looked_at = self._is_looked_at[part.outcomes]
        numbers = part.outcomes[is_looked_at].tolist()
        done: set[int] = set()
        for row, number in zip(part.rows[is_looked_at].tolist(), numbers, strict=True):
            if number not in done and self._is_done(of, spans, row, number):
                done.add(number)
        if done:
            self._is_looked_at[list(done)] = False
        if not self._is_any_moved:
            return part.outcomes
        instead: Ints = self._instead[part.outcomes]
        return instead

    def _grow(self, of: Outcomes) -> None:
        known, flags = len(self._is_looked_at), of.flags.needs_a_look()
        if len(flags) > known:
            self._is_looked_at = np.concatenate([self._is_looked_at, flags[known:]])
            self._instead = np.concatenate([self._instead, np.arange(known, len(flags))])
        if len(of.series) > len(self._is_open):
            more = np.zeros(2 * len(of.series) - len(self._is_open), np.bool_)
            self._is_open = np.concatenate([self._is_open, more])
            self._is_spent = np.concatenate([self._is_spent, more])

    def _is_done(self, of: Outcomes, spans: Arrived, row: int, number: int) -> bool:
        """Look at the span in *row*; True if no further one of its outcome need be looked at."""
        if of.outcomes[number].is_grouped:
            number = self._admitted(of, number)
        witnessed = of.outcomes[number].witnessed
        if not len(witnessed):
            return True
        is_done = True
        for place in witnessed[~self._is_spent[witnessed]].tolist():
            left = self._tokens.take(of.keys[place], self._interval)
            if left >= 0:
                signal, group = of.series[place]
                self._add(Evidence(of.signals[signal].id, group, spans.shown(row)), spans, row)
            if left <= 0:
                self._is_spent[place] = True
            else:
                is_done = False
        return is_done

    def _add(self, evidence: Evidence, spans: Arrived, row: int) -> None:
        self._held.add(evidence)
        self._marks.mark(spans.trace_id(row), spans.time(row), evidence.signal, evidence.group)

    def _admitted(self, of: Outcomes, number: int) -> int:
        """Return the outcome that stands for *number* in this interval."""
        instead = int(self._instead[number])
        if instead != number:
            return instead
        series = of.outcomes[number].series
        closed = []
        for place in series[~self._is_open[series]].tolist():
            if self._admits(of, place):
                self._is_open[place] = True
            else:
                closed.append(place)
        if closed:
            self._instead[number] = instead = of.moved(number, closed)
            self._is_any_moved = True
            self._grow(of)
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
            span.trace_id.hex(),
            span.span_id.hex(),
            span.service[:NAME_CHARACTERS],
            span.name[:NAME_CHARACTERS],
            duration,
            span.end,
        )
        evidence = Evidence(signal.id, group, shown)
        self._held.add(evidence)
        self._marks.mark(span.trace_id, at_ms, signal.id, group)

    def close(self, interval: int) -> Iterator[Output]:
        """Begin *interval*; yield the evidence of the one before."""
        self._interval = interval
        self._groups.close()
        self._forget()
        # Within a series in the order of records; which series comes first depends on batches.
        spans = sorted(self._held.take(), key=itemgetter(0, 1))
        return evidence_outputs(spans, (), self._topic, interval * self._topic.interval_ms)

    def seal(self) -> None:
        """Put into the store what is only in memory."""
        self._tokens.seal(self._interval)
        self._held.seal()
