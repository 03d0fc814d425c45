"""Going over from one layout of sums to another, of the same family.

Between two configs, or two workers, with other buckets or other things that they count. What both
know stays exact: sums and counts. A count goes to the first bucket that has nothing below the
largest that it can have been, so that no span seems shorter than it was and cumulative counts
never fall. What was above all bounds counts, where buckets have no end, as just above the last.
"""

from __future__ import annotations

import numpy as np

from tailrace.schemas import exponential
from tailrace.schemas.exponential import HEAD, MAX_SCALE
from tailrace.schemas.sums import Ints, Layout, counted

_MOST, _ZEROS, _DOWN, _OFFSET = 1, 2, 3, 4


def rebucketed(rows: Ints, old: Layout, new: Layout) -> Ints:
    """Return *rows* as rows of *new*, which counts nothing yet of what *old* does not have."""
    if old == new:
        return rows
    result = new.empty(len(rows))
    for name in new.histograms:
        if name in old.histograms:
            source, target = rows[:, old.columns(name)], result[:, new.columns(name)]
            target[:, :2] = source[:, :2]
            target[:, 2:] = _buckets(source[:, 2:], old, new)
    for name in new.counts:
        if name in old.counts or name in old.histograms:
            result[:, new.columns(name)][:, 0] = counted(old, rows, name)
    return result


def _buckets(source: Ints, old: Layout, new: Layout) -> Ints:
    if not old.is_exponential:
        return _by_bounds(source, old, new) if not new.is_exponential else _scaled(source, old, new)
    if not new.is_exponential:
        return _bounded(source, old, new)
    if old.unit_ns == new.unit_ns:
        return exponential.resized(source, new.max_size)
    return _in_unit(source, old, new)


def _by_bounds(source: Ints, old: Layout, new: Layout) -> Ints:
    """Return counts of the buckets of *new* for those of *old*; both have bounds."""
    target = np.zeros((len(source), len(new.bounds) + 1), np.int64)
    places = np.searchsorted(np.array(new.bounds, np.int64), np.array(old.bounds, np.int64))
    for bucket, place in enumerate([*places.tolist(), len(new.bounds)]):
        target[:, place] += source[:, bucket]
    return target


def _scaled(source: Ints, old: Layout, new: Layout) -> Ints:
    """Return exponential rows for counts of the buckets of *old*, as if all were at its bound."""
    last = min(max(old.bounds, default=0) + 1, np.iinfo(np.int64).max)
    bounds = np.array([*old.bounds, last], np.int64)
    rows, buckets = np.nonzero(source)
    return exponential.observed(
        rows, len(source), bounds[buckets], source[rows, buckets], new.max_size, new.unit_ns
    )


def _bounded(source: Ints, old: Layout, new: Layout) -> Ints:
    """Return counts of the buckets of *new* for exponential rows."""
    target = np.zeros((len(source), len(new.bounds) + 1), np.int64)
    whole = [
        exponential.last_whole(bound, old.unit_ns) if bound > 0 else None for bound in new.bounds
    ]
    below = sum(each is None for each in whole)
    ends = np.array([each for each in whole if each is not None], np.int64)
    target[:, int(np.searchsorted(np.array(new.bounds, np.int64), 0))] += source[:, _ZEROS]
    rows, buckets = np.nonzero(source[:, HEAD:])
    # The last bucket of the largest scale that is in the same bucket of the row's scale.
    lasts = ((source[rows, _OFFSET] + buckets + 1) << source[rows, _DOWN]) - 1
    places = below + np.searchsorted(ends, lasts)
    np.add.at(target, (rows, places), source[rows, HEAD + buckets])
    return target


def _in_unit(source: Ints, old: Layout, new: Layout) -> Ints:
    """Return exponential rows in another unit, as if all were at the ends of their buckets."""
    rows, buckets = np.nonzero(source[:, HEAD:])
    ends = (source[rows, _OFFSET] + buckets + 1) * np.exp2(source[rows, _DOWN] - MAX_SCALE)
    # Doubles err; rather a nanosecond too long than too short.
    longer = np.minimum(np.exp2(ends) * old.unit_ns * (1 + 1e-13), np.nextafter(2.0**63, 0))
    durations = np.minimum(longer.astype(np.int64) + 1, source[rows, _MOST])
    target = exponential.observed(
        rows,
        len(source),
        durations,
        source[rows, HEAD + buckets],
        new.max_size,
        new.unit_ns,
    )
    target[:, :_DOWN] = source[:, :_DOWN]
    return target
