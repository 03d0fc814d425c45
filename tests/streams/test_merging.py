"""Laws of merging: what comes out does not depend on which source was written faster."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from tailrace.schemas.watermarks import Watermark
from tailrace.streams.merging import MergedTime
from tests.streams.deaths import FAR, Row

SOURCES = ("a-0", "a-1", "b-0")
Log = list[Row]


@st.composite
def logs(draw: st.DrawFn) -> Log:
    """One partition's log: what each source says, in its order, interleaved; all are idle last."""
    said = []
    for source in SOURCES:
        times = sorted(draw(st.lists(st.integers(0, 30), max_size=8)))
        naps = draw(st.lists(st.booleans(), min_size=len(times), max_size=len(times)))
        rests = draw(st.booleans())
        said.append(
            [Watermark(source, at, rests and nap) for at, nap in zip(times, naps, strict=True)]
        )
        last = times[-1] if times else 0
        said[-1].append(Watermark(source, last + draw(st.integers(0, 5)), is_idle=True))
    turns = draw(st.permutations([n for n, each in enumerate(said) for _ in each]))
    queues = [iter(each) for each in said]
    marks = [next(queues[turn]) for turn in turns]
    return [
        Row(offset, 0, None, b"%d" % offset, (mark.header(),)) for offset, mark in enumerate(marks)
    ]


def mark(row: Row) -> Watermark:
    source, time, *idle = row.headers[0][1].decode().split()
    return Watermark(source, int(time), bool(idle))


def merged(log: Sequence[Row], clock: MergedTime | None = None) -> list[tuple[str, int, int]]:
    """Source, own time and time of what comes out."""
    rows, times, _ = (clock or MergedTime(SOURCES)).arrange(log, FAR)
    return [(mark(row).source, mark(row).time, time) for row, time in zip(rows, times, strict=True)]


def without_idleness(log: Log) -> Log:
    """The log as if no source were idle before all has been said."""
    last = {mark(row).source: row.offset for row in log}
    rows = sorted(log, key=lambda row: last[mark(row).source] == row.offset)
    awake = [
        row if at >= len(rows) - len(last)
        else replace(row, headers=(mark(row)._replace(is_idle=False).header(),))
        for at, row in enumerate(rows)
    ]  # fmt: skip
    return [replace(row, offset=offset) for offset, row in enumerate(awake)]


@settings(max_examples=300)
@given(logs())
def test_records_come_out_in_the_order_of_their_time(log: Log) -> None:
    log = without_idleness(log)
    rows = [(source, time) for source, time, _ in merged(log)]
    order = sorted(log, key=lambda row: (mark(row).time, mark(row).source, row.offset))
    assert rows == [(mark(row).source, mark(row).time) for row in order]


@settings(max_examples=300)
@given(logs())
def test_nothing_is_lost_and_time_never_goes_back(log: Log) -> None:
    out = merged(log)
    said = sorted((mark(row).source, mark(row).time) for row in log)
    assert sorted((source, own) for source, own, _ in out) == said
    assert all(before <= after for (_, _, before), (_, _, after) in pairwise(out))
    assert all(own <= at for _, own, at in out)


@settings(max_examples=300)
@given(logs(), st.lists(st.tuples(st.integers(0, 30), st.booleans()), max_size=8), st.booleans())
def test_it_depends_neither_on_batches_nor_on_restarts(
    log: Log, cuts: list[tuple[int, bool]], is_tight: bool
) -> None:
    def clock() -> MergedTime:
        return MergedTime(SOURCES, held_bytes=1600 if is_tight else 1 << 20)

    whole = merged(log, clock())
    parts: list[tuple[str, int, int]] = []
    now, at = clock(), 0
    for cut, dies in sorted(cuts):
        if cut > at:
            parts += merged(log[at:cut], now)
            at = min(cut, len(log))
        if dies:
            position, state = now.position(at), orjson.loads(orjson.dumps(now.state()))
            now = clock()
            now.restore(state)
            parts += merged(log[position:at], now)
    parts += merged(log[at:], now)
    assert parts == whole


def test_a_record_waits_for_a_source_that_has_not_been_heard() -> None:
    clock = MergedTime(("a", "b"))
    first = Row(0, 0, None, b"", (Watermark("a", 10).header(),))
    assert clock.arrange([first], FAR).records == []
    assert clock.position(1) == 0
    assert not clock.may_idle
    second = Row(1, 0, None, b"", (Watermark("b", 11).header(),))
    assert clock.arrange([second], FAR).records == []  # there may be more of a at 10
    third = Row(2, 0, None, b"", (Watermark("a", 12).header(),))
    assert clock.arrange([third], FAR) == ([first], [10], 0)
    assert clock.position(3) == 1


def test_what_is_too_much_to_hold_comes_out_early_and_is_counted() -> None:
    clock = MergedTime(("a", "b"), held_bytes=1100)
    rows = [Row(n, 0, None, b"x" * 40, (Watermark("a", n).header(),)) for n in range(4)]
    records, times, early = clock.arrange(rows, FAR)
    assert [row.offset for row in records] == [0, 1]
    assert times == [0, 1]
    assert early == 2


def test_a_record_of_no_source_does_not_wait() -> None:
    clock = MergedTime(("a",))
    stranger = Row(0, 0, None, b"?")
    assert clock.arrange([stranger], FAR) == ([stranger], [0], 0)
    assert clock.arrange([stranger], FAR).records == []


def test_what_came_of_a_stranger_does_not_come_again_when_it_is_known() -> None:
    log = [said(0, "a", 5), said(1, "b", 3), said(2, "a", 9)]
    before = MergedTime(("a", "c"))
    assert [row.offset for row in before.arrange(log, FAR).records] == [1]
    after = MergedTime(("a", "b", "c"))
    after.restore(orjson.loads(orjson.dumps(before.state())))
    again = [*log[before.position(3) :], said(3, "b", 10), said(4, "c", 20)]
    assert [row.offset for row in after.arrange(again, FAR).records] == [0]


def said(offset: int, source: str, time: int) -> Row:
    return Row(offset, 0, None, b"", (Watermark(source, time).header(),))
