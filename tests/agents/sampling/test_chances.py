"""The chance to be kept, against counting every draw."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.agents.sampling.chances import (
    EVERYWHERE,
    MAX_DRAW,
    NOWHERE,
    Box,
    box,
    chance,
    complement,
    volume,
)

PIECE = (MAX_DRAW + 1) // 4
SALTS = range(3)


def _interval(salt: int, first: int, last: int) -> tuple[int, int, int]:
    return salt, first * PIECE, (last + 1) * PIECE - 1


INTERVALS = st.builds(_interval, st.sampled_from(SALTS), st.integers(0, 3), st.integers(0, 3))
BOXES = st.lists(st.lists(INTERVALS, max_size=4).map(box), max_size=6)


def _is_in(draws: tuple[int, ...], each: Box) -> bool:
    if each == NOWHERE:
        return False
    return all(low <= draws[salt] * PIECE <= high for salt, low, high in each)


@given(BOXES, BOXES)
def test_it_is_the_share_of_draws_in_a_box_that_keeps_and_none_that_drops(
    kept: list[Box], dropped: list[Box]
) -> None:
    draws = list(product(range(4), repeat=len(SALTS)))
    hits = sum(
        any(_is_in(draw, each) for each in kept) and not any(_is_in(draw, each) for each in dropped)
        for draw in draws
    )
    assert chance(kept, dropped) == hits / len(draws)


@given(st.lists(INTERVALS, max_size=5))
def test_a_box_is_what_all_its_intervals_have_in_common(
    intervals: list[tuple[int, int, int]],
) -> None:
    each = box(intervals)
    draws = list(product(range(4), repeat=len(SALTS)))
    inside = [
        draw
        for draw in draws
        if all(low <= draw[salt] * PIECE <= high for salt, low, high in intervals)
    ]
    assert [draw for draw in draws if _is_in(draw, each)] == inside
    assert volume(each) == len(inside) / len(draws)


@pytest.mark.parametrize("last", range(-1, 4))
def test_a_complement_is_all_the_rest(last: int) -> None:
    each = box([_interval(0, 0, last)])
    assert volume(each) + volume(complement(each)) == 1
    assert chance([each, complement(each)]) == 1


def test_independent_salts_are_multiplied() -> None:
    tenth, fifth = box([(1, 0, MAX_DRAW // 10)]), box([(2, 0, MAX_DRAW // 5)])
    assert chance([tenth, fifth]) == pytest.approx(1 - 0.9 * 0.8, abs=1e-15)


def test_salts_that_have_nothing_in_common_may_be_many() -> None:
    halves = [box([(salt, 0, MAX_DRAW // 2)]) for salt in range(60)]
    assert chance(halves) == 1 - 2.0**-60 == chance([*halves, NOWHERE])


def test_what_cannot_be_counted_out_is_not_known() -> None:
    halves = [box([(salt, 0, MAX_DRAW // 2)]) for salt in range(60)]
    assert chance([EVERYWHERE], halves) is None
