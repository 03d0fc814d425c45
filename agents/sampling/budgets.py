"""Budgets of the cluster, as one partition spends its part of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol


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
