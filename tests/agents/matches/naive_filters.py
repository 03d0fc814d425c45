"""Filters span by span, straight from their documentation; None: the filter fails."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from hypothesis import strategies as st

from tailrace.schemas.definitions.filters import KINDS, STATUSES, Bounds, Matcher, SpanFilter
from tailrace.schemas.semconv import names
from tailrace.schemas.strings import text_of
from tests.agents.matches.span_messages import VALUES, Span

NOTHING = object()


def is_of(of: SpanFilter, span: Span) -> bool | None:
    """True if *span* is of the filter, None if the filter fails on it."""
    return _all(_says(of, span))


def _all(parts: Iterable[bool | None]) -> bool | None:
    said = list(parts)
    return False if False in said else None if None in said else True


def _says(of: SpanFilter, span: Span) -> Iterator[bool | None]:
    service = span.resource.get("service.name", NOTHING)
    if of.service is not None:
        yield _matches(of.service, service)
    if of.name is not None:
        yield _matches(of.name, span.name)
    if of.kind is not None:
        yield KINDS[span.kind] in of.kind
    if of.status is not None:
        yield STATUSES[span.status] in of.status
    if of.root is not None:
        yield of.root == span.is_root
    if of.duration is not None:
        yield _is_within(of.duration, max(0, span.duration))
    yield from _attributes(of, span)
    yield from _sections(of, span)
    for part in of.all:
        yield is_of(part, span)
    if of.any:
        said = [is_of(part, span) for part in of.any]
        yield True if True in said else None if None in said else False
    for part in of.none:
        one = is_of(part, span)
        yield None if one is None else not one


def _attributes(of: SpanFilter, span: Span) -> Iterator[bool | None]:
    for key, matcher in of.attributes.items():
        yield _matches(matcher, _value(span.attributes, names(key)))
    for key, matcher in of.resource.items():
        yield _matches(matcher, _value(span.resource, names(key)))


def _sections(of: SpanFilter, span: Span) -> Iterator[bool | None]:
    def value(*keys: str) -> Any:
        return _value(span.attributes, keys)

    asked: list[tuple[Matcher | None, Any]] = []
    if of.db is not None:
        system = value("db.system.name", "db.system")
        yield system is not NOTHING
        asked += [(of.db.system, system), (of.db.name, value("db.namespace", "db.name"))]
    if of.messaging is not None:
        system = value("messaging.system")
        yield system is not NOTHING
        operation = value(
            "messaging.operation.name", "messaging.operation.type", "messaging.operation"
        )
        asked += [(of.messaging.system, system), (of.messaging.operation, operation)]
    if of.faas is not None:
        yield value("faas.name", "faas.trigger", "faas.invoked_name") is not NOTHING
        asked += [(of.faas.name, value("faas.name")), (of.faas.trigger, value("faas.trigger"))]
        if of.faas.failed is not None:
            yield of.faas.failed == (span.status == 2)
    for matcher, found in asked:
        if matcher is not None:
            yield _matches(matcher, found)


def _value(attributes: Mapping[str, Any], keys: Iterable[str]) -> Any:
    return next((attributes[key] for key in keys if key in attributes), NOTHING)


def _is_within(bounds: Bounds, duration: int) -> bool:
    return (
        (bounds.gt is None or duration > bounds.gt)
        and (bounds.gte is None or duration >= bounds.gte)
        and (bounds.lt is None or duration < bounds.lt)
        and (bounds.lte is None or duration <= bounds.lte)
    )


def _matches(matcher: Matcher, value: Any) -> bool | None:
    return _all(_conditions(matcher, value))


def _conditions(matcher: Matcher, value: Any) -> Iterator[bool | None]:
    is_there = value is not NOTHING
    text = text_of(value) if is_there else None
    if matcher.exists is not None:
        yield matcher.exists == is_there
    if matcher.eq is not None:
        yield text == matcher.eq
    if matcher.ne is not None:
        yield (text or "") != matcher.ne
    if matcher.is_in is not None:
        yield text in matcher.is_in
    if matcher.not_in is not None:
        yield (text or "") not in matcher.not_in
    if matcher.regex is not None:
        yield text is not None and re.fullmatch(matcher.regex, text) is not None
    if matcher.not_regex is not None:
        yield re.fullmatch(matcher.not_regex, text or "") is None
    number = _number(value)
    for operator in ("gt", "gte", "lt", "lte"):
        bound = getattr(matcher, operator)
        if bound is not None:
            yield (
                False
                if not is_there
                else None
                if number is None
                else _holds(operator, number, bound)
            )


def _holds(operator: str, number: float, bound: float) -> bool:
    return {
        "gt": number > bound,
        "gte": number >= bound,
        "lt": number < bound,
        "lte": number <= bound,
    }[operator]


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        return float(value)
    except ValueError:
        return None


_TEXTS = st.sampled_from(["a", "b", "ab", "", "5", "GET /", "api", "cart", "true"])
_NUMBERS = st.sampled_from([5, 7, 7.5, 0, -1.5])
MATCHERS = st.one_of(
    _TEXTS,
    VALUES.filter(lambda value: value is not None),
    st.lists(_TEXTS, min_size=1, max_size=3),
    st.dictionaries(st.sampled_from(["gt", "gte", "lt", "lte"]), _NUMBERS, min_size=1, max_size=2),
    st.fixed_dictionaries(
        {},
        optional={
            "eq": _TEXTS,
            "ne": _TEXTS,
            "in": st.lists(_TEXTS, min_size=1, max_size=2),
            "not_in": st.lists(_TEXTS, min_size=1, max_size=2),
            "regex": st.sampled_from(["a.*", ".*", "[0-9]+", ""]),
            "not_regex": st.sampled_from(["a.*", "x?5", ".*", ""]),
            "exists": st.booleans(),
            "gt": _NUMBERS,
            "lte": _NUMBERS,
        },
    ).filter(bool),
)
_DURATIONS = st.sampled_from(["> 0ns", ">= 1us", "< 1us", "<= 999ns", "> 1ms", "<= 1001ns"])
_ATTRIBUTES = st.dictionaries(
    st.sampled_from(["http.method", "http.request.method", "tier", "db.name"]), MATCHERS, max_size=2
)
_PLAIN: dict[str, st.SearchStrategy[Any]] = {
    "service": MATCHERS,
    "name": MATCHERS,
    "kind": st.one_of(st.sampled_from(KINDS), st.lists(st.sampled_from(KINDS), max_size=3)),
    "status": st.one_of(st.sampled_from(STATUSES), st.lists(st.sampled_from(STATUSES), max_size=2)),
    "duration": st.one_of(_DURATIONS, st.just({"gte": "1us", "lt": "1ms"})),
    "root": st.booleans(),
    "attributes": _ATTRIBUTES,
    "resource": st.dictionaries(
        st.sampled_from(["deployment.environment.name", "tier", "service.name"]),
        MATCHERS,
        max_size=2,
    ),
    "db": st.fixed_dictionaries({}, optional={"system": MATCHERS, "name": MATCHERS}),
    "messaging": st.fixed_dictionaries({}, optional={"system": MATCHERS, "operation": MATCHERS}),
    "faas": st.fixed_dictionaries(
        {}, optional={"name": MATCHERS, "trigger": MATCHERS, "failed": st.booleans()}
    ),
}


def _few(parts: dict[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[dict[str, Any]]:
    """Mappings with at most three of *parts*."""
    return st.sets(st.sampled_from(sorted(parts)), max_size=3).flatmap(
        lambda keys: st.fixed_dictionaries({key: parts[key] for key in sorted(keys)})
    )


_LEAVES = _few(_PLAIN)
_NESTED = st.recursive(
    _LEAVES,
    lambda inner: _few(
        _PLAIN | {key: st.lists(inner, max_size=2) for key in ("all", "any", "none")}
    ),
    max_leaves=4,
)
FILTERS = st.one_of(_LEAVES, _NESTED).map(SpanFilter.model_validate)
