"""Places: where the counts of a series go, found once and not again every second."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Final

from tailrace.agents.alerts.cadence import Cadence
from tailrace.agents.alerts.rules import Rule
from tailrace.schemas.matches import Series, SignalId, decode_key
from tailrace.tables.alert_groups import AlertGroup, AlertGroups

_KEPT: Final = 200_000


class Places:
    """The group, of *groups*, of each series by its key. They are of the rules they were found by.

    Nothing more is held: with 100,000 groups this is an eighth of what they weigh.
    """

    def __init__(self, groups: AlertGroups) -> None:
        self._groups = groups
        self._known: dict[bytes, AlertGroup] = {}

    def of(self, key: bytes, rules: Mapping[bytes, Rule], now: int) -> AlertGroup | None:
        """Return the group of series *key*, met at *now* (ms); None if no rule asks for it."""
        found = self._known.get(key)
        if found is not None:
            return found
        (owner, counted), name = decode_key(key)
        rule = rules.get(owner)
        if rule is None or counted not in rule.lengths:
            return None
        if len(self._known) >= _KEPT:
            self.clear()
        found = self._known[key] = self._groups.meet(owner, name, now)
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
