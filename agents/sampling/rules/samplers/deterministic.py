"""`deterministic`: one in `sample_rate` traces, whatever they are."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from tailrace.agents.sampling.budgets import Budget


@dataclass(frozen=True, slots=True)
class Deterministic:
    """The same rate for every key; there is nothing to remember."""

    sample_rate: int

    overflowed: ClassVar[int] = 0

    def rate(self, key: str, spans: int, at: int) -> int:
        return self.sample_rate

    def budgets(self) -> Mapping[str, Budget]:
        """None: one in so many of each partition is one in so many of the cluster."""
        return {}

    def state(self) -> dict[str, Any]:
        return {}

    def load(self, state: Mapping[str, Any]) -> None:
        """Nothing was remembered."""
