"""When open traces are due: after their wait, or after a shorter one once their root has come.

Laws: traces come out in the order of their due times, of equal ones first those that waited to the
end, else in order of arrival; each once. Both waits are the same for all traces, so two queues in
order of arrival are always sorted.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from tailrace.tables.traces import OpenTrace

_NEVER: Final = 1 << 62
_FEW: Final = 1000


class DueTraces:
    """Traces that wait for their decision. Times in ms of stream time."""

    def __init__(self, wait_ms: int, root_wait_ms: int | None) -> None:
        self._wait_ms = wait_ms
        self._root_wait_ms = root_wait_ms
        self._waiting: deque[OpenTrace] = deque()
        self._rooted: deque[OpenTrace] = deque()
        self._closed = 0
        """How many of those in `_waiting` are decided already."""
        self.next = _NEVER
        """No trace is due before."""

    def add(self, trace: OpenTrace, now: int) -> None:
        """Let *trace*, opened at *now*, be due after its wait."""
        trace.due = now + self._wait_ms
        self._waiting.append(trace)
        if trace.due < self.next:
            self.next = trace.due

    def rooted(self, trace: OpenTrace, now: int) -> None:
        """Hear that a root of *trace* came at *now*: it may be due sooner."""
        if self._root_wait_ms is None or now + self._root_wait_ms >= trace.due:
            return
        trace.due = now + self._root_wait_ms
        trace.is_rooted = True
        self._rooted.append(trace)
        self.next = min(self.next, trace.due)

    def before(self, now: int) -> list[OpenTrace]:
        """Take out the traces that are due before *now*, in order."""
        due: list[OpenTrace] = []
        while self.next < now:
            waiting, rooted = self._fronts()
            first = waiting.due if waiting is not None else _NEVER
            sooner = rooted.due if rooted is not None else _NEVER
            self.next = min(first, sooner)
            if self.next >= now:
                break
            if waiting is not None and first <= sooner:
                self._waiting.popleft()
                waiting.is_open = False
                due.append(waiting)
            elif rooted is not None:
                self._rooted.popleft()
                self.close(rooted)
                due.append(rooted)
        return due

    def oldest(self) -> OpenTrace:
        """Take out the trace that was opened first; there must be one."""
        while not self._waiting[0].is_open:
            self._waiting.popleft()
            self._closed -= 1
        trace = self._waiting.popleft()
        trace.is_open = False
        return trace

    def close(self, trace: OpenTrace) -> None:
        """Hear that *trace* is decided for another reason."""
        trace.is_open = False
        self._closed += 1
        if self._closed > _FEW and 2 * self._closed > len(self._waiting):
            self._waiting = deque(each for each in self._waiting if each.is_open)
            self._closed = 0

    def _fronts(self) -> tuple[OpenTrace | None, OpenTrace | None]:
        """Return what is next of each queue; those that are due by their root only there."""
        waiting, rooted = self._waiting, self._rooted
        while rooted and not rooted[0].is_open:
            rooted.popleft()
        while waiting and not waiting[0].is_open:
            waiting.popleft()
            self._closed -= 1
        first = waiting[0] if waiting else None
        if first is not None and first.is_rooted:
            first = None  # it is due by its root, and so is whatever could stand before that
        return first, rooted[0] if rooted else None
