"""Sliding windows against a list of everything that was ever added."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tailrace.tables.windows import SlidingWindow, Windows, resolution_ms

SECOND, MINUTE, HOUR, DAY = 1000, 60_000, 3_600_000, 86_400_000
LENGTHS = [SECOND, 1500, 10 * SECOND, 5 * MINUTE, HOUR, 6 * HOUR, 30 * DAY]
BEGIN_S = 1_700_000_000

Event = tuple[int, int, int]
"""Second, all, matched."""


def sums(length_ms: int, events: list[Event], now_ms: int) -> tuple[int, int]:
    """What the law says, event by event."""
    size = resolution_ms(length_ms)
    inside = []
    for second, count, matched in events:
        begin = second * 1000 // size * size
        if begin <= now_ms and begin + size > now_ms - length_ms:
            inside.append((count, matched))
    return sum(each[0] for each in inside), sum(each[1] for each in inside)


def told(window: SlidingWindow) -> tuple[int, int]:
    return window.all, window.matched


_LENGTHS = st.sampled_from(LENGTHS)


@st.composite
def _stories(draw: st.DrawFn) -> tuple[int, list[Event | int]]:
    """A length, and events and times (ms) that are of interest to a window of it."""
    length_ms = draw(_LENGTHS)
    size = resolution_ms(length_ms)
    begin = BEGIN_S * 1000 // size * size
    near = st.integers(-2, 2)
    offsets = st.builds(
        lambda buckets, ms: buckets * size + ms, st.integers(0, 130) | st.integers(50, 75), near
    )
    events = st.builds(
        lambda offset, all, matched: ((begin + offset) // 1000, all, matched),
        offsets, st.integers(0, 9), st.integers(0, 9),
    )  # fmt: skip
    times = st.builds(
        lambda offset, edge: begin + offset + edge * length_ms, offsets, st.integers(0, 1)
    )
    return length_ms, draw(st.lists(events | times, max_size=40))


@settings(max_examples=400, deadline=None)
@given(_stories())
def test_the_sums_are_of_all_events_whose_bucket_has_begun_and_not_left(
    story: tuple[int, list[Event | int]],
) -> None:
    length_ms, steps = story
    window, events, now = SlidingWindow(length_ms), list[Event](), 0
    size = window.resolution_ms
    for step in steps:
        if isinstance(step, int):
            before = told(window)
            has_changed = window.advance(step)
            now = max(now, step)
            assert has_changed or told(window) == before
        else:
            is_in = (step[0] * 1000 // size + 1) * size > now - length_ms
            assert window.add(*step) == is_in
            if is_in:
                events.append(step)
        assert told(window) == sums(length_ms, events, now)
    assert len(window) <= 62 + sum(1 for second, _, _ in events if second * 1000 > now)


@settings(max_examples=300, deadline=None)
@given(_stories(), st.randoms(use_true_random=False))
def test_neither_the_order_of_events_nor_the_times_between_them_matter(
    story: tuple[int, list[Event | int]], random: object
) -> None:
    length_ms, steps = story
    events = [step for step in steps if not isinstance(step, int)]
    now = max((step for step in steps if isinstance(step, int)), default=BEGIN_S * 1000)
    one, other = SlidingWindow(length_ms), SlidingWindow(length_ms)
    for event in events:
        one.add(*event)
    one.advance(now)
    random.shuffle(events)  # type: ignore[attr-defined]  # Hypothesis types it as Any
    for number, event in enumerate(events):
        other.advance(now - length_ms * (len(events) - number) // 10)
        other.add(*event)
    other.advance(now)
    assert told(one) == told(other) == sums(length_ms, events, now)
    assert (one.oldest, one.newest, len(one)) == (other.oldest, other.newest, len(other))


@settings(max_examples=300, deadline=None)
@given(_stories())
def test_the_next_change_is_the_first_millisecond_with_other_buckets(
    story: tuple[int, list[Event | int]],
) -> None:
    length_ms, steps = story
    window, events = SlidingWindow(length_ms), list[Event]()
    for step in steps:
        if isinstance(step, int):
            window.advance(step)
        elif window.add(*step):
            events.append(step)
    changes = 0
    while (due := window.next_change_ms) is not None:
        assert due > window.now_ms
        assert not window.advance(due - 1)
        assert window.next_change_ms == due
        assert window.advance(due)
        assert told(window) == sums(length_ms, events, due)
        changes += 1
        assert changes <= 2 * len(events)
    assert (told(window), len(window)) == ((0, 0), 0)


@settings(max_examples=300, deadline=None)
@given(_stories(), st.integers(0, 40), st.integers(0, 40))
def test_a_window_survives_as_a_whole_and_what_changed_since(
    story: tuple[int, list[Event | int]], kept_at: int, restart_at: int
) -> None:
    length_ms, steps = story
    window, restarted = SlidingWindow(length_ms), SlidingWindow(length_ms)
    whole: bytes | None = None
    for number, step in enumerate(steps):
        for each in (window, restarted):
            each.advance(step) if isinstance(step, int) else each.add(*step)
        if number == kept_at:
            whole = restarted.encode()
            restarted.keep()
            assert restarted.changed == 0
        if number >= restart_at:
            value = restarted.encode(only_changed=True)
            restarted = SlidingWindow.decode(value, whole)
            assert restarted.encode(only_changed=True) == value
        assert restarted.encode() == window.encode()
        assert told(restarted) == told(window)
        assert restarted.next_change_ms == window.next_change_ms
    assert SlidingWindow.decode(window.encode()).encode() == window.encode()


def test_only_buckets_from_the_oldest_that_changed_on_are_written_again() -> None:
    window = SlidingWindow(HOUR)
    for minute in range(60):
        window.add(BEGIN_S + 60 * minute, 1, 0)
    assert window.changed == 60
    window.keep()
    assert window.changed == 0
    window.add(BEGIN_S + 60 * 59, 1, 0)
    window.add(BEGIN_S + 60 * 60, 1, 0)
    assert window.changed == 2
    assert len(window.encode(only_changed=True)) < 40


@pytest.mark.parametrize(
    ("length_ms", "expected"),
    [
        pytest.param(SECOND, SECOND, id="a second is the least"),
        pytest.param(59 * SECOND, SECOND, id="of less than a minute too"),
        pytest.param(119 * SECOND, SECOND, id="a sixtieth is rounded down to seconds"),
        pytest.param(5 * MINUTE, 5 * SECOND, id="five minutes in 60 buckets"),
        pytest.param(30 * DAY, 12 * HOUR, id="thirty days in half days"),
    ],
)
def test_a_bucket_is(length_ms: int, expected: int) -> None:
    assert resolution_ms(length_ms) == expected


@pytest.mark.parametrize(
    ("second", "now_ms", "expected"),
    [
        pytest.param(100, 100_000, 1, id="from the first millisecond of its bucket"),
        pytest.param(104, 100_000, 1, id="ahead of now, but in a bucket that has begun"),
        pytest.param(105, 100_000, 0, id="not ahead of now in a bucket that has not"),
        pytest.param(100, 400_000, 1, id="when it is as old as the window"),
        pytest.param(100, 404_999, 1, id="until the last second of its bucket is that old"),
        pytest.param(104, 405_000, 0, id="not once its whole bucket is that old"),
    ],
)
def test_an_event_is_in_a_window_of_five_minutes(second: int, now_ms: int, expected: int) -> None:
    for is_added_first in (True, False):
        window = SlidingWindow(5 * MINUTE)
        if is_added_first:
            assert window.add(second, 1, 1)
        window.advance(now_ms)
        if not is_added_first:
            window.add(second, 1, 1)
        assert told(window) == (expected, expected)


def test_an_event_that_is_too_late_is_told_and_changes_nothing() -> None:
    window = SlidingWindow(5 * MINUTE)
    window.add(BEGIN_S, 3, 1)
    window.advance(BEGIN_S * 1000)
    assert not window.add(BEGIN_S - 305, 1, 1)
    assert window.add(BEGIN_S - 300, 1, 1)
    assert (window.oldest, window.newest) == (BEGIN_S - 300, BEGIN_S)
    assert told(window) == (4, 2)


@pytest.mark.parametrize("buckets", [1, 5, 61])
def test_memory_is_what_the_first_lines_say(buckets: int) -> None:
    now = BEGIN_S * 1000
    window = SlidingWindow(5 * MINUTE)
    window.advance(now)
    for bucket in range(buckets):
        window.add(BEGIN_S - 5 * bucket, 1 << 40, 1 << 40)
    assert len(window) == buckets
    size = sys.getsizeof(window) + sys.getsizeof(window._rows)
    size += sum(map(sys.getsizeof, (window.all, window.matched, window._begun)))
    assert size <= 24 * buckets * 17 / 16 + 64 + 260


def test_counts_of_any_size_survive() -> None:
    for top in (255, 256, 65_535, 65_536, (1 << 32) - 1, 1 << 32, 1 << 62):
        window = SlidingWindow(HOUR)
        window.add(BEGIN_S, top, top)
        window.advance(BEGIN_S * 1000)
        assert told(SlidingWindow.decode(window.encode())) == (top, top)


def test_a_window_of_another_version_is_refused_with_what_to_do() -> None:
    value = b"\x09" + SlidingWindow(HOUR).encode()[1:]
    with pytest.raises(ValueError, match="version 9; this tailrace reads version 1"):
        SlidingWindow.decode(value)


def test_windows_of_several_lengths_see_the_same_events() -> None:
    windows = Windows.of([5 * MINUTE, HOUR])
    now = BEGIN_S * 1000
    assert windows.next_change_ms is None
    windows.advance(now)
    assert windows.add(BEGIN_S, 2, 1)
    assert windows.add(BEGIN_S - 1800, 4, 3)
    assert not windows.add(BEGIN_S - 7200, 1, 1)
    assert [told(window) for window in windows] == [(2, 1), (6, 4)]
    due = windows.next_change_ms
    assert due == min(window.next_change_ms or 0 for window in windows)
    assert windows.advance(due)
    assert not windows.advance(due)
