"""`ema_dynamic`: one in `goal_sample_rate` spans over all keys, more of the rare ones."""

from collections.abc import Mapping
from typing import Any

from tailrace.agents.sampling.budgets import Budget
from tailrace.agents.sampling.rules.samplers.moving_averages import EmaSettings, MovingAverages


class EmaDynamic:
    """See `moving_averages`. Before the first interval has ended the rate is the goal itself."""

    def __init__(self, settings: EmaSettings, goal_sample_rate: int) -> None:
        self._averages = MovingAverages(settings, lambda spans: spans / goal_sample_rate)

    @property
    def overflowed(self) -> int:
        return self._averages.overflowed

    def rate(self, key: str, spans: int, at: int) -> int:
        """Count a trace of *spans* at *at* (ms); it is kept as one of so many."""
        return self._averages.rate(key, spans, at)

    def budgets(self) -> Mapping[str, Budget]:
        """None: one in so many of each partition is one in so many of the cluster."""
        return {}

    def state(self) -> dict[str, Any]:
        return self._averages.state()

    def load(self, state: Mapping[str, Any]) -> None:
        self._averages.load(state)
