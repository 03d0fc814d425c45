"""How many of each key are kept so that all together are about the goal, rare keys more of theirs.

The formula is that of dynsampler-go 0.6.4 (`calculateSampleRates`): each key may send a part of the
goal by the logarithm of its size, at least 1; what a key does not use goes to the keys after it.

The result is the same to the bit on every machine: keys in their order, sums rounded once, and a
logarithm that is rounded correctly, as those of C libraries are not.
"""

import math
from collections.abc import Mapping
from decimal import ROUND_HALF_EVEN, Context, Decimal

_DIGITS = Context(prec=25, rounding=ROUND_HALF_EVEN)
_NOISE = 1e-9
"""So much above a whole number, in parts of it, is that number: 10.000000001 is no cause for 11."""


def log10(value: float) -> float:
    """The decimal logarithm of *value*, which is more than 0."""
    return float(Decimal(value).log10(_DIGITS))


def total(averages: Mapping[str, float]) -> float:
    """The size of all keys together; each counts for 1 or more."""
    return math.fsum(max(1.0, size) for size in averages.values())


def rates(averages: Mapping[str, float], goal: float) -> dict[str, int]:
    """For each key its rate, 1 in so many, that lets about *goal* of all through."""
    keys = sorted(averages)
    sizes = [max(1.0, averages[key]) for key in keys]
    logarithms = [log10(size) for size in sizes]
    scale = math.fsum(logarithms)
    if not scale:  # no key has more than one
        return dict.fromkeys(keys, 1)
    found: dict[str, int] = {}
    unused = 0.0
    for index, key in enumerate(keys):
        inherited = unused / (len(keys) - index)
        unused -= inherited
        own = max(1.0, logarithms[index] * (goal / scale)) + inherited
        size = sizes[index]
        found[key] = 1 if size <= own else _rounded_up(size / own)
        unused += max(0.0, own - size / found[key])
    return found


def _rounded_up(ratio: float) -> int:
    return max(1, math.ceil(ratio * (1 - _NOISE)))
