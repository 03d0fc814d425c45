"""Many filters at once.

Spans of one *origin* have a service and a resource of which all conditions say the same; then a
name; then a kind and status. Of each origin it is known which filters may hold there at all, so
that a span meets only those: what they say of it is the lowest of what they say of each of its
fields. Classes that these filters do not tell apart are one: only what matters there makes a span
differ from another.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias

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
    FALSE,
    NAME,
    SERVICE,
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


class Filters:
    """*clauses* by their place; `fields` are those that a span itself has, in a fixed order."""

    def __init__(self, clauses: Sequence[Clause]) -> None:
        self.clauses = clauses
        tests: dict[Field, list[Test]] = {}
        for each in clauses:
            for field, test in each.conditions():
                tests.setdefault(field, []).append(test)
        self.classes: dict[Field, AnyClasses] = {
            field: classes(tests[field]) for field in sorted(tests)
        }
        own = [field for field in self.classes if not is_of_origin(field)]
        self.steps = [field for field in (NAME, CODE) if field in own]
        """Fields by which an origin is refined, in this order."""
        self.fields = [*self.steps, *(field for field in own if field not in self.steps)]
        self.asked = {field: self._asked(field) for field in self.classes}

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
        self._first = first
        self._numbers = numbers
        for field in numbers.keys() if not first else filters.fields[first - 1 : first]:
            truths = filters.classes[field].truths(numbers[field])
            said = np.minimum(said, truths[filters.asked[field][relevant]])
        may_hold = said > FALSE
        self.relevant: Ints = relevant[may_hold]
        self._said: Truths = said[may_hold]
        clauses = [filters.clauses[place] for place in self.relevant.tolist()]
        self._rests = [(place, Every(each.rest)) for place, each in enumerate(clauses) if each.rest]
        self._asked = [self._asked_here(field) for field in filters.fields]
        told_apart = self._told_apart()
        self._told_apart_by = [told_apart.get(field) for field in filters.fields]
        self._kinds: list[dict[bytes, int]] = [{} for _ in filters.fields]
        self._examples: list[list[int]] = [[] for _ in filters.fields]

    def _asked_here(self, field: Field) -> _Places | None:
        if field in self._numbers:
            return None
        asked = self._filters.asked[field][self.relevant]
        is_asked = asked < len(self._filters.classes[field].tests)
        return asked if is_asked.any() else None

    def _told_apart(self) -> dict[Field, _Places]:
        """Return for each field the tests by which its classes are told apart here."""
        found: dict[Field, set[int]] = {}
        for field, asked in zip(self._filters.fields, self._asked, strict=True):
            if asked is not None:
                found[field] = set(asked.tolist())
        for _, rest in self._rests:
            for field, test in _conditions(rest):
                if field not in self._numbers:
                    found.setdefault(field, set()).add(self._filters.classes[field].tests[test])
        return {field: np.array(sorted(places), np.int32) for field, places in found.items()}

    def refined(self, field: int, number: int) -> Origin:
        """Return the part whose *field*th field, the first that is not in it, is of a class."""
        numbers = {**self._numbers, self._filters.fields[field]: number}
        return Origin(self._filters, field + 1, numbers, self.relevant, self._said)

    def kind(self, field: int, number: int) -> int:
        """Return one number for all classes of the *field*th field that are alike here."""
        places = self._told_apart_by[field]
        if places is None:
            return 0
        truths = self._filters.classes[self._filters.fields[field]].truths(number)
        alike = hashlib.blake2b(truths[places].tobytes(), digest_size=16).digest()
        kinds = self._kinds[field]
        kind = kinds.get(alike)
        if kind is None:
            kind = kinds[alike] = len(kinds)
            self._examples[field].append(number)
        return kind

    def said(self, kinds: Sequence[int]) -> Truths:
        """Return what each filter in `relevant` says of a span of these *kinds* of the fields
        that are not in its origin."""
        said = self._said.copy()
        classes = self._filters.classes
        steps = len(self._filters.steps)
        for index, field in enumerate(self._filters.fields[steps:], steps):
            asked = self._asked[index]
            if asked is not None:
                truths = classes[field].truths(self._examples[index][kinds[index - steps]])
                np.minimum(said, truths[asked], out=said)
        if self._rests:
            self._judge_rests(said, kinds)
        return said

    def _judge_rests(self, said: Truths, kinds: Sequence[int]) -> None:
        numbers = dict(self._numbers)
        steps = len(self._filters.steps)
        fields, found = self._filters.fields[steps:], self._examples[steps:]
        for field, examples, kind in zip(fields, found, kinds, strict=True):
            if examples:
                numbers[field] = examples[kind]

        def truth(condition: Condition) -> int:
            field, test = condition
            found = self._filters.classes[field]
            return int(found.truths(numbers[field])[found.tests[test]])

        for place, rest in self._rests:
            if said[place]:
                said[place] = min(int(said[place]), verdict(rest, truth))


def _conditions(expression: Expression) -> list[Condition]:
    if isinstance(expression, Condition):
        return [expression]
    return [each for part in expression.parts for each in _conditions(part)]
