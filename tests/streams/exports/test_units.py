"""Records are translated flush by flush, however they are fetched."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tailrace.schemas.topics import FLUSH_HEADER
from tailrace.streams.exports.units import Unit, Units
from tests.agents.remote_write.messages import Flushed


def record(offset: int, flush: str = "") -> Flushed:
    headers = [(FLUSH_HEADER, flush.encode())] if flush else []
    return Flushed(b"x", offset, headers=headers)


def flush(offset: int, name: str, count: int) -> list[Flushed]:
    return [record(offset + number, f"{name} {number + 1}/{count}") for number in range(count)]


def spans_of(units: list[Unit]) -> list[tuple[int, int, list[int]]]:
    return [(each.start, each.end, [one.offset for one in each.records]) for each in units]


@given(
    st.lists(st.integers(1, 4), min_size=1, max_size=8),
    st.lists(st.integers(1, 7), max_size=30),
    st.integers(0, 3),
)
def test_a_unit_is_a_flush_whatever_comes_in_one_fetch(
    flushes: list[int], fetches: list[int], gap: int
) -> None:
    records: list[Flushed] = []
    wanted = []
    for number, count in enumerate(flushes):
        start = records[-1].offset + 1 + gap if records else gap
        whole = flush(start, f"red {number}000", count)
        records += whole
        wanted.append((start, start + count, [each.offset for each in whole]))
    units, found, at = Units(), list[Unit](), 0
    for size in [*fetches, len(records)]:
        fetched = records[at : at + size]
        at += size
        end = fetched[-1].offset + 1 + gap if fetched else 0
        found += units.add(fetched, end)
    assert spans_of(found) == wanted


def test_a_flush_waits_for_the_rest_of_it() -> None:
    units, whole = Units(), flush(0, "red 1000", 3)
    assert not [*units.add(whole[:2], 2)]
    assert spans_of([*units.add(whole[2:], 3)]) == [(0, 3, [0, 1, 2])]


def test_records_of_no_flush_are_together_as_they_were_fetched_but_not_too_many() -> None:
    units = Units()
    found = spans_of([*units.add([record(number) for number in range(100)], 101)])
    assert [(start, end) for start, end, _ in found] == [(0, 64), (64, 101)]


def test_what_is_left_of_a_flush_is_a_unit() -> None:
    units = Units()
    rest, other = flush(0, "red 1000", 3)[2:], flush(3, "edges 1000", 1)
    torn = flush(4, "red 2000", 2)[:1]
    found = [*units.add([*rest, *other, *torn, record(9)], 10)]
    assert spans_of(found) == [(2, 3, [2]), (3, 4, [3]), (4, 9, [4]), (9, 10, [9])]


@given(st.integers(1, 9), st.lists(st.integers(1, 4), max_size=10))
def test_a_unit_that_somebody_began_is_the_same_again(until: int, fetches: list[int]) -> None:
    records = [record(number) for number in range(10)]
    units, found, at = Units(until), list[Unit](), 0
    for size in [*fetches, 10]:
        found += units.add(records[at : at + size], min(10, at + size))
        at += size
    assert spans_of(found)[0] == (0, until, [*range(until)])
    assert [one for _, _, each in spans_of(found) for one in each] == [*range(10)]
