"""Laws of the samplers: goals are met, rare keys are kept more, nothing but the traces counts."""

import json
from collections import Counter
from collections.abc import Callable, Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tailrace.agents.sampling.rules.samplers import Sampler
from tailrace.schemas.durations import SECOND
from tests.agents.sampling.rules.samplers.traffic import (
    KINDS,
    Seen,
    ema_dynamic,
    ema_throughput,
    windowed_throughput,
    zipf,
)

SMALL: dict[str, Callable[[], Sampler]] = {
    "deterministic": lambda: KINDS["deterministic"](7),
    "ema_dynamic": lambda: ema_dynamic(
        3, adjustment_interval=2 * SECOND, burst_detection_delay=1, max_keys=3
    ),
    "ema_throughput": lambda: ema_throughput(
        2, adjustment_interval=3 * SECOND // 2, burst_detection_delay=0, max_keys=3
    ),
    "windowed_throughput": lambda: windowed_throughput(
        1, lookback_frequency=3 * SECOND, max_keys=3
    ),
}
adaptive = pytest.mark.parametrize("kind", [kind for kind in SMALL if kind != "deterministic"])
every_kind = pytest.mark.parametrize("kind", SMALL)

steps = st.tuples(st.integers(0, 1500), st.sampled_from("abcdef"), st.integers(1, 40))


@st.composite
def traces(draw: st.DrawFn) -> list[Seen]:
    at, found = draw(st.integers(0, 10**13)), []
    for step, key, spans in draw(st.lists(steps, max_size=60)):
        at += step
        found.append(Seen(at, key, spans))
    return found


def _rates(sampler: Sampler, seen: Iterable[Seen]) -> list[int]:
    return [sampler.rate(trace.key, trace.spans, trace.at) for trace in seen]


def _stored(sampler: Sampler, make: Callable[[], Sampler]) -> Sampler:
    other = make()
    other.load(json.loads(json.dumps(sampler.state())))
    return other


@every_kind
@settings(deadline=None)
@given(seen=traces(), cut=st.integers(0, 60))
def test_a_sampler_that_is_stored_and_loaded_goes_on_as_if_nothing_had_been(
    kind: str, seen: list[Seen], cut: int
) -> None:
    make = SMALL[kind]
    whole = _rates(make(), seen)
    first = make()

    assert _rates(first, seen[:cut]) + _rates(_stored(first, make), seen[cut:]) == whole


@every_kind
@settings(deadline=None, max_examples=30)
@given(seen=traces())
def test_what_is_stored_is_the_same_however_often_it_was_stored(
    kind: str, seen: list[Seen]
) -> None:
    make = SMALL[kind]
    once, often = make(), make()
    _rates(once, seen)
    for trace in seen:
        _rates(often, [trace])
        often = _stored(often, make)

    assert often.state() == once.state()


@every_kind
@settings(deadline=None)
@given(seen=traces())
def test_a_rate_is_a_whole_number_of_1_or_more(kind: str, seen: list[Seen]) -> None:
    assert all(type(rate) is int and rate >= 1 for rate in _rates(SMALL[kind](), seen))


@adaptive
@settings(deadline=None)
@given(seen=traces())
def test_no_more_keys_are_remembered_than_may_be_and_one_for_the_rest(
    kind: str, seen: list[Seen]
) -> None:
    sampler = SMALL[kind]()
    for trace in seen:
        sampler.rate(trace.key, trace.spans, trace.at)
        assert len(sampler.state()["keys"]) <= 3 + 1


@adaptive
def test_traces_of_keys_that_are_too_many_are_counted(kind: str) -> None:
    sampler = SMALL[kind]()
    _rates(sampler, [Seen(0, key, 1) for key in "abcdeea"])

    assert sampler.overflowed == 3


@adaptive
def test_keys_that_are_too_many_share_a_rate_as_if_they_were_one(kind: str) -> None:
    sampler = SMALL[kind]()
    fill = [Seen(at, key, 10) for at in range(0, 20_000, 100) for key in "abcdefghij"]
    _rates(sampler, fill)
    one, shared = (_rates(sampler, [Seen(20_000, key, 10)])[0] for key in "az")

    assert shared > one, "seven keys in one bring more than one of three"


@adaptive
def test_a_place_is_free_again_when_a_key_has_not_come_for_long(kind: str) -> None:
    sampler = SMALL[kind]()
    _rates(sampler, [Seen(0, key, 1) for key in "abc"])
    _rates(sampler, [Seen(second * 1000, "a", 1) for second in range(1, 40)])

    _rates(sampler, [Seen(40_000, "d", 1)])

    assert sampler.overflowed == 0


def test_the_key_of_those_that_are_too_many_takes_no_place() -> None:
    sampler = windowed_throughput(1, lookback_frequency=3 * SECOND, max_keys=3)
    _rates(sampler, [Seen(0, key, 1) for key in "abc"])
    _rates(sampler, [Seen(1000, key, 1) for key in "abx"])

    _rates(sampler, [Seen(4000, "d", 1)])

    assert sampler.state()["keys"] == ["", "a", "b", "d"]


@adaptive
def test_a_silence_ends_one_interval_and_no_window_reaches_over_it(kind: str) -> None:
    seen = [Seen(at, "a", 10) for at in range(0, 6000, 100)]
    soon, late = SMALL[kind](), SMALL[kind]()
    _rates(soon, seen)
    _rates(late, seen)

    after = late.rate("a", 10, 10**9)

    assert after == (1 if kind == "windowed_throughput" else soon.rate("a", 10, 7999))


class Kept:
    """The spans that come and, by their rates, the spans that are expected to be kept."""

    def __init__(self, sampler: Sampler, seen: Iterable[Seen], after: int) -> None:
        self.come: Counter[str] = Counter()
        self.kept: Counter[str] = Counter()
        for trace in seen:
            rate = sampler.rate(trace.key, trace.spans, trace.at)
            if trace.at >= after:
                self.come[trace.key] += trace.spans
                self.kept[trace.key] += trace.spans / rate  # type: ignore[assignment]

    def share(self, key: str) -> float:
        return self.kept[key] / self.come[key]


@pytest.mark.parametrize("goal", [5, 10, 50])
def test_ema_dynamic_keeps_one_in_its_goal_within_a_tenth(goal: int) -> None:
    kept = Kept(ema_dynamic(goal), zipf(150, 1000), after=75_000)

    assert kept.come.total() / kept.kept.total() == pytest.approx(goal, rel=0.1)


def test_ema_dynamic_with_a_goal_of_2_keeps_a_quarter_less_for_rates_are_rounded_up() -> None:
    kept = Kept(ema_dynamic(2), zipf(150, 1000), after=75_000)

    assert 2.5 < kept.come.total() / kept.kept.total() < 2.8


@pytest.mark.parametrize("goal", [20, 100, 200])
def test_ema_throughput_keeps_its_goal_within_a_tenth(goal: int) -> None:
    kept = Kept(ema_throughput(goal), zipf(150, 1000), after=75_000)

    assert kept.kept.total() / 75 == pytest.approx(goal, rel=0.1)


@pytest.mark.parametrize("goal", [50, 100, 400])
def test_windowed_throughput_keeps_its_goal_within_three_tenths(goal: int) -> None:
    kept = Kept(windowed_throughput(goal), zipf(150, 1000), after=75_000)

    assert kept.kept.total() / 75 == pytest.approx(goal, rel=0.3)


@adaptive
def test_rare_keys_are_kept_more_than_frequent_ones(kind: str) -> None:
    kept = Kept(KINDS[kind](), zipf(150, 1000), after=75_000)

    assert kept.share("key 100") > 3 * kept.share("key 010") > 9 * kept.share("key 001")


@pytest.mark.parametrize("make", [ema_throughput, windowed_throughput])
def test_the_parts_of_all_partitions_make_the_goal_of_the_cluster(
    make: Callable[[int], Sampler],
) -> None:
    whole = Kept(make(100), zipf(150, 1000), after=75_000).kept.total()
    quarter = make(100)
    quarter.budgets()[""].allot(1, 4, 0)

    part = Kept(quarter, zipf(150, 250), after=75_000).kept.total()

    assert 4 * part == pytest.approx(whole, rel=0.1)


@pytest.mark.parametrize("make", [ema_throughput, windowed_throughput])
def test_a_part_and_what_was_asked_for_are_stored(make: Callable[[int], Sampler]) -> None:
    sampler = make(100)
    _rates(sampler, [Seen(0, "a", 3), Seen(1, "b", 4)])
    sampler.budgets()[""].allot(1, 4, 2)
    other = make(100)

    other.load(sampler.state())

    assert other.budgets()[""].asked == 7
    assert other.state()["part"] == [1, 4]


def test_only_goals_of_the_cluster_are_budgets() -> None:
    assert {kind: [*make().budgets()] for kind, make in SMALL.items()} == {
        "deterministic": [],
        "ema_dynamic": [],
        "ema_throughput": [""],
        "windowed_throughput": [""],
    }


@pytest.mark.parametrize("make", [ema_throughput, windowed_throughput])
def test_a_part_of_nothing_keeps_one_span_of_what_comes(make: Callable[[int], Sampler]) -> None:
    sampler = make(100)
    sampler.budgets()[""].allot(0, 1, 0)

    kept = Kept(sampler, [Seen(at, "a", 1) for at in range(0, 100_000, 20)], after=60_000)

    assert kept.kept.total() < 3


@adaptive
def test_a_trace_that_is_told_of_late_counts_for_now(kind: str) -> None:
    seen = [Seen(at, "a", 5) for at in range(0, 20_000, 100)]
    early, now = SMALL[kind](), SMALL[kind]()
    _rates(early, [*seen, Seen(3, "a", 5)])
    _rates(now, [*seen, Seen(19_900, "a", 5)])

    assert early.state() == now.state()


def test_a_burst_is_answered_before_its_interval_ends() -> None:
    sampler = ema_throughput(10, adjustment_interval=10 * SECOND)
    _rates(sampler, [Seen(at, "a", 1) for at in range(0, 60_000, 100)])
    calm = sampler.rate("a", 1, 60_000)

    rates = _rates(sampler, [Seen(60_000 + at // 10, "a", 1) for at in range(10_000)])

    assert rates[0] == calm
    assert rates[-1] > 4 * calm, "a second of a hundredfold"


def test_the_trace_that_makes_a_burst_has_the_rate_from_before() -> None:
    def made() -> Sampler:
        sampler = ema_throughput(1, adjustment_interval=SECOND, burst_detection_delay=0)
        _rates(sampler, [Seen(at, "a", 1) for at in range(0, 5000, 100)])
        return sampler

    sampler = made()
    calm = sampler.rate("a", 1, 5000)
    assert made().rate("a", 1000, 5000) == calm
    sampler.rate("a", 1000, 5001)
    assert sampler.rate("a", 1, 5002) > calm


def test_intervals_without_traces_count_for_the_delay_of_bursts() -> None:
    sampler = ema_throughput(1, adjustment_interval=SECOND, burst_detection_delay=50)
    _rates(sampler, [Seen(at, "a", 1) for at in range(0, 2000, 100)])
    calm = sampler.rate("a", 1, 49_900)

    sampler.rate("a", 1000, 49_901)
    assert sampler.rate("a", 1, 49_902) == calm, "49 intervals have passed"
    sampler.rate("a", 2000, 50_000)
    assert sampler.rate("a", 1, 50_001) > calm


@pytest.mark.parametrize("make", [ema_dynamic, ema_throughput])
def test_a_key_that_is_one_too_many_has_the_initial_rate_at_first_and_a_new_one_rate_1(
    make: Callable[..., Sampler],
) -> None:
    sampler = make(10, adjustment_interval=SECOND, max_keys=2)
    _rates(sampler, [Seen(at, "a", 1) for at in range(0, 3000, 100)])

    assert _rates(sampler, [Seen(3000, key, 1) for key in "bcd"]) == [1, 10, 10]


def test_a_negative_multiple_sees_no_burst() -> None:
    sampler = ema_throughput(10, adjustment_interval=10 * SECOND, burst_multiple=-1.0)
    _rates(sampler, [Seen(at, "a", 1) for at in range(0, 60_000, 100)])

    assert len(set(_rates(sampler, [Seen(60_000, "a", 1)] * 10_000))) == 1


def test_a_state_of_other_intervals_keeps_its_averages_and_ends_its_interval_as_now() -> None:
    old = ema_dynamic(10, adjustment_interval=3600 * SECOND)
    _rates(old, [Seen(at, "a", 1) for at in range(0, 3_700_000, 1000)])
    new = ema_dynamic(10, adjustment_interval=SECOND)

    new.load(old.state())
    new.rate("a", 1, 3_700_000)

    assert new.state()["ends"] == 3701 * SECOND
    assert new.state()["averages"] == old.state()["averages"] != [None]


def test_a_window_of_other_stretches_begins_anew() -> None:
    old = windowed_throughput(1, update_frequency=2 * SECOND)
    _rates(old, [Seen(at, "a", 100) for at in range(0, 10_000, 100)])
    new = windowed_throughput(1)

    new.load(old.state())

    assert new.state() == {**windowed_throughput(1).state(), "asked": 10_000}
