"""Counts that wait in the group's notes until it is looked at: then it is known what they are for.

A source may be ahead of the others, and after a pause a record has seconds of both its ends. An
evaluation is of the seconds that are over at its time, whichever source was faster. Between two of
them nobody asks for the windows; what all sources say of one second goes there together. Of a
group that is looked at rarely, no more than `MOST_CELLS` wait of what is over: the rest goes on.
"""

from __future__ import annotations

from collections.abc import Iterator
from sys import intern
from typing import Final, NamedTuple

from tailrace.agents.alerts.counts import Counts
from tailrace.tables.alert_groups import AlertGroup

_AHEAD: Final = "ahead"
_LATEST_CELLS: Final = 3 * 8
"""Sources are rarely further apart; a second that is not among the latest may be there twice."""
MOST_CELLS: Final = 3 * 16
"""Of what is counted; with more, whatever is over need not wait for its group's next look."""


class Early(NamedTuple):
    """What is counted, in which second, and the counts."""

    counted: bytes
    second: int
    counts: Counts


def over_ms(second: int) -> int:
    """Return when *second* is over."""
    return (second + 1) * 1000


def waiting(group: AlertGroup, counted: bytes) -> list[int]:
    """Return what waits of *counted*: second, events and matches in turns; for `wait`."""
    name, known = counted.hex(), group.notes.setdefault(_AHEAD, {})
    found: list[int] | None = known.get(name)
    if found is None:
        found = known[intern(name)] = []
    return found


def wait(waiting: list[int], second: int, events: int, matches: int) -> None:
    """Let events and matches of *second* wait among *waiting*."""
    for at in range(len(waiting) - 3, max(0, len(waiting) - _LATEST_CELLS) - 1, -3):
        if waiting[at] == second:
            waiting[at + 1] += events
            waiting[at + 2] += matches
            return
    waiting += (second, events, matches)


def are_many(waiting: list[int], now: int) -> bool:
    """True if more wait than should, of which some are over at *now* (ms)."""
    return len(waiting) > MOST_CELLS and over_ms(waiting[0]) <= now


def taken(group: AlertGroup, now: int) -> Iterator[Early]:
    """Yield what waits no more at *now* (ms)."""
    for name, waiting in list(group.notes.get(_AHEAD, {}).items()):
        left: list[int] = []
        for at in range(0, len(waiting), 3):
            second, *counts = waiting[at : at + 3]
            if over_ms(second) <= now:
                yield Early(bytes.fromhex(name), second, Counts(*counts))
            else:
                left += (second, *counts)
        if left:
            group.notes[_AHEAD][name] = left
        else:
            del group.notes[_AHEAD][name]
    if not group.notes.get(_AHEAD, True):
        del group.notes[_AHEAD]
        if not group.notes:
            group.notes = {}  # one that had something is larger, of 100,000 groups


def next_due(group: AlertGroup) -> int | None:
    """Return when something waits no more; None: nothing waits."""
    seconds = [min(each[::3]) for each in group.notes.get(_AHEAD, {}).values()]
    return over_ms(min(seconds)) if seconds else None
