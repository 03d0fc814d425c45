"""Places: where the counts of a series go, found once and not again every second."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from sys import intern
from typing import Final, NamedTuple

from tailrace.agents.alerts.cadence import Cadence
from tailrace.agents.alerts.rules import Rule
from tailrace.schemas.matches import Series, SignalId, decode_key
from tailrace.tables.alert_groups import AlertGroup, AlertGroups

_KEPT: Final = 200_000


class Place(NamedTuple):
    """A group, what of it is counted (hexadecimal), and when it is looked at."""

    group: AlertGroup
    counted: str
    cadence: Cadence


class Places:
    """Places by the key of their series, in *groups*. They are of the rules they were found by."""

    def __init__(self, groups: AlertGroups) -> None:
        self._groups = groups
        self._known: dict[bytes, Place] = {}

    def of(self, key: bytes, rules: Mapping[bytes, Rule], now: int) -> Place | None:
        """Return the place of series *key*, met at *now* (ms); None if no rule asks for it."""
        found = self._known.get(key)
        if found is not None:
            return found
        (owner, counted), name = decode_key(key)
        rule = rules.get(owner)
        if rule is None or counted not in rule.lengths:
            return None
        group = self._groups.meet(owner, name, now)
        if len(self._known) >= _KEPT:
            self.clear()
        found = self._known[key] = Place(group, intern(counted.hex()), cadence_of(group, rule))
        return found

    def forget(self, group: AlertGroup, rule: Rule) -> None:
        """Let *group* be met again if something comes of it."""
        for counted in rule.lengths:
            key = Series(SignalId(group.owner, counted), group.group).encode()
            self._known.pop(key, None)

    def clear(self) -> None:
        """Forget all: the rules are others now."""
        self._known.clear()


def cadence_of(group: AlertGroup, rule: Rule) -> Cadence:
    """Return when *group* is looked at."""
    return Cadence(rule.every_ms, zlib.crc32(group.owner + group.group))
