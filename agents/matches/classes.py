"""Classes of values: values of one field of which every condition says the same.

What there are of them depends on the conditions, hardly on the data. A condition's truth is worked
out once a class, for all conditions of the field together.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from tailrace.agents.matches.conditions import (
    CODES,
    FAILED,
    FALSE,
    TRUE,
    Codes,
    Range,
    Test,
)
from tailrace.schemas.config.scalars import regex
from tailrace.schemas.definitions.filters import Matcher
from tailrace.schemas.strings import AttributeValue, text_of
from tailrace.schemas.sums import Ints

Truths = npt.NDArray[np.uint8]
"""Of each test of a field, in their order, then TRUE for those who ask nothing of it."""

_NUMBER: Final = re.compile(r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?")
_KEPT_BYTES: Final = 32 << 20
"""About how many bytes of truths are kept for each field."""


class Absent:
    """Instead of a value, where there is none."""


ABSENT: Final = Absent()


class Classes(Protocol):
    """The classes of one field; `tests` in the order of what `truths` returns."""

    tests: Mapping[Test, int]

    def truths(self, number: int) -> Truths: ...


class _Class(NamedTuple):
    """A class of values. `above`, `from_`: how many of the cuts its numbers are above or reach."""

    text: str | None
    """The text, if some test compares texts to it."""
    is_there: bool
    matched: tuple[bool, ...]
    above: int
    reached: int


class ValueClasses:
    """Classes of attribute values, or of texts."""

    def __init__(self, tests: Iterable[Matcher]) -> None:
        self.tests: dict[Test, int] = {}
        for test in tests:
            self.tests.setdefault(test, len(self.tests))
        matchers = [test for test in self.tests if isinstance(test, Matcher)]
        self._texts = {text for test in matchers for text in _texts(test)}
        patterns = dict.fromkeys(each for test in matchers for each in _patterns(test))
        self._patterns = {pattern: place for place, pattern in enumerate(patterns)}
        self._regexes = [regex(pattern).fullmatch for pattern in patterns]
        # What is not there is like an empty text for the tests that say what it must not be.
        self._absent = _Class(None, False, self._matched(""), -1, -1)
        self._cuts = sorted({cut for test in matchers for cut in _cuts(test)})
        self._numbers: dict[_Class, int] = {}
        self._classes: list[_Class] = []
        self._truths = _Kept(self._worked_out)
        self._is_simple = not (self._regexes or self._cuts)
        self._other = self._number(_Class(None, True, (False,) * len(patterns), -1, -1))
        self._plain: dict[str, list[int]] = {}
        self._ranges: list[tuple[int, ...]] = []
        self._others: list[tuple[int, Matcher]] = []
        for place, matcher in enumerate(matchers):
            self._sort(place, matcher)
        self._bounds = np.array(self._ranges, np.int64).reshape(-1, 5).T

    def _sort(self, place: int, test: Matcher) -> None:
        """Put *test* to those of its kind, so that thousands of one kind are judged at once."""
        said = {key for key in _OPERATORS if getattr(test, key) is not None}
        if len(said) == 1 and said <= {"eq", "is_in"}:
            for text in _texts(test):
                self._plain.setdefault(text, []).append(place)
        elif said <= _COMPARISONS:
            self._ranges.append((place, *self._places(test)))
        else:
            self._others.append((place, test))

    def _places(self, test: Matcher) -> tuple[int, int, int, int]:
        """Return which of the cuts *test* compares to: gt, gte, lt, lte."""
        first, last = -1, len(self._cuts)
        return (
            first if test.gt is None else bisect_left(self._cuts, test.gt),
            first if test.gte is None else bisect_left(self._cuts, test.gte),
            last if test.lt is None else bisect_left(self._cuts, test.lt),
            last if test.lte is None else bisect_left(self._cuts, test.lte),
        )

    def number(self, value: AttributeValue | Absent) -> int:
        """Return the class of *value*."""
        if self._is_simple and isinstance(value, str):
            if value not in self._texts:
                return self._other
            return self._number(_Class(value, True, (), -1, -1))
        if isinstance(value, Absent):
            return self._number(self._absent)
        text = text_of(value)
        matched = self._matched(text)
        above = reached = -1
        if self._cuts:
            number = _number(value)
            if number is not None:
                above, reached = bisect_left(self._cuts, number), bisect_right(self._cuts, number)
        return self._number(
            _Class(text if text in self._texts else None, True, matched, above, reached)
        )

    def _matched(self, text: str) -> tuple[bool, ...]:
        return tuple(fullmatch(text) is not None for fullmatch in self._regexes)

    def _number(self, found: _Class) -> int:
        number = self._numbers.get(found)
        if number is None:
            number = self._numbers[found] = len(self._classes)
            self._classes.append(found)
        return number

    def truths(self, number: int) -> Truths:
        """Return what the tests say of class *number*."""
        return self._truths[number]

    def _worked_out(self, number: int) -> Truths:
        found = self._classes[number]
        truths = np.zeros(len(self.tests) + 1, np.uint8)
        truths[-1] = TRUE
        if found.text is not None:
            truths[self._plain.get(found.text, [])] = TRUE
        if self._ranges and found.is_there:
            places, gt, gte, lt, lte = self._bounds
            if found.above < 0:
                truths[places] = FAILED
            else:
                above, reached = found.above, found.reached
                is_within = (gt < above) & (gte < reached) & (lt >= reached) & (lte >= above)
                truths[places] = np.where(is_within, TRUE, FALSE)
        for place, test in self._others:
            truths[place] = self._judged(test, found)
        return truths

    def _judged(self, test: Matcher, found: _Class) -> int:
        if test.exists is not None and test.exists != found.is_there:
            return FALSE
        if not found.is_there:
            needs = (test.eq, test.is_in, test.regex, test.gt, test.gte, test.lt, test.lte)
            is_free = all(each is None for each in needs)
            return TRUE if is_free and self._is_text(test, found._replace(text="")) else FALSE
        if not self._is_text(test, found):
            return FALSE
        if all(getattr(test, key) is None for key in _COMPARISONS):
            return TRUE
        if found.above < 0:
            return FAILED
        gt, gte, lt, lte = self._places(test)
        above, reached = found.above, found.reached
        return TRUE if gt < above and gte < reached and lt >= reached and lte >= above else FALSE

    def _is_text(self, test: Matcher, found: _Class) -> bool:
        text = found.text
        return not (
            (test.eq is not None and text != test.eq)
            or (test.ne is not None and text == test.ne)
            or (test.is_in is not None and text not in test.is_in)
            or (test.not_in is not None and text in test.not_in)
            or (test.regex is not None and not found.matched[self._patterns[test.regex]])
            or (test.not_regex is not None and found.matched[self._patterns[test.not_regex]])
        )


_COMPARISONS: Final = frozenset(("gt", "gte", "lt", "lte"))
_OPERATORS: Final = ("eq", "ne", "is_in", "not_in", "regex", "not_regex", "exists", *_COMPARISONS)


def _texts(test: Matcher) -> list[str]:
    single = [text for text in (test.eq, test.ne) if text is not None]
    return [*single, *(test.is_in or ()), *(test.not_in or ())]


def _patterns(test: Matcher) -> list[str]:
    return [pattern for pattern in (test.regex, test.not_regex) if pattern is not None]


def _cuts(test: Matcher) -> list[float]:
    return [cut for cut in (test.gt, test.gte, test.lt, test.lte) if cut is not None]


def _number(value: AttributeValue) -> float | None:
    """Return the number that *value* is, or writes; None if it is none."""
    if isinstance(value, str):
        return float(value) if _NUMBER.fullmatch(value) else None
    if isinstance(value, int | float) and not isinstance(value, bool):
        return None if math.isnan(value) else value
    return None


class DurationClasses:
    """Classes of durations: class n has reached n of the cuts.

    A test is of the classes in (low, high]. `lows`, `highs`: of each test, then where nobody asks.
    """

    def __init__(self, tests: Iterable[Range]) -> None:
        self.tests: dict[Test, int] = {}
        for test in tests:
            self.tests.setdefault(test, len(self.tests))
        ranges = [test for test in self.tests if isinstance(test, Range)]
        largest = np.iinfo(np.int64).max
        cuts = sorted({bound for test in ranges for bound in test if bound <= largest})
        self._cuts = np.array(cuts, np.int64)
        lows = [*(bisect_left(cuts, low) for low, _ in ranges), -1]
        highs = [*(bisect_left(cuts, high) for _, high in ranges), len(cuts)]
        self.lows, self.highs = np.array(lows, np.int64), np.array(highs, np.int64)
        self._truths = _Kept(self._worked_out)

    def __len__(self) -> int:
        """The number of classes."""
        return len(self._cuts) + 1

    def ends(self, tests: Iterable[Test]) -> Ints:
        """Return the last classes of stretches of which each of *tests* says one thing."""
        places = [self.tests[test] for test in tests]
        ends = np.concatenate([self.lows[places], self.highs[places], [len(self._cuts)]])
        found: Ints = np.unique(ends).astype(np.int64)
        return found

    def numbers(self, durations: Ints) -> Ints:
        """Return the class of each of *durations*."""
        return np.searchsorted(self._cuts, durations, side="right")

    def truths(self, number: int) -> Truths:
        """Return what the tests say of class *number*."""
        return self._truths[number]

    def _worked_out(self, number: int) -> Truths:
        is_within = (self.lows < number) & (self.highs >= number)
        return np.where(is_within, TRUE, FALSE).astype(np.uint8)


class CodeClasses:
    """Codes are classes as they are."""

    def __init__(self, tests: Iterable[Codes]) -> None:
        self.tests: dict[Test, int] = {}
        for test in tests:
            self.tests.setdefault(test, len(self.tests))
        codes = [test for test in self.tests if isinstance(test, int)]
        self._truths = [
            np.array([*(TRUE if test >> number & 1 else FALSE for test in codes), TRUE], np.uint8)
            for number in range(CODES)
        ]

    def truths(self, number: int) -> Truths:
        """Return what the tests say of class *number*."""
        return self._truths[number]


class _Kept(dict[int, Truths]):
    """Truths by class, as many as may be kept."""

    def __init__(self, work_out: Callable[[int], Truths]) -> None:
        super().__init__()
        self._work_out = work_out
        self._bytes = 0

    def __missing__(self, number: int) -> Truths:
        truths = self._work_out(number)
        if self._bytes > _KEPT_BYTES:
            self.clear()
            self._bytes = 0
        self[number] = truths
        self._bytes += truths.nbytes + 100
        return truths


def classes(tests: Sequence[Test]) -> ValueClasses | DurationClasses | CodeClasses:
    """Return the classes of the field of *tests*, which are all of one type."""
    kind: Any = {Matcher: ValueClasses, Range: DurationClasses}.get(type(tests[0]), CodeClasses)
    found: ValueClasses | DurationClasses | CodeClasses = kind(tests)
    return found
