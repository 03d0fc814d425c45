"""Histograms as the truth has them: exact sums, in the default buckets of both connectors."""

from dataclasses import dataclass, field

import numpy as np

from tailrace_loadtest.traffic import Ints

BOUNDS_NS = tuple(
    bound_ms * 1_000_000
    for bound_ms in (2, 4, 6, 8, 10, 50, 100, 200, 400, 800, 1000, 1400, 2000, 5000, 10_000, 15_000)
)
"""Inclusive upper bounds; above the last is one more bucket."""
_BOUNDS = np.array(BOUNDS_NS, np.int64)
_BUCKETS = len(BOUNDS_NS) + 1


@dataclass(slots=True)
class Histogram:
    """Durations: their exact sum, and how many are in each bucket, not cumulative."""

    sum_ns: int = 0
    buckets: list[int] = field(default_factory=lambda: [0] * _BUCKETS)

    @property
    def count(self) -> int:
        """How many durations."""
        return sum(self.buckets)

    def add(self, other: "Histogram") -> None:
        """Count what *other* counts, too."""
        self.sum_ns += other.sum_ns
        self.buckets = [ours + its for ours, its in zip(self.buckets, other.buckets, strict=True)]


def histograms(groups: Ints, durations_ns: Ints, count: int) -> list[Histogram]:
    """*count* histograms: `durations_ns[i]`, 0 if it is negative, is in that of `groups[i]`."""
    durations = np.maximum(durations_ns, 0)
    sums = np.zeros(count, np.int64)
    np.add.at(sums, groups, durations)
    buckets = np.zeros((count, _BUCKETS), np.int64)
    np.add.at(buckets, (groups, np.searchsorted(_BOUNDS, durations)), 1)
    return [Histogram(*row) for row in zip(sums.tolist(), buckets.tolist(), strict=True)]
