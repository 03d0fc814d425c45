"""Spans whose parent matters: children and parents wait for each other.

Laws:

- Spans of one trace and span id are one: a child once for each signal, the first that its filter is
  of; a parent of whatever filter one of them is of.
- A child and a parent pair if the later comes no more than the wait after the earlier. (A span id
  is known until the wait after the last time that a span under it brought something new.)
- What depends on the parent is found when the pair is complete; what does not, when the child
  comes.
- Of more than `limit` span ids the oldest is forgotten.
"""

from __future__ import annotations

from collections.abc import Sequence

from tailrace.agents.matches.relation_rules import Birth, Part, RelationRules
from tailrace.agents.matches.relation_spans import Found, Observed
from tailrace.schemas.definitions.signals import Signal
from tailrace.schemas.records import Totals
from tailrace.tables.aging_rows import AgingRows
from tailrace.tables.relation_rows import EVENT, MATCH, KnownSpan, KnownSpans, Orphan
from tailrace.tables.store import PartitionStore

_KEY_BYTES = 24


class Parents:
    """The spans of one partition that are, or wait for, parents."""

    def __init__(
        self,
        signals: Sequence[Signal],
        rules: RelationRules,
        store: PartitionStore,
        prefix: bytes,
        wait_ms: int,
        limit: int,
    ) -> None:
        self._signals = signals
        self._rules = rules
        self._wait_ms = wait_ms
        self._limit = limit
        self._known = AgingRows(store, prefix, _KEY_BYTES, KnownSpans(rules.terms))
        # By the key of the parent: the keys of children that wait for it, in order.
        self._waiting: dict[bytes, dict[bytes, None]] = {}
        self.seal = self._known.seal

    def __len__(self) -> int:
        return len(self._known)

    def restore(self) -> None:
        """Build memory from the store."""
        self._known.restore()
        for row in self._known:
            self._wait(row)

    def advance(self, now: int, totals: Totals) -> None:
        """Forget what waited until before *now*."""
        while (row := self._known.take_due(now)) is not None:
            self._forget(row, totals)

    def observe(
        self, now: int, span: Observed, part: Part, found: list[Found], totals: Totals
    ) -> None:
        """Add to *found* what *span* completes; what is due before *now* is done already."""
        key = span.trace_id + span.span_id
        before = self._known.get(key)
        filters, taken = (before.filters, before.taken) if before else (0, 0)
        birth = self._rules.birth(span.filters, taken, bool(span.parent_span_id))
        if not birth.owed and not part.as_parent & ~filters:
            return
        row = KnownSpan(key, now + self._wait_ms, filters | part.as_parent, birth.taken)
        if before is not None:
            row.orphans = before.orphans
        self._put(row, totals)
        if row.filters != filters:
            self._adopt(row, found)
        if birth.owed:
            self._bear(row, span, birth, found)

    def _put(self, row: KnownSpan, totals: Totals) -> None:
        """Add *row* as the newest, and those that wait for a parent with it."""
        if row.key in self._known:
            self._stop_waiting(row)
        elif len(self._known) >= self._limit:
            totals.add("match_spans_forgotten", 1)
            self._forget(self._known.take_oldest(), totals)
        self._known.put(row)
        self._wait(row)

    def _adopt(self, parent: KnownSpan, found: list[Found]) -> None:
        """Pay those that waited for *parent*."""
        for key in list(self._waiting.get(parent.key, ())):
            row = self._known.get(key)
            assert row is not None, "who waits is known"
            for orphan in row.orphans:
                if _parent_key(row, orphan) == parent.key:
                    self._meet(orphan, parent.filters, found)
            row.orphans = tuple(orphan for orphan in row.orphans if orphan.owed)
            if all(_parent_key(row, orphan) != parent.key for orphan in row.orphans):
                self._remove(parent.key, key)
            self._known.touch(row)

    def _bear(self, row: KnownSpan, span: Observed, birth: Birth, found: list[Found]) -> None:
        """Pay *span* as a child what its parent, if known, pays; for the rest it waits in *row*."""
        groups = tuple((number, span.group(number)) for number in birth.groupings)
        orphan = Orphan(span.parent_span_id, span.witness, birth.owed, groups)
        parent = self._known.get(_parent_key(row, orphan)) if orphan.parent_id else None
        self._meet(orphan, parent.filters if parent is not None else 0, found)
        if orphan.owed and orphan.parent_id:
            row.orphans = (*row.orphans, orphan)
            self._waiting.setdefault(_parent_key(row, orphan), {})[row.key] = None

    def _meet(self, orphan: Orphan, filters: int, found: list[Found]) -> None:
        """Pay *orphan* what a parent of *filters* pays; it is owed that no more."""
        orphan.has_met |= filters != 0
        paid, orphan.owed = self._rules.payment(orphan.owed, filters)
        child = orphan.child
        for rule, bits in paid:
            signal, group = self._signals[rule.signal], orphan.group(rule.grouping)
            event, match = bits & EVENT, bits & MATCH
            found.append(Found(signal, group, child.end, int(event > 0), int(match > 0), child))

    def _wait(self, row: KnownSpan) -> None:
        for orphan in row.orphans:
            self._waiting.setdefault(_parent_key(row, orphan), {})[row.key] = None

    def _stop_waiting(self, row: KnownSpan) -> None:
        for orphan in row.orphans:
            self._remove(_parent_key(row, orphan), row.key)

    def _remove(self, parent_key: bytes, key: bytes) -> None:
        waiting = self._waiting.get(parent_key)
        if waiting is not None:
            waiting.pop(key, None)
            if not waiting:
                del self._waiting[parent_key]

    def _forget(self, row: KnownSpan, totals: Totals) -> None:
        self._stop_waiting(row)
        missing = sum(not orphan.has_met for orphan in row.orphans)
        if missing:
            totals.add("match_parents_missing", missing)


def _parent_key(row: KnownSpan, orphan: Orphan) -> bytes:
    return row.key[:16] + orphan.parent_id
