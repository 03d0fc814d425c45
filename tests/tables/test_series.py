"""Series against plain dictionaries, through checkpoints, new owners and new configs."""

from __future__ import annotations

from collections import Counter, defaultdict

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tailrace.schemas.sums import Layout, Rollup, histogram, observed
from tailrace.tables.series import SeriesTable
from tailrace.tables.series_keys import BLOCK as KEY_BLOCK
from tailrace.tables.series_rows import BLOCK, NEVER
from tailrace.tables.store import MemoryDisk, PartitionStore

HISTOGRAMS = ("ok", "took", "failed")
STREAMS = ("ok", "failed")
SECOND = 1_000_000_000
WIDE = Layout("calls", HISTOGRAMS, (10, 100, SECOND))
NARROW = Layout("calls", HISTOGRAMS, (10, SECOND))
PERIOD_MS = 3000
FAR_PAST_NS = 3_400_000_000 * SECOND  # more seconds than 32 bits hold
KEYS = [b"", b"a", b"b" * 300, *(b"many %d" % number for number in range(BLOCK))]


def table_of(
    store: PartitionStore, layout: Layout = WIDE, period_ms: int = PERIOD_MS, now: int = 0
) -> SeriesTable:
    table = SeriesTable(store, b"t", layout, STREAMS, period_ms)
    table.restore(now)
    return table


def sums(start: int, durations: dict[bytes, dict[str, list[int]]], layout: Layout = WIDE) -> Rollup:
    rows = layout.empty(len(durations))
    for row, by_name in enumerate(durations.values()):
        for name, values in by_name.items():
            one = np.zeros(len(values), np.int64)
            rows[row] += observed(layout, name, one, 1, np.array(values, np.int64))[0]
    return Rollup(layout, start, start + 1000, list(durations), rows)


DURATIONS = st.lists(
    st.sampled_from([0, 10, 11, 100, SECOND - 1, SECOND + 1, FAR_PAST_NS]), max_size=3
)
SERIES = st.dictionaries(
    st.sampled_from([*KEYS[:4], KEYS[-1]]),
    st.dictionaries(st.sampled_from(HISTOGRAMS), DURATIONS, max_size=3),
    max_size=4,
)


class SeriesAreDictionaries(RuleBasedStateMachine):
    """Rollups early, in time and late; flushes; checkpoints; owners with the same or other config.

    The model keeps every duration apart, by key and histogram.
    """

    def __init__(self) -> None:
        super().__init__()
        self.store = PartitionStore(MemoryDisk())
        self.layout, self.period_ms = WIDE, PERIOD_MS
        self.table = table_of(self.store)
        self.now = self.passed = 0
        self.open: dict[int, list[tuple[int, bytes, str, int]]] = defaultdict(list)
        self.total: dict[tuple[bytes, str], Counter[int]] = defaultdict(Counter)
        self.starts: dict[tuple[bytes, str], int] = {}
        self.keys: list[bytes] = []

    @initialize(has_many=st.booleans())
    def meet(self, has_many: bool) -> None:
        if has_many:
            self.add({key: {"ok": [1], "took": [SECOND - 1] * 2} for key in KEYS[3:]}, 0)

    @rule(series=SERIES, ahead=st.integers(-4, 8))
    def add(self, series: dict[bytes, dict[str, list[int]]], ahead: int) -> None:
        start = max(0, self.now // 1000 + ahead) * 1000
        end = -(-(start + 1000) // self.period_ms) * self.period_ms
        is_late = end <= self.passed
        end = self.passed + self.period_ms if is_late else end
        assert self.table.add(sums(start, series)) == is_late
        start = max(start, self.passed)
        for key, by_name in series.items():
            if key not in self.keys:
                self.keys.append(key)
            self.open[end] += []  # a series opens its period even with nothing but zeros
            for name, values in by_name.items():
                self.open[end] += [(start, key, name, value) for value in values]

    @rule(step=st.sampled_from([0, 1000, 2000, 3000, 10_000]))
    def go_on(self, step: int) -> None:
        self.now += step
        last = self.now // self.period_ms * self.period_ms
        ends = sorted(end for end in self.open if end <= self.now)
        if last > self.passed:
            ends = sorted({*ends, last})
        assert self.table.due(self.now) == ends
        for end in ends:
            self._close(end)
        assert self.table.due(self.now) == []

    def _close(self, end: int) -> None:
        closed = self.table.close(end)
        self.passed = end
        delta: dict[tuple[bytes, str], Counter[int]] = defaultdict(Counter)
        firsts: dict[tuple[bytes, str], int] = {}
        for start, key, name, value in self.open.pop(end, []):
            delta[key, name][value] += 1
            if name in STREAMS and (key, name) not in self.starts:
                firsts[key, name] = min(start, firsts.get((key, name), start))
        self.starts |= firsts
        for place, counts in delta.items():
            self.total[place] += counts
        appeared = [divmod(stream, len(STREAMS)) for stream in closed.appeared.tolist()]
        assert {(self.table.keys[slot], STREAMS[kind]) for slot, kind in appeared} == set(firsts)
        assert closed.slots.tolist() == sorted(closed.slots.tolist())
        for slot, row in zip(closed.slots.tolist(), closed.rows, strict=True):
            for name in HISTOGRAMS:
                self._is_sum(row, name, delta.pop((self.table.keys[slot], name), Counter()))
        assert not delta

    def _is_sum(self, row: np.ndarray, name: str, durations: Counter[int]) -> None:
        found = histogram(self.layout, row, name)
        assert row[self.layout.columns(name)][1] < SECOND
        assert found.sum_ns == sum(value * count for value, count in durations.items())
        assert found.count == durations.total()
        if self.layout == WIDE:  # NARROW puts what it gets from WIDE one bucket up
            edges = np.searchsorted(self.layout.bounds, list(durations.elements()))
            assert found.buckets == np.bincount(edges, minlength=4).tolist()

    @rule(is_committed=st.booleans())
    def checkpoint(self, is_committed: bool) -> None:
        self.table.seal()
        if is_committed:
            self.store.begin_checkpoint()
            self.store.finish_checkpoint(0)

    @rule()
    def new_owner(self) -> None:
        self.table.seal()
        self.table = table_of(self.store, self.layout, self.period_ms, self.now)

    @rule()
    def new_bounds(self) -> None:
        self.layout = NARROW
        self.new_owner()

    @rule(period_ms=st.sampled_from([1000, 2000, 3000, 5000]))
    def new_period(self, period_ms: int) -> None:
        self.period_ms = period_ms
        self.new_owner()
        self.passed = max(self.passed, self.now) // period_ms * period_ms
        moved: dict[int, list[tuple[int, bytes, str, int]]] = defaultdict(list)
        for end, rows in self.open.items():
            moved[-(-end // period_ms) * period_ms] += rows
        self.open = moved

    @invariant()
    def cumulative_sums_are_those_of_all_closed_periods(self) -> None:
        assert list(self.table.keys) == self.keys
        for slot, (key, row) in enumerate(zip(self.keys, self.table.rows, strict=True)):
            for name in HISTOGRAMS:
                self._is_sum(row, name, self.total[key, name])
            starts = [self.starts.get((key, name), NEVER) for name in STREAMS]
            assert self.table.starts[slot].tolist() == starts

    @invariant()
    def everything_that_was_added_is_counted(self) -> None:
        waiting = sum(row[2] in STREAMS for rows in self.open.values() for row in rows)
        closed = sum(counts.total() for (_, name), counts in self.total.items() if name in STREAMS)
        assert self.table.count == closed + waiting


TestSeriesAreDictionaries = SeriesAreDictionaries.TestCase
TestSeriesAreDictionaries.settings = settings(
    max_examples=100, stateful_step_count=15, deadline=None
)


def dirty(store: PartitionStore) -> dict[bytes, int]:
    """What the next checkpoint writes and deletes: how many keys of each kind."""
    changes = store.begin_checkpoint()
    store.finish_checkpoint(0)
    return Counter(key[1:2] for key in changes)


def test_a_checkpoint_writes_the_blocks_that_were_touched_and_no_others() -> None:
    store = PartitionStore(MemoryDisk())
    table = table_of(store)
    every = {b"%d" % number: {"ok": [1]} for number in range(10 * BLOCK)}
    table.add(sums(0, every))
    table.seal()
    assert dirty(store) == {b"m": 1, b"n": 10 * BLOCK // KEY_BLOCK, b"p": 10}
    table.add(sums(0, {b"5": {"ok": [2]}, b"new": {"ok": [2]}}))
    table.seal()
    assert dirty(store) == {b"n": 1, b"p": 2}
    table.close(3000)
    table.seal()
    assert dirty(store) == {b"m": 1, b"p": 11, b"v": 11}
    table.add(sums(3000, {b"5": {"ok": [2]}}))
    table.close(6000)
    table.seal()
    assert dirty(store) == {b"m": 1, b"v": 1}
    table.seal()
    assert dirty(store) == {}


def test_a_new_owner_writes_nothing_that_it_has_read() -> None:
    store = PartitionStore(MemoryDisk())
    table = table_of(store)
    table.add(sums(0, {b"a": {"ok": [1]}, b"b": {"ok": [1]}}))
    table.close(3000)
    table.add(sums(3000, {b"a": {"ok": [1]}}))
    table.seal()
    dirty(store)
    table_of(store).seal()
    assert dirty(store) == {}


def test_what_has_another_layout_is_written_anew_by_the_first_owner_alone() -> None:
    store = PartitionStore(MemoryDisk())
    table = table_of(store)
    table.add(sums(0, {b"a": {"ok": [1, 20, 20]}}))
    table.close(3000)
    table.add(sums(3000, {b"a": {"ok": [10, 11], "failed": [SECOND + 1]}}))
    table.seal()
    dirty(store)
    table_of(store, NARROW).seal()
    assert dirty(store) == {b"m": 1, b"v": 1, b"p": 1}
    table = table_of(store, NARROW)
    table.seal()
    assert dirty(store) == {}
    assert histogram(NARROW, table.rows[0], "ok").buckets == [1, 2, 0]
    table.close(6000)
    assert histogram(NARROW, table.rows[0], "ok").buckets == [2, 3, 0]
    assert histogram(NARROW, table.rows[0], "failed").buckets == [0, 0, 1]


def test_a_series_takes_a_few_hundred_bytes_of_disk_beside_its_key() -> None:
    store = PartitionStore(MemoryDisk())
    table = table_of(store)
    keys = [b"%0300d" % number for number in range(3000)]
    table.add(sums(0, {key: {"ok": [1, 20, 300], "took": [SECOND]} for key in keys}))
    table.close(3000)
    table.seal()
    assert store.dirty_bytes < 3000 * (300 + 60)


def test_the_end_of_time_is_no_boundary_of_its_own() -> None:
    table = table_of(PartitionStore(MemoryDisk()))
    table.add(sums(0, {b"a": {"ok": [1]}}))
    assert table.due(1 << 60) == [3000]


def test_state_of_a_version_unknown_here_is_refused() -> None:
    store = PartitionStore(MemoryDisk())
    table_of(store).seal()
    store.put(b"tm", b"\x03[]")
    with pytest.raises(
        ValueError, match="state of version 3; this tailrace reads versions 1 and 2"
    ):
        table_of(store)


def test_time_that_an_owner_has_passed_is_passed_for_the_next() -> None:
    store = PartitionStore(MemoryDisk())
    table = table_of(store)
    table.close(6000)
    table.seal()
    successor = table_of(store, now=1000)
    assert successor.add(sums(1000, {b"a": {"ok": [1]}}))
    assert successor.due(8999) == []
    assert successor.due(9000) == [9000]
