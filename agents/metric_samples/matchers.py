"""Conditions on the attributes of points, as `Matcher` says them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Final, TypeAlias

from tailrace.schemas.config.scalars import regex
from tailrace.schemas.definitions.filters import Matcher
from tailrace.schemas.strings import AttributeValue, text_of

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
        if text is None:
            return not self._positive
        return all(test(text) for test in self._positive) and all(
            test(text) for test in self._negative
        )


def text_at(keys: tuple[str, ...], *attributes: Mapping[str, AttributeValue]) -> str | None:
    """Return the text of the first of *keys* that is in the first of *attributes* that has one."""
    for each in attributes:
        for key in keys:
            if key in each:
                return text_of(each[key])
    return None


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
