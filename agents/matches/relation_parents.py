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

from collections.abc import Iterator, Sequence

from tailrace.agents.matches.relation_rules import ChildRule, Part, RelationRules
from tailrace.agents.matches.relation_spans import Found, Observed
from tailrace.schemas.definitions.signals import Signal
from tailrace.schemas.records import Totals
from tailrace.tables.aging_rows import AgingRows
from tailrace.tables.relation_rows import EVENT, MATCH, KnownSpan, KnownSpans, Orphan, Witness
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
        self._rules = {rule.signal: rule for rule in rules.children}
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

    def observe(self, now: int, span: Observed, part: Part, totals: Totals) -> Iterator[Found]:
        """Yield what *span* completes; what is due before *now* is done already."""
        key = span.trace_id + span.span_id
        before = self._known.get(key)
        filters, taken = (before.filters, before.taken) if before else (0, 0)
        # A child of nobody can count only for what does not depend on its parent.
        rules = [
            rule
            for rule in part.as_child
            if not taken >> rule.signal & 1 and (span.parent_span_id or not rule.parent_event)
        ]
        if not rules and not part.as_parent & ~filters:
            return
        for rule in rules:
            taken |= 1 << rule.signal
        row = KnownSpan(key, now + self._wait_ms, filters | part.as_parent, taken)
        row.orphans = before.orphans if before else []
        self._put(row, totals)
        if row.filters != filters:
            yield from self._adopted(row)
        if rules:
            yield from self._born(row, span, rules)

    def _put(self, row: KnownSpan, totals: Totals) -> None:
        """Add *row* as the newest, and those that wait for a parent with it."""
        if self._known.get(row.key) is not None:
            self._stop_waiting(row)
        elif len(self._known) >= self._limit:
            totals.add("match_spans_forgotten", 1)
            self._forget(self._known.take_oldest(), totals)
        self._known.put(row)
        self._wait(row)

    def _adopted(self, parent: KnownSpan) -> Iterator[Found]:
        """Yield what those count for that waited for *parent*."""
        for key in list(self._waiting.get(parent.key, ())):
            row = self._known.get(key)
            assert row is not None, "who waits is known"
            for orphan in row.orphans:
                if _parent_key(row, orphan) == parent.key:
                    yield from self._meet(orphan, parent.filters)
            kept = [orphan for orphan in row.orphans if orphan.owed]
            if all(_parent_key(row, orphan) != parent.key for orphan in kept):
                self._remove(parent.key, key)
            row.orphans = kept
            self._known.touch(row)

    def _born(self, row: KnownSpan, span: Observed, rules: list[ChildRule]) -> Iterator[Found]:
        """Yield what *span* counts for as a child; what it is owed then waits in *row*."""
        filters = span.filters
        orphan = Orphan(
            span.parent_span_id,
            span.witness,
            {rule.signal: EVENT if rule.own_match & ~filters else EVENT | MATCH for rule in rules},
            {number: span.group(number) for number in {rule.grouping for rule in rules}},
        )
        parent = self._known.get(_parent_key(row, orphan)) if orphan.parent_id else None
        yield from self._meet(orphan, parent.filters if parent is not None else 0)
        if orphan.owed and orphan.parent_id:
            row.orphans.append(orphan)
            self._waiting.setdefault(_parent_key(row, orphan), {})[row.key] = None

    def _meet(self, orphan: Orphan, filters: int) -> Iterator[Found]:
        """Yield what *orphan* is owed by a parent of *filters*; it is owed that no more."""
        orphan.has_met |= filters != 0
        for signal, owed in list(orphan.owed.items()):
            rule = self._rules[signal]
            paid = (0 if rule.parent_event & ~filters else EVENT) | (
                0 if rule.parent_match & ~filters else MATCH
            )
            if paid & owed:
                yield self._found(rule, orphan.groups[rule.grouping], orphan.child, paid & owed)
            orphan.owed[signal] = owed & ~paid
            if not owed & ~paid:
                del orphan.owed[signal]

    def _found(self, rule: ChildRule, group: bytes, child: Witness, paid: int) -> Found:
        signal = self._signals[rule.signal]
        return Found(signal, group, child.end, int(paid & EVENT > 0), int(paid & MATCH > 0), child)

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
