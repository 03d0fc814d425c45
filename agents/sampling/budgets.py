"""Budgets of the cluster, as one partition spends its part of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

from tailrace.schemas.control import fitting
from tailrace.schemas.definitions.definition import DEFAULT_TENANT

_MARK, TENANTS = "\t", "\n"
"""No tenant's name has any of them. The second is how the one budget of all tenants is called."""


class Budget(Protocol):
    """Something of which only so much may be spent in the cluster."""

    @property
    def asked(self) -> int:
        """How much was ever asked of it, here."""
        ...

    def allot(self, numerator: int, denominator: int, at: int) -> None:
        """From *at* (ms of stream time) on, spend that part of it and no more."""
        ...


def numbered(parts: Iterable[Mapping[str, Budget]]) -> dict[str, Budget]:
    """The budgets of several, named by their places."""
    return {
        f"{place}.{name}" if name else str(place): budget
        for place, part in enumerate(parts)
        for name, budget in part.items()
    }


def named_for(tenant: str, name: str) -> str:
    """How all partitions call the budget *name* of the policies of *tenant*; no two alike."""
    if tenant != DEFAULT_TENANT:
        return f"{_MARK}{tenant}{_MARK}{name}"
    return f"{_MARK}{_MARK}{name}" if name.startswith((_MARK, TENANTS)) else name


def shown(name: str) -> str:
    """Return the budget *name*, as all partitions call it, in a form to be read."""
    if not name.startswith(_MARK):
        return name
    tenant, _, own = name.removeprefix(_MARK).partition(_MARK)
    return f"{tenant}/{own}" if tenant else own


def most_asked(asked: Mapping[str, int], bytes_each: int) -> list[str]:
    """Return the budgets of which most is *asked*, as many as a record has room for.

    That of all tenants comes first.
    """
    order = sorted(asked, key=lambda name: (name != TENANTS, -asked[name], name))
    return fitting(order, bytes_each)


def named_tenant(tenant: str) -> str:
    """How all partitions call what *tenant* asks of the budget of all tenants."""
    return TENANTS + tenant


def tenant_of(name: str) -> str | None:
    """Whose demand the budget *name* is about, if it is that of a tenant."""
    return name.removeprefix(TENANTS) if name.startswith(TENANTS) and name != TENANTS else None
