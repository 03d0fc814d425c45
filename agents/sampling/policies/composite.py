"""`composite`: the first of its policies that samples a trace decides, each within a budget.

A budget is in spans, for each second of stream time. A trace that does not fit into that of the
first policy that samples it is not sampled, whatever the policies after it say.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tailrace.agents.sampling.budgets import Budget, numbered
from tailrace.agents.sampling.chances import Box
from tailrace.agents.sampling.facts import Facts, Trace
from tailrace.agents.sampling.policies.second_budgets import SecondBudget
from tailrace.agents.sampling.votes import ERROR, NOT_SAMPLED, SAMPLED, Policy, Vote
from tailrace.schemas.config.policies import CompositePolicy, PolicyConfig


class Composite:
    """Asks `parts` in turn, each a policy with the budget of what it samples."""

    box: Box | None = None
    share: float | None = None
    may_drop = False
    is_stateful = True

    def __init__(self, parts: Sequence[tuple[Policy, SecondBudget]]) -> None:
        self.parts = tuple(parts)

    def vote(self, trace: Trace, at: int) -> Vote:
        for policy, budget in self.parts:
            vote = policy.vote(trace, at)
            if vote is SAMPLED:
                return SAMPLED if budget.take(trace.spans, at) else NOT_SAMPLED
            if vote is ERROR:
                return ERROR
        return NOT_SAMPLED

    def votes(self, traces: Sequence[Trace], at: Sequence[int]) -> list[Vote]:
        result = [NOT_SAMPLED] * len(traces)
        indexes: Sequence[int] = range(len(traces))
        for policy, budget in self.parts:
            votes = policy.votes([traces[each] for each in indexes], [at[each] for each in indexes])
            still = []
            for index, vote in zip(indexes, votes, strict=True):
                if vote is SAMPLED:
                    if budget.take(traces[index].spans, at[index]):
                        result[index] = SAMPLED
                elif vote is ERROR:
                    result[index] = ERROR
                else:
                    still.append(index)
            indexes = still
        return result

    def chance(self, trace: Trace) -> Box | None:  # that depends on what came before
        return None

    def budgets(self) -> dict[str, Budget]:
        return numbered([{**policy.budgets(), "own": budget} for policy, budget in self.parts])

    def allot(self, numerator: int, denominator: int, at: int) -> None:
        for policy, budget in self.parts:
            policy.allot(numerator, denominator, at)
            budget.allot(numerator, denominator, at)

    def state(self) -> Any:
        return {"budgeted": [[policy.state(), budget.state()] for policy, budget in self.parts]}

    def load(self, state: Any) -> None:
        owns = state.get("budgeted", ()) if isinstance(state, dict) else ()
        if len(owns) == len(self.parts):
            for (policy, budget), (of_policy, of_budget) in zip(self.parts, owns, strict=True):
                policy.load(of_policy)
                budget.load(of_budget)


def builder(
    build_part: Callable[[PolicyConfig, Facts], Policy],
) -> Callable[[CompositePolicy, Facts], Composite]:
    """What builds a composite, given what builds its parts."""

    def build(config: CompositePolicy, facts: Facts) -> Composite:
        parts = config.composite.composite_sub_policy
        budgets = map(SecondBudget, config.composite.spans_per_second())
        policies = [build_part(part, facts) for part in parts]
        return Composite([*zip(policies, budgets, strict=True)])

    return build
