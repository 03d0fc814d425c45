"""The division of a goal among keys, as numbers."""

import math

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tailrace.agents.sampling.rules.samplers.shares import log10, rates, total

AVERAGES = st.dictionaries(st.text(max_size=2), st.floats(0.01, 1e9), min_size=1, max_size=30)


@pytest.mark.parametrize("goal", [3, 7, 10, 100])
def test_one_key_has_the_goal_as_its_rate_and_noise_makes_it_no_more(goal: int) -> None:
    assert {rates({"a": float(size)}, size / goal)["a"] for size in range(goal, 3000)} == {goal}


def test_keys_of_one_size_have_one_rate() -> None:
    assert set(rates({f"{n}": 1000.0 for n in range(30)}, 3000).values()) == {10}


def test_keys_that_bring_one_or_less_are_all_kept() -> None:
    assert rates({"a": 1.0, "b": 0.5}, 0.1) == {"a": 1, "b": 1}


def test_a_goal_of_nothing_still_keeps_one_of_each_key() -> None:
    assert rates({"a": 100.0, "b": 7.0}, 0.0) == {"a": 100, "b": 7}


def test_what_a_key_does_not_use_goes_to_the_keys_after_it() -> None:
    # Shares of 52 by logarithms 1 and 2 are 17.3 and 34.7; the first brings 10, so 42 are left.
    assert rates({"a": 10.0, "b": 100.0}, 52)["b"] == math.ceil(100 / 42)


@settings(deadline=None)
@example(averages={"": 527115521.5, "0": 475537641.25, "1": 1.0}, goal=0.0)
@given(averages=AVERAGES, goal=st.floats(0, 1e9))
def test_no_key_is_kept_less_than_once(averages: dict[str, float], goal: float) -> None:
    found = rates(averages, goal)

    assert found.keys() == averages.keys()
    assert all(1 <= rate <= math.ceil(max(1.0, averages[key])) for key, rate in found.items())


@settings(deadline=None)
@given(averages=AVERAGES, goal=st.floats(1, 1e9), data=st.data())
def test_the_order_in_which_keys_became_known_changes_nothing(
    averages: dict[str, float], goal: float, data: st.DataObject
) -> None:
    shuffled = dict(data.draw(st.permutations(list(averages.items()))))

    assert rates(shuffled, goal) == rates(averages, goal)
    assert total(shuffled) == total(averages)


def test_a_logarithm_is_rounded_correctly() -> None:
    # Correctly rounded values, from the digits of the logarithms.
    assert log10(1000.0) == 3.0
    assert log10(2.0) == 0.30102999566398119521
    assert log10(1.5) == 0.17609125905568124208


@settings(deadline=None)
@given(st.floats(1e-3, 1e12))
def test_a_logarithm_is_that_of_the_c_library_but_for_its_error(value: float) -> None:
    assert log10(value) == pytest.approx(math.log10(value), rel=1e-14, abs=1e-15)
