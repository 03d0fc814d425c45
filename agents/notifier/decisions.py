"""The decision table: what is told of an alert at a contact point, and when.

Asked whenever something changed, with the facts as they are then; the first row that fits decides.
Asking again with nothing changed gives the same, so that a restart tells nobody anything.
"""

from __future__ import annotations

from enum import Enum
from typing import Final, Literal, NamedTuple, TypeAlias

Held: TypeAlias = Literal["", "snooze", "silence", "inhibition"]
"""What holds an alert back, if anything."""


class Action(Enum):
    """What to do; `Decision.at` says when."""

    NOW = "notify now"
    WITH_GROUP = "notify when the group is due"
    AT_REPEAT = "wait until the repeat interval has passed"
    HOLD = "hold"
    DROP = "drop"


class Facts(NamedTuple):
    """An alert at a contact point. The status of a known alert is firing, no_data or resolved.

    `is_told`: this contact point was told that it fires. `is_worse`: it was told less than this
    before, that is no data, or a lower severity of the same alert. `is_released`: a snooze or
    silence ended, and it still violates. `is_routed`: routes lead there now.
    """

    status: str
    is_replay: bool = False
    is_stale: bool = False
    is_told: bool = False
    is_worse: bool = False
    held: Held = ""
    is_released: bool = False
    is_routed: bool = True
    is_repeat_due: bool = False


class Row(NamedTuple):
    """Fits when each fact that is given is so; None is any. `active`: firing or no data."""

    name: str
    action: Action
    status: str | None = None
    is_replay: bool | None = None
    is_stale: bool | None = None
    is_told: bool | None = None
    is_worse: bool | None = None
    held: Held | None = None
    is_released: bool | None = None
    is_routed: bool | None = None
    is_repeat_due: bool | None = None

    def fits(self, facts: Facts) -> bool:
        """True if the row says something about *facts*."""
        status = self.status
        if status == "active":
            if facts.status not in ("firing", "no_data"):
                return False
        elif status is not None and status != facts.status:
            return False
        return all(
            said is None or said == is_so for said, is_so in zip(self[3:], facts[1:], strict=True)
        )


_A: Final = "active"

TABLE: Final = (
    Row("replay", Action.DROP, is_replay=True),
    Row("stale", Action.DROP, is_stale=True),
    Row("pending", Action.HOLD, "pending"),
    Row("unknown", Action.HOLD, "unknown"),
    Row("resolved", Action.NOW, "resolved", is_told=True),
    Row("resolved, never told", Action.DROP, "resolved"),
    Row("no longer routed", Action.HOLD, _A, is_told=True, is_routed=False),
    Row("no longer routed, never told", Action.DROP, _A, is_routed=False),
    Row("snoozed", Action.HOLD, _A, held="snooze"),
    Row("silenced", Action.HOLD, _A, held="silence"),
    Row("inhibited", Action.HOLD, _A, held="inhibition"),
    Row("released, still violating", Action.NOW, _A, is_released=True),
    Row("worse", Action.NOW, _A, is_worse=True),
    Row("new", Action.WITH_GROUP, _A, is_told=False),
    Row("still violating, repeat interval passed", Action.NOW, _A, is_repeat_due=True),
    Row("still violating", Action.AT_REPEAT, _A),
)


class Times(NamedTuple):
    """Of the group, in ms: when it is due if it has news, and when all of it is told again."""

    now: int
    group_due: int
    repeat_at: int


class Decision(NamedTuple):
    """`at`: when it is told, None for never as things are. `row`: the name of the row."""

    action: Action
    at: int | None
    row: str


def decide(facts: Facts, times: Times) -> Decision:
    """Return what the table says of *facts*."""
    row = next(row for row in TABLE if row.fits(facts))
    at = {
        Action.NOW: times.now,
        Action.WITH_GROUP: max(times.now, times.group_due),
        Action.AT_REPEAT: times.repeat_at,
    }.get(row.action)
    return Decision(row.action, at, row.name)
