"""Many filters at once.

Spans of one *origin* have a service and a resource of which all conditions say the same; then a
tenant; then a name; then a kind and status. Of each origin it is known which filters may hold there
at all, so that a span meets only those: what they say of it is the lowest of what they say of each
of its fields. Classes that these filters do not tell apart are one: only what matters there makes a
span differ from another. Durations tell spans apart last of all: of the others each filter says up
to where it holds.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Final, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from tailrace.agents.matches.classes import (
    ABSENT,
    Absent,
    CodeClasses,
    DurationClasses,
    Truths,
    ValueClasses,
    classes,
)
from tailrace.agents.matches.conditions import (
    CODE,
    DURATION,
    FALSE,
    NAME,
    SERVICE,
    TENANT,
    TRUE,
    Clause,
    Condition,
    Every,
    Expression,
    Field,
    Test,
    verdict,
)
from tailrace.schemas.strings import AttributeValue, text_of
from tailrace.schemas.sums import Ints

AnyClasses: TypeAlias = ValueClasses | DurationClasses | CodeClasses
_Places = npt.NDArray[np.int32]
_SERVICE_NAME: Final = "service.name"
_DIGEST: Final = 16


class Piece(NamedTuple):
    """`truth` is what a filter says of durations of the classes in (`low`, `high`]."""

    truth: int
    low: int
    high: int


class Said(NamedTuple):
    """What filters say of spans that may differ in their duration alone; FALSE last.

    Of the classes in (low, high] each filter says `truths`, FALSE of others. `pieces`: what those
    say instead for which that is not enough.
    """

    truths: Truths
    lows: Ints
    highs: Ints
    pieces: Mapping[int, Sequence[Piece]]


class Filters:
    """*clauses* by their place.

    `fields` are those that a span itself has, but for its duration, in a fixed order.
    """

    def __init__(self, clauses: Sequence[Clause]) -> None:
        self.clauses = clauses
        tests: dict[Field, list[Test]] = {}
        for each in clauses:
            for field, test in each.conditions():
                tests.setdefault(field, []).append(test)
        self.classes: dict[Field, AnyClasses] = {
            field: classes(tests[field]) for field in sorted(tests)
        }
        own = [field for field in self.classes if not is_of_origin(field) and field != DURATION]
        self.steps = [field for field in (TENANT, NAME, CODE) if field in own]
        """Fields by which an origin is refined, in this order."""
        self.fields = [*self.steps, *(field for field in own if field not in self.steps)]
        self.asked = {field: self._asked(field) for field in self.classes}
        found = self.classes.get(DURATION)
        self.durations = found if isinstance(found, DurationClasses) else DurationClasses(())
        tests_of_durations = (
            self._asked(DURATION) if found is not None else np.zeros(len(clauses), int)
        )
        self.has_rest = np.array([bool(each.rest) for each in clauses], np.bool_)
        self.lows = self.durations.lows[tests_of_durations]
        self.highs = self.durations.highs[tests_of_durations]

    def _asked(self, field: Field) -> _Places:
        """Return which test of *field* each filter asks, or one past the last."""
        places = self.classes[field].tests
        found = [
            places[each.tests[field]] if field in each.tests else len(places)
            for each in self.clauses
        ]
        return np.array(found, np.int32)


def is_of_origin(field: Field) -> bool:
    """True if *field* is the same for all spans of a resource."""
    return field == SERVICE or field.scope == "resource"


class Origins:
    """The origins that were met, by number."""

    def __init__(self, filters: Filters) -> None:
        self._filters = filters
        self._fields = [
            (field, found)
            for field, found in filters.classes.items()
            if is_of_origin(field) and isinstance(found, ValueClasses)
        ]
        self._numbers: dict[tuple[int, ...], int] = {}
        self._origins: list[Origin] = []
        self._refined: dict[tuple[int, int, int], int] = {}

    def __len__(self) -> int:
        return len(self._origins)

    def __getitem__(self, number: int) -> Origin:
        return self._origins[number]

    def of_resource(self, resource: Mapping[str, AttributeValue]) -> int:
        """Return the number of the origin of *resource*."""
        classes = tuple(found.number(_value(field, resource)) for field, found in self._fields)
        number = self._numbers.get(classes)
        if number is None:
            number = self._numbers[classes] = len(self)
            numbers = dict(zip((field for field, _ in self._fields), classes, strict=True))
            everything = np.arange(len(self._filters.clauses))
            said = np.full(len(everything), TRUE, np.uint8)
            self._origins.append(Origin(self._filters, 0, numbers, everything, said))
        return number

    def refined(self, origin: int, field: int, class_: int) -> int:
        """Return the number of that part of *origin* whose *field*th field is of *class_*."""
        of = self._origins[origin]
        key = origin, field, of.kind(field, class_)
        number = self._refined.get(key)
        if number is None:
            number = self._refined[key] = len(self)
            self._origins.append(of.refined(field, class_))
        return number


def _value(field: Field, resource: Mapping[str, AttributeValue]) -> AttributeValue | Absent:
    keys = field.keys or (_SERVICE_NAME,)
    found = next((resource[key] for key in keys if key in resource), ABSENT)
    return text_of(found) if field == SERVICE and not isinstance(found, Absent) else found


class Origin:
    """What the filters `relevant` (their places, ascending) say of the spans of one origin.

    All fields before the *first* are in the origin: it is of the class that *numbers* says.
    """

    def __init__(
        self,
        filters: Filters,
        first: int,
        numbers: Mapping[Field, int],
        relevant: Ints,
        said: Truths,
    ) -> None:
        self._filters = filters
        self._numbers = numbers
        for field in numbers.keys() if not first else filters.fields[first - 1 : first]:
            truths = filters.classes[field].truths(numbers[field])
            said = np.minimum(said, truths[filters.asked[field][relevant]])
        may_hold = said > FALSE
        self.relevant: Ints = relevant[may_hold]
        self._said: Truths = said[may_hold]
        self._here: dict[int, _Here] = {}

    @cached_property
    def _rests(self) -> list[tuple[int, Expression, Ints]]:
        """What is to be judged piece by piece: by which place, and the ends of these pieces."""
        found: list[tuple[int, Expression, Ints]] = []
        for place in np.flatnonzero(self._filters.has_rest[self.relevant]).tolist():
            rest = Every(self._filters.clauses[int(self.relevant[place])].rest)
            ends = self._filters.durations.ends(each.test for each in _on(DURATION, rest))
            found.append((place, rest, ends))
        return found

    @cached_property
    def _ranges(self) -> tuple[Ints, Ints]:
        lows, highs = self._filters.lows[self.relevant], self._filters.highs[self.relevant]
        return np.append(lows, 0), np.append(highs, 0)

    def _at(self, index: int) -> _Here:
        here = self._here.get(index)
        if here is None:
            field = self._filters.fields[index]
            found = self._filters.classes[field]
            asked = self._filters.asked[field][self.relevant]
            places = set(asked.tolist()) - {len(found.tests)}
            is_asked = bool(places)
            for _, rest, _ in self._rests:
                places |= {found.tests[each.test] for each in _on(field, rest)}
            here = _Here(asked if is_asked else None, np.array(sorted(places), np.int32), found)
            self._here[index] = here
        return here

    def refined(self, field: int, number: int) -> Origin:
        """Return the part whose *field*th field, the first that is not in it, is of a class."""
        numbers = {**self._numbers, self._filters.fields[field]: number}
        return Origin(self._filters, field + 1, numbers, self.relevant, self._said)

    def kind(self, field: int, number: int) -> int:
        """Return one number for all classes of the *field*th field that are alike here."""
        here = self._at(field)
        return here.kind(number) if len(here.places) else 0

    def said(self, kinds: Sequence[int]) -> Said:
        """Return what each filter in `relevant` says of spans of these *kinds* of the fields
        that are not in its origin."""
        said = np.append(self._said, np.uint8(FALSE))
        numbers = dict(self._numbers)
        for index, kind in enumerate(kinds, len(self._filters.steps)):
            here = self._at(index)
            if not len(here.places):
                continue
            numbers[self._filters.fields[index]] = number = here.example(kind)
            if here.asked is not None:
                own = said[:-1]
                np.minimum(own, here.classes.truths(number)[here.asked], out=own)
        return Said(said, *self._ranges, self._judged_rests(said, numbers))

    def _judged_rests(
        self, said: Truths, numbers: Mapping[Field, int]
    ) -> Mapping[int, Sequence[Piece]]:
        """Return the pieces of the filters that have a rest, of which *said* says no more."""
        pieces = {}
        lows, highs = self._ranges
        for place, rest, ends in self._rests:
            most = int(said[place])
            said[place] = FALSE
            if most == FALSE:
                continue
            found, low = [], -1
            for end in ends.tolist():
                truth = min(most, self._verdict(rest, {**numbers, DURATION: end}))
                first, last = max(low, int(lows[place])), min(end, int(highs[place]))
                if truth > FALSE and first < last:
                    found.append(Piece(truth, first, last))
                low = end
            pieces[place] = found
        return pieces

    def _verdict(self, rest: Expression, numbers: Mapping[Field, int]) -> int:
        def truth(condition: Condition) -> int:
            field, test = condition
            found = self._filters.classes[field]
            return int(found.truths(numbers[field])[found.tests[test]])

        return verdict(rest, truth)


def _on(field: Field, expression: Expression) -> Iterator[Condition]:
    """Yield the conditions of *expression* that are on *field*."""
    if not isinstance(expression, Condition):
        for part in expression.parts:
            yield from _on(field, part)
    elif expression.field == field:
        yield expression


class _Here:
    """One field at one origin. `asked`: its test by each filter; `places`: of all tests asked."""

    __slots__ = ("_examples", "_kinds", "asked", "classes", "places")

    def __init__(self, asked: _Places | None, places: _Places, classes: AnyClasses) -> None:
        self.asked = asked
        self.places = places
        self.classes = classes
        self._kinds: dict[bytes, int] = {}
        self._examples: list[int] = []

    def kind(self, number: int) -> int:
        """Return one number for all classes of which the tests at `places` say the same."""
        alike = self.classes.truths(number)[self.places].tobytes()
        if len(alike) > _DIGEST:
            alike = hashlib.blake2b(alike, digest_size=_DIGEST).digest()
        kind = self._kinds.get(alike)
        if kind is None:
            kind = self._kinds[alike] = len(self._kinds)
            self._examples.append(number)
        return kind

    def example(self, kind: int) -> int:
        """Return a class of that kind."""
        return self._examples[kind]
