"""What relations ask of each span: the signals that need more than one span, as masks of filters.

A mask is a set of filters as bits. "Own" filters are those of a span itself.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import orjson

from tailrace.schemas.definitions.conditions import Condition
from tailrace.schemas.definitions.filters import Bounds, SpanFilter, TraceFilter
from tailrace.schemas.definitions.signals import Signal
from tailrace.tables.relation_rows import EVENT, MATCH, Owed, Terms


def is_relation(signal: Signal) -> bool:
    """True if a span alone does not tell whether it counts for *signal*."""
    return signal.trace is not None or signal.counts_traces or _has_parent(signal)


def _has_parent(signal: Signal) -> bool:
    return any(each is not None and each.parent is not None for each in (signal.of, signal.matched))


@dataclass(frozen=True, slots=True)
class ChildRule:
    """A signal of spans whose parent matters. It is an event, or a match, if all filters hold."""

    signal: int
    grouping: int
    own_event: int
    parent_event: int
    own_match: int
    parent_match: int


@dataclass(frozen=True, slots=True)
class FirstRule:
    """A signal of traces with a span of all these filters."""

    signal: int
    grouping: int
    own: int


@dataclass(frozen=True, slots=True)
class TraceRule:
    """A signal of whole traces."""

    signal: int
    grouping: int
    filter: TraceFilter
    contains: int
    lacks: int

    def holds(self, duration_ns: int, spans: int, filters: int) -> bool:
        """True of a trace of so many *spans* that are together of *filters*."""
        said = self.filter
        return (
            not self.contains & ~filters
            and not self.lacks & filters
            and (said.duration is None or _is_within(said.duration, duration_ns))
            and (said.spans is None or Condition(said.spans).holds(str(spans)))
        )


class Part(NamedTuple):
    """What a span with certain filters is: a parent of such a kind, a child, a first match."""

    as_parent: int
    is_child: bool
    firsts: tuple[FirstRule, ...]


class Birth(NamedTuple):
    """What a child is owed that some signals had not taken before; `taken`: those and these."""

    taken: int
    owed: Owed
    groupings: tuple[int, ...]


class Payment(NamedTuple):
    """What of a debt is paid by a parent, for each rule, and what is owed still."""

    paid: tuple[tuple[ChildRule, int], ...]
    rest: Owed


Key = TypeVar("Key", bound=Hashable)
Answer = TypeVar("Answer")


def _remembered(memo: dict[Key, Answer], key: Key, answer: Callable[[Key], Answer]) -> Answer:
    """Return what *answer* says of *key*, and remember it among not too many others."""
    if len(memo) >= _REMEMBERED:
        memo.clear()
    memo[key] = found = answer(key)
    return found


class RelationRules:
    """The rules of *signals*, all of them relations."""

    def __init__(self, signals: Sequence[Signal]) -> None:
        self.filters: list[SpanFilter] = []
        self.groupings: list[tuple[str, ...]] = []
        self._numbers: dict[bytes, int] = {}
        self.children: list[ChildRule] = []
        self.firsts: list[FirstRule] = []
        self.traces: list[TraceRule] = []
        for number, signal in enumerate(signals):
            self._add(number, signal)
        self.parents = 0
        """All filters of parents."""
        self._by_signal = {rule.signal: rule for rule in self.children}
        for rule in self.children:
            self.parents |= rule.parent_event | rule.parent_match
        ids = tuple(b"".join(signal.id) for signal in signals)
        self.terms = Terms(tuple(self._numbers), ids, tuple(self.groupings))
        self._parts: dict[int, Part] = {}
        self._births: dict[tuple[int, int, bool], Birth] = {}
        self._payments: dict[tuple[Owed, int], Payment] = {}

    def part(self, filters: int) -> Part:
        """Return what a span of *filters* is."""
        found = self._parts.get(filters)
        return found or _remembered(self._parts, filters, self._part)

    def birth(self, filters: int, taken: int, has_parent: bool) -> Birth:
        """Return what a child of *filters* is owed by signals that have not *taken* it."""
        key = filters, taken, has_parent
        return self._births.get(key) or _remembered(self._births, key, self._birth)

    def payment(self, owed: Owed, filters: int) -> Payment:
        """Return what a parent of *filters* pays of what is *owed*; of none, what needs none."""
        key = owed, filters
        return self._payments.get(key) or _remembered(self._payments, key, self._payment)

    def _part(self, filters: int) -> Part:
        return Part(
            filters & self.parents,
            any(not rule.own_event & ~filters for rule in self.children),
            tuple(rule for rule in self.firsts if not rule.own & ~filters),
        )

    def _birth(self, key: tuple[int, int, bool]) -> Birth:
        filters, taken, has_parent = key
        # A child of nobody can count only for what does not depend on its parent.
        rules = [
            rule
            for rule in self.children
            if not rule.own_event & ~filters
            and not taken >> rule.signal & 1
            and (has_parent or not rule.parent_event)
        ]
        for rule in rules:
            taken |= 1 << rule.signal
        owed = tuple(
            (rule.signal, EVENT if rule.own_match & ~filters else EVENT | MATCH) for rule in rules
        )
        return Birth(taken, owed, tuple(sorted({rule.grouping for rule in rules})))

    def _payment(self, key: tuple[Owed, int]) -> Payment:
        owed, filters = key
        paid: list[tuple[ChildRule, int]] = []
        rest: list[tuple[int, int]] = []
        for signal, bits in owed:
            rule = self._by_signal[signal]
            pays = 0 if rule.parent_event & ~filters else EVENT
            pays |= 0 if rule.parent_match & ~filters else MATCH
            if bits & pays:
                paid.append((rule, bits & pays))
            if bits & ~pays:
                rest.append((signal, bits & ~pays))
        return Payment(tuple(paid), tuple(rest))

    def _add(self, number: int, signal: Signal) -> None:
        grouping = self._grouping(signal.group_by)
        if signal.trace is not None:
            contains, lacks = map(self._mask, (signal.trace.contains, signal.trace.lacks))
            self.traces.append(TraceRule(number, grouping, signal.trace, contains, lacks))
            return
        own_match, parent_match = self._own_and_parent([signal.of, signal.matched])
        if signal.of is None or signal.counts_traces:
            own_event, parent_event = own_match, parent_match
        else:
            own_event, parent_event = self._own_and_parent([signal.of])
        if parent_match:
            self.children.append(
                ChildRule(number, grouping, own_event, parent_event, own_match, parent_match)
            )
        else:
            self.firsts.append(FirstRule(number, grouping, own_match))

    def _own_and_parent(self, filters: Sequence[SpanFilter | None]) -> tuple[int, int]:
        given = [each for each in filters if each is not None]
        own = [each.model_copy(update={"parent": None}) for each in given]
        return self._mask(own), self._mask([each.parent for each in given if each.parent])

    def _mask(self, filters: Sequence[SpanFilter]) -> int:
        mask = 0
        for each in filters:
            digest = _digest(each)
            if digest not in self._numbers:
                self._numbers[digest] = len(self.filters)
                self.filters.append(each)
            mask |= 1 << self._numbers[digest]
        return mask

    def _grouping(self, fields: tuple[str, ...]) -> int:
        if fields not in self.groupings:
            self.groupings.append(fields)
        return self.groupings.index(fields)


_REMEMBERED = 4096


def _digest(filter: SpanFilter) -> bytes:
    said = filter.model_dump(by_alias=True, mode="json", exclude_defaults=True)
    raw = orjson.dumps(said, option=orjson.OPT_SORT_KEYS)
    return hashlib.blake2b(raw, digest_size=8).digest()


def _is_within(bounds: Bounds, number: float) -> bool:
    return (
        (bounds.gt is None or number > bounds.gt)
        and (bounds.gte is None or number >= bounds.gte)
        and (bounds.lt is None or number < bounds.lt)
        and (bounds.lte is None or number <= bounds.lte)
    )
