"""Token buckets in stream time, in integers: what passes is the same in every replay.

A bucket fills with *rate* tokens a second up to *burst*, and begins full. `take` passes what fits
into it, and takes that much out; what does not pass takes nothing.

The budget is the cluster's: a partition's bucket fills with its part of the rate up to its part of
the burst. What is larger than that, but not than the whole burst, passes when the bucket is full,
and then the bucket owes the rest until it is filled. So, whatever comes, in *t* seconds a
partition passes at most its rate × t + the larger of its burst and the largest thing that came;
with one partition, at most rate × t + burst.

Amounts are kept in millionths of a token, times in ms. Income is the difference of two values of
one function of time, so that rounding does not add up. The collector's limiter knows nanoseconds
and counts in floats: there, what lacks less than a nanosecond's income passes, too.
"""

from __future__ import annotations

from typing import Any

_TOKEN = 1_000_000
_TOKEN_PER_SECOND = _TOKEN // 1000  # a ms


class TokenBucket:
    """The part that one partition has of a budget."""

    def __init__(self, rate: int, burst: int) -> None:
        self._rate, self._burst = rate, burst
        self._part = (1, 1)
        self._level = self._capacity = burst * _TOKEN
        self._at: int | None = None
        self.asked = 0
        """All tokens that anybody wanted here, but for what no bucket holds."""

    def take(self, count: int, at: int) -> bool:
        """Whether *count* tokens could be taken at *at*, in ms; an earlier time than before is as
        if it were that time.
        """
        level, cost = self._level_at(at), count * _TOKEN
        self.asked += count if count <= self._burst else 0
        if cost > level and not self._may_owe(level, count):
            return False
        self._level = level - cost
        self._at = at if self._at is None else max(self._at, at)
        return True

    def allot(self, numerator: int, denominator: int, at: int) -> None:
        """Have that part of the budget from *at* on. No tokens come with a larger part, and those
        that a smaller one does not hold are lost. The same part again changes nothing.
        """
        if numerator * self._part[1] == self._part[0] * denominator:
            return
        level, is_new = self._level_at(at), self._at is None
        self._part = (numerator, denominator)
        self._capacity = self._burst * _TOKEN * numerator // denominator
        self._level = self._capacity if is_new else min(level, self._capacity)
        self._at = at if self._at is None else max(self._at, at)

    def state(self) -> dict[str, Any]:
        part = [*self._part]
        return {"level": self._level, "at": self._at, "part": part, "asked": self.asked}

    def load(self, state: Any) -> None:
        """Go on from *state*, perhaps that of a bucket of another size; anew if it is none."""
        if not isinstance(state, dict) or state.keys() != {"level", "at", "part", "asked"}:
            return
        numerator, denominator = state["part"]
        self._part = (numerator, denominator)
        self._capacity = self._burst * _TOKEN * numerator // denominator
        self._at, self.asked = state["at"], state["asked"]
        self._level = self._capacity if self._at is None else min(state["level"], self._capacity)

    def _may_owe(self, level: int, count: int) -> bool:
        return level == self._capacity and count <= self._burst and self._rate * self._part[0] > 0

    def _level_at(self, at: int) -> int:
        if self._at is None or at <= self._at:
            return self._level
        return min(self._capacity, self._level + self._income(at) - self._income(self._at))

    def _income(self, at: int) -> int:
        numerator, denominator = self._part
        return at * self._rate * _TOKEN_PER_SECOND * numerator // denominator
