"""What streams of a metric come to in a window: case by case, and against a list of all."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tailrace.schemas.metric_samples import Meaning, Sample
from tailrace.tables.metric_rows import MetricPlace, MetricRows
from tailrace.tables.metric_windows import MAX_STREAMS, Added, MetricWindow
from tailrace.tables.store import MemoryDisk, PartitionStore
from tailrace.tables.windows import resolution_ms

MINUTE = 60_000
BEGIN = 1_700_000_000_000
ALL = ("count", "rate", "last", "avg", "min", "max")
TOTAL, BALANCE, CHANGE, NOTHING = Meaning


def sample(
    at: int, value: float, meaning: Meaning = TOTAL, start: int | None = None, stream: bytes = b"a"
) -> Sample:
    """A sample at *at* ms after BEGIN; its stream began at *start*, if that is known."""
    start_ns = 0 if start is None else (BEGIN + start) * 1_000_000
    time_ns = (BEGIN + at) * 1_000_000
    return Sample(b"", b"", b"", stream * 8, time_ns, meaning, start_ns, value)


def put(
    window: MetricWindow,
    *samples: Sample,
    wanted: tuple[str, ...] = ALL,
    most_streams: int = MAX_STREAMS,
) -> list[Added]:
    """Add each when its own time has come; return what became of them."""
    fates = []
    for each in samples:
        came = max(each.time_ns // 1_000_000, window.now_ms)
        window.advance(came)
        fates.append(window.add(each, came, wanted, most_streams))
    return fates


INCREASES: dict[str, tuple[list[Sample], float | None]] = {
    "nothing yet": ([], None),
    "a first sample of which nobody knows the start": ([sample(0, 100)], None),
    "a first sample that began in the window": ([sample(0, 5, start=-1000)], 5.0),
    "a first sample that began before what is looked back to": (
        [sample(0, 5, start=-300_001)],
        None,
    ),
    "two samples": ([sample(0, 100), sample(10_000, 103.5)], 3.5),
    "no increase": ([sample(0, 100), sample(10_000, 100)], 0.0),
    "a counter that falls began anew": ([sample(0, 100), sample(10_000, 4)], 4.0),
    "a counter that began anew and is higher already": (
        [sample(0, 3, start=-90), sample(10_000, 9, start=5000)],
        9.0 + 3.0,
    ),
    "another start that is not after the sample before is none": (
        [sample(0, 3), sample(10_000, 9, start=-10)],
        6.0,
    ),
    "a balance that falls": ([sample(0, 100, BALANCE), sample(10_000, 96, BALANCE)], -4.0),
    "a balance that began anew": (
        [sample(0, 100, BALANCE), sample(10_000, 2, BALANCE, start=5000)],
        2.0,
    ),
    "changes": ([sample(0, 3, CHANGE), sample(10_000, -1, CHANGE)], 2.0),
    "several streams": (
        [
            sample(0, 100), sample(0, 7, stream=b"b"),
            sample(10_000, 101), sample(10_000, 9, stream=b"b"),
        ],
        3.0,
    ),
    "a sample that says nothing is no reset": (
        [sample(0, 100), sample(5000, 0, NOTHING), sample(10_000, 102)],
        2.0,
    ),
    "an older sample tells nothing": ([sample(0, 100), sample(-5000, 90), sample(9, 101)], 1.0),
}  # fmt: skip


@pytest.mark.parametrize(("samples", "count"), INCREASES.values(), ids=INCREASES)
def test_increase(samples: list[Sample], count: float | None) -> None:
    window = MetricWindow(MINUTE)
    put(window, *samples)
    assert window.value("count") == count
    assert window.value("rate") == (None if count is None else count / 60)


def test_of_changes_an_older_one_counts_and_one_at_the_same_time_does_not() -> None:
    window = MetricWindow(MINUTE)
    older, twice = sample(-5000, 2, CHANGE), sample(0, 4, CHANGE)
    assert put(window, sample(0, 1, CHANGE), older, twice) == ["taken", "taken", "out_of_order"]
    assert (window.value("count"), window.value("last")) == (3.0, 1.0)


def test_increases_leave_the_window_and_streams_five_minutes_after_their_last_sample() -> None:
    window = MetricWindow(MINUTE)
    put(window, sample(0, 1), sample(10_000, 5), wanted=("count",))
    assert window.next_change_ms == BEGIN + 71_000
    assert not window.advance(BEGIN + 70_999)
    assert window.value("count") == 4.0
    assert window.advance(BEGIN + 71_000)
    assert (window.value("count"), window.value("last")) == (None, 5.0)
    assert window.next_change_ms == BEGIN + 310_000
    window.advance(BEGIN + 310_000)
    assert (window.value("last"), len(window), window.next_change_ms) == (None, 0, None)


def test_a_stream_that_comes_back_after_it_was_forgotten_is_a_new_one() -> None:
    window = MetricWindow(MINUTE)
    put(window, sample(0, 1), sample(300_000, 50))
    assert window.value("count") is None


def test_gauges() -> None:
    window = MetricWindow(MINUTE)
    put(window, sample(0, 2.5), sample(1000, -1, stream=b"b"), sample(5000, 4.5))
    assert [window.value(each) for each in ("last", "avg", "min", "max")] == [3.5, 2.0, -1.0, 4.5]
    put(window, sample(6000, 0, NOTHING, stream=b"b"))
    assert window.value("last") == 4.5
    put(window, sample(7000, 0, NOTHING))
    assert [window.value(each) for each in ("last", "avg")] == [None, 2.0]


def test_what_is_older_than_the_window_is_late_but_the_next_is_compared_to_it() -> None:
    window = MetricWindow(MINUTE)
    window.advance(BEGIN + 100_000)
    assert put(window, sample(0, 1), sample(10_000, 5)) == ["late", "late"]
    assert put(window, sample(100_000, 7)) == ["taken"]
    assert window.value("count") == 2.0


def test_streams_too_many_are_left_out() -> None:
    window = MetricWindow(MINUTE)
    samples = sample(0, 1), sample(1, 5, stream=b"b"), sample(2, 2)
    fates = put(window, *samples, most_streams=1)
    assert fates == ["taken", "overflow", "taken"]
    assert (window.value("last"), window.value("count")) == (2.0, 1.0)


def test_only_what_will_be_asked_is_kept() -> None:
    window = MetricWindow(MINUTE)
    for at in (0, 1000):
        window.add(sample(at, at), BEGIN + at, ["last"])
    assert (window.buckets, window.value("last")) == ({}, 1000.0)
    window.add(sample(2000, 3000), BEGIN + 2000, ["rate"])
    assert (window.value("count"), window.value("avg")) == (2000.0, None)


_CHANGES = st.lists(
    st.tuples(
        st.integers(0, 200_000),
        st.floats(-1e300, 1e300) | st.sampled_from([0.1, 1e16, -1e16, 1e-300]),
    ),
    max_size=30,
    unique_by=lambda each: each[0],
)


@settings(max_examples=100, deadline=None)
@given(_CHANGES, st.sampled_from([MINUTE, 10_000, 7_200_000]), st.integers(0, 400_000))
def test_sums_are_exact_and_rounded_once(
    changes: list[tuple[int, float]], length: int, later: int
) -> None:
    """Changes, each of a stream of its own, in any order of their times."""
    window = MetricWindow(length)
    size = resolution_ms(length)
    begin = BEGIN // size * size
    for n, (at, value) in enumerate(changes):
        said = sample(begin - BEGIN + at, value, CHANGE, stream=b"s")
        window.add(said._replace(stream=n.to_bytes(8, "big")), begin + 200_000, ALL)
    now = begin + 200_000 + later
    window.advance(now)
    inside = [value for at, value in changes if (begin + at) // size * size + size > now - length]
    exact = sum(map(Fraction, inside), Fraction())
    assert window.value("count") == (float(exact) if inside else None)
    assert window.value("avg") == (float(exact) / len(inside) if inside else None)
    assert window.value("min") == min(inside, default=None)
    assert window.value("max") == max(inside, default=None)


PLACE = MetricPlace(b"owner678", b'["a"]', b"what", MINUTE)


def test_a_window_is_after_a_restart_what_it_was() -> None:
    disk = MemoryDisk()
    store = PartitionStore(disk)
    rows, window = MetricRows(store, b"a"), MetricWindow(MINUTE)
    for n in range(20):
        put(window, *(sample(n * 20_000, n / 7, stream=bytes((each,))) for each in b"abc"[n % 3 :]))
        rows.seal(PLACE, window)
        store.begin_checkpoint()
        store.finish_checkpoint(n)
        [(place, again)] = MetricRows(PartitionStore(disk), b"a").restore()
        assert (place, again.streams, again.buckets) == (PLACE, window.streams, window.buckets)
        assert list(again.streams) == list(window.streams)
        assert again.now_ms == window.now_ms


def test_a_sample_writes_its_stream_and_no_other() -> None:
    store = PartitionStore(MemoryDisk())
    rows, window = MetricRows(store, b"a"), MetricWindow(MINUTE)
    put(window, sample(0, 1), sample(0, 1, stream=b"b"))
    rows.seal(PLACE, window)
    store.begin_checkpoint()
    store.finish_checkpoint(0)
    put(window, sample(1, 2, stream=b"b"))
    rows.seal(PLACE, window)
    assert [key[-8:] for key in store.begin_checkpoint() if key[1:2] == b"s"] == [b"b" * 8]


def test_a_window_that_is_deleted_leaves_nothing() -> None:
    store = PartitionStore(MemoryDisk())
    rows, window = MetricRows(store, b"a"), MetricWindow(MINUTE)
    put(window, sample(0, 1), sample(0, 1, stream=b"b"))
    rows.seal(PLACE, window)
    other = PLACE._replace(group=b'["a", "b"]')
    rows.seal(other, put_in(MetricWindow(MINUTE)))
    rows.delete(PLACE)
    assert [place for place, _ in rows.restore()] == [other]
    assert len(list(store.scan(b"as"))) == 1


def put_in(window: MetricWindow) -> MetricWindow:
    put(window, sample(0, 1))
    return window


def test_a_window_of_another_version_is_refused() -> None:
    store = PartitionStore(MemoryDisk())
    rows = MetricRows(store, b"a")
    rows.seal(PLACE, put_in(MetricWindow(MINUTE)))
    [key] = (key for key, _ in store.scan(b"am"))
    store.put(key, b"\x02[]")
    with pytest.raises(ValueError, match="state of version 2; this tailrace reads version 1"):
        list(rows.restore())
