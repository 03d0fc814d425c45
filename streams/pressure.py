"""Memory pressure: how many traces may be open when the process nears its limit.

Memory that was freed once is used again, but seldom given back: after the limit was reached, the
process may stay large with few traces. So what is bounded then is the number of open traces, as of
when it was reached: a tenth less, and less again only if the process grows all the same.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

_PAGE_BYTES: Final = 4096
_STATM: Final = Path("/proc/self/statm")
_RELIEF_PERCENT: Final = 10
_GROWTH_PERCENT: Final = 2
_EASE_PERCENT: Final = 80
_LOOK_EVERY_S: Final = 1.0


def resident_bytes() -> int | None:
    """Return how much memory this process has; None where the system does not say."""
    try:
        return int(_STATM.read_text().split()[1]) * _PAGE_BYTES
    except (OSError, ValueError, IndexError):
        return None


class OpenTraceCeiling:
    """How many traces may be open in all partitions of a worker; None: as many as come."""

    def __init__(self, limit_bytes: int) -> None:
        self.ceiling: int | None = None
        self._limit = limit_bytes
        self._highest = limit_bytes

    def observe(self, resident: int, open_traces: int) -> int:
        """Return how many of *open_traces* must go, now that *resident* bytes are used."""
        if resident * 100 < self._limit * _EASE_PERCENT:
            self.ceiling, self._highest = None, self._limit
        elif resident >= self._highest:
            fewer = open_traces * (100 - _RELIEF_PERCENT) // 100
            self.ceiling = fewer if self.ceiling is None else min(self.ceiling, fewer)
            self._highest = resident * (100 + _GROWTH_PERCENT) // 100
        return 0 if self.ceiling is None else max(0, open_traces - self.ceiling)


class MemoryPressure:
    """How many of its open traces each task decides early, so that the process fits its memory."""

    def __init__(
        self,
        limit_bytes: int | None,
        resident: Callable[[], int | None] = resident_bytes,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ceiling = None if limit_bytes is None else OpenTraceCeiling(limit_bytes)
        self._resident = resident
        self._monotonic = monotonic
        self._open: dict[str, int] = {}
        self._going: dict[str, int] = {}
        self._looked_at = monotonic()

    def relief(self, task: str, open_traces: int) -> int:
        """Return how many of its *open_traces* the task decides now; asked often."""
        if self._ceiling is None:
            return 0
        self._open[task] = open_traces
        if self._monotonic() - self._looked_at >= _LOOK_EVERY_S:
            self._looked_at = self._monotonic()
            resident = self._resident()
            if resident is not None:
                going = self._ceiling.observe(resident, sum(self._open.values()))
                self._going = shared_out(going, self._open) if going else {}
        return self._going.pop(task, 0)

    def forget(self, task: str) -> None:
        """Hear that the task is not this worker's any more."""
        self._open.pop(task, None)


def shared_out(traces: int, open_by_task: dict[str, int]) -> dict[str, int]:
    """Return how many of *traces* each task decides: in proportion to what it has open."""
    total = sum(open_by_task.values())
    return {task: -(-traces * count // total) for task, count in open_by_task.items() if count}
