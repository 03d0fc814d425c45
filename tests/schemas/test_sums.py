"""Sums are exact, in any order, in any buckets, and through their encoding."""

from __future__ import annotations

from bisect import bisect_left

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
    decode,
    encode,
    histogram,
    observed,
)

LONGEST = 2**63 - 1

_BOUNDS = st.lists(
    st.one_of(st.integers(0, 5), st.integers(0, LONGEST)), max_size=5, unique=True
).map(lambda bounds: tuple(sorted(bounds)))
_NAMES = st.sampled_from([("duration",), ("client", "server")])
_LAYOUTS = st.builds(Layout, st.sampled_from(["red", "edges"]), _NAMES, _BOUNDS)
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
@given(_LAYOUTS, _BOUNDS, st.lists(_DURATIONS, max_size=10))
def test_in_other_buckets_sums_and_counts_stay_and_no_span_seems_shorter(
    old: Layout, bounds: tuple[int, ...], durations: list[int]
) -> None:
    new = Layout(old.family, old.histograms, bounds)
    name = old.histograms[-1]
    rows = observed(old, name, ints([0] * len(durations)), 1, ints(durations))
    found = histogram(new, rebucketed(rows, old, new)[0], name)
    assert (found.sum_ns, found.count) == (sum(durations), len(durations))
    for bound, at_most in zip(bounds, np.cumsum(found.buckets).tolist(), strict=False):
        really = sum(duration <= bound for duration in durations)
        assert at_most == really if bound in old.bounds else at_most <= really


_CELLS = st.integers(-(2**63), LONGEST)


@st.composite
def rollups(draw: st.DrawFn) -> Rollup:
    layout = draw(_LAYOUTS)
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
