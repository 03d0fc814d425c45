"""Alerts over HTTP: the states that the rollups tasks of this worker have."""

from __future__ import annotations

from typing import Final

from tailrace.streams.api.alert_views import STATUSES, AlertList, alert_list
from tailrace.streams.api.questions import NAME, Parameter, Question
from tailrace.streams.api.worker_state import WorkerState

STATUS: Final = Parameter("status", "One or more, with commas.", choices=STATUSES, is_list=True)


async def find_all(state: WorkerState, question: Question) -> AlertList:
    """Answer the alerts of this worker's partitions."""
    return alert_list(
        state.alerts(),
        tenant=question.tenant,
        name=question.parameters.get(NAME.name),
        statuses=question.choices(STATUS),
        limit=question.limit,
    )
