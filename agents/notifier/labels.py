"""Labels of alerts, and what matches them."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

from tailrace.schemas.alert_events import AlertEvent
from tailrace.schemas.config.scalars import regex
from tailrace.schemas.definitions.filters import Matcher

Labels: TypeAlias = Mapping[str, str]
Test: TypeAlias = Callable[[str | None], bool]

_BOUNDS: Final = {
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
}


def labels_of(event: AlertEvent) -> dict[str, str]:
    """Return the labels of *event*, and what it is by itself, which hides labels of that name.

    The name of its definition is `name`, and `alertname` as in Alertmanager.
    """
    return {
        **event.labels,
        "tenant": event.tenant,
        "name": event.name,
        "alertname": event.name,
        "kind": event.kind,
        "severity": event.severity,
    }


class LabelTest:
    """All of *matchers* hold. A missing label is like an empty one for the negative ones."""

    def __init__(self, matchers: Mapping[str, Matcher]) -> None:
        self._tests = [(key, test) for key, each in matchers.items() for test in _tests(each)]

    def holds(self, labels: Labels) -> bool:
        """True if *labels* are as asked for."""
        return all(test(labels.get(key)) for key, test in self._tests)


def _tests(matcher: Matcher) -> list[Test]:
    said = {name: getattr(matcher, name) for name in matcher.model_fields_set}
    return [_MAKERS[name](value) for name, value in said.items() if value is not None]


def _bound(name: str) -> Callable[[float], Test]:
    compare = _BOUNDS[name]

    def make(bound: float) -> Test:
        def test(value: str | None) -> bool:
            number = _number(value)
            return number is not None and bool(compare(number, bound))

        return test

    return make


def _number(value: str | None) -> float | None:
    try:
        return None if value is None else float(value)
    except ValueError:
        return None


_MAKERS: Final[Mapping[str, Callable[..., Test]]] = {
    "eq": lambda text: lambda value: value == text,
    "ne": lambda text: lambda value: (value or "") != text,
    "is_in": lambda texts: lambda value: value in texts,
    "not_in": lambda texts: lambda value: (value or "") not in texts,
    "regex": lambda text: lambda value: value is not None and _is_like(text, value),
    "not_regex": lambda text: lambda value: not _is_like(text, value or ""),
    "exists": lambda is_there: lambda value: (value is not None) == is_there,
    **{name: _bound(name) for name in _BOUNDS},
}


def _is_like(pattern: str, value: str) -> bool:
    return regex(pattern).fullmatch(value) is not None
