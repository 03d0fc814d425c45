"""Token buckets: what passes, against a bucket of fractions, and over all partitions together."""

from __future__ import annotations

import json
from collections.abc import Sequence
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.agents.sampling.policies.token_buckets import TokenBucket

Arrival = tuple[int, int]
"""Time in ms, and what it costs."""

RATES, BURSTS = st.integers(0, 50), st.integers(0, 60)
GAPS = st.one_of(st.integers(0, 5), st.integers(0, 3000))
ARRIVALS = st.lists(st.tuples(GAPS, st.integers(1, 70)), max_size=30)


def _timed(gaps: Sequence[tuple[int, int]], start: int = 0) -> list[Arrival]:
    at, found = start, []
    for gap, count in gaps:
        at += gap
        found.append((at, count))
    return found


def _passed(bucket: TokenBucket, arrivals: Sequence[Arrival]) -> list[bool]:
    return [bucket.take(count, at) for at, count in arrivals]


@given(RATES, BURSTS, ARRIVALS, st.integers(0, 2**41))
def test_with_all_of_the_budget_it_is_a_bucket_of_fractions(
    rate: int, burst: int, gaps: list[tuple[int, int]], start: int
) -> None:
    arrivals = _timed(gaps, start)
    tokens, last, expected = Fraction(burst), start, []
    for at, count in arrivals:
        filled = min(Fraction(burst), tokens + Fraction(rate * (at - last), 1000))
        expected.append(filled >= count)
        if filled >= count:
            tokens, last = filled - count, at
    assert _passed(TokenBucket(rate, burst), arrivals) == expected


@given(
    st.integers(1, 50),
    st.integers(1, 60),
    st.integers(1, 5),
    st.lists(st.tuples(GAPS, st.integers(1, 70), st.integers(0, 4)), max_size=40),
)
def test_the_partitions_together_hold_the_budget_over_any_time(
    rate: int, burst: int, partitions: int, gaps: list[tuple[int, int, int]]
) -> None:
    buckets = [TokenBucket(rate, burst) for _ in range(partitions)]
    for bucket in buckets:
        bucket.allot(1, partitions, 0)
    at, passed = 0, []
    for gap, count, number in gaps:
        at += gap
        if buckets[number % partitions].take(count, at):
            assert count <= burst
            passed.append((at, count))
    largest = max([count for _, count in passed], default=0)
    slack = partitions * max(Fraction(burst, partitions), largest)
    for index, (first, _) in enumerate(passed):
        total = 0
        for last, count in passed[index:]:
            total += count
            assert total <= Fraction(rate * (last - first), 1000) + slack
            if partitions == 1:
                assert total <= Fraction(rate * (last - first), 1000) + burst


@given(
    st.integers(1, 50),
    st.integers(1, 60),
    st.lists(
        st.tuples(GAPS, st.one_of(st.integers(1, 70), st.tuples(*[st.integers(0, 3)] * 3))),
        max_size=40,
    ),
)
def test_shares_that_move_make_no_budget(
    rate: int, burst: int, gaps: list[tuple[int, int | tuple[int, int, int]]]
) -> None:
    buckets = [TokenBucket(rate, burst) for _ in range(3)]
    for bucket in buckets:
        bucket.allot(1, 3, 0)
    at, total, largest = 0, 0, 0
    for number, (gap, what) in enumerate(gaps):
        at += gap
        if isinstance(what, tuple):
            for bucket, share in zip(buckets, what, strict=True):
                bucket.allot(share, sum(what) or 1, at)
        elif buckets[number % 3].take(what, at):
            total, largest = total + what, max(largest, what)
    assert total <= Fraction(rate * at, 1000) + burst + 3 * largest


@given(RATES, BURSTS, ARRIVALS, ARRIVALS, st.integers(1, 4), st.integers(1, 4))
def test_it_goes_on_from_its_state(
    rate: int,
    burst: int,
    before: list[tuple[int, int]],
    after: list[tuple[int, int]],
    part: int,
    parts: int,
) -> None:
    first, second = TokenBucket(rate, burst), TokenBucket(rate, burst)
    first.allot(min(part, parts), parts, 0)
    _passed(first, _timed(before))
    second.load(json.loads(json.dumps(first.state())))
    later = _timed(after, _timed(before)[-1][0] if before else 0)
    assert _passed(second, later) == _passed(first, later)
    assert second.state() == first.state()


def test_what_is_larger_than_a_part_passes_a_full_bucket_and_is_paid_back() -> None:
    bucket = TokenBucket(10, 20)
    bucket.allot(1, 4, 0)
    assert _passed(bucket, [(0, 21), (0, 20), (0, 1), (6400, 1), (8399, 6), (8400, 6)]) == [
        False,  # more than the whole burst
        True,  # 5 were there, 15 are owed
        False,
        True,  # 16 came in 6.4 s
        False,  # it was not quite full
        True,
    ]


@pytest.mark.parametrize("state", [None, [], {"level": 5}, {"second": 1}, "x"])
def test_a_state_of_something_else_is_as_none(state: object) -> None:
    bucket = TokenBucket(1, 5)
    bucket.load(state)
    assert bucket.state() == TokenBucket(1, 5).state()


def test_a_smaller_bucket_goes_on_with_what_it_holds() -> None:
    large, small = TokenBucket(10, 100), TokenBucket(10, 20)
    assert large.take(10, 0)
    small.load(large.state())
    assert _passed(small, [(0, 21), (0, 20), (0, 1)]) == [False, True, False]


def test_no_tokens_come_with_a_larger_part_and_a_smaller_one_loses_some() -> None:
    bucket = TokenBucket(10, 20)
    bucket.allot(1, 2, 0)
    assert _passed(bucket, [(0, 8)]) == [True]
    bucket.allot(1, 1, 0)
    assert _passed(bucket, [(0, 3), (0, 2)]) == [False, True]
    bucket.allot(1, 4, 9000)
    bucket.allot(1, 1, 9000)
    assert _passed(bucket, [(9000, 6), (9000, 5), (9000, 1)]) == [False, True, False]


def test_without_a_part_nothing_passes() -> None:
    bucket = TokenBucket(10, 20)
    bucket.allot(0, 4, 0)
    assert _passed(bucket, [(0, 1), (9000, 1)]) == [False, False]
