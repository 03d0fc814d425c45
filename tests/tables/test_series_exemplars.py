"""Exemplars of series: which of those that came are shown at the next flush."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tailrace.schemas.exemplars import Exemplar, ExemplarBatch
from tailrace.tables.series_exemplars import SeriesExemplars
from tailrace.tables.store import MemoryDisk, PartitionStore

MS = 1_000_000
BOUNDS = (10 * MS, 100 * MS)


def exemplar(value_ms: int, time: int, name: str = "a") -> Exemplar:
    return Exemplar(value_ms * MS, time, name.encode() * 16, name.encode() * 8)


def batch(*exemplars: Exemplar, key: bytes = b"k") -> ExemplarBatch:
    return ExemplarBatch("red", {key: list(exemplars)})


def table() -> SeriesExemplars:
    return SeriesExemplars(PartitionStore(MemoryDisk()), b"x", 1000)


def test_the_newest_of_each_bucket_is_shown_by_how_long_it_took() -> None:
    waiting = table()
    old, new = exemplar(12, 5), exemplar(90, 6)
    waiting.add(batch(exemplar(500, 1), old, new), 1000)
    waiting.add(batch(exemplar(2, 4)), 1000)
    assert waiting.flush(1000, BOUNDS, 5) == {b"k": [exemplar(2, 4), new, exemplar(500, 1)]}


def test_of_several_buckets_the_newest_are_shown() -> None:
    waiting = table()
    waiting.add(batch(exemplar(500, 1), exemplar(2, 4), exemplar(50, 3)), 1000)
    assert waiting.flush(1000, BOUNDS, 2) == {b"k": [exemplar(2, 4), exemplar(50, 3)]}
    waiting.add(batch(exemplar(500, 1)), 1000)
    assert waiting.flush(1000, BOUNDS, 0) == {b"k": []}


def test_each_is_shown_once() -> None:
    waiting = table()
    waiting.add(batch(exemplar(5, 1)), 1000)
    waiting.seal()
    assert waiting.flush(1000, BOUNDS, 5)
    assert waiting.flush(1000, BOUNDS, 5) == {}


def test_of_the_same_time_the_last_that_came_is_shown() -> None:
    waiting = table()
    waiting.add(batch(exemplar(5, 1, "a")), 1000)
    waiting.add(batch(exemplar(5, 1, "b")), 1000)
    assert waiting.flush(1000, (), 5) == {b"k": [exemplar(5, 1, "b")]}


def test_what_came_early_waits_for_the_flush_of_its_time() -> None:
    waiting = table()
    waiting.add(batch(exemplar(5, 1)), 2000)
    waiting.add(batch(exemplar(50, 2)), 1000)
    assert waiting.flush(1000, BOUNDS, 5) == {b"k": [exemplar(50, 2)]}
    assert waiting.flush(2000, BOUNDS, 5) == {b"k": [exemplar(5, 1)]}


EVENTS = st.lists(
    st.one_of(
        st.tuples(
            st.sampled_from([b"k", b"l"]),
            st.sampled_from([0, 400, 1000, 1700]),
            st.lists(
                st.builds(exemplar, st.sampled_from([1, 2, 9, 50, 400]), st.integers(0, 9)),
                max_size=3,
            ),
        ),
        st.sampled_from(["seal", "flush"]),
    ),
    max_size=12,
)


@given(EVENTS)
def test_restarts_change_nothing(events: list[object]) -> None:
    store = PartitionStore(MemoryDisk())
    one, other = table(), SeriesExemplars(store, b"x", 1000)
    now = 0
    for event in [*events, "flush"]:
        if isinstance(event, tuple):
            key, later, exemplars = event
            one.add(batch(*exemplars, key=key), now + later)
            other.add(batch(*exemplars, key=key), now + later)
        elif event == "flush":
            now += 1000
            assert one.flush(now, BOUNDS, 3) == other.flush(now, BOUNDS, 3)
        else:
            other.seal()
            other = SeriesExemplars(store, b"x", 1000)
            other.restore()
