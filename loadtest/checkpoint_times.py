"""How long a worker's checkpoints took, as its own histogram tells it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from tailrace_loadtest.processes import Samples, total

INTERVAL_S: Final = 1.0
"""The default of `engine.checkpoint_interval`; the histogram has it as a bound."""
_NAME: Final = "tailrace_checkpoint_seconds"
_P99: Final = 0.99


@dataclass(frozen=True, slots=True)
class CheckpointTimes:
    """Of so many checkpoints: their mean, and bounds that 99 of 100 and all of them kept (s).

    `over`: how many took longer than the interval.
    """

    count: int
    mean: float
    p99: float
    longest: float
    over: int

    def __str__(self) -> str:
        return (
            f"{self.count:>12,}{self.mean * 1e3:>9,.0f}{self.p99:>8g}{self.longest:>9g}"
            f"{self.over:>7,}"
        )


HEAD: Final = " checkpoints  mean ms   p99 ≤  longest   >1 s"


def checkpoint_times(before: Samples, after: Samples) -> CheckpointTimes:
    """Return those between two scrapes of one process, of all its stages together."""
    buckets: dict[float, float] = {}
    for sign, samples in ((1, after), (-1, before)):
        for (name, labels), value in samples.items():
            if name == f"{_NAME}_bucket":
                bound = float(dict(labels)["le"])
                buckets[bound] = buckets.get(bound, 0.0) + sign * value
    count = int(max(buckets.values(), default=0.0))
    spent = total(after, f"{_NAME}_sum") - total(before, f"{_NAME}_sum")
    return CheckpointTimes(
        count,
        spent / count if count else 0.0,
        _bound(buckets, _P99 * count),
        _bound(buckets, count),
        count - int(buckets.get(INTERVAL_S, 0.0)),
    )


def _bound(buckets: dict[float, float], count: float) -> float:
    """Return the lowest bound that *count* of them kept."""
    return min((bound for bound, found in buckets.items() if found >= count), default=0.0)
