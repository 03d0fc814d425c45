"""A circuit: a receiver that is down is asked seldom, and by one at a time.

    closed ── `FAILURES` in a row ──→ open ── its time is over ──→ half open
       ↑                               ↑                             │  │
       │                               └──── the trial fails ────────┘  │
       └──────────────────────── the trial succeeds ────────────────────┘

Each opening in a row lasts twice as long as the one before, up to `LONGEST_S`. Times in seconds.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, Literal, TypeAlias

FAILURES: Final = 5
SHORTEST_S: Final = 5.0
LONGEST_S: Final = 120.0

State: TypeAlias = Literal["closed", "open", "half_open"]


@dataclass(frozen=True, slots=True)
class Circuit:
    """`failures` in a row; `openings` in a row; `opens_until` of the last opening."""

    failures: int = 0
    openings: int = 0
    open_until: float = 0.0

    def state(self, now: float) -> State:
        """Return what it is at *now*."""
        if not self.openings:
            return "closed"
        return "open" if now < self.open_until else "half_open"

    def ready_at(self, now: float) -> float:
        """Return when the receiver may be asked: *now*, or later."""
        return max(now, self.open_until) if self.openings else now

    def succeeded(self) -> Circuit:
        """Return it closed: the receiver answered."""
        return Circuit()

    def failed(self, now: float, draw: float) -> Circuit:
        """Return it after a failure at *now*; *draw*, in [0, 1), shortens an opening by up to half.

        So that many workers do not come back at one time.
        """
        failures = self.failures + 1
        if not self.openings and failures < FAILURES:
            return replace(self, failures=failures)
        longest = min(LONGEST_S, SHORTEST_S * 2 ** min(self.openings, 30))
        return Circuit(failures, self.openings + 1, now + longest * (1 - draw / 2))
