"""When a group is evaluated: every `every` of stream time, each group in a second of its own.

Ticks are whole seconds, since intervals close on them; a cadence that is none is rounded up. They
are a function of the cadence, the group and the level alone: a restart evaluates when the worker
before it would have. Of several ticks that are due at once, only the newest is evaluated.

While what comes after is degraded, the level of backing off goes up: each doubles the time between
two ticks, up to LONGEST_BACKOFF_MS (or the cadence itself, if that is longer). The ticks of a level
are among those of the levels below it, so none of them comes sooner for backing off.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from tailrace.schemas.durations import SECOND, Nanos

SECOND_MS: Final = 1000
LONGEST_BACKOFF_MS: Final = 300_000


@dataclass(frozen=True, slots=True)
class Cadence:
    """The ticks of one group. `seed`: any whole number, which spreads groups over the period."""

    every_ms: int
    seed: int = 0

    @classmethod
    def of(cls, every: Nanos, fingerprint: str) -> Cadence:
        """Return the cadence of the group with that *fingerprint* (hexadecimal)."""
        return cls(-(-every // SECOND) * SECOND_MS, int(fingerprint[:15], 16))

    def period_ms(self, level: int = 0) -> int:
        """Return the time between two ticks when backing off to *level*."""
        period = self.every_ms
        while level > 0 and 2 * period <= LONGEST_BACKOFF_MS:
            period, level = 2 * period, level - 1
        return period

    def phase_ms(self, level: int = 0) -> int:
        """Return how long after a multiple of the period the ticks are, in whole seconds."""
        return self.seed * SECOND_MS % self.period_ms(level)

    def newest_tick(self, now: int, level: int = 0) -> int:
        """Return the last tick that is not after *now* (ms)."""
        return now - (now - self.phase_ms(level)) % self.period_ms(level)

    def next_tick(self, after: int, level: int = 0) -> int:
        """Return the first tick after *after* (ms)."""
        return self.newest_tick(after, level) + self.period_ms(level)

    def due_tick(self, evaluated_at: int, now: int, level: int = 0) -> int | None:
        """Return the tick to evaluate at *now*; None if there was none after *evaluated_at*."""
        tick = self.newest_tick(now, level)
        return tick if tick > evaluated_at else None

    def tick_from(self, due: int, level: int = 0) -> int:
        """Return the tick at which that is done which is due at *due* (ms)."""
        period = self.period_ms(level)
        return due + (self.seed * SECOND_MS - due) % period
