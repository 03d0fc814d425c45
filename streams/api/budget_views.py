"""What is shown of error budgets: one of each SLO and group."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from tailrace.agents.alerts.events import group_labels
from tailrace.agents.alerts.logic import AlertsLogic
from tailrace.agents.alerts.objectives import SloRule
from tailrace.agents.alerts.rules import Moment
from tailrace.schemas import rfc3339
from tailrace.schemas.durations import MILLISECOND, spell
from tailrace.streams.api.worker_state import Held
from tailrace.tables.alert_groups import AlertGroup

_LAST_MS: Final = rfc3339.parse("9999-12-31T23:59:59Z")


@dataclass(frozen=True, slots=True)
class BudgetView:
    """The budget of an SLO in one group, `as_of` its stream time, as it was evaluated last.

    `events` and `bad` are of the period; `allowed`: how many may be bad. `consumed` and `left`:
    shares of the budget, together 1; `minutes`: how long all may be bad, and `minutes_left`.
    `forecast`: when it is spent at the pace of the last hour or so; null: not in this period, or
    never. `burn`: how many times faster than it lasts, by long window; null: no events. `health`:
    no errors, no traffic and no input are three different things.
    """

    tenant: str
    name: str
    labels: dict[str, str]
    objective: float
    period: str
    calendar: str | None
    events: int
    bad: int
    allowed: float
    consumed: float
    left: float
    minutes: float
    minutes_left: float
    forecast: str | None
    burn: dict[str, float | None]
    health: str
    as_of: str
    definition_version: int


@dataclass(frozen=True, slots=True)
class BudgetList:
    """`total`: how many there are; of these at most `limit` are in `budgets`.

    `partitions`: those that this worker speaks for; `complete`: that there are no others.
    """

    partitions: list[int]
    complete: bool
    total: int
    budgets: list[BudgetView]


def budget_list(
    held: Held[AlertsLogic], *, tenant: str | None, name: str | None, limit: int
) -> BudgetList:
    """Return the budgets of *tenant* and of the SLO *name*, where given."""
    found = [
        each
        for logic in held.logics.values()
        for each in _budgets(logic)
        if tenant in (None, each[1].definition.tenant) and name in (None, each[1].definition.name)
    ]
    found.sort(key=lambda each: (each[1].definition.key, each[2].group))
    views = [budget_view(*each) for each in found[:limit]]
    return BudgetList(held.partitions, held.is_complete, len(found), views)


def _budgets(logic: AlertsLogic) -> Iterator[tuple[AlertsLogic, SloRule, AlertGroup]]:
    for group in logic.groups:
        rule = logic.rules.get(group.owner)
        if isinstance(rule, SloRule):
            yield logic, rule, group


def budget_view(logic: AlertsLogic, rule: SloRule, group: AlertGroup) -> BudgetView:
    """Return the budget of *group* as of *logic*'s time."""
    report = rule.report(group, Moment(logic.now, logic.has_input))
    definition, budget = rule.definition, report.budget
    spent_at = report.spent_at
    return BudgetView(
        tenant=definition.tenant,
        name=definition.name,
        labels={**definition.labels, **group_labels(rule, group)},
        objective=definition.spec.objective,
        period=spell(budget.period_ms * MILLISECOND),
        calendar=definition.spec.calendar,
        events=budget.counts.all,
        bad=budget.counts.matched,
        allowed=budget.allowed,
        consumed=budget.consumed,
        left=budget.left,
        minutes=budget.minutes,
        minutes_left=budget.minutes_left,
        forecast=None if spent_at is None or spent_at > _LAST_MS else rfc3339.spell(spent_at),
        burn=report.burn,
        health=report.health.value,
        as_of=rfc3339.spell(logic.now),
        definition_version=definition.version,
    )
