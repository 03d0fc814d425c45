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
    return SeriesExemplars(PartitionStore(MemoryDisk()), b"x")


def test_the_newest_of_each_bucket_is_shown_by_how_long_it_took() -> None:
    waiting = table()
    old, new = exemplar(12, 5), exemplar(90, 6)
    waiting.add(batch(exemplar(500, 1), old, new))
    waiting.add(batch(exemplar(2, 4)))
    assert waiting.flush(BOUNDS, 5) == {b"k": [exemplar(2, 4), new, exemplar(500, 1)]}


def test_of_several_buckets_the_newest_are_shown() -> None:
    waiting = table()
    waiting.add(batch(exemplar(500, 1), exemplar(2, 4), exemplar(50, 3)))
    assert waiting.flush(BOUNDS, 2) == {b"k": [exemplar(2, 4), exemplar(50, 3)]}
    waiting.add(batch(exemplar(500, 1)))
    assert waiting.flush(BOUNDS, 0) == {b"k": []}


def test_each_is_shown_once() -> None:
    waiting = table()
    waiting.add(batch(exemplar(5, 1)))
    waiting.seal()
    assert waiting.flush(BOUNDS, 5)
    assert waiting.flush(BOUNDS, 5) == {}


def test_of_the_same_time_the_last_that_came_is_shown() -> None:
    waiting = table()
    waiting.add(batch(exemplar(5, 1, "a")))
    waiting.add(batch(exemplar(5, 1, "b")))
    assert waiting.flush((), 5) == {b"k": [exemplar(5, 1, "b")]}


EVENTS = st.lists(
    st.one_of(
        st.tuples(
            st.sampled_from([b"k", b"l"]),
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
    one, other = table(), SeriesExemplars(store, b"x")
    for event in [*events, "flush"]:
        if isinstance(event, tuple):
            key, exemplars = event
            one.add(batch(*exemplars, key=key))
            other.add(batch(*exemplars, key=key))
        elif event == "flush":
            assert one.flush(BOUNDS, 3) == other.flush(BOUNDS, 3)
        else:
            other.seal()
            other = SeriesExemplars(store, b"x")
            other.restore()
