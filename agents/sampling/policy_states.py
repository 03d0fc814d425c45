"""The states of policies in the store, by tenant and by name."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from tailrace.agents.sampling.panels import Panel
from tailrace.schemas.definitions.definition import DEFAULT_TENANT
from tailrace.tables.store import PartitionStore

STATES_KEY: Final = b"p"
"""In the store: the states of the policies of `default`, by name."""
OWN_STATES_KEY: Final = b"P"
"""Those of tenants that have policies of their own, by tenant and name."""
TENANT_BUDGET_KEY: Final = b"t"
"""What tenants have of the budget of all."""
_VERSION: Final = b"\x01"

States = dict[str, Any]


class PolicyStates:
    """What the store has of the policies of one partition, and what is put there."""

    def __init__(self, store: PartitionStore) -> None:
        self._store = store
        self._stored: dict[bytes, bytes] = {}
        self._restored: dict[str, States] = {}
        """What the store had, until any policy is asked: others may stand for a moment only before
        those whose state it is."""

    def restore(self) -> None:
        """Read what the store has."""
        self._restored = dict(self._read(OWN_STATES_KEY))
        self._restored[DEFAULT_TENANT] = self._read(STATES_KEY)

    def _read(self, key: bytes) -> States:
        value = self._store.get(key)
        if not value:
            return {}
        if value[:1] != _VERSION:
            raise ValueError(
                f"policies have state of version {value[0]}; this tailrace reads "
                f"version {_VERSION[0]}. Run the version that wrote it."
            )
        self._stored[key] = value
        states: States = json.loads(value[1:])
        return states

    def restored(self, tenant: str, *, keep: bool = False) -> States:
        """Return what the store had of *tenant*, once unless *keep*."""
        return self._restored.get(tenant, {}) if keep else self._restored.pop(tenant, {})

    def forget_restored(self) -> None:
        """Policies are asked: those that stand are those whose states count."""
        self._restored = {}

    def restored_budget(self) -> States:
        """Return what the store has of the budget of all tenants; empty if it has nothing."""
        return self._read(TENANT_BUDGET_KEY)

    def seal_budget(self, state: States) -> None:
        """Put what tenants have of the budget of all into the store, if it has changed."""
        self._put(TENANT_BUDGET_KEY, state, has_state=True)

    def seal(self, panels: Mapping[str, Panel]) -> None:
        """Put the states of *panels*, by tenant, into the store, if they have changed."""
        others = panels[DEFAULT_TENANT]
        own = {
            tenant: panel.state()
            for tenant, panel in panels.items()
            if tenant != DEFAULT_TENANT and panel.has_state
        }
        self._put(STATES_KEY, others.state(), has_state=others.has_state)
        self._put(OWN_STATES_KEY, own, has_state=bool(own))

    def _put(self, key: bytes, states: States, *, has_state: bool) -> None:
        if not has_state and key not in self._stored:
            return
        # Budgets are counted in millionths, so integers may be of more than 64 bits.
        value = _VERSION + json.dumps(states, sort_keys=True, separators=(",", ":")).encode()
        if value != self._stored.get(key):
            self._stored[key] = value
            self._store.put(key, value)
