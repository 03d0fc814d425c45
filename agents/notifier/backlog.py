"""What waits for one contact point: nothing overtakes within its group, and no group blocks others.

Times in seconds.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import TypeAlias

from tailrace.schemas.notifications import Notification, Outcome

Report: TypeAlias = Callable[[str, Outcome], None]
"""Told the id of a notification and what became of it."""


@dataclass(slots=True)
class Entry:
    """A notification that waits until `due`. `accepted`: so many of its requests are through."""

    notification: Notification
    report: Report
    number: int
    due: float
    added_at: float
    attempts: int = 0
    first_at: float | None = None
    accepted: int = 0
    error: str = ""


class Backlog:
    """Entries by id; the first of each group is offered when due, the one due longest first."""

    def __init__(self) -> None:
        self._groups: dict[str, deque[Entry]] = {}
        self._heads: list[tuple[float, int, str]] = []
        self._entries: dict[str, Entry] = {}
        self._number = 0

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._entries.values())

    def __contains__(self, entry: Entry) -> bool:
        return self._entries.get(entry.notification.id) is entry

    def add(self, notification: Notification, report: Report, now: float) -> None:
        """Let *notification* wait behind those of its group; if it waits already, where it does."""
        known = self._entries.get(notification.id)
        if known is not None:
            known.notification = notification  # it may have taken over news
            return
        self._number += 1
        self.put(Entry(notification, report, self._number, now, now, notification.attempts))

    def put(self, entry: Entry) -> None:
        """Let *entry*, which does not wait, wait behind those of its group."""
        group = self._groups.setdefault(entry.notification.group_key, deque())
        group.append(entry)
        self._entries[entry.notification.id] = entry
        if len(group) == 1:
            self._offer(entry)

    def due_at(self) -> float | None:
        """Return when the next entry is due; None if none waits."""
        self._forget_stale()
        return self._heads[0][0] if self._heads else None

    def first(self) -> Entry:
        """Return the entry that is due first; it stays."""
        self._forget_stale()
        return self._groups[self._heads[0][2]][0]

    def postpone(self, entry: Entry, due: float) -> None:
        """Offer *entry*, the first of its group, again at *due*."""
        entry.due = due
        self._offer(entry)

    def remove(self, notification_id: str) -> None:
        """Forget a notification if it is there; the next of its group has its turn."""
        entry = self._entries.pop(notification_id, None)
        if entry is None:
            return
        key = entry.notification.group_key
        group = self._groups[key]
        was_first = group[0] is entry
        group.remove(entry)
        if not group:
            del self._groups[key]
        elif was_first:
            self._offer(group[0])

    def _offer(self, entry: Entry) -> None:
        heappush(self._heads, (entry.due, entry.number, entry.notification.group_key))

    def _forget_stale(self) -> None:
        """Drop offers of entries that are gone, or that were postponed since."""
        while self._heads:
            due, number, key = self._heads[0]
            group = self._groups.get(key)
            if group and group[0].number == number and group[0].due == due:
                return
            heappop(self._heads)
