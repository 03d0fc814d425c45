"""What is remembered of one alert instance, from evaluation to evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

_VERSION: Final = 1


class Phase(StrEnum):
    """Where in its life an alert is. The values are stored.

    `_no_data` and `_unknown` after another phase: what the alert was when the data went away or
    the evaluation began to fail, and goes on to be when they are back.
    """

    INACTIVE = "inactive"
    PENDING = "pending"
    """In breach, but not yet for as long as `for` says."""
    FIRING = "firing"
    KEEP_FIRING = "keep_firing"
    """The breach is over, but not yet for as long as `keep_firing_for` says."""
    FLAPPING = "flapping"
    """It would be resolved, had it not changed so often of late."""
    RESOLVED = "resolved"
    NO_DATA = "no_data"
    UNKNOWN = "unknown"
    """The evaluation failed."""
    PENDING_UNKNOWN = "pending_unknown"
    OVERDUE = "overdue"
    """It would fire by now, did the evaluation not fail."""
    FIRING_NO_DATA = "firing_no_data"
    FIRING_UNKNOWN = "firing_unknown"
    GONE = "gone"
    """So long without data that nobody waits for more: to be forgotten with its group."""


@dataclass(frozen=True, slots=True)
class AlertState:
    """Times in ms of stream time.

    `starts_at`: when the newest episode began. `since`: when the phase did. `told_at`: when the
    newest event was sent. `changes`: when it began to fire and when that would have ended, the
    newest last.
    """

    phase: Phase = Phase.INACTIVE
    starts_at: int = -1
    since: int = 0
    told_at: int = 0
    changes: tuple[int, ...] = ()

    @property
    def is_blank(self) -> bool:
        """True if it says no more than that there is nothing: it needs no row."""
        return self == NOTHING

    def to_cells(self) -> list[Any]:
        """Return it as JSON can hold it, a version first."""
        return [
            _VERSION,
            self.phase.value,
            self.starts_at,
            self.since,
            self.told_at,
            list(self.changes),
        ]

    @classmethod
    def from_cells(cls, cells: Sequence[Any]) -> AlertState:
        """Return what `to_cells` was called on; ValueError if that is of another version."""
        if not cells or cells[0] != _VERSION:
            version = cells[0] if cells else None
            raise ValueError(f"the state of an alert has version {version}; this reads {_VERSION}")
        _, phase, starts_at, since, told_at, changes = cells
        return cls(Phase(phase), starts_at, since, told_at, tuple(changes))


NOTHING: Final = AlertState()
