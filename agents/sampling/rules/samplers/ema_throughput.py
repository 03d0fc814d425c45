"""`ema_throughput`: about so many spans a second over all keys, more of the rare ones."""

from collections.abc import Mapping
from typing import Any

from tailrace.agents.sampling.budgets import Budget
from tailrace.agents.sampling.rules.samplers.moving_averages import EmaSettings, MovingAverages
from tailrace.schemas.durations import SECOND


class EmaThroughput:
    """See `moving_averages`. The goal is the cluster's, all of it is for here unless told so."""

    def __init__(self, settings: EmaSettings, goal_throughput_per_sec: int) -> None:
        self._averages = MovingAverages(settings, self._goal)
        self._spans_x_second = goal_throughput_per_sec * settings.adjustment_interval
        self._part = (1, 1)
        self.asked = 0
        """The spans that ever came here."""

    @property
    def overflowed(self) -> int:
        return self._averages.overflowed

    def rate(self, key: str, spans: int, at: int) -> int:
        """Count a trace of *spans* at *at* (ms); it is kept as one of so many."""
        self.asked += spans
        return self._averages.rate(key, spans, at)

    def budgets(self) -> Mapping[str, Budget]:
        return {"": self}

    def allot(self, numerator: int, denominator: int, at: int) -> None:
        """This partition's part of the goal, from the next adjustment on."""
        self._part = (numerator, denominator)

    def state(self) -> dict[str, Any]:
        return {**self._averages.state(), "part": [*self._part], "asked": self.asked}

    def load(self, state: Mapping[str, Any]) -> None:
        numerator, denominator = state["part"]
        self._part, self.asked = (numerator, denominator), state["asked"]
        self._averages.load(state)

    def _goal(self, spans: float) -> float:
        """The spans that may pass in an interval; how many there are is no matter."""
        numerator, denominator = self._part
        return self._spans_x_second * numerator / (SECOND * denominator)
