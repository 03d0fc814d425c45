"""`windowed_throughput`: about so many spans a second, each key an equal part, by a sliding window.

Source: Refinery 3 and dynsampler-go 0.6.4 (`WindowedThroughput`). Stream time is cut into aligned
stretches of `update_frequency`. During one, rates are those of the `lookback_frequency` before it,
in whole stretches: a key's spans there, divided by its part of the goal and rounded down, 1 at
least. So a key may bring up to twice its part, and does when it brings just less than that; what
rare keys leave of theirs goes to nobody. A key that is not in the window has rate 1, every key
before the first stretch has ended.

Ours differs in what is too many: of more than `max_keys` keys in the window the last to come share
one key. (There they are not counted, and kept.)
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tailrace.agents.sampling.budgets import Budget
from tailrace.agents.sampling.rules.samplers.moving_averages import OVERFLOW
from tailrace.schemas.durations import MILLISECOND, SECOND, Nanos


@dataclass(frozen=True, slots=True)
class WindowSettings:
    """As in the config; `lookback_frequency` is `update_frequency` or more."""

    goal_throughput_per_sec: int
    update_frequency: Nanos
    lookback_frequency: Nanos
    max_keys: int

    @property
    def stretches(self) -> int:
        """How many the window has."""
        return self.lookback_frequency // self.update_frequency


class WindowedThroughput:
    """The counts of the window by stretch, oldest first, and the rates that follow from them. The
    goal is the cluster's, all of it is for here unless told so.
    """

    def __init__(self, settings: WindowSettings) -> None:
        self._settings = settings
        self._part = (1, 1)
        self._stretches: deque[tuple[int, dict[str, int]]] = deque()
        self._window: dict[str, int] = {}  # of all stretches but the last
        self._rates: dict[str, int] = {}
        self._keys: dict[str, int] = {}  # in how many stretches each stands
        self.asked = 0
        """The spans that ever came here."""
        self.overflowed = 0

    def rate(self, key: str, spans: int, at: int) -> int:
        """Count a trace of *spans* at *at* (ms); it is kept as one of so many."""
        self.asked += spans
        self._pass(at * MILLISECOND // self._settings.update_frequency)
        counts = self._stretches[-1][1]
        key = self._admitted(key)
        if key not in counts:
            self._keys[key] = self._keys.get(key, 0) + 1
        counts[key] = counts.get(key, 0) + spans
        return self._rates.get(key, 1)

    def budgets(self) -> Mapping[str, Budget]:
        return {"": self}

    def allot(self, numerator: int, denominator: int, at: int) -> None:
        """This partition's part of the goal, from the next stretch on."""
        self._part = (numerator, denominator)

    def state(self) -> dict[str, Any]:
        """All that later rates depend on, as JSON. Keys stand once, counts name them by number."""
        keys = sorted(self._keys)
        numbers = {key: number for number, key in enumerate(keys)}
        return {
            "keys": keys,
            "rates": [self._rates.get(key) for key in keys],
            "stretches": [
                [index, [[numbers[key], counts[key]] for key in sorted(counts)]]
                for index, counts in self._stretches
            ],
            "update_frequency": self._settings.update_frequency,
            "part": [*self._part],
            "asked": self.asked,
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Go on from *state*; counts of stretches of another length are of no use."""
        numerator, denominator = state["part"]
        self._part, self.asked = (numerator, denominator), state["asked"]
        if state["update_frequency"] != self._settings.update_frequency:
            return
        keys = state["keys"]
        self._stretches = deque(
            (index, {keys[number]: count for number, count in counts})
            for index, counts in state["stretches"]
        )
        self._rates = {key: rate for key, rate in zip(keys, state["rates"], strict=True) if rate}
        self._keys, self._window = {}, {}
        for _, counts in self._stretches:
            for key in counts:
                self._keys[key] = self._keys.get(key, 0) + 1
        for _, counts in list(self._stretches)[:-1]:
            _add(self._window, counts, 1)

    def _pass(self, index: int) -> None:
        """Begin stretch *index*, unless it has begun."""
        stretches = self._stretches
        if stretches and index <= stretches[-1][0]:
            return
        if stretches:
            _add(self._window, stretches[-1][1], 1)
        while stretches and stretches[0][0] < index - self._settings.stretches:
            counts = stretches.popleft()[1]
            _add(self._window, counts, -1)
            _add(self._keys, dict.fromkeys(counts, 1), -1)
        stretches.append((index, {}))
        self._rates = self._rates_of_window()

    def _rates_of_window(self) -> dict[str, int]:
        """For each key its spans, divided by its equal part of the goal, rounded down."""
        numerator, denominator = self._part
        settings = self._settings
        window_ns = settings.stretches * settings.update_frequency
        goal = settings.goal_throughput_per_sec * window_ns * numerator
        parts = len(self._window) * SECOND * denominator
        return {
            key: max(1, spans * parts // goal) if goal else max(1, spans)
            for key, spans in self._window.items()
        }

    def _admitted(self, key: str) -> str:
        tracked = len(self._keys) - (OVERFLOW in self._keys)
        if key in self._keys or tracked < self._settings.max_keys:
            return key
        self.overflowed += 1
        return OVERFLOW


def _add(sums: dict[str, int], counts: Mapping[str, int], sign: int) -> None:
    """Add *counts*, or take them away; what is 0 then is gone."""
    for key, count in counts.items():
        left = sums.get(key, 0) + sign * count
        if left:
            sums[key] = left
        else:
            sums.pop(key, None)
