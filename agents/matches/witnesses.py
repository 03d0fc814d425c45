"""Witnesses: the spans that show a match, and the groups for which there is room.

Both are looked at span by span, but only at the first of an interval in each group, and at those
for which there are tokens.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from operator import itemgetter
from typing import Protocol

import numpy as np

from tailrace.agents.matches.arrived import NAME_CHARACTERS, Arrived
from tailrace.agents.matches.evidence import HeldEvidence, Tokens, evidence_outputs
from tailrace.agents.matches.groups import GROUP_BYTES, overflow
from tailrace.agents.matches.open_groups import OpenGroups
from tailrace.agents.matches.relations import Found
from tailrace.agents.matches.tallies import Flagged, Part, Tallies
from tailrace.schemas.alert_events import EvidenceSpan
from tailrace.schemas.matches import Evidence, Series, SignalId
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
        self._max_groups = max_groups
        self._interval = 0
        self._tallies: Tallies | None = None
        self._forget()

    def _forget(self) -> None:
        # By tally, of those with the events: whether it has its place in this interval, or others
        # have them all. By counter: how many groups have theirs.
        self._is_open = np.zeros(0, np.bool_)
        self._is_refused = np.zeros(0, np.bool_)
        self._is_any_refused = False
        self._used = np.zeros(0, np.int64)
        # By tally: whether its next match is to be looked at.
        self._is_looked_at = np.zeros(0, np.bool_)
        self._spent: set[bytes] = set()

    def restore(self, interval: int) -> None:
        """Read what is stored."""
        self._interval = interval
        self._tokens.restore()
        self._held.restore()

    def reopen(self, of: Tallies, open: Iterable[Series]) -> None:
        """Begin the open interval again, in which there are *open* already; go by *of*.

        The groups that one signal has are open for all that count the same events.
        """
        self._forget()
        self._groups.close()
        found, others = of.with_events(open)
        self._groups.restore(others)
        self._tallies = of
        self._open(of, found)

    def _open(self, of: Tallies, tallies: Ints) -> None:
        """Let *tallies*, those with the events, have their places."""
        self._grow(of)
        new = tallies[~self._is_open[tallies]]
        self._is_open[new] = True
        self._used += np.bincount(of.counter[new], minlength=len(self._used))

    def look(self, of: Tallies, spans: Arrived, part: Part) -> Ints:
        """Take evidence of *part*; return its tallies as far as there is room for groups."""
        if of is not self._tallies:
            self._move(of)
        self._grow(of)
        tallies, leaders = part.tallies, of.leader[part.tallies]
        is_new = ~(self._is_open[leaders] | self._is_refused[leaders])
        if is_new.any():
            self._admit(of, leaders[is_new])
        if self._is_any_refused:
            tallies = self._moved(of, tallies, self._is_refused[leaders])
        shown = np.flatnonzero(self._is_looked_at[tallies])
        for row, number in zip(part.rows[shown].tolist(), tallies[shown].tolist(), strict=True):
            if self._is_looked_at[number] and self._is_done(of, spans, row, number):
                self._is_looked_at[number] = False
        return tallies

    def _move(self, of: Tallies) -> None:
        """Go by *of*; what is open stays open."""
        before, self._tallies = self._tallies, of
        kept = np.flatnonzero(self._is_open).tolist()
        self._forget()
        if before is not None:
            is_free = before.is_free
            moved = [of.number(before.all[each]) for each in kept if not is_free[each]]
            self._open(of, np.array(moved, np.int64))

    def _admit(self, of: Tallies, leaders: Ints) -> None:
        """Let new groups have their places, as long as there are any, first come, first served."""
        distinct, firsts = np.unique(leaders, return_index=True)
        counters = of.counter[distinct]
        more = np.bincount(counters, minlength=len(self._used))
        if (self._used + more <= self._max_groups)[counters].all():
            self._is_open[distinct] = True
            self._used += more
            return
        for number in distinct[np.argsort(firsts)].tolist():
            counter = of.counter[number]
            if self._used[counter] < self._max_groups:
                self._is_open[number] = True
                self._used[counter] += 1
            else:
                self._is_refused[number] = self._is_any_refused = True

    def _moved(self, of: Tallies, tallies: Ints, is_refused: Flagged) -> Ints:
        """Return *tallies*, and for those that are refused the ones that count for them."""
        moved = tallies.copy()
        distinct, places = np.unique(tallies[is_refused], return_inverse=True)
        instead = np.array([of.moved(number) for number in distinct.tolist()], np.int64)
        moved[is_refused] = instead[places]
        self._grow(of)
        return moved

    def _grow(self, of: Tallies) -> None:
        known, now = len(self._is_open), len(of.all)
        if now > known:
            self._is_open = np.concatenate([self._is_open, of.is_free[known:now]])
            self._is_refused = np.concatenate([self._is_refused, np.zeros(now - known, np.bool_)])
            self._is_looked_at = np.concatenate([self._is_looked_at, of.is_watched[known:now]])
        if not len(self._used):
            self._used = np.zeros(len(of.counters), np.int64)

    def _is_done(self, of: Tallies, spans: Arrived, row: int, number: int) -> bool:
        """Look at the match in *row*; True if no further one of its tally need be looked at."""
        group, is_done = of.all[number].group, True
        for signal in of.watchers(number):
            key = Series(signal.id, group).encode()
            if key in self._spent:
                continue
            left = self._tokens.take(key, self._interval)
            if left >= 0:
                self._add(Evidence(signal.id, group, spans.shown(row)), spans, row)
            if left <= 0:
                self._spent.add(key)
            else:
                is_done = False
        return is_done

    def _add(self, evidence: Evidence, spans: Arrived, row: int) -> None:
        self._held.add(evidence)
        self._marks.mark(spans.trace_id(row), spans.time(row), evidence.signal, evidence.group)

    def admitted(self, found: Found) -> bytes:
        """Return the group in which *found* is counted."""
        other = overflow(found.signal.group_by)
        if len(found.group) > GROUP_BYTES:
            return other
        return found.group if self._groups.admits(found.signal.id, found.group, other) else other

    def add_found(self, found: Found, group: bytes, at_ms: int) -> None:
        """Take evidence of a match that was *found* of *group*."""
        signal, span = found.signal, found.span
        key = Series(signal.id, group).encode()
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
