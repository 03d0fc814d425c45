"""A span filter in normal form: conditions on single fields, and how they are put together.

Three values: a condition holds, fails or does not hold. It fails where it compares what is no
number; and a filter fails if it holds or does not depending on what failed (Kleene's logic), in
whatever order it is read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final, Literal, NamedTuple, TypeAlias

from tailrace.schemas.definitions.filters import (
    KINDS,
    STATUSES,
    Bounds,
    DatabaseFilter,
    FaasFilter,
    Matcher,
    Matching,
    MessagingFilter,
    SpanFilter,
)
from tailrace.schemas.semconv import names

FALSE: Final = 0
FAILED: Final = 1
TRUE: Final = 2
"""In this order, so that the lowest of several is what all of them are together."""

CODES: Final = len(KINDS) * len(STATUSES) * 2
BEYOND_NS: Final = 1 << 63
"""No duration is as long."""


def code(kind: int, status: int, is_root: int) -> int:
    """Return the class of a span by kind, status, and whether it is a root."""
    return (kind * len(STATUSES) + status) * 2 + is_root


class Field(NamedTuple):
    """What a condition is on; of several attribute *keys* the first that is there."""

    scope: Literal["tenant", "service", "name", "code", "duration", "span", "resource"]
    keys: tuple[str, ...] = ()


TENANT: Final = Field("tenant")
SERVICE: Final = Field("service")
NAME: Final = Field("name")
CODE: Final = Field("code")
DURATION: Final = Field("duration")

Codes: TypeAlias = int
"""A set of codes, as bits."""


class Range(NamedTuple):
    """Durations in ns from `low` on and below `high`."""

    low: int
    high: int


Test: TypeAlias = Matcher | Codes | Range


class Condition(NamedTuple):
    field: Field
    test: Test


@dataclass(frozen=True, slots=True)
class Every:
    parts: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Some:
    parts: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Neither:
    parts: tuple[Expression, ...]


Expression: TypeAlias = Condition | Every | Some | Neither


class Clause(NamedTuple):
    """What must hold of a span: at most one test of each field, and the rest."""

    tests: dict[Field, Test]
    rest: tuple[Expression, ...]

    def conditions(self) -> Iterator[Condition]:
        """Yield every condition, however deep it stands."""
        yield from (Condition(*each) for each in self.tests.items())
        for part in self.rest:
            yield from _conditions(part)


def _conditions(expression: Expression) -> Iterator[Condition]:
    if isinstance(expression, Condition):
        yield expression
    else:
        for part in expression.parts:
            yield from _conditions(part)


def verdict(expression: Expression, of: Callable[[Condition], int]) -> int:
    """Return what *expression* is, when each condition is what *of* says."""
    if isinstance(expression, Condition):
        return of(expression)
    parts = [verdict(part, of) for part in expression.parts]
    if isinstance(expression, Every):
        return min(parts, default=TRUE)
    if isinstance(expression, Some):
        return max(parts, default=FALSE)
    return TRUE - max(parts, default=FALSE)


def clause(of: SpanFilter, tenant: str) -> Clause:
    """Return *of*, and that a span is of *tenant*, in normal form.

    What it says of its parent is left out.
    """
    tests: dict[Field, Test] = {TENANT: Matcher(eq=tenant)}
    rest: list[Expression] = []
    for each in _parts(of):
        if not isinstance(each, Condition):
            rest.append(each)
        elif each.field == CODE:
            known = tests.get(CODE, (1 << CODES) - 1)
            assert isinstance(known, int)
            assert isinstance(each.test, int)
            tests[CODE] = known & each.test
        elif tests.setdefault(each.field, each.test) != each.test:
            rest.append(each)
    return Clause(tests, tuple(rest))


def _parts(of: SpanFilter) -> Iterator[Expression]:
    """Yield what must all hold."""
    yield from _own(of)
    if of.db is not None:
        yield from _database(of.db)
    if of.messaging is not None:
        yield from _messaging(of.messaging)
    if of.faas is not None:
        yield from _faas(of.faas)
    for part in of.all:
        yield from _parts(part)
    if of.any:
        yield Some(tuple(map(_every, of.any)))
    if of.none:
        yield Neither(tuple(map(_every, of.none)))


def _own(of: SpanFilter) -> Iterator[Condition]:
    if of.service is not None:
        yield Condition(SERVICE, of.service)
    if of.name is not None:
        yield Condition(NAME, of.name)
    if of.kind is not None or of.status is not None or of.root is not None:
        yield Condition(CODE, _codes(of.kind, of.status, of.root))
    if of.duration is not None:
        yield Condition(DURATION, _range(of.duration))
    for key, matcher in of.attributes.items():
        yield Condition(Field("span", _names(key)), matcher)
    for key, matcher in of.resource.items():
        yield Condition(Field("resource", _names(key)), matcher)


def _every(of: SpanFilter) -> Expression:
    return Every(tuple(_parts(of)))


@cache
def _names(key: str) -> tuple[str, ...]:
    return names(key)


def _codes(
    kinds: Sequence[str] | None, statuses: Sequence[str] | None, is_root: bool | None
) -> Codes:
    found = 0
    for kind, kind_name in enumerate(KINDS):
        for status, status_name in enumerate(STATUSES):
            for root in (0, 1):
                if (
                    (kinds is None or kind_name in kinds)
                    and (statuses is None or status_name in statuses)
                    and (is_root is None or root == is_root)
                ):
                    found |= 1 << code(kind, status, root)
    return found


def _range(bounds: Bounds) -> Range:
    lows = [0 if bounds.gt is None else bounds.gt + 1, bounds.gte or 0]
    highs = [
        BEYOND_NS if bounds.lt is None else bounds.lt,
        BEYOND_NS if bounds.lte is None else bounds.lte + 1,
    ]
    return Range(max(lows), min(highs))


_THERE = Matcher(exists=True)
_SYSTEM = Field("span", names("db.system.name"))
_MESSAGING_SYSTEM = Field("span", names("messaging.system"))
_OPERATIONS = (*names("messaging.operation.name"), *names("messaging.operation.type"))
_FUNCTION = Field("span", ("faas.name", "faas.trigger", "faas.invoked_name"))


def _database(of: DatabaseFilter) -> Iterator[Expression]:
    yield from _system(_SYSTEM, of.system)
    yield from _given("db.namespace", of.name)
    yield from _given("db.operation.name", of.operation)
    yield from _given("db.query.text", of.statement)


def _messaging(of: MessagingFilter) -> Iterator[Expression]:
    yield from _system(_MESSAGING_SYSTEM, of.system)
    yield from _given("messaging.destination.name", of.destination)
    if of.operation is not None:
        yield Condition(Field("span", _OPERATIONS), of.operation)


def _faas(of: FaasFilter) -> Iterator[Expression]:
    yield Condition(_FUNCTION, _THERE)
    yield from _given("faas.name", of.name)
    yield from _given("faas.trigger", of.trigger)
    if of.failed is not None:
        failed = _codes(None, ("error",), None)
        yield Condition(CODE, failed if of.failed else ((1 << CODES) - 1) ^ failed)


def _system(field: Field, matcher: Matching | None) -> Iterator[Condition]:
    if matcher is None:
        yield Condition(field, _THERE)
    elif matcher.exists is None:
        yield Condition(field, matcher.model_copy(update={"exists": True}))
    else:
        yield Condition(field, _THERE)
        yield Condition(field, matcher)


def _given(key: str, matcher: Matching | None) -> Iterator[Condition]:
    if matcher is not None:
        yield Condition(Field("span", _names(key)), matcher)
