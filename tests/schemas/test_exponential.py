"""Exponential histograms against exact arithmetic, one duration at a time, and the collector's."""

from __future__ import annotations

from decimal import Decimal, localcontext
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tailrace.schemas.durations import MILLISECOND, SECOND
from tailrace.schemas.exponential import (
    HEAD,
    MAX_SCALE,
    Ints,
    added,
    counts,
    exponential,
    indexes,
    last_whole,
    observed,
    resized,
)

LONGEST = 2**63 - 1
GOLDEN = Path(__file__).parent / "golden_exponential" / "cases.jsonl"

_UNITS = st.sampled_from([1, MILLISECOND, SECOND])
_SIZES = st.sampled_from([2, 3, 20, 160])
_DURATIONS = st.one_of(
    st.integers(0, 6),
    st.integers(1, LONGEST),
    st.integers(10**6, 10**8),
    st.builds(lambda power, more: (1 << power) + more, st.integers(1, 61), st.integers(-1, 1)),
    st.builds(
        lambda power, more: MILLISECOND * 2**power + more, st.integers(0, 40), st.integers(-1, 1)
    ),
)
_SPANS = st.lists(st.tuples(_DURATIONS, st.integers(1, 3)), max_size=20)


def ints(values: list[int]) -> Ints:
    return np.array(values, np.int64)


def row_of(spans: list[tuple[int, int]], max_size: int, unit_ns: int) -> Ints:
    """Of durations and how often each counts."""
    groups = np.zeros(len(spans), np.int64)
    durations, weights = ints([span[0] for span in spans]), ints([span[1] for span in spans])
    return observed(groups, 1, durations, weights, max_size, unit_ns)


@settings(max_examples=500, deadline=None)
@given(st.integers(1, LONGEST), _UNITS, st.integers(-8, 6))
@example(MILLISECOND, MILLISECOND, 6)
@example(MILLISECOND * 8, MILLISECOND, 3)
@example(15625, MILLISECOND, 6)
@example(LONGEST, 1, 6)
def test_a_bucket_is_that_of_exact_arithmetic(duration: int, unit: int, scale: int) -> None:
    index = int(indexes(ints([duration]), unit)[0]) >> (MAX_SCALE - scale)
    # 2^(i/2^s) < d/u <= 2^((i+1)/2^s), to the power of 2^s; for scales below 0 its root is whole.
    power = 1 << max(scale, 0)
    width = 1 << max(-scale, 0)

    def is_above(place: int) -> bool:
        exponent = place * width
        return duration**power << max(-exponent, 0) > unit**power << max(exponent, 0)

    assert is_above(index)
    assert not is_above(index + 1)


@settings(max_examples=500, deadline=None)
@given(st.integers(24 << MAX_SCALE, 33 << MAX_SCALE), st.sampled_from([MILLISECOND, SECOND]))
@example(24 << MAX_SCALE, MILLISECOND)
def test_at_the_largest_scale_the_nanosecond_before_a_boundary_is_below_it(
    index: int, unit: int
) -> None:
    with localcontext() as context:
        context.prec = 80
        boundary = Decimal(2) ** (Decimal(index) / (1 << MAX_SCALE)) * unit
    below = int(boundary)
    # From 2^24 units on a bucket is wider than a nanosecond.
    assert indexes(ints([below, below + 1]), unit).tolist() == [index - 1, index]


def one_by_one(spans: list[tuple[int, int]], max_size: int, unit: int) -> dict[str, Any]:
    """What OTLP's algorithm says, which meets one duration after the other."""
    scale, buckets = MAX_SCALE, dict[int, int]()
    for duration, weight in spans:
        if not duration:
            continue
        place = int(indexes(ints([duration]), unit)[0]) >> (MAX_SCALE - scale)
        while max([*buckets, place]) - min([*buckets, place]) >= max_size:
            scale, place = scale - 1, place >> 1
            halved = dict[int, int]()
            for each, count in buckets.items():
                halved[each >> 1] = halved.get(each >> 1, 0) + count
            buckets = halved
        buckets[place] = buckets.get(place, 0) + weight
    first = min(buckets, default=0)
    return {
        "scale": scale if buckets else 0,
        "offset": first,
        "buckets": [
            buckets.get(each, 0) for each in range(first, max(buckets, default=first - 1) + 1)
        ],
        "zeros": sum(weight for duration, weight in spans if not duration),
        "min": min((duration for duration, _ in spans), default=0),
        "max": max((duration for duration, _ in spans), default=0),
    }


@settings(max_examples=500, deadline=None)
@given(_SPANS, _SIZES, _UNITS, st.randoms(use_true_random=False))
def test_a_row_is_what_one_duration_after_the_other_gives_in_any_order_and_any_parts(
    spans: list[tuple[int, int]], max_size: int, unit: int, chance: Any
) -> None:
    expected = one_by_one(spans, max_size, unit)
    whole = row_of(spans, max_size, unit)
    found = exponential(0, whole[0])
    assert expected == {
        "scale": found.scale, "offset": found.offset, "buckets": found.buckets,
        "zeros": found.zeros, "min": found.min_ns, "max": found.max_ns,
    }  # fmt: skip
    assert found.count == counts(whole)[0] == sum(weight for _, weight in spans)
    chance.shuffle(spans)
    parts = [row_of([], max_size, unit)]
    while spans:
        size = chance.randint(1, len(spans))
        parts.append(row_of(spans[:size], max_size, unit))
        spans = spans[size:]
    while len(parts) > 1:
        chance.shuffle(parts)
        parts.append(added(parts.pop(), parts.pop()))
    assert parts[0].tolist() == whole.tolist()


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), _DURATIONS), max_size=20), _SIZES, _UNITS)
def test_many_rows_at_once_are_as_each_alone(
    spans: list[tuple[int, int]], max_size: int, unit: int
) -> None:
    groups, durations = ints([group for group, _ in spans]), ints([span for _, span in spans])
    rows = observed(groups, 5, durations, np.ones_like(groups), max_size, unit)
    alone = [row_of([(d, 1) for g, d in spans if g == group], max_size, unit) for group in range(5)]
    assert rows.tolist() == np.concatenate(alone).tolist()
    both = added(rows, rows[::-1])
    pairs = zip(alone, alone[::-1], strict=True)
    assert both.tolist() == [added(one, other)[0].tolist() for one, other in pairs]


@settings(max_examples=200, deadline=None)
@given(_SPANS, _SIZES, _SIZES, _UNITS)
def test_fewer_buckets_are_those_that_they_would_always_have_been(
    spans: list[tuple[int, int]], before: int, after: int, unit: int
) -> None:
    found = resized(row_of(spans, before, unit), after)
    assert found.shape == (1, HEAD + after)
    assert counts(found)[0] == sum(weight for _, weight in spans)
    if after <= before:
        assert found.tolist() == row_of(spans, after, unit).tolist()


@settings(max_examples=200, deadline=None)
@given(st.integers(1, LONGEST - 1), _UNITS)
def test_the_last_whole_bucket_ends_at_its_bound_or_before(bound: int, unit: int) -> None:
    last = last_whole(bound, unit)
    own, beyond = indexes(ints([bound, bound + 1]), unit).tolist()
    assert last <= own
    assert last < beyond
    with localcontext() as context:
        context.prec = 80
        ends = [
            Decimal(2) ** (Decimal(each + 1) / (1 << MAX_SCALE)) * unit for each in (last, last + 1)
        ]
    assert ends[0] <= bound * (1 + Decimal(10) ** -70)
    assert ends[1] > bound


def _cases() -> list[Any]:
    cases = [orjson.loads(line) for line in GOLDEN.read_bytes().splitlines()]
    return [
        pytest.param(
            case, id=f"{case['name']}, {case['max_size']} buckets, units of {case['unit_ns']} ns"
        )
        for case in cases
    ]


@pytest.mark.parametrize("case", _cases())
def test_scale_and_buckets_are_the_collectors(case: dict[str, Any]) -> None:
    unit = case["unit_ns"]
    row = row_of([(each, 1) for each in case["durations_ns"]], case["max_size"], unit)
    found = exponential(sum(case["durations_ns"]), row[0])
    assert (found.scale, found.offset, found.zeros) == tuple(
        case[name] for name in ("scale", "offset", "zeros")
    )
    assert found.buckets == case["buckets"]
    assert (found.min_ns / unit, found.max_ns / unit) == (case["min"], case["max"])
