"""How fast a receiver is asked: a rate limit, and the waits between attempts. Times in seconds."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from tailrace.schemas.definitions.contact_point import Retries
from tailrace.schemas.durations import SECOND

BURST_S: Final = 10.0
LONGEST_WAIT_S: Final = 3_600.0


@dataclass(frozen=True, slots=True)
class Allowance:
    """So many requests a minute, and what `BURST_S` of them save up, at least one."""

    per_minute: int
    spent: float = 0.0
    at: float = 0.0

    @property
    def burst(self) -> float:
        """How many may go at once after a rest."""
        return max(1.0, self.per_minute * BURST_S / 60)

    def ready_at(self, now: float) -> float:
        """Return when the next request may go: *now*, or later."""
        excess = self._spent(now) + 1 - self.burst
        return now + max(0.0, excess) * 60 / self.per_minute

    def used(self, now: float) -> Allowance:
        """Return it after one request at *now*."""
        return replace(self, spent=self._spent(now) + 1, at=now)

    def _spent(self, now: float) -> float:
        return max(0.0, self.spent - (now - self.at) * self.per_minute / 60)


def backoff(retries: Retries, attempts: int, draw: float) -> float:
    """Return the wait after so many *attempts*: *draw*, in [0, 1), of a longest one that doubles.

    "Full jitter": https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
    """
    doubled = retries.backoff << min(attempts - 1, 40)
    return draw * min(retries.max_backoff, doubled) / SECOND


def gives_up(retries: Retries, first_at: float, now: float) -> bool:
    """Whether what was first tried at *first_at* has been tried for long enough."""
    return now - first_at >= retries.max_elapsed / SECOND
