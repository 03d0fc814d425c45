"""How many decisions are remembered, if a limit is set: the newest ones.

Decisions are counted by the second of stream time in which they were made. A second is let go once
those after it are as many as the limit: so at least the limit is remembered, and at most one second
more. What is remembered is a function of the decisions in their order, and costs a few bytes a
second to keep.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Final

_SECOND_MS: Final = 1000


class NewestDecisions:
    """The seconds of the newest *limit* decisions; None: all of them."""

    def __init__(self, limit: int | None) -> None:
        self._limit = limit
        self._seconds: deque[list[int]] = deque()
        self._count = 0
        self.since_ms = -(1 << 62)
        """Decisions that were made before are forgotten."""

    def add(self, at_ms: int) -> None:
        """Count a decision made at *at_ms*, which is not before that of the last one's second."""
        if self._limit is None:
            return
        second = at_ms // _SECOND_MS
        seconds = self._seconds
        if seconds and seconds[-1][0] >= second:
            seconds[-1][1] += 1
        else:
            seconds.append([second, 1])
        self._count += 1
        while self._count - seconds[0][1] >= self._limit and len(seconds) > 1:
            self._count -= seconds.popleft()[1]
            self.since_ms = seconds[0][0] * _SECOND_MS

    def forget_before(self, at_ms: int) -> None:
        """Let go of seconds that are over at *at_ms*: their decisions are past their retention."""
        seconds = self._seconds
        while seconds and (seconds[0][0] + 1) * _SECOND_MS <= at_ms:
            self._count -= seconds.popleft()[1]

    def cells(self) -> list[list[int]]:
        """Return what `load` needs: the first second that is remembered, and how many each has."""
        return [[self.since_ms, 0], *self._seconds] if self._limit is not None else []

    def load(self, cells: Sequence[list[int]]) -> None:
        """Go on from *cells*."""
        if self._limit is None or not cells:
            return
        self.since_ms = cells[0][0]
        self._seconds = deque(list(each) for each in cells[1:])
        self._count = sum(count for _, count in self._seconds)
