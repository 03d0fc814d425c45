"""Bounds of the duration histogram that SLOs need.

With the threshold of a latency SLO among the bounds, the share of good spans can be read from the
histogram exactly; between two bounds it could only be guessed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tailrace.schemas.definitions.definition import SLO, Definitions
from tailrace.schemas.durations import Nanos

MOST_FORCED: Final = 32
"""Every bound is a number more in each series, whoever asked for it."""
_CACHE: Final = "latency_bounds"


def latency_thresholds(definitions: Definitions) -> tuple[Nanos, ...]:
    """Return the thresholds of latency SLOs, each once, in order of tenant and name."""
    found: tuple[Nanos, ...] | None = definitions.counted.get(_CACHE)
    if found is None:
        said = (each.spec.sli.latency for each in definitions.of(SLO))
        found = tuple(dict.fromkeys(each.threshold for each in said if each is not None))
        definitions.counted[_CACHE] = found
    return found


def with_thresholds(bounds: Sequence[Nanos], definitions: Definitions) -> tuple[Nanos, ...]:
    """Return *bounds* and the first `MOST_FORCED` thresholds that are not among them, ascending."""
    missing = [each for each in latency_thresholds(definitions) if each not in bounds]
    return tuple(sorted([*bounds, *missing[:MOST_FORCED]]))
