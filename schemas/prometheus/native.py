"""Native histograms of Prometheus, made of exponential ones of OpenTelemetry.

Bucket i of scale s counts what is in (b^i, b^(i+1)], b = 2^(2^-s); in Prometheus that is bucket
i + 1. https://opentelemetry.io/docs/specs/otel/compatibility/prometheus_and_openmetrics/
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

LARGEST_SCALE: Final = 8
SMALLEST_SCALE: Final = -4
ZERO_THRESHOLD: Final = 1e-128
"""What is counted as zero where nobody says."""

Counts = Mapping[int, int]
"""How many in each bucket, by its number in OpenTelemetry."""


@dataclass(frozen=True, slots=True)
class Native:
    """A histogram, as of some time. `sum` is NaN if its series has ended."""

    scale: int
    count: int
    sum: float
    zero_count: int
    zero_threshold: float
    positive: Counts
    negative: Counts

    def at(self, scale: int) -> Native:
        """Return it with fewer buckets; *scale* is its own or smaller."""
        if scale == self.scale:
            return self
        by = self.scale - scale
        return replace(
            self,
            scale=scale,
            positive=_coarser(self.positive, by),
            negative=_coarser(self.negative, by),
        )

    def plus(self, other: Native) -> Native:
        """Return both together, as coarse as the coarser one."""
        scale = min(self.scale, other.scale)
        a, b = self.at(scale), other.at(scale)
        return Native(
            scale,
            a.count + b.count,
            a.sum + b.sum,
            a.zero_count + b.zero_count,
            max(a.zero_threshold, b.zero_threshold),
            _together(a.positive, b.positive),
            _together(a.negative, b.negative),
        )


def _coarser(counts: Counts, by: int) -> Counts:
    found: dict[int, int] = {}
    for index, count in counts.items():
        found[index >> by] = found.get(index >> by, 0) + count
    return found


def _together(a: Counts, b: Counts) -> Counts:
    found = dict(a)
    for index, count in b.items():
        found[index] = found.get(index, 0) + count
    return found


def spans(counts: Counts) -> tuple[list[tuple[int, int]], list[int]]:
    """Return *counts* as Prometheus has them: spans of (gap, length), and differences."""
    found: list[tuple[int, int]] = []
    deltas: list[int] = []
    end, last = 0, 0
    for index, count in sorted(_present(counts)):
        gap = index + 1 - end
        if gap == 0 and found:
            found[-1] = found[-1][0], found[-1][1] + 1
        else:
            found.append((gap, 1))
        end = index + 2
        deltas.append(count - last)
        last = count
    return found, deltas


def _present(counts: Counts) -> Iterator[tuple[int, int]]:
    return ((index, count) for index, count in counts.items() if count)
