"""One budget of spans for all tenants: what may be kept is divided among those that ask.

Every tenant that asked lately has a bucket. What comes in is poured into all buckets by weight, and
what one that is full has no room for goes to the others. So, in stream time and in integers:

- A tenant gets its share of what comes in, by weight among those that ask, or all it asks for if
  that is less; what it leaves is divided in the same way (max-min fairness).
- In *t* seconds there pass at most rate × t + burst, and once for each tenant the largest of its
  traces that is larger than its part of the burst: such a one passes when the bucket is full, which
  then owes the rest.
- What one tenant has no room for any more, because its weight falls, goes to the others.
- A tenant that comes anew has what others have too much of now that they are more.

The budget is the cluster's, of which a partition has its part; and a tenant counts in a partition
for as much as there is of all it asks for in the cluster. Where partitions have what the allocator
says, levels rise alike in all of them, and the cluster is divided as one bucket would be.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from tailrace.agents.sampling.budgets import TENANTS, Budget, named_tenant
from tailrace.schemas.config.tenant_budgets import TenantBudgetsConfig

MAX_TENANTS: Final = 250
"""With a bucket of their own; all others have one together."""
FORGOTTEN_AFTER_S: Final = 60
"""Of stream time in which it asks for nothing, until a tenant has no bucket any more."""
STEP_MS: Final = 10
"""So often something comes in."""
OTHERS: Final = "\n"
"""No tenant's name."""
_TOKEN: Final = 1_000_000
_TOKEN_PER_STEP: Final = _TOKEN * STEP_MS // 1000
_FORGOTTEN_AFTER: Final = FORGOTTEN_AFTER_S * 1000 // STEP_MS


class Bucket:
    """What one tenant has here, in millionths of a span; it may owe. A Budget: its part is how much
    of what it asks for in the cluster it asks for here.
    """

    __slots__ = ("_weight", "asked", "last", "level", "part")

    def __init__(self, weight: int) -> None:
        self._weight = weight
        self.part = (1, 1)
        self.level = self.asked = self.last = 0

    @property
    def weight(self) -> int:
        """For how much it counts here."""
        numerator, denominator = self.part
        return max(1, self._weight * numerator // denominator)

    def allot(self, numerator: int, denominator: int, at: int) -> None:
        """Count for that part of the tenant's weight; what comes in later goes by it."""
        self.part = (numerator, denominator)


@dataclass(frozen=True, slots=True)
class TenantBudgetSettings:
    """Of the cluster: spans a second, spans at once, and weights in millionths, else a million."""

    rate: int
    burst: int
    weights: Mapping[str, int]


def tenant_budget_settings(section: TenantBudgetsConfig | None) -> TenantBudgetSettings | None:
    """Return what *section* says; None if there is none."""
    if section is None:
        return None
    return TenantBudgetSettings(section.spans_per_second, section.burst, section.millionths)


class TenantBudget:
    """One partition's part of a budget, divided among tenants."""

    def __init__(self, settings: TenantBudgetSettings) -> None:
        self._rate, self._burst, self._weights = settings.rate, settings.burst, settings.weights
        self._part = (1, 1)
        self._unclaimed = self._capacity()
        """What no tenant has: all of it at first, and what forgotten ones had."""
        self._step: int | None = None
        self._buckets: dict[str, Bucket] = {}
        self.asked = 0
        self.budgets: dict[str, Budget] = {TENANTS: self}
        """The whole, and of each tenant how much it counts; by the names that partitions use."""

    def take(
        self, tenant: str, count: int, at: int, told: Callable[[Mapping[str, Budget]], None]
    ) -> bool:
        """Whether *count* spans of *tenant* may be kept at *at* (ms).

        *told* lets budgets that are new have the parts that are in force.
        """
        self._reach(at)
        key, cost = self._key(tenant), count * _TOKEN
        bucket = self._buckets.get(key) or self._welcomed(key, told)
        bucket.last = max(bucket.last, at // STEP_MS)
        fits_once = count <= self._burst
        if fits_once:
            self.asked += count
            bucket.asked += count
        if cost > bucket.level and not (fits_once and self._may_owe(bucket)):
            return False
        bucket.level -= cost
        return True

    def allot(self, numerator: int, denominator: int, at: int) -> None:
        """Have that part of the budget from *at* on; what a smaller one does not hold is lost."""
        if numerator * self._part[1] == self._part[0] * denominator:
            return
        self._reach(at)
        self._part = (numerator, denominator)
        self._fit()

    def state(self) -> dict[str, Any]:
        """Return what `load` needs, as JSON."""
        return {
            "part": self._part,
            "step": self._step,
            "asked": self.asked,
            "unclaimed": self._unclaimed,
            "buckets": {
                key: [each.level, each.asked, each.last, each.part]
                for key, each in sorted(self._buckets.items())
            },
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Go on from *state*, perhaps that of a budget of another size."""
        numerator, denominator = state["part"]
        self._part = (numerator, denominator)
        self._step, self.asked = state["step"], state["asked"]
        self._unclaimed = state["unclaimed"]
        for key, (level, asked, last, part) in state["buckets"].items():
            bucket = self._buckets[key] = Bucket(self._weights.get(key, _TOKEN))
            bucket.level, bucket.asked, bucket.last = level, asked, last
            bucket.part = (part[0], part[1])
            self.budgets[named_tenant(key)] = bucket
        if self._unclaimed + self._held() > self._capacity():
            self._fit()

    def _welcomed(self, key: str, told: Callable[[Mapping[str, Budget]], None]) -> Bucket:
        bucket = self._buckets[key] = Bucket(self._weights.get(key, _TOKEN))
        name = named_tenant(key)
        self.budgets[name] = bucket
        told({name: bucket})
        self._unclaimed += self._cut()
        bucket.level = min(self._unclaimed, self._room_of(bucket))
        self._unclaimed -= bucket.level
        return bucket

    def _key(self, tenant: str) -> str:
        is_one_too_many = tenant not in self._buckets and len(self._buckets) >= MAX_TENANTS
        return OTHERS if is_one_too_many else tenant

    def _may_owe(self, bucket: Bucket) -> bool:
        return bucket.level >= self._room_of(bucket) and self._rate * self._part[0] > 0

    def _capacity(self) -> int:
        numerator, denominator = self._part
        return self._burst * _TOKEN * numerator // denominator

    def _room_of(self, bucket: Bucket) -> int:
        """Return how much *bucket* holds: its part of the burst."""
        return self._capacity() * bucket.weight // self._weight()

    def _weight(self) -> int:
        return sum(bucket.weight for bucket in self._buckets.values())

    def _held(self) -> int:
        return sum(max(0, bucket.level) for bucket in self._buckets.values())

    def _fit(self) -> None:
        """Lose what the whole does not hold."""
        spare = self._cut()
        self._unclaimed = min(self._unclaimed + spare, self._capacity() - self._held())

    def _cut(self) -> int:
        """Take from every bucket what it does not hold; return how much that is."""
        capacity, weight, spare = self._capacity(), self._weight(), 0
        for bucket in self._buckets.values():
            over = bucket.level - capacity * bucket.weight // weight
            if over > 0:
                bucket.level -= over
                spare += over
        return spare

    def _reach(self, at: int) -> None:
        """Let come in what comes until *at* (ms)."""
        step = at // STEP_MS
        if self._step is None:
            self._step = step
        if step <= self._step:
            return
        income = self._income(step) - self._income(self._step)
        self._step = step
        for key, bucket in list(self._buckets.items()):
            if bucket.last + _FORGOTTEN_AFTER < step and bucket.level >= 0:
                del self._buckets[key], self.budgets[named_tenant(key)]
                self._unclaimed += bucket.level
        if self._buckets:
            self._pour(self._unclaimed + income)
            self._unclaimed = 0
        else:
            self._unclaimed = min(self._capacity(), self._unclaimed + income)

    def _pour(self, amount: int) -> None:
        """Divide *amount*, and what buckets have no room for: by weight, but nobody gets more than
        it has room for.
        """
        amount += self._cut()
        capacity, weight = self._capacity(), self._weight()
        rooms = [
            (capacity * bucket.weight // weight - bucket.level, bucket.weight, key)
            for key, bucket in self._buckets.items()
        ]
        # Those come first that are full first, so that the others get what these leave.
        for room, own, key in sorted(rooms, key=lambda each: (each[0] / each[1], each[2])):
            poured = min(room, amount * own // weight)
            self._buckets[key].level += poured
            amount, weight = amount - poured, weight - own

    def _income(self, step: int) -> int:
        numerator, denominator = self._part
        return step * self._rate * _TOKEN_PER_STEP * numerator // denominator


def fair_shares(whole: int, asked: Mapping[str, int], weights: Mapping[str, int]) -> dict[str, int]:
    """Return what each gets of *whole* if it is divided among those that ask, as by a budget.

    Weights as those of a budget: in millionths, a million where there is none.
    """
    found: dict[str, int] = {}
    own = {tenant: weights.get(tenant, _TOKEN) for tenant in asked}
    weight = sum(own.values())
    for tenant in sorted(asked, key=lambda each: (asked[each] / own[each], each)):
        found[tenant] = min(asked[tenant], whole * own[tenant] // weight)
        whole, weight = whole - found[tenant], weight - own[tenant]
    return found
