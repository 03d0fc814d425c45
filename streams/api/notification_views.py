"""What is shown of notifications: what waits, what failed, and what it cost people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tailrace.agents.notifier.figures import DAY_MS
from tailrace.agents.notifier.logic import NotifierLogic
from tailrace.agents.notifier.sender import LaneStatus
from tailrace.schemas import rfc3339
from tailrace.schemas.alert_events import AlertEvent
from tailrace.schemas.notifications import Figures, Notification, Undelivered
from tailrace.streams.api.worker_state import Held


@dataclass(frozen=True, slots=True)
class ToldAlertView:
    """An alert of a notification. `news`: why it is sent for it; null: it only comes along."""

    id: str
    fingerprint: str
    name: str
    severity: str
    status: str
    news: str | None


@dataclass(frozen=True, slots=True)
class NotificationView:
    """One message to one contact point; `truncated`: how many of its group it does not list."""

    id: str
    tenant: str
    contact_point: str
    status: str
    group_labels: dict[str, str]
    alerts: list[ToldAlertView]
    truncated: int
    created_at: str
    attempts: int


@dataclass(frozen=True, slots=True)
class UndeliveredView:
    """A message that failed, why, and when; it is here until its group is told of anew.

    `retry_at`: when it is tried again itself, if that is known; another definition of its contact
    point makes it at once.
    """

    notification: NotificationView
    error: str
    failed_at: str
    retry_at: str | None


@dataclass(frozen=True, slots=True)
class LaneView:
    """How it stands with one contact point; `oldest_s`: how long the oldest message waits."""

    tenant: str
    contact_point: str
    circuit: str
    waiting: int
    oldest_s: float
    error: str


@dataclass(frozen=True, slots=True)
class WeekView:
    """What a definition cost its people in the week from `week`, a Monday, in UTC.

    `pages`: alerts told of; of these `out_of_hours`, `flapping` (told within an hour after the same
    had ended) and `unacted` (nobody had snoozed or silenced them when they ended).
    """

    week: str
    pages: int
    out_of_hours: int
    flapping: int
    unacted: int


@dataclass(frozen=True, slots=True)
class FiguresView:
    """The last weeks of one definition, the oldest first."""

    tenant: str
    name: str
    weeks: list[WeekView]


@dataclass(frozen=True, slots=True)
class NotificationState:
    """`lanes`: the contact points that this worker has sent to.

    `partitions`: those that this worker speaks for; `complete`: that there are no others.
    """

    partitions: list[int]
    complete: bool
    pending: list[NotificationView]
    undelivered: list[UndeliveredView]
    lanes: list[LaneView]
    figures: list[FiguresView]


def notification_state(
    held: Held[NotifierLogic], lanes: Sequence[LaneStatus], *, tenant: str | None
) -> NotificationState:
    """Return how it stands with the notifications of *tenant*, or of all."""
    logics = [held.logics[partition] for partition in held.partitions]
    pending = [each for logic in logics for each in logic.pending()]
    undelivered = [each for logic in logics for each in logic.undelivered()]
    figures = [each for logic in logics for each in logic.figures()]
    return NotificationState(
        held.partitions,
        held.is_complete,
        [notification_view(each) for each in pending if tenant in (None, each.tenant)],
        [
            undelivered_view(each)
            for each in undelivered
            if tenant in (None, each.notification.tenant)
        ],
        [lane_view(each) for each in lanes if tenant in (None, each.contact_point.tenant)],
        [figures_view(each) for each in figures if tenant in (None, each.tenant)],
    )


def notification_view(notification: Notification) -> NotificationView:
    """Return *notification*, without what its alerts say."""
    return NotificationView(
        notification.id,
        notification.tenant,
        notification.contact_point,
        notification.status,
        dict(notification.group_labels),
        [_told_alert(each, notification.news.get(each.id)) for each in notification.alerts],
        notification.truncated,
        rfc3339.spell(notification.created_at),
        notification.attempts,
    )


def _told_alert(event: AlertEvent, news: str | None) -> ToldAlertView:
    return ToldAlertView(
        event.id, event.fingerprint, event.name, event.severity, event.status, news
    )


def undelivered_view(failed: Undelivered) -> UndeliveredView:
    """Return *failed* with its reason, in which no secret is."""
    return UndeliveredView(
        notification_view(failed.notification),
        failed.error,
        rfc3339.spell(failed.failed_at),
        None if failed.retry_at is None else rfc3339.spell(failed.retry_at),
    )


def lane_view(lane: LaneStatus) -> LaneView:
    """Return *lane* as it is shown."""
    _, tenant, name = lane.contact_point
    return LaneView(tenant, name, lane.circuit, lane.waiting, lane.oldest_s, lane.error)


def figures_view(figures: Figures) -> FiguresView:
    """Return *figures* with days in place of numbers of weeks."""
    weeks = [
        WeekView(
            _monday(each.week),
            each.pages,
            each.out_of_hours,
            each.flapping,
            each.unacted,
        )
        for each in figures.weeks
    ]
    return FiguresView(figures.tenant, figures.name, weeks)


def _monday(week: int) -> str:
    """Return the day on which the week of that number begins: 1970 began on a Thursday."""
    return rfc3339.spell((7 * week - 3) * DAY_MS).partition("T")[0]
