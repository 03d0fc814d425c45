"""Adjusted counts of many spans at once, as whole numbers.

A fraction is rounded up as often as it is large, by a hash of the trace id: what it counts on
average is exact, the same spans always count the same, and spans of one trace that were kept with
one probability count alike.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from tailrace.schemas.strings import Strings
from tailrace.schemas.tracestate import RANDOMNESS_END, threshold

MOST: Final = 1 << 24
"""No span counts for more: sums of integers must hold what one span in error may claim."""

Ints = npt.NDArray[np.int64]
_Words = npt.NDArray[np.uint64]


def adjusted_counts(states: npt.NDArray[np.int32], strings: Strings, traces: _Words) -> Ints | None:
    """Return the count of each span; None if all count for one.

    *states* are ids of *strings*, *traces* the trace ids as two words each.
    """
    numbers, places = np.unique(states, return_inverse=True)
    kept = [RANDOMNESS_END - (threshold(strings[number]) or 0) for number in numbers.tolist()]
    if all(each == RANDOMNESS_END for each in kept):
        return None
    kept_of_spans = np.array(kept, np.int64)[places]
    counts, remainders = np.divmod(np.int64(RANDOMNESS_END), kept_of_spans)
    counts += _uniform(traces) < remainders / kept_of_spans
    return np.minimum(counts, MOST)


def _uniform(traces: _Words) -> npt.NDArray[np.float64]:
    """Return a number in [0, 1) for each trace: the finaliser of SplitMix64, once a word."""
    mixed = _mixed(_mixed(traces[:, 0]) ^ traces[:, 1])
    return (mixed >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _mixed(words: _Words) -> _Words:
    words = words + np.uint64(0x9E3779B97F4A7C15)
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))
