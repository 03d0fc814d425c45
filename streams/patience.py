"""How long a task that fails again and again is started again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from traceback import walk_tb


def may_pass(error: Exception) -> bool:
    """Errors of brokers, fences and networks may pass, and need no traceback.

    So may what aiokafka takes for granted: that brokers know of a broker. One that is alone and
    stood still for long does not, for a moment.
    """
    if isinstance(error, AssertionError):
        return _raised_in(error).startswith("aiokafka")
    return isinstance(error, OSError) or type(error).__module__.startswith("aiokafka")


def _raised_in(error: Exception) -> str:
    """The module."""
    frames = [frame for frame, _ in walk_tb(error.__traceback__)]
    return str(frames[-1].f_globals["__name__"]) if frames else ""


@dataclass(slots=True)
class Patience:
    """Failures are one trouble until a checkpoint passes the place, or none comes for *limit_s*.

    A trouble that lasts longer than *limit_s* is not mended by starting again. Times in seconds.
    """

    limit_s: float
    failures: int = 0
    """How often the present trouble has shown."""
    _since: float = 0.0
    _last: float = 0.0
    _place: Mapping[str, int] = field(default_factory=dict)

    def failed(self, place: Mapping[str, int], now: float) -> None:
        """Note a failure in what comes before the positions *place*."""
        if now - self._last > self.limit_s:
            self.failures = 0
        if not self.failures:
            self._since = now
        self.failures += 1
        self._last = now
        self._place = place

    def committed(self, positions: Mapping[str, int]) -> None:
        """Note a checkpoint at *positions*."""
        if all(positions.get(topic, -1) >= end for topic, end in self._place.items()):
            self.failures = 0

    @property
    def ends_at(self) -> float:
        """When the present trouble has lasted too long."""
        return self._since + self.limit_s
