"""Budgets a second of stream time, in integers: what passes is the same in every replay.

So much passes within each second, counted from its beginning; what does not fit takes nothing, and
a smaller one may fit after it.

The budget is the cluster's: a partition has its part of each second, whole numbers that add up to
it over the seconds. What is larger than that, but not than the whole budget, passes if nothing has
yet in this second, and the following seconds have less by what it was too large. So, whatever
comes, in *n* seconds there pass at most n seconds' parts and once the largest thing that passed;
with one partition, at most n × whole.
"""

from __future__ import annotations

from typing import Any

_SECOND_MS = 1000


class SecondBudget:
    """The part that one partition has of *whole* a second."""

    def __init__(self, whole: int) -> None:
        self._whole = whole
        self._part = (1, 1)
        self._second: int | None = None
        self._spent = 0
        self.asked = 0
        """All that anybody wanted here, but for what no second has room for."""

    def take(self, count: int, at: int) -> bool:
        """Whether *count* fits into the budget of the second of *at*, in ms."""
        self.asked += count if count <= self._whole else 0
        second = at // _SECOND_MS
        if self._second is not None:
            second = max(second, self._second)
        spent = self._spent_before(second)
        fits = spent + count <= self._until(second + 1) - self._until(second)
        if not fits and (spent or count > self._whole or not self._part[0]):
            return False
        self._second, self._spent = second, spent + count
        return True

    def allot(self, numerator: int, denominator: int, at: int) -> None:
        """Have that part of the budget from the second of *at* on."""
        if self._second is not None:
            second = max(self._second, at // _SECOND_MS)
            self._second, self._spent = second, self._spent_before(second)
        self._part = (numerator, denominator)

    def state(self) -> dict[str, Any]:
        part = [*self._part]
        return {"second": self._second, "spent": self._spent, "part": part, "asked": self.asked}

    def load(self, state: Any) -> None:
        """Go on from *state*; anew if it is none of a budget."""
        if not isinstance(state, dict) or state.keys() != {"second", "spent", "part", "asked"}:
            return
        numerator, denominator = state["part"]
        self._part = (numerator, denominator)
        self._second, self._spent = state["second"], state["spent"]
        self.asked = state["asked"]

    def _spent_before(self, second: int) -> int:
        """Return what is spent of *second*, so far or by those before it."""
        if self._second is None:
            return 0
        return max(0, self._spent - (self._until(second) - self._until(self._second)))

    def _until(self, second: int) -> int:
        """Return the sum of this partition's parts of all seconds before *second*."""
        numerator, denominator = self._part
        return second * self._whole * numerator // denominator
