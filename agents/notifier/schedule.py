"""What is due when: moments at which something has to be looked at again."""

from __future__ import annotations

from heapq import heappop, heappush
from typing import Literal, NamedTuple, TypeAlias

About: TypeAlias = Literal["news", "group", "mutes", "message", "alert", "heartbeat"]


class Moment(NamedTuple):
    """At *at* (ms), look at *key*; it may turn out that there is nothing to do any more."""

    at: int
    about: About
    key: str = ""


class Schedule:
    """Moments in the order of time. One that is there twice comes once."""

    def __init__(self) -> None:
        self._heap: list[Moment] = []
        self._known: set[Moment] = set()

    def add(self, moment: Moment) -> None:
        """Let *moment* come."""
        if moment not in self._known:
            self._known.add(moment)
            heappush(self._heap, moment)

    def take(self, until: int) -> tuple[int, list[Moment]] | None:
        """Take all of the next moment before *until*, if there is one."""
        if not self._heap or self._heap[0].at >= until:
            return None
        at, found = self._heap[0].at, []
        while self._heap and self._heap[0].at == at:
            moment = heappop(self._heap)
            self._known.discard(moment)
            found.append(moment)
        return at, found
