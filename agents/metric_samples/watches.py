"""Watches: which points the definitions of now ask for, and the groups that these are of."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from tailrace.schemas.definitions import Definitions
from tailrace.schemas.definitions.conditions import Condition
from tailrace.schemas.definitions.definition import ALERT
from tailrace.schemas.definitions.signals import Signal, signals
from tailrace.schemas.matches import SignalId, encode_group
from tailrace.schemas.otlp.metrics import Of, Point
from tailrace.schemas.semconv import names
from tailrace.schemas.strings import AttributeValue, text_of

GROUP_BYTES: Final = 1000
"""How long a group may be; a longer one counts as `overflow`, as those of spans do."""
_OVERFLOW: Final = "__overflow__"
_CACHE: Final = "metric watches"
_ATTRIBUTES: Final = "attributes."
_RESOURCE: Final = "resource."

_Field = Callable[[Point], str]


class Watch:
    """What one signal asks for."""

    def __init__(self, signal: Signal) -> None:
        assert signal.metric is not None
        self.id: SignalId = signal.id
        self.tenant = signal.tenant
        self.metric = signal.metric.name
        self.of: Of = signal.metric.of
        self._conditions = [
            (names(key), Condition(matcher)) for key, matcher in signal.metric.attributes.items()
        ]
        self._fields = [_field(each) for each in signal.group_by]

    def wants(self, point: Point, tenant: str) -> bool:
        """True if *point*, which is of *tenant*, has the attributes that are asked for.

        They are its own, or else its resource's.
        """
        return self.tenant == tenant and all(
            condition.holds(text_at(keys, point.attributes, point.origin.resource))
            for keys, condition in self._conditions
        )

    def group(self, point: Point) -> bytes:
        """Return the group of *point*: the text of each field, "" where there is none."""
        group = encode_group([field(point) for field in self._fields])
        if len(group) <= GROUP_BYTES:
            return group
        return encode_group([_OVERFLOW] * len(self._fields))


Watches = Mapping[str, list[Watch]]
"""By the name of the metric."""


def watches(all: Iterable[Signal]) -> Watches:
    """Return what *all* ask for, each signal once. Those that are not of metrics ask nothing."""
    found: dict[str, list[Watch]] = {}
    for signal in {each.id: each for each in all if each.metric is not None}.values():
        watch = Watch(signal)
        found.setdefault(watch.metric, []).append(watch)
    return found


def watches_for(definitions: Definitions) -> Watches:
    """Return what the alerts of *definitions* ask for; the same object for the same ones."""
    found: Watches | None = definitions.counted.get(_CACHE)
    if found is None:
        alerts: Iterable[Any] = definitions.of(ALERT)
        found = watches(signal for alert in alerts for signal in signals(alert).values())
        definitions.counted[_CACHE] = found
    return found


def _field(name: str) -> _Field:
    if name == "name":
        return lambda point: point.origin.metric
    if name == "service":
        return lambda point: text_at(("service.name",), point.origin.resource) or ""
    if name.startswith(_RESOURCE):
        keys = names(name.removeprefix(_RESOURCE))
        return lambda point: text_at(keys, point.origin.resource) or ""
    if name.startswith(_ATTRIBUTES):
        keys = names(name.removeprefix(_ATTRIBUTES))
        return lambda point: text_at(keys, point.attributes) or ""
    return lambda point: ""  # a metric has no kind or status


def text_at(keys: tuple[str, ...], *attributes: Mapping[str, AttributeValue]) -> str | None:
    """Return the text of the first of *keys* that is in the first of *attributes* that has one."""
    for each in attributes:
        for key in keys:
            if key in each:
                return text_of(each[key])
    return None
