"""What the definitions of each tenant say about notifications."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from tailrace.agents.notifier.inhibition import InhibitRule
from tailrace.agents.notifier.labels import Labels, LabelTest
from tailrace.agents.notifier.routes import Destination, Grouping, Leg, destinations, leg_of
from tailrace.agents.notifier.silences import Mute, mute_of
from tailrace.schemas.definitions.definition import (
    CONTACT_POINT,
    NOTIFICATION_POLICY,
    SILENCE,
    SNOOZE,
    Definition,
    Definitions,
)
from tailrace.schemas.durations import MILLISECOND

_CACHED: Final = "notifier"
_KINDS: Final = (CONTACT_POINT, NOTIFICATION_POLICY, SILENCE, SNOOZE)


@dataclass(frozen=True, slots=True)
class Pulse:
    """A dead man's switch: *receiver* hears of us every *every_ms*."""

    receiver: str
    every_ms: int


@dataclass(frozen=True, slots=True)
class Rules:
    """Those of one tenant. Two are equal if they were made of the same `definitions`."""

    definitions: Sequence[tuple[object, ...]] = ()
    legs: Sequence[Leg] = field(default=(), compare=False)
    mutes: Sequence[Mute] = field(default=(), compare=False)
    inhibit: Sequence[InhibitRule] = field(default=(), compare=False)
    pulses: Mapping[str, Pulse] = field(default_factory=dict, compare=False)
    """By policy."""
    points: Mapping[str, str] = field(default_factory=dict, compare=False)
    """Of each contact point a mark, which is another when it is defined otherwise."""

    without_ends: frozenset[str] = field(default=frozenset(), compare=False)
    """The contact points that are not told that something is over."""

    def destinations(self, labels: Labels) -> dict[str, Grouping]:
        """Return how each contact point is told of alerts with *labels*."""
        return destinations(self.legs, labels)


NO_RULES: Final = Rules()


def rules_of(definitions: Definitions) -> Mapping[str, Rules]:
    """Return the rules by tenant; made once a version."""
    made: Mapping[str, Rules] | None = definitions.cache.get(_CACHED)
    if made is None:
        of_tenant: dict[str, list[Definition[Any]]] = {}
        for kind in _KINDS:
            for each in definitions.of(kind):
                of_tenant.setdefault(each.tenant, []).append(each)
        made = {tenant: _rules(each) for tenant, each in of_tenant.items()}
        definitions.cache[_CACHED] = made
    return made


def _rules(definitions: Sequence[Definition[Any]]) -> Rules:
    policies = [each for each in definitions if each.key.kind == NOTIFICATION_POLICY]
    points = [each for each in definitions if each.key.kind == CONTACT_POINT]
    said = [rule for policy in policies for rule in policy.spec.inhibit]
    beats = {each.name: each.spec.heartbeat for each in policies if each.spec.heartbeat}
    return Rules(
        [(each.key, _said_of(each)) for each in definitions],
        [leg_of(policy.spec.route) for policy in policies] or _everybody(definitions),
        [mute for mute in map(mute_of, definitions) if mute is not None],
        [InhibitRule(number, rule) for number, rule in enumerate(said)],
        {name: Pulse(beat.receiver, beat.every // MILLISECOND) for name, beat in beats.items()},
        {each.name: _mark_of(each) for each in points},
        frozenset(each.name for each in points if not each.spec.send_resolved),
    )


def _said_of(definition: Definition[Any]) -> object:
    """Return what of *definition* matters to what is told when: of a contact point, if ends are."""
    is_point = definition.key.kind == CONTACT_POINT
    return definition.spec.send_resolved if is_point else definition.spec


def _mark_of(definition: Definition[Any]) -> str:
    said = definition.spec.model_dump_json(by_alias=True, exclude_unset=True)
    return hashlib.blake2b(said.encode(), digest_size=8).hexdigest()


def _everybody(definitions: Sequence[Definition[Any]]) -> list[Leg]:
    """Return the routes of a tenant that has no policy: to each of its contact points."""
    return [
        Leg(LabelTest({}), Destination(each.name, Grouping()), goes_on=True, legs=())
        for each in definitions
        if each.key.kind == CONTACT_POINT
    ]
