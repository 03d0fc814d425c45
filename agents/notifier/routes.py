"""Routes: from an alert's labels to contact points, and to the group it is told with."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import orjson

from tailrace.agents.notifier.labels import Labels, LabelTest
from tailrace.schemas.definitions.notification_policy import (
    DEFAULT_GROUP_BY,
    DEFAULT_GROUP_INTERVAL,
    DEFAULT_GROUP_WAIT,
    DEFAULT_REPEAT_INTERVAL,
    EACH_ALONE,
    Route,
)
from tailrace.schemas.durations import MILLISECOND


class Grouping(NamedTuple):
    """How alerts of a route are told; times in ms."""

    by: tuple[str, ...] = DEFAULT_GROUP_BY
    wait_ms: int = DEFAULT_GROUP_WAIT // MILLISECOND
    interval_ms: int = DEFAULT_GROUP_INTERVAL // MILLISECOND
    repeat_ms: int = DEFAULT_REPEAT_INTERVAL // MILLISECOND


class Destination(NamedTuple):
    """A contact point, and how it is told."""

    contact_point: str
    grouping: Grouping


@dataclass(frozen=True, slots=True)
class Leg:
    """A route with all it inherited."""

    test: LabelTest
    destination: Destination
    goes_on: bool
    legs: Sequence[Leg]

    def find(self, labels: Labels) -> list[Destination]:
        """Return where alerts with *labels* go on this way; nowhere if they do not match."""
        if not self.test.holds(labels):
            return []
        found: list[Destination] = []
        for leg in self.legs:
            below = leg.find(labels)
            found += below
            if below and not leg.goes_on:
                break
        return found or [self.destination]


def leg_of(route: Route, above: Destination = Destination("", Grouping())) -> Leg:  # noqa: B008 - it is a constant
    """Return *route* with what it does not say as *above* says it."""
    grouping = above.grouping
    said: dict[str, Any] = {
        "by": route.group_by,
        "wait_ms": _ms(route.group_wait),
        "interval_ms": _ms(route.group_interval),
        "repeat_ms": _ms(route.repeat_interval),
    }
    grouping = grouping._replace(**{key: value for key, value in said.items() if value is not None})
    own = Destination(route.receiver or above.contact_point, grouping)
    legs = [leg_of(each, own) for each in route.routes]
    return Leg(LabelTest(route.match), own, route.goes_on, legs)


def destinations(legs: Iterable[Leg], labels: Labels) -> dict[str, Grouping]:
    """Return how each contact point is told: by the first route that names it."""
    found: dict[str, Grouping] = {}
    for destination in _all(legs, labels):
        found.setdefault(*destination)
    return found


def _all(legs: Iterable[Leg], labels: Labels) -> Iterator[Destination]:
    for leg in legs:
        yield from leg.find(labels)


def group_labels(grouping: Grouping, labels: Labels, fingerprint: str) -> dict[str, str]:
    """Return what the alerts of a group have in common by *grouping*."""
    if EACH_ALONE in grouping.by:
        return {"fingerprint": fingerprint}
    return {key: labels[key] for key in sorted(grouping.by) if key in labels}


def group_key(tenant: str, contact_point: str, grouping: Grouping, labels: Labels) -> str:
    """Return 32 hex characters that name a group.

    Routes that lead alike have their groups in common, wherever they stand in the tree.
    """
    said = orjson.dumps([tenant, contact_point, *grouping, sorted(labels.items())])
    return hashlib.blake2b(said, digest_size=16, person=b"tailrace.group").hexdigest()


def _ms(duration: int | None) -> int | None:
    return None if duration is None else -(-duration // MILLISECOND)
