"""When a receiver is asked again: waits that double, and what it says itself. In seconds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

_MOST_STEPS: Final = 60


@dataclass(frozen=True, slots=True)
class Backoff:
    """A wait that grows by *factor* from *shortest_s* to *longest_s*, and is drawn around it.

    A draw takes up to *spread* of it away.
    """

    shortest_s: float
    longest_s: float
    factor: float = 2.0
    spread: float = 0.5

    def wait_s(self, attempts: int, draw: float) -> float:
        """Return the wait after so many *attempts*; *draw* is in [0, 1)."""
        grown = self.shortest_s
        for _ in range(min(attempts - 1, _MOST_STEPS)):
            if grown >= self.longest_s:  # what is beyond it may be too large for a number
                break
            grown *= self.factor
        return min(self.longest_s, grown) * (1 - self.spread * draw)


class Gate:
    """Closed for as long as a receiver has asked for; all of its requests wait."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._opens_at = 0.0

    def close(self, seconds: float) -> None:
        """Let nobody through for *seconds*."""
        self._opens_at = max(self._opens_at, self._clock() + seconds)

    @property
    def wait_s(self) -> float:
        """How long it stays closed."""
        return max(0.0, self._opens_at - self._clock())
