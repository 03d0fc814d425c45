"""Laws of stream time."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.schemas.records import Headers
from tailrace.schemas.watermarks import Watermark
from tailrace.streams.stream_time import RecordTime, SourceTime, StreamTime

LATEST = 1_000_000
SOURCES = ("a-0", "a-1", "b-0")


@dataclass(frozen=True)
class Row:
    """A record of which only the time matters."""

    timestamp: int = 0
    headers: Headers = ()
    offset: int = 0
    key: bytes | None = None
    value: bytes | None = b""


def said(source: str, time: int, *, is_idle: bool = False) -> Row:
    return Row(headers=(Watermark(source, time, is_idle).header(),))


marks = st.builds(
    said, st.sampled_from([*SOURCES, "stranger-0"]), st.integers(0, 50), is_idle=st.booleans()
)
rows = st.lists(st.one_of(marks, st.just(Row())), max_size=40)


def lowest(heard: list[Row]) -> int:
    """What time it is, by the definition: how far every source has come that is not idle."""
    now = 0
    last: dict[str, tuple[int, bool]] = {}
    for row in heard:
        for _, value in row.headers:
            source, time, *idle = value.decode().split()
            if source in SOURCES:
                last[source] = (max(int(time), last.get(source, (0, False))[0]), bool(idle))
        if len(last) == len(SOURCES):
            busy = [time for time, is_idle in last.values() if not is_idle]
            now = max(now, min(busy) if busy else max(time for time, _ in last.values()))
    return now


@given(rows)
def test_it_is_the_lowest_watermark_of_the_sources_that_are_not_idle(heard: list[Row]) -> None:
    times = SourceTime(SOURCES).arrange(heard, LATEST).times
    assert times == [lowest(heard[: end + 1]) for end in range(len(heard))]


@given(rows, st.lists(st.integers(0, 40)), st.sampled_from(["sources", "records"]))
def test_time_depends_neither_on_batches_nor_on_restarts(
    heard: list[Row], cuts: list[int], kind: str
) -> None:
    def clock() -> StreamTime:
        return SourceTime(SOURCES) if kind == "sources" else RecordTime()

    whole = clock().arrange(heard, LATEST).times
    edges = sorted({0, *(cut for cut in cuts if cut < len(heard)), len(heard)})
    parts: list[int] = []
    now = clock()
    for start, end in pairwise(edges):
        parts += now.arrange(heard[start:end], LATEST).times
        restarted = clock()
        restarted.restore(orjson.loads(orjson.dumps(now.state())))
        now = restarted
    assert parts == whole


def test_it_stands_still_until_every_source_has_been_heard() -> None:
    clock = SourceTime(SOURCES)
    assert clock.arrange([said("a-0", 7), said("a-1", 9)], LATEST).times == [0, 0]
    assert not clock.may_idle
    assert clock.arrange([said("b-0", 8)], LATEST).times == [7]


def test_it_may_move_by_itself_only_when_every_source_is_idle() -> None:
    clock = SourceTime(SOURCES)
    clock.arrange([said(source, 5, is_idle=True) for source in SOURCES], LATEST)
    assert clock.may_idle
    clock.arrange([said("a-1", 6)], LATEST)
    assert not clock.may_idle


@pytest.mark.parametrize("value", [b"a-0 soon", b"a-0", b"", b"\xff", None])
def test_a_watermark_that_is_none_changes_nothing(value: Any) -> None:
    clock = SourceTime(["a-0"])
    odd = Row(headers=(("tailrace.watermark", value),))
    assert clock.arrange([odd, said("a-0", 3)], LATEST).times == [0, 3]


def test_a_timestamp_from_the_future_counts_as_the_latest_that_may_be() -> None:
    assert RecordTime().arrange([Row(5), Row(LATEST + 1), Row(9)], LATEST).times == [
        5,
        LATEST,
        LATEST,
    ]


def test_what_a_source_said_under_another_config_is_remembered() -> None:
    before = SourceTime(["a-0"])
    before.arrange([said("b-0", 4, is_idle=True), said("a-0", 9)], LATEST)
    assert before.now == 9
    after = SourceTime(["a-0", "b-0"])
    after.restore(orjson.loads(orjson.dumps(before.state())))
    assert after.arrange([said("a-0", 12)], LATEST).times == [12]
