"""Sums by series: what a capability counts, as rows of integers.

A row holds, for each of its histograms, whole seconds, nanoseconds below a second, and the counts
of the buckets. Two columns for one sum, because a single span that starts in 1970 has a fifth of
what 64 bits hold; `carried` moves whole seconds over. Integers, because sums must not depend on
the order in which they are made.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import orjson

Ints = npt.NDArray[np.int64]

SECOND_NS = 1_000_000_000
_MAGIC = b"TRS"
_VERSION = 1
_HEAD = struct.Struct(">3sBIqqI")  # magic, version, bytes of the layout, start, end, series


@dataclass(frozen=True, slots=True)
class Layout:
    """What a row means. `bounds`: inclusive upper bounds of the buckets but the last, in ns."""

    family: str
    histograms: tuple[str, ...]
    bounds: tuple[int, ...]

    @property
    def stride(self) -> int:
        """Columns of one histogram."""
        return 3 + len(self.bounds)

    @property
    def width(self) -> int:
        """Columns of a row."""
        return self.stride * len(self.histograms)

    def columns(self, histogram: str) -> slice:
        """Columns of *histogram*: seconds, nanoseconds, then the counts of its buckets."""
        first = self.histograms.index(histogram) * self.stride
        return slice(first, first + self.stride)

    def empty(self, rows: int = 0) -> Ints:
        """Return *rows* rows of zeros."""
        return np.zeros((rows, self.width), np.int64)


@dataclass(frozen=True, slots=True)
class Histogram:
    """One histogram of one series. `sum_ns` is exact; `buckets` are not cumulative."""

    sum_ns: int
    buckets: list[int]

    @property
    def count(self) -> int:
        """How many durations were observed."""
        return sum(self.buckets)


def histogram(layout: Layout, row: Ints, name: str) -> Histogram:
    """Return the histogram *name* of *row*."""
    seconds, nanoseconds, *buckets = row[layout.columns(name)].tolist()
    return Histogram(seconds * SECOND_NS + nanoseconds, buckets)


def observed(
    layout: Layout,
    name: str,
    groups: Ints,
    count: int,
    durations: Ints,
    weights: Ints | None = None,
) -> Ints:
    """Return *count* rows: `durations[i]` (ns, 0 or more) counted in row `groups[i]`.

    It counts as often as `weights[i]` says, which is below 2^32; without *weights*, once.
    """
    rows = layout.empty(count)
    columns = rows[:, layout.columns(name)]
    seconds, nanoseconds = np.divmod(durations, SECOND_NS)
    buckets = len(layout.bounds) + 1
    bucket = np.searchsorted(np.array(layout.bounds, np.int64), durations)
    cells = groups * buckets + bucket
    if weights is None:
        # Sums of floats are exact here: those of a batch stay far below 2^53.
        columns[:, 0] = np.bincount(groups, seconds, count)
        columns[:, 1] = np.bincount(groups, nanoseconds, count)
        counts = np.bincount(cells, minlength=count * buckets)
    else:
        carry, nanoseconds = np.divmod(nanoseconds * weights, SECOND_NS)
        np.add.at(columns[:, 0], groups, seconds * weights + carry)
        np.add.at(columns[:, 1], groups, nanoseconds)
        counts = np.zeros(count * buckets, np.int64)
        np.add.at(counts, cells, weights)
    columns[:, 2:] = counts.reshape(count, buckets)
    return rows


def carried(layout: Layout, rows: Ints) -> Ints:
    """Return *rows* with every nanosecond column below one second; changes them in place."""
    for name in layout.histograms:
        columns = rows[:, layout.columns(name)]
        columns[:, 0] += columns[:, 1] // SECOND_NS
        columns[:, 1] %= SECOND_NS
    return rows


def rebucketed(rows: Ints, old: Layout, new: Layout) -> Ints:
    """Return *rows* in the buckets of *new*; counts go to the first bound that is no smaller.

    Counts and sums stay exact. Between two configs, or two workers, with other bounds.
    """
    if old == new:
        return rows
    places = np.searchsorted(np.array(new.bounds, np.int64), np.array(old.bounds, np.int64))
    result = new.empty(len(rows))
    for name in new.histograms:
        if name in old.histograms:
            source, target = rows[:, old.columns(name)], result[:, new.columns(name)]
            target[:, :2] = source[:, :2]
            for bucket, place in enumerate([*places.tolist(), len(new.bounds)]):
                target[:, 2 + place] += source[:, 2 + bucket]
    return result


class NewerVersion(Exception):
    """Another version of tailrace wrote this; skipping it would lose what it counts."""


class Rollup(NamedTuple):
    """Partial sums of one source over [start, end), ms of stream time; `keys[i]` has `rows[i]`."""

    layout: Layout
    start: int
    end: int
    keys: list[bytes]
    rows: Ints


def encode(rollup: Rollup) -> bytes:
    """Return the value of a rollup record."""
    layout = _layout_bytes(rollup.layout)
    lengths = np.fromiter(map(len, rollup.keys), "<u4", len(rollup.keys))
    return b"".join(
        (
            _HEAD.pack(_MAGIC, _VERSION, len(layout), rollup.start, rollup.end, len(rollup.keys)),
            layout,
            lengths.tobytes(),
            *rollup.keys,
            # By column: most are zeros, which compress to nothing.
            rollup.rows.astype("<i8").tobytes("F"),
        )
    )


def decode(value: bytes) -> Rollup:
    """Return what `encode` was given.

    ValueError if *value* is nothing that it made; NewerVersion if a later tailrace made it.
    """
    try:
        magic, version, layout_bytes, start, end, count = _HEAD.unpack_from(value)
        if magic != _MAGIC:
            raise ValueError("is no rollup: it begins otherwise")
        if version != _VERSION:
            raise NewerVersion(
                f"sums of version {version}; this tailrace reads version {_VERSION}. Run the "
                f"version that wrote them."
            )
        at = _HEAD.size + layout_bytes
        layout = _layout(value[_HEAD.size : at])
        ends = at + 4 * count + np.cumsum(np.frombuffer(value, "<u4", count, at), dtype=np.int64)
        bounds = [at + 4 * count, *ends.tolist()]
        keys = [value[bounds[row] : bounds[row + 1]] for row in range(count)]
        cells = np.frombuffer(value, "<i8", -1, bounds[-1])
        rows = cells.reshape(layout.width, count).T.astype(np.int64)
    except (struct.error, KeyError, TypeError, orjson.JSONDecodeError) as error:
        raise ValueError(f"is no rollup: {error}") from error
    return Rollup(layout, start, end, keys, rows)


@lru_cache(maxsize=64)
def _layout_bytes(layout: Layout) -> bytes:
    return orjson.dumps([layout.family, layout.histograms, layout.bounds])


@lru_cache(maxsize=64)
def _layout(encoded: bytes) -> Layout:
    family, histograms, bounds = orjson.loads(encoded)
    return Layout(family, tuple(histograms), tuple(bounds))
