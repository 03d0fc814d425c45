"""Counts that came before their second was over: in the group's notes, until time has come so far.

A source may be ahead of the others, and after a pause a record has seconds of both its ends. An
evaluation is of the seconds that are over at its time, whichever source was faster.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from tailrace.agents.alerts.counts import Counts
from tailrace.tables.alert_groups import AlertGroup

_AHEAD = "ahead"


class Early(NamedTuple):
    """What is counted, in which second, and the counts."""

    counted: bytes
    second: int
    counts: Counts


def over_ms(second: int) -> int:
    """Return when *second* is over."""
    return (second + 1) * 1000


def wait(group: AlertGroup, early: Early) -> None:
    """Let *early* wait in *group*."""
    waiting = group.notes.setdefault(_AHEAD, {}).setdefault(early.counted.hex(), [])
    if waiting[-3:-2] == [early.second]:
        waiting[-2] += early.counts.all
        waiting[-1] += early.counts.matched
    else:
        waiting += (early.second, *early.counts)


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


def next_due(group: AlertGroup) -> int | None:
    """Return when something waits no more; None: nothing waits."""
    seconds = [min(each[::3]) for each in group.notes.get(_AHEAD, {}).values()]
    return over_ms(min(seconds)) if seconds else None
