"""Rates by key from moving averages of the spans that each key brings: what the EMA samplers share.

Source: Refinery 3 and dynsampler-go 0.6.4 (`EMASampleRate`, `EMAThroughput`). Their laws hold:

- At the end of an interval each key's average becomes weight x count + (1 - weight) x average; a
  key whose average falls below `age_out_value` is forgotten. An interval without traces changes
  nothing.
- A key that is not in the averages has rate 1; before the first interval has ended every key has
  the initial rate.
- Once `burst_detection_delay` intervals have passed, counts of `burst_multiple` times all averages
  end the interval at once; the next one is a whole interval from there.

Ours differ where theirs depend on a clock, on the order of a map, or on nothing but memory:

- Time is that of the traces. Intervals are aligned stretches of it until a burst ends one early. An
  interval is closed by the first trace that is not in it, before that trace is looked at; the trace
  that makes a burst still has the rate from before.
- Of more than `max_keys` keys the last to come share one key, of the initial rate until it has an
  average. (There they are kept, all of them, and not counted.)
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from tailrace.agents.sampling.rules.samplers import shares
from tailrace.schemas.durations import MILLISECOND, Nanos

OVERFLOW: Final = ""
"""The key of all that are too many; no trace has it as its own."""


@dataclass(frozen=True, slots=True)
class EmaSettings:
    """As in the config. `burst_multiple` below 0: no burst is ever seen."""

    adjustment_interval: Nanos
    weight: float
    age_out_value: float
    burst_multiple: float
    burst_detection_delay: int
    max_keys: int
    initial_rate: int


class MovingAverages:
    """The averages of one sampler, and the rates that follow from them.

    `goal` says how many spans may pass, of as many as all averages make together.
    """

    def __init__(self, settings: EmaSettings, goal: Callable[[float], float]) -> None:
        self._settings = settings
        self._goal = goal
        self._counts: dict[str, int] = {}
        self._averages: dict[str, float] = {}
        self._rates: dict[str, int] = {}
        self._tracked = 0  # keys that have a count or an average, but for OVERFLOW
        self._spans = 0  # since the last adjustment
        self._ends: Nanos | None = None  # of the interval
        self._intervals = 0  # that have passed
        self._burst_threshold = 0.0
        self._is_adjusted = False
        self.overflowed = 0

    def rate(self, key: str, spans: int, at: int) -> int:
        """Count a trace of *spans* at *at* (ms); it is kept as one of so many."""
        self._pass(at * MILLISECOND)
        key = self._admitted(key)
        self._counts[key] = self._counts.get(key, 0) + spans
        self._spans += spans
        rate = self._rates.get(key)
        if rate is None:
            is_new = self._is_adjusted and key != OVERFLOW
            rate = 1 if is_new else self._settings.initial_rate
        if self._is_burst:
            self._adjust()
            self._ends = at * MILLISECOND + self._settings.adjustment_interval
        return rate

    def state(self) -> dict[str, Any]:
        """All that later rates depend on, as JSON; the columns are by key."""
        keys = sorted(self._counts.keys() | self._averages.keys())
        return {
            "adjustment_interval": self._settings.adjustment_interval,
            "ends": self._ends,
            "intervals": self._intervals,
            "burst_threshold": self._burst_threshold,
            "is_adjusted": self._is_adjusted,
            "keys": keys,
            "counts": [self._counts.get(key, 0) for key in keys],
            "averages": [self._averages.get(key) for key in keys],
            "rates": [self._rates.get(key) for key in keys],
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Go on from *state*; an interval of another length ends where one of now does."""
        keys = state["keys"]
        self._counts = _column(keys, state["counts"])
        self._averages = _column(keys, state["averages"])
        self._rates = _column(keys, state["rates"])
        self._spans = sum(self._counts.values())
        self._tracked = len(keys) - (OVERFLOW in keys)
        is_same = state["adjustment_interval"] == self._settings.adjustment_interval
        self._ends = state["ends"] if is_same else None
        self._intervals = state["intervals"]
        self._burst_threshold = state["burst_threshold"]
        self._is_adjusted = state["is_adjusted"]

    @property
    def _is_burst(self) -> bool:
        return (
            0 < self._burst_threshold <= self._spans
            and self._intervals >= self._settings.burst_detection_delay
        )

    def _pass(self, now: Nanos) -> None:
        """Close the interval if *now* is not in it, and begin the one in which it is."""
        interval = self._settings.adjustment_interval
        if self._ends is None:
            self._ends = (now // interval + 1) * interval
        if now < self._ends:
            return
        passed = (now - self._ends) // interval + 1
        self._ends += passed * interval
        self._intervals += passed
        self._adjust()

    def _admitted(self, key: str) -> str:
        if key in self._counts or key in self._averages:
            return key
        if self._tracked >= self._settings.max_keys:
            self.overflowed += 1
            return OVERFLOW
        self._tracked += 1
        return key

    def _adjust(self) -> None:
        if not self._counts:
            return
        weight, counts, averages = self._settings.weight, self._counts, self._averages
        moved = (
            (key, counts.get(key, 0) * weight + (1.0 - weight) * averages.get(key, 0.0))
            for key in counts.keys() | averages.keys()
        )
        self._averages = {key: size for key, size in moved if size >= self._settings.age_out_value}
        self._counts = {}
        self._spans = 0
        self._tracked = len(self._averages) - (OVERFLOW in self._averages)
        spans = shares.total(self._averages)
        self._burst_threshold = spans * self._settings.burst_multiple
        self._rates = shares.rates(self._averages, self._goal(spans))
        self._is_adjusted = True


def _column(keys: list[str], values: list[Any]) -> dict[str, Any]:
    return {key: value for key, value in zip(keys, values, strict=True) if value}
