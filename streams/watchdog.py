"""Notices a partition that has work and makes no progress.

Consumers have been seen to stop fetching after a rebalance or a broker's return, without an error.
A worker that stands still silently is worse than one that ends: a supervisor starts it again.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field


class Stalled(Exception):
    """A partition had work for longer than allowed and did none of it."""


@dataclass(slots=True)
class Watchdog:
    """Ends the process when something has stood still for *timeout_s*."""

    timeout_s: float
    _seen: dict[Hashable, tuple[object, float]] = field(default_factory=dict)

    def observe(self, what: Hashable, progress: object, *, has_work: bool, now: float) -> None:
        """Note that *what* is at *progress*; raise Stalled if it has had work there too long."""
        before = self._seen.get(what)
        if not has_work or before is None or before[0] != progress:
            self._seen[what] = (progress, now)
        elif now - before[1] > self.timeout_s:
            raise Stalled(
                f"{what} has stood still at {progress} for {now - before[1]:.0f} s although there "
                f"is work. The worker ends so that it can be started afresh; nothing is lost. If "
                f"this repeats, see whether the brokers answer and whether the disk is slow "
                f"(engine.stall_timeout is {self.timeout_s:.0f}s)."
            )

    def forget(self, what: Hashable) -> None:
        """Stop watching *what*."""
        self._seen.pop(what, None)
