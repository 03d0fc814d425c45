"""Conditions on one text at a time, as `Matcher` says them: of labels, edges, points and numbers.

What is missing is like an empty text for the negative comparisons, and is like nothing for the
others, as with the span filters. Spans themselves are judged by class, many at a time.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Final, TypeAlias

from tailrace.schemas.config.scalars import regex
from tailrace.schemas.definitions.filters import Matcher

_NUMBER: Final = re.compile(r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?")
_Test: TypeAlias = Callable[[str], bool]


class Condition:
    """What *matcher* says, ready to be asked."""

    def __init__(self, matcher: Matcher) -> None:
        self._exists = matcher.exists
        self._positive = list(_positive(matcher))
        self._negative = list(_negative(matcher))

    def holds(self, text: str | None) -> bool:
        """True if it holds of *text*; None: there is no such attribute."""
        if self._exists is not None and self._exists != (text is not None):
            return False
        if text is None and self._positive:
            return False
        said = text or ""
        return all(test(said) for test in (*self._positive, *self._negative))


def _positive(matcher: Matcher) -> Iterator[_Test]:
    """Yield what does not hold where there is nothing."""
    if matcher.eq is not None:
        yield matcher.eq.__eq__
    if matcher.is_in is not None:
        yield frozenset(matcher.is_in).__contains__
    if matcher.regex is not None:
        matches = regex(matcher.regex).fullmatch
        yield lambda text: matches(text) is not None
    if any(bound is not None for bound in (matcher.gt, matcher.gte, matcher.lt, matcher.lte)):
        yield _within(matcher)


def _negative(matcher: Matcher) -> Iterator[_Test]:
    if matcher.ne is not None:
        yield matcher.ne.__ne__
    if matcher.not_in is not None:
        excluded = frozenset(matcher.not_in)
        yield lambda text: text not in excluded
    if matcher.not_regex is not None:
        matches = regex(matcher.not_regex).fullmatch
        yield lambda text: matches(text) is None


def _within(matcher: Matcher) -> _Test:
    def is_within(text: str) -> bool:
        if not _NUMBER.fullmatch(text):
            return False
        number = float(text)
        return not (
            (matcher.gt is not None and number <= matcher.gt)
            or (matcher.gte is not None and number < matcher.gte)
            or (matcher.lt is not None and number >= matcher.lt)
            or (matcher.lte is not None and number > matcher.lte)
        )

    return is_within
