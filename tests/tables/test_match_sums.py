"""Match sums: what is sent depends on what was added and when, and on nothing else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tailrace.schemas.matches import (
    ALL_COUNT,
    MATCHED_COUNT,
    MATCHES_LAYOUT,
    Series,
    SignalId,
    decode_counts,
    decode_key,
    place,
)
from tailrace.schemas.records import Outbox, Output
from tailrace.schemas.sums import Rollup, encode
from tailrace.tables.interval_source import RollupTopic
from tailrace.tables.match_sums import MatchSums, Sums
from tailrace.tables.series_book import SeriesBook
from tailrace.tables.store import MemoryDisk, PartitionStore

BEGIN_MS = 1_700_000_000_000
KEYS = [
    Series(SignalId(b"owner  " + bytes([owner]), b"what"), group).encode()
    for owner in range(4)
    for group in (b"[]", b'["a"]')
]


@dataclass(frozen=True)
class Step:
    """Time goes on by *ms*; then *rows* are added, with numbers of a book of its own if `anew`."""

    ms: int
    rows: tuple[tuple[int, int, int], ...] = ()
    """Key by number, seconds ago, matches; two events each."""
    event: str = ""


class Source:
    """A table on a disk, used as a Logic uses it."""

    def __init__(self, record_bytes: int = 1 << 20) -> None:
        self._topic = RollupTopic("rollups", 3, record_bytes, 1000)
        self.disk = MemoryDisk()
        self.outbox = Outbox()
        self.now = BEGIN_MS
        self.open()

    def open(self) -> None:
        self.store = PartitionStore(self.disk)
        self.book = SeriesBook()
        self.sums = MatchSums(self.store, b"m", self._topic, "matches-0")
        self.sums.restore(self.now)

    def take(self, step: Step) -> None:
        self.now += step.ms
        if step.rows:
            self.sums.roll(self.now, self.outbox)
            self.add(step.rows)
        else:
            self.sums.idle(self.now, self.outbox)
        if step.event == "another book":
            self.book = SeriesBook()
        elif step.event:
            self.sums.seal()
            self.store.begin_checkpoint()
            self.store.finish_checkpoint(0)
        if step.event == "new process":
            self.open()

    def add(self, rows: Sequence[tuple[int, int, int]]) -> None:
        numbers, ago, matches = map(np.array, zip(*rows, strict=True))
        series = self.book.numbers(KEYS[number] for number in numbers)
        seconds = self.now // 1000 - ago
        self.sums.add(self.book, Sums(series, seconds, np.full(len(rows), 2), matches))

    @property
    def sent(self) -> list[Output]:
        return self.outbox.topics.get("rollups", [])


def after(steps: Sequence[Step]) -> Source:
    source = Source()
    for step in [*steps, Step(5000), Step(5000)]:
        source.take(step)
    return source


_ROWS = st.lists(
    st.tuples(st.integers(0, len(KEYS) - 1), st.integers(0, 3), st.integers(0, 2)), max_size=5
).map(tuple)
_STEPS = st.lists(
    st.builds(
        Step,
        st.sampled_from([0, 1, 400, 999, 1000, 1001, 3000]),
        _ROWS,
        st.sampled_from(["", "", "checkpoint", "new process", "another book"]),
    ),
    max_size=15,
)


@settings(max_examples=300, deadline=None)
@given(_STEPS)
def test_what_is_sent_does_not_depend_on_checkpoints_processes_or_books(steps: list[Step]) -> None:
    plain = [Step(step.ms, step.rows) for step in steps]
    assert after(steps).sent == after(plain).sent


@settings(max_examples=200, deadline=None)
@given(_STEPS)
def test_every_sum_is_sent_once_to_the_partition_of_its_series(steps: list[Step]) -> None:
    now, expected = BEGIN_MS, Counter[tuple[int, bytes, int]]()
    for step in steps:
        now += step.ms
        for number, ago, matches in step.rows:
            expected[now // 1000 * 1000, KEYS[number], now // 1000 - ago] += 1000 * 2 + matches
    found = Counter[tuple[int, bytes, int]]()
    for output in (output for output in after(steps).sent if output.value):
        counts = decode_counts(output.value)
        assert all(place(key) % 3 == output.partition for key in counts.keys)
        for number, second, *both in zip(*(each.tolist() for each in counts[3:]), strict=True):
            key = counts.start, counts.keys[number], second
            assert key not in found
            found[key] = 1000 * both[0] + both[1]
    assert found == expected


@pytest.mark.parametrize("group_bytes", [1, 300, 16 << 10])
def test_records_stay_below_their_limit_and_only_the_last_has_the_watermark(
    group_bytes: int,
) -> None:
    limit = 64 << 10
    source = Source(limit)
    signal = SignalId(b"ownerown", b"what")
    keys = {Series(signal, b"%06d" % n * max(1, group_bytes // 6)).encode(): n for n in range(999)}
    source.sums.add_alone({(key, 5): (2, 1) for key in keys})
    assert len(source.sums) == 999
    source.sums.roll(BEGIN_MS + 1000, source.outbox)
    told = []
    for partition, sent in groupby(source.sent, lambda output: output.partition):
        of_it = list(sent)
        assert all(len(output.value) < limit for output in of_it)
        assert [bool(output.headers) for output in of_it] == [False] * (len(of_it) - 1) + [True]
        told += [key for output in of_it for key in decode_counts(output.value).keys]
        assert all(place(key) % 3 == partition for key in told[-1:])
    assert sorted(told) == sorted(keys)


def test_an_open_interval_that_version_1_wrote_goes_on() -> None:
    source = Source()
    table = MATCHES_LAYOUT.empty(1)
    table[0, [ALL_COUNT, MATCHED_COUNT]] = 5, 3
    key = b"ownerownwhat" + (7).to_bytes(8, "big") + b"[]"
    old = encode(Rollup(MATCHES_LAYOUT, BEGIN_MS, BEGIN_MS + 1000, [key], table))
    source.store.put(b"mo\x00\x00\x00\x00", old)
    source.store.begin_checkpoint()
    source.store.finish_checkpoint(0)
    source.open()
    (whole,) = source.sums.keys()
    assert decode_key(whole) == Series(SignalId(b"ownerown", b"what"), b"[]")
    source.sums.add_alone({(whole, 7): (1, 1)})
    source.sums.roll(BEGIN_MS + 1000, source.outbox)
    (value,) = (output.value for output in source.sent if output.value)
    assert [each.tolist() for each in decode_counts(value)[3:]] == [[0], [7], [6], [4]]


def test_a_long_interval_is_stored_in_several_values_and_gone_when_it_closed() -> None:
    source = Source()
    signal = SignalId(b"ownerown", b"what")
    keys = [Series(signal, b"%05d" % number * 2000).encode() for number in range(150)]
    source.sums.add_alone({(key, 5): (1, 0) for key in keys})
    source.take(Step(0, ((0, 0, 0),), "checkpoint"))
    assert len(dict(source.store.scan(b"mo"))) == 3
    source.open()
    assert len(source.sums) == 151
    source.take(Step(1000, ((0, 0, 0),), "checkpoint"))
    assert len(dict(source.store.scan(b"mo"))) == 1
