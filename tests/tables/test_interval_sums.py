"""Interval sums: what is sent depends on what was added and when, and on nothing else."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tailrace.schemas.records import Outbox, Output
from tailrace.schemas.sums import Layout, counted, decode, observed
from tailrace.schemas.watermarks import Watermark, read_watermark
from tailrace.tables.interval_sums import IDLE_MS, IntervalSums, RollupTopic
from tailrace.tables.store import MemoryDisk, PartitionStore

LAYOUT = Layout("red", ("duration",), (10,))
FINER = Layout("red", ("duration",), (5, 10))
EXPONENTIAL = Layout("red", ("duration",), (), (), 4, 1)
BEGIN_MS = 1_700_000_000_000
KEYS = [b"a", b"b", b"c", b"d", b"e"]


def topic(partitions: int = 2, record_bytes: int = 1 << 20) -> RollupTopic:
    return RollupTopic("rollups", partitions, record_bytes, 1000)


@dataclass(frozen=True)
class Step:
    """Time goes on by *ms*; then one is added to each of *keys*, or without any it is idle."""

    ms: int
    keys: tuple[bytes, ...] = ()
    event: str = ""
    """What happens afterwards: nothing, a checkpoint, or a checkpoint and a new process."""
    layout: Layout | None = None
    """What is used from before then on."""


class Source:
    """A table on a disk, used as a Logic uses it."""

    def __init__(self, topic: RollupTopic) -> None:
        self._topic = topic
        self._disk = MemoryDisk()
        self.outbox = Outbox()
        self.now = BEGIN_MS
        self.layout = LAYOUT
        self._open(0)

    def _open(self, now: int) -> None:
        self.store = PartitionStore(self._disk)
        self.sums = IntervalSums(self.store, b"r", LAYOUT, self._topic, "red-0")
        self.sums.restore(now)
        self.sums.use(self.layout)

    def take(self, step: Step) -> None:
        self.now += step.ms
        if step.layout is not None:
            self.layout = step.layout
            self.sums.use(step.layout)
        if step.keys:
            self.add(step.keys)
        else:
            self.sums.idle(self.now, self.outbox)
        if step.event:
            self.checkpoint()
        if step.event == "new process":
            self._open(self.now)

    def add(self, keys: Sequence[bytes]) -> None:
        self.sums.roll(self.now, self.outbox)
        slots = np.array([self.sums.slot(key) for key in keys], np.int64)
        durations = np.full(len(keys), 7)
        groups = np.arange(len(keys))
        rows = observed(self.layout, "duration", groups, len(keys), durations)
        self.sums.add(slots, rows)

    def checkpoint(self) -> None:
        self.sums.seal()
        self.store.begin_checkpoint()
        self.store.finish_checkpoint(0)

    @property
    def sent(self) -> list[Output]:
        return self.outbox.topics.get("rollups", [])


def after(steps: Sequence[Step], topic: RollupTopic) -> Source:
    source = Source(topic)
    for step in steps:
        source.take(step)
    return source


def counts(sent: Sequence[Output]) -> Counter[tuple[int, bytes]]:
    found: Counter[tuple[int, bytes]] = Counter()
    for rollup in (decode(output.value) for output in sent if output.value):
        times = counted(rollup.layout, rollup.rows, "duration").tolist()
        for key, row, count in zip(rollup.keys, rollup.rows.tolist(), times, strict=True):
            assert row[1] == 7 * count
            found[rollup.start, key] += count
    return found


def marks(sent: Sequence[Output], partition: int) -> list[Watermark]:
    return [
        read_watermark(value)
        for output in sent
        for _, value in output.headers
        if output.partition == partition
    ]


def sends(sent: Sequence[Output], partition: int) -> Iterator[list[Output]]:
    """Yield what *partition* got each time that something was sent."""
    mine = [output for output in sent if output.partition == partition]
    yield from (list(each) for _, each in groupby(mine, lambda output: output.timestamp))


_STEPS = st.lists(
    st.builds(
        Step,
        st.sampled_from([0, 1, 400, 999, 1000, 1001, 3000]),
        st.lists(st.sampled_from(KEYS), max_size=4, unique=True).map(tuple),
        st.sampled_from(["", "", "checkpoint", "new process"]),
        st.sampled_from([None, None, LAYOUT, FINER, EXPONENTIAL]),
    ),
    max_size=20,
)
_LAST = [Step(5000), Step(5000)]


@settings(max_examples=300, deadline=None)
@given(_STEPS, st.integers(1, 3))
def test_what_is_sent_does_not_depend_on_checkpoints_and_processes(
    steps: list[Step], partitions: int
) -> None:
    plain = [Step(step.ms, step.keys, layout=step.layout) for step in steps]
    expected = after([*plain, *_LAST], topic(partitions)).sent
    assert after([*steps, *_LAST], topic(partitions)).sent == expected


@settings(max_examples=200, deadline=None)
@given(_STEPS, st.integers(1, 3))
def test_every_sum_is_sent_once_to_the_partition_of_its_series(
    steps: list[Step], partitions: int
) -> None:
    now, expected = BEGIN_MS, Counter[tuple[int, bytes]]()
    for step in steps:
        now += step.ms
        expected.update((now // 1000 * 1000, key) for key in step.keys)
    sent = after([*steps, *_LAST], topic(partitions)).sent
    assert counts(sent) == expected
    for output in sent:
        keys = decode(output.value).keys if output.value else []
        assert all(zlib.crc32(key) % partitions == output.partition for key in keys)
        assert len(set(keys)) == len(keys)


def test_a_key_goes_where_its_own_hash_says() -> None:
    sums = IntervalSums(
        PartitionStore(MemoryDisk()), b"r", LAYOUT, topic(3), "red-0", lambda key: len(key)
    )
    sums.restore(BEGIN_MS)
    keys = [b"x" * length for length in range(1, 7)]
    for key in keys:
        sums.add(np.array([sums.slot(key)]), np.ones((1, LAYOUT.width), np.int64))
    outbox = Outbox()
    sums.roll(BEGIN_MS + 1000, outbox)
    for output in outbox.topics["rollups"]:
        assert output.partition is not None
        expected = [key for key in keys if len(key) % 3 == output.partition]
        assert decode(output.value).keys == expected


@settings(max_examples=200, deadline=None)
@given(_STEPS, st.integers(1, 3))
def test_a_watermark_stands_behind_all_that_came_before_it(
    steps: list[Step], partitions: int
) -> None:
    source = after([*steps, *_LAST], topic(partitions))
    for partition in range(partitions):
        told = marks(source.sent, partition)
        assert told == marks(source.sent, 0)
        assert [mark.time for mark in told] == sorted(mark.time for mark in told)
        for one, two in pairwise(told):
            assert one.time < two.time or one.is_idle or two.is_idle
        assert told[-1].is_idle
        time = 0
        for output in (each for each in source.sent if each.partition == partition):
            start = decode(output.value).start if output.value else time
            assert start >= time
            if output.headers:
                time = read_watermark(output.headers[0][1]).time


@settings(max_examples=100, deadline=None)
@given(_STEPS)
def test_a_source_says_that_it_is_idle_once_and_that_it_is_not_before_anything_else(
    steps: list[Step],
) -> None:
    source = Source(topic(1))
    for step in [*steps, *_LAST]:
        before, was_idle = len(source.sent), _is_idle(source)
        source.take(step)
        told = marks(source.sent[before:], 0)
        if step.keys and was_idle:
            assert not told[0].is_idle
            assert source.sent[before].value == b""
        if not step.keys and was_idle:
            assert told == []
    assert _is_idle(source)


def _is_idle(source: Source) -> bool:
    told = marks(source.sent, 0)
    return bool(told) and told[-1].is_idle


@pytest.mark.parametrize("key_bytes", [1, 300, 16 << 10])
def test_records_stay_below_their_limit_and_only_the_last_has_the_watermark(key_bytes: int) -> None:
    limit = 64 << 10
    source = Source(topic(1, limit))
    keys = [b"%04d" % number * max(1, key_bytes // 4) for number in range(2000)]
    source.add(keys)
    source.sums.roll(BEGIN_MS + 1000, source.outbox)
    _, sent = sends(source.sent, 0)
    assert [key for output in sent for key in decode(output.value).keys] == keys
    assert all(len(output.value) < limit for output in sent)
    assert [bool(output.headers) for output in sent] == [False] * (len(sent) - 1) + [True]
    assert len(sent) <= 1 + len(keys) * (len(keys[0]) + 28) // (limit // 4)


def test_slots_of_many_series_are_forgotten_when_the_interval_closes() -> None:
    source = Source(topic(1))
    generation = source.sums.generation
    keys = [b"%d" % number for number in range(20_001)]
    source.add(keys)
    assert source.sums.generation == generation
    source.now += 1000
    source.add(keys[:2])
    assert source.sums.generation != generation
    assert len(source.sums) == 2
    source.sums.roll(source.now + 1000, source.outbox)
    assert counts(source.sent).total() == 20_003


def test_other_buckets_after_a_restart_keep_every_count_and_sum() -> None:
    source = Source(topic(1))
    source.add(KEYS)
    source.checkpoint()
    layout = Layout("red", ("duration",), (5, 20))
    sums = IntervalSums(source.store, b"r", layout, topic(1), "red-0")
    sums.restore(source.now)
    outbox = Outbox()
    sums.roll(source.now + 1000, outbox)
    rollup = decode(outbox.topics["rollups"][0].value)
    assert (rollup.layout, rollup.keys) == (layout, KEYS)
    assert rollup.rows.tolist() == [[0, 7, 0, 1, 0]] * len(KEYS)


def test_after_a_restart_rows_do_not_go_through_a_layout_that_nobody_used() -> None:
    source = Source(topic(1))
    source.take(Step(0, (b"a",), layout=FINER))
    source.take(Step(0, (b"b",), "new process"))  # which begins with LAYOUT, then uses FINER
    source.take(Step(0, (b"a",)))
    source.take(Step(1000))
    [rollup] = [decode(output.value) for output in source.sent if output.value]
    assert rollup.layout == FINER
    assert rollup.rows.tolist() == [[0, 14, 0, 2, 0], [0, 7, 0, 1, 0]]


def test_rows_that_went_through_two_layouts_did_so_for_the_next_process_too() -> None:
    for event in ("checkpoint", "new process"):
        source = Source(topic(1))
        source.take(Step(0, (b"a",), event))
        source.sums.use(EXPONENTIAL)
        source.layout = FINER
        source.sums.use(FINER)
        source.checkpoint()
        if event == "new process":
            source._open(source.now)
        source.take(Step(1000))
        [rollup] = [decode(output.value) for output in source.sent if output.value]
        assert rollup.rows.tolist() == [[0, 7, 0, 0, 1]]  # of a bucket that went up to 16


def test_what_was_sent_stays_sent_when_there_are_other_buckets() -> None:
    source = Source(topic(1))
    source.take(Step(0, (b"a",), "checkpoint"))
    source.take(Step(1000))
    source.layout = FINER
    source.sums.use(FINER)
    source.checkpoint()
    source._open(source.now)
    assert len(source.sums) == 0


def test_tables_of_one_store_are_apart() -> None:
    source = Source(topic(1))
    source.add(KEYS)
    source.checkpoint()
    other = IntervalSums(source.store, b"g", LAYOUT, topic(1), "edges-0")
    other.restore(source.now)
    assert len(other) == 0


def test_an_idle_source_says_so_again_every_hour_whatever_process_it_is() -> None:
    source = Source(topic(partitions=1))
    source.take(Step(0))
    for hours in range(1, 3):
        source.take(Step(IDLE_MS - 1, event="new process"))
        source.take(Step(1))
        marks = [read_watermark(output.headers[0][1]) for output in source.outbox.topics["rollups"]]
        assert [mark.is_idle for mark in marks] == [True] * (hours + 1)


def test_an_interval_of_long_keys_is_stored_in_several_values() -> None:
    source = Source(topic(partitions=1))
    keys = [b"%05d" % number * 2000 for number in range(150)]
    source.add(keys)
    source.sums.seal()
    values = dict(source.store.scan(b"ro"))
    assert len(values) == 3
    assert max(map(len, values.values())) < 600_000
    source.checkpoint()
    again = Source(topic(partitions=1))
    again._disk = source._disk
    again._open(source.now)
    assert len(again.sums) == 150
    again.now += 1000
    again.sums.roll(again.now, again.outbox)
    again.checkpoint()
    assert not dict(again.store.scan(b"ro"))
