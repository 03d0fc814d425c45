"""What relations ask of each span: the signals that need more than one span, as masks of filters.

A mask is a set of filters as bits. "Own" filters are those of a span itself.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import orjson

from tailrace.schemas.config.scalars import regex
from tailrace.schemas.definitions.filters import Bounds, Matcher, SpanFilter, TraceFilter
from tailrace.schemas.definitions.signals import Signal
from tailrace.tables.relation_rows import Terms


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
            and (said.spans is None or _is_number(said.spans, spans))
        )


class Part(NamedTuple):
    """What a span with certain filters is: a parent, a child of some rules, a first match."""

    as_parent: int
    as_child: tuple[ChildRule, ...]
    firsts: tuple[FirstRule, ...]


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
        for rule in self.children:
            self.parents |= rule.parent_event | rule.parent_match
        ids = tuple(b"".join(signal.id) for signal in signals)
        self.terms = Terms(tuple(self._numbers), ids, tuple(self.groupings))
        self._parts: dict[int, Part] = {}

    def part(self, filters: int) -> Part:
        """Return what a span of *filters* is."""
        part = self._parts.get(filters)
        if part is None:
            if len(self._parts) >= _REMEMBERED:
                self._parts.clear()
            part = self._parts[filters] = Part(
                filters & self.parents,
                tuple(rule for rule in self.children if not rule.own_event & ~filters),
                tuple(rule for rule in self.firsts if not rule.own & ~filters),
            )
        return part

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


def _is_within(bounds: Bounds | Matcher, number: float) -> bool:
    return (
        (bounds.gt is None or number > bounds.gt)
        and (bounds.gte is None or number >= bounds.gte)
        and (bounds.lt is None or number < bounds.lt)
        and (bounds.lte is None or number <= bounds.lte)
    )


def _is_number(matcher: Matcher, number: int) -> bool:
    """True if *matcher* holds of *number*, and of its text where it compares text."""
    text = str(number)
    return (
        (matcher.eq is None or matcher.eq == text)
        and (matcher.ne is None or matcher.ne != text)
        and (matcher.is_in is None or text in matcher.is_in)
        and (matcher.not_in is None or text not in matcher.not_in)
        and (matcher.regex is None or bool(regex(matcher.regex).fullmatch(text)))
        and (matcher.not_regex is None or not regex(matcher.not_regex).fullmatch(text))
        and matcher.exists is not False
        and _is_within(matcher, number)
    )
