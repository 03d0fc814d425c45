"""Notifications: what is decided to be told, and what became of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from tailrace.schemas.alert_events import AlertEvent
from tailrace.schemas.definitions.definition import CONTACT_POINT, DefinitionKey

Told: TypeAlias = Literal["firing", "resolved", "heartbeat"]


@dataclass(frozen=True, slots=True)
class Notification:
    """One message to one contact point; `id` is the same however often it is tried.

    `status` is firing if any of `alerts` is. `news`: which of them it is sent for, by event id,
    and the row of the decision table; the others come along because they are in the group.
    `truncated`: how many of the group are not listed. Of one contact point, those with a lower
    `sequence` go first. The dedup key of each alert is its event's id. `repeat_ms`: what lasts is
    told again so much later.
    """

    id: str
    sequence: int
    tenant: str
    contact_point: str
    status: Told
    group_key: str
    group_labels: Mapping[str, str]
    alerts: Sequence[AlertEvent]
    news: Mapping[str, str]
    created_at: int
    attempts: int = 0
    truncated: int = 0
    repeat_ms: int = 0

    @property
    def contact_point_key(self) -> DefinitionKey:
        """The definition of the contact point."""
        return DefinitionKey(CONTACT_POINT, self.tenant, self.contact_point)

    @property
    def common_labels(self) -> dict[str, str]:
        """The labels that all alerts have with the same value."""
        return _common([alert.labels for alert in self.alerts])

    @property
    def common_annotations(self) -> dict[str, str]:
        """The annotations that all alerts have with the same value."""
        return _common([alert.annotations for alert in self.alerts])

    @property
    def dedup_keys(self) -> list[str]:
        """Of each alert, what receivers may know it again by."""
        return [alert.id for alert in self.alerts]


def _common(mappings: Sequence[Mapping[str, str]]) -> dict[str, str]:
    first, *rest = mappings or [{}]
    return {
        key: value for key, value in first.items() if all(other.get(key) == value for other in rest)
    }


@dataclass(frozen=True, slots=True)
class Delivered:
    """The contact point has it."""


@dataclass(frozen=True, slots=True)
class Retrying:
    """It was tried `attempts` times together, and will be tried again."""

    attempts: int
    error: str


@dataclass(frozen=True, slots=True)
class Failed:
    """The sender has given it up; it is submitted again later, or its group is told anew."""

    error: str


Outcome: TypeAlias = Delivered | Retrying | Failed


@dataclass(frozen=True, slots=True)
class Undelivered:
    """A notification that failed, why, and when; it stays until its group is told of anew.

    `retry_at`: when it is tried again itself, if it is.
    """

    notification: Notification
    error: str
    failed_at: int
    retry_at: int | None = None


@dataclass(frozen=True, slots=True)
class WeekOfPages:
    """What an alert's definition cost its people in one week (from Monday, UTC).

    `pages`: event ids told; of these `out_of_hours`; `flapping`: told within an hour after the
    same alert had ended; `unacted`: ended, and nobody had snoozed or silenced it.
    """

    week: int
    pages: int = 0
    out_of_hours: int = 0
    flapping: int = 0
    unacted: int = 0


@dataclass(frozen=True, slots=True)
class Figures:
    """The weeks of one definition, oldest first."""

    tenant: str
    name: str
    weeks: Sequence[WeekOfPages] = field(default_factory=tuple)
