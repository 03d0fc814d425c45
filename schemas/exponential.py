"""Exponential histograms as rows of integers, many at a time.

The base-2 exponential histogram of OTLP's data model
(https://opentelemetry.io/docs/specs/otel/metrics/data-model/#exponentialhistogram): at scale *s*
bucket *i* holds values in (2^(i/2^s), 2^((i+1)/2^s)]. Values are durations in nanoseconds, 0 or
more, and the histogram is in some unit: the unit decides the buckets, so it is part of a row's
meaning. The scale is the largest, up to 20, at which all that was observed lies within as many
buckets as there may be; so a row depends on nothing but what was observed, neither on the order
nor on which parts were added up first.

A row: the least and the largest duration (ns), how many were zero, 20 less the scale, the index of
the first bucket, and the counts of the buckets from that one on, of which the first is not zero.
A row of zeros is of nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_FLOOR, Decimal, localcontext
from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]

MAX_SCALE: Final = 20
MIN_BUCKETS: Final = 2
"""With one bucket, values below and above 1 could never be in the same."""
HEAD: Final = 5
"""Columns before the counts of buckets."""
_MIN, _MAX, _ZEROS, _DOWN, _OFFSET = range(HEAD)

_DOUBT = 1e-6
"""How near to a boundary doubles cannot tell on which side a value is; they err by a thousandth
of it."""
_DIGITS = 60


@dataclass(frozen=True, slots=True)
class Exponential:
    """One histogram. `sum_ns` is exact; `buckets[i]` is the bucket of index `offset + i`.

    `scale` and `offset` are 0 where nothing but zeros was observed.
    """

    sum_ns: int
    min_ns: int
    max_ns: int
    zeros: int
    scale: int
    offset: int
    buckets: list[int]

    @property
    def count(self) -> int:
        """How many durations were observed."""
        return self.zeros + sum(self.buckets)


def exponential(sum_ns: int, row: Ints) -> Exponential:
    """Return what *row* says."""
    least, most, zeros, down, offset = row[:HEAD].tolist()
    used = np.flatnonzero(row[HEAD:])
    buckets = row[HEAD : HEAD + used[-1] + 1].tolist() if len(used) else []
    scale = MAX_SCALE - down if buckets else 0
    return Exponential(sum_ns, least, most, zeros, scale, offset, buckets)


def indexes(durations: Ints, unit_ns: int) -> Ints:
    """Return the bucket of each of *durations* (ns, 1 or more) at the largest scale. Exact."""
    mantissas, exponents = np.frexp(durations.astype(np.float64) / unit_ns)
    # 2^0.5 to 1 is where doubles tell logarithms best, and it is all that is left.
    places = np.ldexp(np.log2(mantissas), MAX_SCALE)
    nearest = np.rint(places)
    found = np.floor(places).astype(np.int64) + (exponents.astype(np.int64) << MAX_SCALE)
    doubtful = np.flatnonzero(np.abs(places - nearest) < _DOUBT)
    if len(doubtful):
        exact = [_exact_index(each, unit_ns) for each in durations[doubtful].tolist()]
        found[doubtful] = exact
    return found


@lru_cache(maxsize=4096)
def _exact_index(duration: int, unit_ns: int) -> int:
    # A boundary is a power of two or irrational, so that enough digits decide every other case.
    power = _power(duration, unit_ns)
    if power is not None:
        return (power << MAX_SCALE) - 1
    with localcontext() as context:
        context.prec = _DIGITS
        logarithm = (Decimal(duration) / Decimal(unit_ns)).ln() / Decimal(2).ln()
        return int((logarithm * (1 << MAX_SCALE)).to_integral_value(ROUND_FLOOR))


def _power(duration: int, unit_ns: int) -> int | None:
    """Return of which power of two *duration* is that many units, or None."""
    nearest = duration.bit_length() - unit_ns.bit_length()
    for power in (nearest - 1, nearest, nearest + 1):
        if duration << max(-power, 0) == unit_ns << max(power, 0):
            return power
    return None


def observed(
    groups: Ints, count: int, durations: Ints, weights: Ints, max_size: int, unit_ns: int
) -> Ints:
    """Return *count* rows: `durations[i]` counted `weights[i]` times in row `groups[i]`."""
    rows = np.zeros((count, HEAD + max_size), np.int64)
    is_there = weights > 0
    if not is_there.all():
        groups, durations, weights = groups[is_there], durations[is_there], weights[is_there]
    least = np.full(count, np.iinfo(np.int64).max)
    np.minimum.at(least, groups, durations)
    rows[groups, _MIN] = least[groups]
    np.maximum.at(rows[:, _MAX], groups, durations)
    is_zero = durations == 0
    if is_zero.any():
        np.add.at(rows[:, _ZEROS], groups[is_zero], weights[is_zero])
        groups, durations, weights = groups[~is_zero], durations[~is_zero], weights[~is_zero]
    if not len(groups):
        return rows
    places = indexes(durations, unit_ns)
    low, high = _extremes(groups, places, count)
    down = _fitting(low, high, max_size)
    rows[:, _DOWN], rows[:, _OFFSET] = down, low >> down
    _count(rows, groups, places >> down[groups], weights)
    return rows


def added(left: Ints, right: Ints) -> Ints:
    """Return the rows of what each of *left* and *right* have observed, as many buckets at most."""
    is_same = (left[:, _DOWN] == right[:, _DOWN]) & (left[:, _OFFSET] == right[:, _OFFSET])
    result = left + right
    result[:, _DOWN], result[:, _OFFSET] = left[:, _DOWN], left[:, _OFFSET]
    result[:, _MIN] = _least(left, right)
    np.maximum(left[:, _MAX], right[:, _MAX], out=result[:, _MAX])
    others = np.flatnonzero(~is_same)
    if len(others):
        mixed = _united((left[others], right[others]), left.shape[1] - HEAD)
        result[others, _DOWN:] = mixed[:, _DOWN:]
    return result


def resized(rows: Ints, max_size: int) -> Ints:
    """Return *rows* with at most *max_size* buckets; of more nothing gets finer again."""
    result = _united((rows,), max_size)
    result[:, :_DOWN] = rows[:, :_DOWN]
    return result


def counts(rows: Ints) -> Ints:
    """Return how many durations each of *rows* has observed."""
    total: Ints = rows[:, _ZEROS] + rows[:, HEAD:].sum(1)
    return total


def _least(left: Ints, right: Ints) -> Ints:
    """Return the least duration of both, of those that have observed any."""
    has_left, has_right = _is_something(left), _is_something(right)
    both = np.minimum(left[:, _MIN], right[:, _MIN])
    least: Ints = np.where(
        has_left & has_right, both, np.where(has_left, left[:, _MIN], right[:, _MIN])
    )
    return least


def _is_something(rows: Ints) -> npt.NDArray[np.bool_]:
    has_any: npt.NDArray[np.bool_] = (rows[:, _ZEROS] != 0) | (rows[:, HEAD] != 0)
    return has_any


def _united(parts: tuple[Ints, ...], max_size: int) -> Ints:
    """Return scale and buckets of what all of *parts* have observed; the rest are zeros."""
    result = np.zeros((len(parts[0]), HEAD + max_size), np.int64)
    down = np.maximum.reduce([part[:, _DOWN] for part in parts])
    cells = []
    for part in parts:
        rows, buckets = np.nonzero(part[:, HEAD:])
        places = (part[rows, _OFFSET] + buckets) >> (down - part[:, _DOWN])[rows]
        cells.append((rows, places, part[rows, HEAD + buckets]))
    groups, places, weights = (np.concatenate(each) for each in zip(*cells, strict=True))
    low, high = _extremes(groups, places, len(result))
    more = _fitting(low, high, max_size)
    result[:, _DOWN], result[:, _OFFSET] = down + more, low >> more
    _count(result, groups, places >> more[groups], weights)
    return result


def _extremes(groups: Ints, places: Ints, count: int) -> tuple[Ints, Ints]:
    """Return the lowest and the highest of *places* in each group; 0 where there is none."""
    ends = np.iinfo(np.int64)
    low, high = np.full(count, ends.max), np.full(count, ends.min)
    np.minimum.at(low, groups, places)
    np.maximum.at(high, groups, places)
    is_none = low == ends.max
    low[is_none], high[is_none] = 0, 0
    return low, high


def _fitting(low: Ints, high: Ints, max_size: int) -> Ints:
    """Return how many scales down *low* to *high* are at most *max_size* buckets."""
    down = np.zeros(len(low), np.int64)
    while (is_wide := (high >> down) - (low >> down) >= max_size).any():
        down += is_wide
    return down


def _count(rows: Ints, groups: Ints, places: Ints, weights: Ints) -> None:
    """Add *weights* to the buckets *places* of `rows[groups]`."""
    cells = groups * rows.shape[1] + HEAD + places - rows[groups, _OFFSET]
    np.add.at(rows.reshape(-1), cells, weights)


def last_whole(bound: int, unit_ns: int) -> int:
    """Return the last bucket, at the largest scale, with nothing above *bound* (ns, 1 or more)."""
    index = _exact_index(bound, unit_ns)
    return index if _power(bound, unit_ns) is not None else index - 1
