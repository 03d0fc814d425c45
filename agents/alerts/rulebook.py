"""The rules of all alerts and SLOs, and of which definitions the groups in the store are.

A *mark* says what a definition asks for, in 12 bytes; its version is not part of it. That of every
definition with groups is in the store: so a worker that reads newer definitions when it starts does
what one that followed them would have done.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from tailrace.agents.alerts.objectives import SloRule
from tailrace.agents.alerts.rules import AlertRule, Rule, owner_of
from tailrace.schemas.definitions import Definition, Definitions
from tailrace.schemas.definitions.definition import ALERT, SLO
from tailrace.tables.store import PartitionStore

_MARKS = b"d"
_GROUP_BY_BYTES, _SAID_BYTES = 4, 8


def rules_of(definitions: Definitions, known: Mapping[bytes, Rule]) -> Mapping[bytes, Rule]:
    """Return the rule of every alert and SLO by owner; made once for all tasks of a worker.

    Those of *known* whose definition is as it was are not made again.
    """
    if "rules" not in definitions.counted:
        definitions.counted["rules"] = dict(_rules(definitions, known))
    rules: Mapping[bytes, Rule] = definitions.counted["rules"]
    return rules


def _rules(definitions: Definitions, known: Mapping[bytes, Rule]) -> Iterator[tuple[bytes, Rule]]:
    for kind in (ALERT, SLO):
        for definition in definitions.of(kind):
            owner = owner_of(definition)
            rule = known.get(owner)
            is_known = rule is not None and rule.definition == definition
            yield owner, rule if rule is not None and is_known else rule_of(definition)


def rule_of(definition: Definition[Any]) -> Rule:
    """Return the rule of *definition*, an Alert or an SLO."""
    return SloRule(definition) if definition.key.kind == SLO else AlertRule(definition)


def mark_of(definition: Definition[Any]) -> bytes:
    """Return the mark of *definition*: of what makes its groups, then of all that it says."""
    spec = definition.spec.model_dump(by_alias=True, mode="json", exclude_unset=True)
    said = [spec, dict(definition.labels), dict(definition.annotations)]
    return _hash(definition.spec.group_by, _GROUP_BY_BYTES) + _hash(said, _SAID_BYTES)


def has_other_groups(one: bytes, other: bytes) -> bool:
    """True if definitions with these marks do not make the same groups."""
    return one[:_GROUP_BY_BYTES] != other[:_GROUP_BY_BYTES]


def _hash(said: Any, size: int) -> bytes:
    text = orjson.dumps(said, option=orjson.OPT_SORT_KEYS)
    return hashlib.blake2b(text, digest_size=size).digest()


class Marks:
    """The marks by which groups were last judged, by owner. *prefix* is the whole table's."""

    def __init__(self, store: PartitionStore, prefix: bytes) -> None:
        self._store = store
        self._prefix = prefix + _MARKS
        self._marks: dict[bytes, bytes] = {}

    def restore(self) -> None:
        """Read what the store has."""
        first = len(self._prefix)
        self._marks = {key[first:]: mark for key, mark in self._store.scan(self._prefix)}

    def __contains__(self, owner: bytes) -> bool:
        return owner in self._marks

    def owners(self) -> list[bytes]:
        """Return the owners that have one, in order."""
        return sorted(self._marks)

    def get(self, owner: bytes) -> bytes | None:
        """Return the mark of *owner*, if it has one."""
        return self._marks.get(owner)

    def put(self, owner: bytes, mark: bytes | None) -> None:
        """Let *mark* be that of *owner*; None: it has none any more."""
        if mark is not None:
            self._marks[owner] = mark
            self._store.put(self._prefix + owner, mark)
        elif self._marks.pop(owner, None) is not None:
            self._store.delete(self._prefix + owner)
