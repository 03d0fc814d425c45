"""Sums are exact, in any order, in any buckets, and through their encoding."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import replace
from decimal import Decimal, localcontext

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tailrace.schemas.adjusted_counts import MOST
from tailrace.schemas.rebucketing import rebucketed
from tailrace.schemas.sums import (
    SECOND_NS,
    Histogram,
    Ints,
    Layout,
    NewerVersion,
    Rollup,
    carried,
    counted,
    decode,
    encode,
    exponential_histogram,
    histogram,
    merged,
    observed,
    summed,
)

LONGEST = 2**63 - 1

_BOUNDS = st.lists(
    st.one_of(st.integers(0, 5), st.integers(0, LONGEST)), max_size=5, unique=True
).map(lambda bounds: tuple(sorted(bounds)))
_NAMES = st.sampled_from([("duration",), ("client", "server")])
_COUNTS = st.sampled_from([(), ("unpaired",), ("unpaired", "events")])
_LAYOUTS = st.builds(Layout, st.sampled_from(["red", "edges"]), _NAMES, _BOUNDS, _COUNTS)
_EXPONENTIAL = st.builds(
    Layout,
    st.sampled_from(["red", "edges"]),
    _NAMES,
    st.just(()),
    _COUNTS,
    st.sampled_from([2, 5, 160]),
    st.sampled_from([1_000_000, SECOND_NS]),
)
_ALL_LAYOUTS = st.one_of(_LAYOUTS, _EXPONENTIAL)
_DURATIONS = st.one_of(
    st.integers(0, 6), st.just(SECOND_NS), st.just(SECOND_NS - 1), st.integers(0, LONGEST)
)

_WEIGHTS = st.sampled_from([1, 1, 2, 3, MOST])
_SPANS = st.lists(st.tuples(st.integers(0, 3), _DURATIONS, _WEIGHTS), max_size=30)


def ints(values: list[int]) -> Ints:
    return np.array(values, np.int64)


def model(bounds: tuple[int, ...], durations: list[tuple[int, int]]) -> Histogram:
    """Of durations and how often each counts."""
    buckets = [0] * (len(bounds) + 1)
    for duration, weight in durations:
        buckets[bisect_left(bounds, duration)] += weight
    return Histogram(sum(duration * weight for duration, weight in durations), buckets)


@settings(max_examples=300, deadline=None)
@given(_LAYOUTS, _SPANS, st.booleans(), st.data())
def test_rows_are_what_counting_one_by_one_gives(
    layout: Layout, spans: list[tuple[int, int, int]], has_weights: bool, data: st.DataObject
) -> None:
    name = data.draw(st.sampled_from(layout.histograms))
    if not has_weights:
        spans = [(group, duration, 1) for group, duration, _ in spans]
    groups, durations, counts = (ints([span[part] for span in spans]) for part in range(3))
    weights = counts if has_weights else None
    rows = observed(layout, name, groups, 4, durations, weights)
    half = len(spans) // 2
    halves = observed(layout, name, groups[:half], 4, durations[:half], counts[:half])
    halves += observed(layout, name, groups[half:], 4, durations[half:], counts[half:])
    assert (carried(layout, rows.copy()) == carried(layout, halves)).all()
    for group, row in enumerate(carried(layout, rows)):
        mine = [(duration, weight) for each, duration, weight in spans if each == group]
        assert row[layout.columns(name)][1] < SECOND_NS
        assert histogram(layout, row, name) == model(layout.bounds, mine)
        for other in set(layout.histograms) - {name}:
            assert histogram(layout, row, other).count == 0


@settings(max_examples=300, deadline=None)
@given(_ALL_LAYOUTS, _SPANS, st.integers(0, 30))
def test_rows_of_parts_add_up_to_the_row_of_all(
    layout: Layout, spans: list[tuple[int, int, int]], cut: int
) -> None:
    for name in (*layout.histograms, *layout.counts):
        groups, durations, weights = (ints([span[part] for span in spans]) for part in range(3))
        rows = observed(layout, name, groups, 4, durations, weights)
        parts = [
            observed(layout, name, groups[part], 4, durations[part], weights[part])
            for part in (slice(0, cut), slice(cut, None))
        ]
        assert (carried(layout, merged(layout, *parts)) == carried(layout, rows.copy())).all()
        # One row a span, then those of a group together.
        each = observed(layout, name, np.arange(len(spans)), len(spans), durations, weights)
        together = summed(layout, groups, 4, each)
        assert (carried(layout, together) == carried(layout, rows.copy())).all()
        often = [sum(weight for g, _, weight in spans if g == group) for group in range(4)]
        assert counted(layout, rows, name).tolist() == often
        for other in {*layout.histograms, *layout.counts} - {name}:
            assert not counted(layout, rows, other).any()


def test_an_exponential_histogram_has_a_unit_and_no_bounds() -> None:
    for bounds, max_size, unit_ns in (((1,), 160, 1), ((), 1, 1), ((), 160, 0)):
        with pytest.raises(ValueError, match="not the layout"):
            Layout("red", ("duration",), bounds, (), max_size, unit_ns)


@settings(max_examples=500, deadline=None)
@given(_ALL_LAYOUTS, _ALL_LAYOUTS, _SPANS)
def test_in_another_layout_sums_and_counts_stay_and_no_span_seems_shorter(
    old: Layout, new: Layout, spans: list[tuple[int, int, int]]
) -> None:
    name = old.histograms[-1]
    new = replace(new, family=old.family, histograms=old.histograms)
    durations = ints([duration for _, duration, _ in spans])
    weights = ints([weight for _, _, weight in spans])
    one = np.zeros(len(spans), np.int64)
    rows = sum(
        (observed(old, each, one, 1, durations, weights) for each in (name, *old.counts)),
        old.empty(1),
    )
    found = rebucketed(rows, old, new)
    often = int(weights.sum())
    assert counted(new, found, name).tolist() == [often]
    for each in new.counts:
        assert counted(new, found, each).tolist() == [often * (each in old.counts)]
    assert found[0, new.columns(name)][:2].tolist() == rows[0, old.columns(name)][:2].tolist()
    longest = LONGEST
    if new.is_exponential and not old.is_exponential:
        longest = max(old.bounds, default=0) + 1  # nobody knows how long what is above them was
    for bound, at_most in cumulative(new, found, name):
        really = sum(weight for _, duration, weight in spans if min(duration, longest) <= bound)
        assert at_most == really if bound in old.bounds and new.bounds else at_most <= really


def cumulative(layout: Layout, rows: Ints, name: str) -> list[tuple[int, int]]:
    """Bounds in ns, and how many durations seem to be at most that."""
    if not layout.is_exponential:
        counts = np.cumsum(histogram(layout, rows[0], name).buckets).tolist()
        return list(zip(layout.bounds, counts, strict=False))
    found = exponential_histogram(layout, rows[0], name)
    pairs, at_most = [(0, found.zeros)], found.zeros
    with localcontext() as context:
        context.prec = 80
        for index, count in enumerate(found.buckets, found.offset + 1):
            at_most += count
            power = Decimal(index) * Decimal(2) ** -found.scale
            pairs.append((int(Decimal(2) ** power * layout.unit_ns), at_most))
    return pairs


def test_what_had_been_timed_is_still_counted_where_it_is_only_counted() -> None:
    timed, only_counted = Layout("red", ("calls",), (5,)), Layout("red", (), (), ("calls",))
    rows = observed(timed, "calls", ints([0, 0, 1]), 2, ints([1, 9, 9]))
    assert rebucketed(rows, timed, only_counted).tolist() == [[2], [1]]


_CELLS = st.integers(-(2**63), LONGEST)


@st.composite
def rollups(draw: st.DrawFn) -> Rollup:
    layout = draw(_ALL_LAYOUTS)
    keys = draw(st.lists(st.binary(max_size=5), max_size=4, unique=True))
    cells = draw(
        st.lists(_CELLS, min_size=len(keys) * layout.width, max_size=len(keys) * layout.width)
    )
    rows = ints(cells).reshape(len(keys), layout.width)
    return Rollup(layout, draw(st.integers(0, LONGEST)), draw(st.integers(0, LONGEST)), keys, rows)


@settings(max_examples=300, deadline=None)
@given(rollups())
def test_what_was_encoded_comes_back(rollup: Rollup) -> None:
    found = decode(encode(rollup))
    assert found[:4] == rollup[:4]
    assert found.rows.shape == rollup.rows.shape
    assert (found.rows == rollup.rows).all()
    found.rows[:] = 0  # it is the reader's own


@settings(max_examples=500, deadline=None)
@given(rollups(), st.data())
def test_damage_is_refused_or_still_a_rollup(rollup: Rollup, data: st.DataObject) -> None:
    value = bytearray(encode(rollup))
    at = data.draw(st.integers(0, len(value) - 1))
    value[at] = data.draw(st.integers(0, 255))
    end = data.draw(st.sampled_from([len(value), at]))
    try:
        found = decode(bytes(value[:end]))
    except (ValueError, NewerVersion):
        return
    assert found.rows.shape == (len(found.keys), found.layout.width)


@pytest.mark.parametrize("value", [b"", b"x", b"TRS\x01", b'{"not": "ours"}' * 9])
def test_what_is_no_rollup_is_refused(value: bytes) -> None:
    with pytest.raises(ValueError, match="no rollup"):
        decode(value)
