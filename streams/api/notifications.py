"""Notifications over HTTP: how it stands with those of this worker's tasks."""

from __future__ import annotations

from tailrace.streams.api.notification_views import NotificationState, notification_state
from tailrace.streams.api.questions import Question
from tailrace.streams.api.worker_state import WorkerState


async def find_all(state: WorkerState, question: Question) -> NotificationState:
    """Answer what waits, what failed, and how the contact points are."""
    return notification_state(state.notifiers(), state.lanes(), tenant=question.tenant)
