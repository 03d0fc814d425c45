"""Sums by series: what a capability counts, as rows of integers.

A row holds, for each of its histograms, whole seconds, nanoseconds below a second, and the counts
of the buckets; then one count for each thing that is only counted. Two columns for one sum,
because a single span that starts in 1970 has a fifth of what 64 bits hold; `carried` moves whole
seconds over. Integers, because sums must not depend on the order in which they are made.

A histogram has the buckets of the layout's bounds, or it is exponential (see `exponential`). Rows
of exponential histograms cannot be added up column by column: `merged` adds rows of any layout.
Going over to another layout: see `rebucketing`.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import orjson

from tailrace.schemas import exponential
from tailrace.schemas.exponential import MIN_BUCKETS, Exponential

Ints = npt.NDArray[np.int64]

SECOND_NS = 1_000_000_000
_MAGIC = b"TRS"
_VERSION, _WITH_COUNTS = 1, 3
"""Of a record; 2 are counts of matches. A layout that says no more than names and bounds is
written as of version 1, which others can read."""
_HEAD = struct.Struct(">3sBIqqI")  # magic, version, bytes of the layout, start, end, series


@dataclass(frozen=True, slots=True)
class Layout:
    """What a row means. `bounds`: inclusive upper bounds of the buckets but the last, in ns.

    `counts`: what is only counted, one column each, after the histograms. With a `max_size` the
    histograms are exponential, with at most so many buckets, in a unit of `unit_ns`; there are no
    bounds then. The unit of others is nobody's business.
    """

    family: str
    histograms: tuple[str, ...]
    bounds: tuple[int, ...]
    counts: tuple[str, ...] = ()
    max_size: int = 0
    unit_ns: int = 0

    def __post_init__(self) -> None:
        if self.max_size and (self.bounds or self.max_size < MIN_BUCKETS or self.unit_ns < 1):
            raise ValueError(f"not the layout of an exponential histogram: {self}")

    @property
    def is_exponential(self) -> bool:
        """True if the histograms have no bounds, but a scale."""
        return bool(self.max_size)

    @property
    def stride(self) -> int:
        """Columns of one histogram."""
        return 2 + (exponential.HEAD + self.max_size if self.max_size else 1 + len(self.bounds))

    @property
    def width(self) -> int:
        """Columns of a row."""
        return self.stride * len(self.histograms) + len(self.counts)

    def columns(self, name: str) -> slice:
        """Columns of *name*: one if it is only counted.

        Of a histogram: seconds, nanoseconds, then the counts of its buckets, or the row of
        `exponential`.
        """
        if name in self.counts:
            first = self.stride * len(self.histograms) + self.counts.index(name)
            return slice(first, first + 1)
        first = self.histograms.index(name) * self.stride
        return slice(first, first + self.stride)

    def empty(self, rows: int = 0) -> Ints:
        """Return *rows* rows of nothing: zeros."""
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
    """Return the histogram *name* of *row*, whose layout has bounds."""
    seconds, nanoseconds, *buckets = row[layout.columns(name)].tolist()
    return Histogram(seconds * SECOND_NS + nanoseconds, buckets)


def exponential_histogram(layout: Layout, row: Ints, name: str) -> Exponential:
    """Return the exponential histogram *name* of *row*."""
    columns = row[layout.columns(name)]
    seconds, nanoseconds = columns[:2].tolist()
    return exponential.exponential(seconds * SECOND_NS + nanoseconds, columns[2:])


def counted(layout: Layout, rows: Ints, name: str) -> Ints:
    """Return how many each of *rows* has of *name*, a histogram or what is only counted."""
    columns = rows[:, layout.columns(name)]
    if name in layout.counts:
        return columns[:, 0]
    if layout.is_exponential:
        return exponential.counts(columns[:, 2:])
    total: Ints = columns[:, 2:].sum(1)
    return total


def merged(layout: Layout, left: Ints, right: Ints) -> Ints:
    """Return the rows of what `left[i]` and `right[i]` have counted together.

    The one way to add up rows.
    """
    result: Ints = left + right
    if layout.is_exponential:
        for name in layout.histograms:
            columns = layout.columns(name)
            columns = slice(columns.start + 2, columns.stop)
            result[:, columns] = exponential.added(left[:, columns], right[:, columns])
    return result


def summed(layout: Layout, groups: Ints, count: int, rows: Ints) -> Ints:
    """Return *count* rows: `rows[i]` is added to row `groups[i]`."""
    result = layout.empty(count)
    if not layout.is_exponential:
        np.add.at(result, groups, rows)
        return result
    order = np.argsort(groups, kind="stable")
    groups, rows = groups[order], rows[order]
    while (is_more := groups[1:] == groups[:-1]).any():
        # Neighbours of one group are added up in pairs, which halves every group.
        firsts = np.flatnonzero(np.diff(groups, prepend=-1))
        nth = np.arange(len(groups)) - np.repeat(firsts, np.diff([*firsts, len(groups)]))
        left = np.flatnonzero((nth % 2 == 0)[:-1] & is_more)
        rows[left] = merged(layout, rows[left], rows[left + 1])
        stays = nth % 2 == 0
        groups, rows = groups[stays], rows[stays]
    result[groups] = rows
    return result


def observed(
    layout: Layout,
    name: str,
    groups: Ints,
    count: int,
    durations: Ints,
    weights: Ints | None = None,
) -> Ints:
    """Return *count* rows: `durations[i]` (ns, 0 or more) counted in row `groups[i]`.

    It counts as often as `weights[i]` says, which is below 2^32; without *weights*, once. Of what
    is only counted, *durations* tell nothing.
    """
    rows = layout.empty(count)
    columns = rows[:, layout.columns(name)]
    if name in layout.counts:
        columns[:, 0] = _tallied(groups, count, weights)
        return rows
    seconds, nanoseconds = np.divmod(durations, SECOND_NS)
    if weights is None:
        # Sums of floats are exact here: those of a batch stay far below 2^53.
        columns[:, 0] = np.bincount(groups, seconds, count)
        columns[:, 1] = np.bincount(groups, nanoseconds, count)
    else:
        carry, nanoseconds = np.divmod(nanoseconds * weights, SECOND_NS)
        np.add.at(columns[:, 0], groups, seconds * weights + carry)
        np.add.at(columns[:, 1], groups, nanoseconds)
    if layout.is_exponential:
        often = np.ones(len(groups), np.int64) if weights is None else weights
        columns[:, 2:] = exponential.observed(
            groups, count, durations, often, layout.max_size, layout.unit_ns
        )
    else:
        buckets = len(layout.bounds) + 1
        bucket = np.searchsorted(np.array(layout.bounds, np.int64), durations)
        cells = _tallied(groups * buckets + bucket, count * buckets, weights)
        columns[:, 2:] = cells.reshape(count, buckets)
    return rows


def _tallied(groups: Ints, count: int, weights: Ints | None) -> Ints:
    """Return for each of *count* groups how often it is there."""
    if weights is None:
        return np.bincount(groups, minlength=count)
    total = np.zeros(count, np.int64)
    np.add.at(total, groups, weights)
    return total


def carried(layout: Layout, rows: Ints) -> Ints:
    """Return *rows* with every nanosecond column below one second; changes them in place."""
    for name in layout.histograms:
        columns = rows[:, layout.columns(name)]
        columns[:, 0] += columns[:, 1] // SECOND_NS
        columns[:, 1] %= SECOND_NS
    return rows


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
    version, layout = _layout_bytes(rollup.layout)
    lengths = np.fromiter(map(len, rollup.keys), "<u4", len(rollup.keys))
    return b"".join(
        (
            _HEAD.pack(_MAGIC, version, len(layout), rollup.start, rollup.end, len(rollup.keys)),
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
        if version not in (_VERSION, _WITH_COUNTS):
            raise NewerVersion(
                f"sums of version {version}; this tailrace reads versions {_VERSION} and "
                f"{_WITH_COUNTS}. Run the version that wrote them."
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


def layout_fields(layout: Layout) -> list[object]:
    """Return *layout* as fields of JSON; as few as a tailrace without counts would write."""
    fields: list[object] = [layout.family, layout.histograms, layout.bounds]
    if layout.counts or layout.is_exponential:
        fields += [layout.counts, layout.max_size, layout.unit_ns]
    return fields


def layout_of(fields: Sequence[Any]) -> Layout:
    """Return what `layout_fields` was given."""
    family, histograms, bounds, *rest = fields
    counts, max_size, unit_ns = rest or ((), 0, 0)
    return Layout(family, tuple(histograms), tuple(bounds), tuple(counts), max_size, unit_ns)


@lru_cache(maxsize=64)
def _layout_bytes(layout: Layout) -> tuple[int, bytes]:
    fields = layout_fields(layout)
    return _VERSION if len(fields) == 3 else _WITH_COUNTS, orjson.dumps(fields)


@lru_cache(maxsize=64)
def _layout(encoded: bytes) -> Layout:
    return layout_of(orjson.loads(encoded))
