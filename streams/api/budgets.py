"""Error budgets over HTTP: those of the rollups tasks of this worker."""

from __future__ import annotations

from tailrace.streams.api.budget_views import BudgetList, budget_list
from tailrace.streams.api.questions import NAME, Question
from tailrace.streams.api.worker_state import WorkerState


async def find_all(state: WorkerState, question: Question) -> BudgetList:
    """Answer the budgets of this worker's partitions."""
    return budget_list(
        state.alerts(),
        tenant=question.tenant,
        name=question.parameters.get(NAME.name),
        limit=question.limit,
    )
