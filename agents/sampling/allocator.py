"""Who gets which part of the cluster's budgets: a fold over what partitions report.

One task in the cluster has it, and its state is that task's. Laws:

- What it says is a function of the reports in their order, and of nothing else.
- The parts of a budget add up to the whole, exactly.
- A partition's part of the budget of all tenants is by what its tenants get of it in the cluster if
  it is divided fairly, so that one that asks for much draws none of it to where it asks.
- What it remembers is bounded, and what it says fits into a record: of more budgets than there is
  room for, those of which least is asked have equal parts. What nobody asks for is forgotten.
- A new allocation is made only when all partitions hold the last one and none has to give up
  anything any more; the parts of before are then out of the world.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from tailrace.agents.sampling.budgets import TENANTS, most_asked, tenant_of
from tailrace.agents.sampling.shares import REPORT_EVERY_S, equal_part
from tailrace.agents.sampling.tenant_budget import TenantBudgetSettings, fair_shares
from tailrace.schemas.control import PART_BYTES, WHOLE, Allocation, Report

ALLOT_EVERY_S: Final = 10
"""Of stream time, between two allocations."""
REPEAT_EVERY_S: Final = 60
"""Of stream time, until what holds is said again, for those that missed it."""
FLOOR: Final = WHOLE // 10
"""So much of a budget goes to all alike, so that a quiet partition can begin."""
_LEAST_MOVE = WHOLE // 50
"""An allocation that moves less than this is not worth it."""


def allotted(demand: Sequence[int]) -> list[int]:
    """Return parts by *demand*, above a floor; by the largest remainders, they are WHOLE in all."""
    count, total = len(demand), sum(demand)
    if not total:
        return [equal_part(partition, count) for partition in range(count)]
    # In units of 1 / (count * total): exact.
    wanted = [FLOOR * total + (WHOLE - FLOOR) * count * each for each in demand]
    parts = [each // (count * total) for each in wanted]
    by_rest = sorted(range(count), key=lambda i: (-(wanted[i] % (count * total)), i))
    for partition in by_rest[: WHOLE - sum(parts)]:
        parts[partition] += 1
    return parts


class Allocator:
    """What is asked for where, which allocation stands, and who holds it by now."""

    def __init__(self, partitions: int, tenant_budget: TenantBudgetSettings | None = None) -> None:
        self._partitions = partitions
        self._tenant_budget = tenant_budget
        self._stands = Allocation(0, partitions, {}, 0)
        self._holders: dict[int, int] = {}
        """Of partitions that hold what stands, the second from which they do."""
        self._demand: dict[str, list[int]] = {}
        self._heard = [0] * partitions
        self._newest = 0
        self._made_at = 0
        self._said_at = 0

    def hear(self, report: Report) -> Allocation | None:
        """Take *report*; return what is to be said to all, if anything."""
        if report.partitions != self._partitions:
            return None  # of a worker that does not know of all partitions, or knows of more
        if report.second > self._heard[report.partition]:
            self._heard[report.partition] = report.second
            self._newest = max(self._newest, report.second)
            self._average(report)
        if report.holds == self._stands.number:
            self._holders[report.partition] = report.since
        return self._next()

    def _average(self, report: Report) -> None:
        """Count half of before and half of now; who is asked for nothing at all says so once."""
        new = report.asked.keys() - self._demand.keys()
        for name in new:
            self._demand[name] = [0] * self._partitions
        for name, amounts in self._demand.items():
            before, now = amounts[report.partition], report.asked.get(name, 0)
            # Rounded up only while it is asked for: else 1 would stay for ever.
            amounts[report.partition] = (before + now + (now > 0)) // 2 if report.asked else 0
        self._demand = {name: each for name, each in self._demand.items() if any(each)}
        if new:
            self._demand = {name: self._demand[name] for name in self._told_of(self._demand)}

    def _told_of(self, demand: Mapping[str, Sequence[int]]) -> list[str]:
        """Return of which budgets of *demand* an allocation can tell."""
        totals = {name: sum(amounts) for name, amounts in demand.items()}
        return most_asked(totals, PART_BYTES * self._partitions)

    def _next(self) -> Allocation | None:
        stands = self._stands
        if stands.since is None and len(self._holders) == self._partitions:
            return self._say(stands._replace(since=max(self._holders.values())))
        if stands.since is not None and self._newest >= self._made_at + ALLOT_EVERY_S:
            parts = self._wanted()
            if self._moves(parts) >= _LEAST_MOVE:
                self._made_at, self._holders = self._newest, {}
                return self._say(Allocation(stands.number + 1, self._partitions, parts, None))
        if stands.number and self._newest >= self._said_at + REPEAT_EVERY_S:
            return self._say(stands)
        return None

    def _say(self, allocation: Allocation) -> Allocation:
        self._stands, self._said_at = allocation, self._newest
        return allocation

    def _wanted(self) -> dict[str, list[int]]:
        """Return parts for all that is asked for, and as many budgets as fit into a record."""
        asked = wanted = self._demand
        if TENANTS in asked and self._tenant_budget is not None:
            wanted = asked | {TENANTS: self._fair(self._tenant_budget, asked)}
        return {name: allotted(wanted[name]) for name in self._told_of(asked)}

    def _fair(self, budget: TenantBudgetSettings, asked: Mapping[str, Sequence[int]]) -> list[int]:
        """Return what each partition needs if each tenant has its share, where it asks for it."""
        of_tenants = {
            tenant: amounts
            for name, amounts in asked.items()
            if (tenant := tenant_of(name)) is not None
        }
        totals = {tenant: sum(amounts) for tenant, amounts in of_tenants.items()}
        shares = fair_shares(budget.rate * REPORT_EVERY_S, totals, budget.weights)
        return [
            sum(
                shares[tenant] * of_tenants[tenant][partition] // totals[tenant]
                for tenant in shares
            )
            for partition in range(self._partitions)
        ]

    def _moves(self, parts: Mapping[str, Sequence[int]]) -> int:
        """Return how much of the budget that moves most changes hands."""
        before = self._stands.parts
        equal = allotted([0] * self._partitions)
        return max((_moved(before.get(name, equal), parts[name]) for name in parts), default=0)

    def state(self) -> dict[str, Any]:
        """Return what `load` needs, as JSON."""
        return {
            "stands": tuple(self._stands),
            "holders": sorted(self._holders.items()),
            "demand": self._demand,
            "heard": self._heard,
            "times": [self._newest, self._made_at, self._said_at],
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Go on from *state*; after a change of the number of partitions, with equal parts."""
        number, partitions, parts, since = state["stands"]
        self._newest, self._made_at, self._said_at = state["times"]
        if partitions != self._partitions:
            self._stands = Allocation(number + 1, self._partitions, {}, None)
            self._made_at = self._said_at = 0
            return
        self._stands = Allocation(number, partitions, parts, since)
        self._holders = dict(state["holders"])
        self._demand = {name: list(each) for name, each in state["demand"].items() if any(each)}
        self._heard = list(state["heard"])


def _moved(before: Iterable[int], now: Iterable[int]) -> int:
    return sum(max(0, new - old) for old, new in zip(before, now, strict=True))
