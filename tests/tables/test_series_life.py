"""How series live: admitted, in other buckets, given up and back again; as if never restarted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tailrace.schemas.rebucketing import rebucketed
from tailrace.schemas.sums import Layout, Rollup, counted, histogram, observed
from tailrace.tables.series import Expiry, SeriesTable
from tailrace.tables.series_rows import BLOCK, NEVER
from tailrace.tables.store import MemoryDisk, PartitionStore

PLAIN = Layout("red", ("took",), (10, 1000), ("events",))
FINER = Layout("red", ("took",), (10, 100, 1000), ("events",))
EXPONENTIAL = Layout("red", ("took",), (), ("events",), 4, 1)
PERIOD_MS = 2000
EXPIRY = Expiry(series_ms=6000, group_ms=10_000)
KEYS = [b"A1", b"A2", b"A3", b"B1", b"B2", b"C1"]
"""The first letter is what keys share."""
OVERFLOW = b"+"


def split(key: bytes) -> int:
    return 1


class AtMost:
    """Admits so many series of a group; the others are counted in the group's overflow."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.live: set[bytes] = set()

    def admit(self, key: bytes) -> bytes:
        alike = sum(each[:1] == key[:1] and each[1:] != OVERFLOW for each in self.live)
        return key if alike < self._limit else key[:1] + OVERFLOW

    def met(self, key: bytes) -> None:
        assert key not in self.live
        self.live.add(key)

    def gone(self, key: bytes) -> None:
        self.live.remove(key)


@dataclass(frozen=True)
class Add:
    """A rollup whose interval starts *ago_s* before the second that is now."""

    durations: dict[bytes, list[int]]
    ago_s: int = 0
    layout: Layout = PLAIN


@dataclass(frozen=True)
class Wait:
    """Time goes on, and what is due is flushed."""

    ms: int


@dataclass(frozen=True)
class Use:
    layout: Layout


@dataclass(frozen=True)
class Restart:
    """A checkpoint, and a new process if *is_new*."""

    is_new: bool = True


Step = Add | Wait | Use | Restart


@dataclass
class Owner:
    """Uses a table as a Logic does, and notes everything that can be seen of it."""

    limit: int = 2
    expiry: Expiry = EXPIRY
    now: int = 0
    layout: Layout = PLAIN
    seen: list[Any] = field(default_factory=list)
    added: int = 0

    def __post_init__(self) -> None:
        self.store = PartitionStore(MemoryDisk())
        self.open()

    def open(self) -> None:
        self.admission = AtMost(self.limit)
        self.table = SeriesTable(
            self.store, b"t", PLAIN, ("took", "events"), PERIOD_MS,
            expiry=self.expiry, admission=self.admission, split=split,
        )  # fmt: skip
        self.table.restore(self.now)
        self.table.use(self.layout)

    def take(self, steps: Sequence[Step]) -> Owner:
        for step in steps:
            match step:
                case Add():
                    self.add(step)
                case Wait(ms):
                    self.now += ms
                    for end in self.table.due(self.now):
                        self.flush(end)
                case Use(layout):
                    self.layout = layout
                    self.table.use(layout)
                case Restart(is_new):
                    self.checkpoint()
                    if is_new:
                        self.open()
            assert self.table.count == self.added
        return self

    def add(self, step: Add) -> None:
        rows = step.layout.empty(len(step.durations))
        for row, values in enumerate(step.durations.values()):
            for name in ("took", "events"):
                one = np.zeros(len(values), np.int64)
                rows[row] += observed(step.layout, name, one, 1, np.array(values, np.int64))[0]
            self.added += 2 * len(values)
        start = max(0, self.now // 1000 - step.ago_s) * 1000
        rollup = Rollup(step.layout, start, start + 1000, list(step.durations), rows)
        self.seen.append(self.table.add(rollup))

    def flush(self, end: int) -> None:
        closed, expired = self.table.close(end), self.table.expired(end)
        self.seen.append(
            (
                end,
                closed.since,
                closed.slots.tolist(),
                closed.rows[:].tolist(),
                closed.appeared.tolist(),
            )
        )
        self.seen.append(expired.tolist())
        self.seen.append(self.live())
        self.table.give_up(expired)

    def live(self) -> dict[int, tuple[bytes, list[int], list[int]]]:
        table, slots = self.table, self.table.keys.taken.tolist()
        return {
            slot: (table.keys[slot], table.starts[slot].tolist(), table.rows[slot].tolist())
            for slot in slots
        }

    def checkpoint(self) -> None:
        self.table.seal()
        self.store.begin_checkpoint()
        self.store.finish_checkpoint(0)


_DURATIONS = st.lists(st.sampled_from([0, 1, 10, 50, 999, 10**9]), max_size=3)
_ADDS = st.builds(
    Add,
    st.dictionaries(st.sampled_from(KEYS), _DURATIONS, max_size=4),
    st.sampled_from([0, 0, 0, -1, 3]),
    st.sampled_from([PLAIN, FINER]),
)
_WAITS = st.builds(Wait, st.sampled_from([500, 2000, 5000, 12_000]))
_USES = st.builds(Use, st.sampled_from([PLAIN, FINER, EXPONENTIAL]))
_STEPS = st.lists(
    st.one_of(_ADDS, _ADDS, _WAITS, _USES, st.builds(Restart, st.booleans())), max_size=25
)
_LAST = [Wait(3000), Wait(20_000)]


@settings(max_examples=500, deadline=None)
@given(_STEPS)
def test_what_is_seen_does_not_depend_on_checkpoints_and_processes(steps: list[Step]) -> None:
    plain = [step for step in steps if not isinstance(step, Restart)]
    expected, found = Owner().take([*plain, *_LAST]), Owner().take([*steps, *_LAST])
    assert found.seen == expected.seen
    assert found.live() == expected.live() == {}
    assert found.admission.live == expected.admission.live


@settings(max_examples=300, deadline=None)
@given(_STEPS)
def test_after_each_restart_nothing_is_written_again(steps: list[Step]) -> None:
    owner = Owner().take(steps)
    owner.checkpoint()
    owner.open()
    owner.table.seal()
    assert owner.store.begin_checkpoint() == {}


@settings(max_examples=300, deadline=None)
@given(_STEPS)
def test_a_series_is_given_up_when_it_was_without_news_for_long_enough(steps: list[Step]) -> None:
    owner = Owner(limit=100, expiry=Expiry(series_ms=5000))
    news: dict[bytes, int] = {}
    for step in [*steps, *_LAST]:
        if not isinstance(step, Wait):
            passed = owner.now // PERIOD_MS * PERIOD_MS
            owner.take([step])
            for key in step.durations if isinstance(step, Add) else ():
                start = max(0, owner.now // 1000 - step.ago_s) * 1000
                news[key] = max(news.get(key, 0), start + 1000, passed)
            continue
        owner.now += step.ms
        for end in owner.table.due(owner.now):
            owner.flush(end)
            gone = {key for key, at in news.items() if end - at >= 5000}
            news = {key: at for key, at in news.items() if key not in gone}
            assert set(owner.admission.live) == set(news)


@pytest.mark.parametrize("expiry", [Expiry(series_ms=500), Expiry(group_ms=500)])
def test_a_series_is_told_once_before_it_is_given_up(expiry: Expiry) -> None:
    owner = Owner(expiry=expiry)
    owner.take([Add({b"A1": [1]}), Wait(2000)])
    assert owner.admission.live == {b"A1"}
    owner.take([Add({b"A1": [1]}, ago_s=2), Wait(2000)])
    assert owner.admission.live == {b"A1"}
    owner.take([Wait(2000)])
    assert owner.admission.live == set()


def test_what_is_in_a_period_that_is_still_open_is_news() -> None:
    owner = Owner(limit=100, expiry=Expiry(series_ms=4000))
    owner.take([Add({b"A1": [1]}), Wait(5500), Add({b"A1": [1]}, ago_s=-1), Wait(500)])
    assert owner.admission.live == {b"A1"}
    owner.take([Restart(), Wait(6000)])
    assert owner.admission.live == set()


def test_the_latest_news_of_a_period_counts_in_whatever_order_it_came() -> None:
    for order in ((-1, 0), (0, -1)):
        owner = Owner(limit=100, expiry=Expiry(series_ms=5000))
        owner.take([*(Add({b"A1": [1]}, ago_s) for ago_s in order), Wait(2000), Wait(4000)])
        assert owner.admission.live == {b"A1"}
        owner.take([Wait(2000)])
        assert owner.admission.live == set()


def test_a_group_lives_as_long_as_one_of_its_series_has_news() -> None:
    owner = Owner(limit=100, expiry=Expiry(group_ms=6000))
    owner.take([Add({b"A1": [1], b"A2": [1], b"B1": [1]}), Wait(2000)])
    owner.take([Wait(2000), Add({b"A2": [1]}), Wait(2000)])
    assert owner.admission.live == {b"A1", b"A2", b"B1"}
    owner.take([Wait(2000)])
    assert owner.admission.live == {b"A1", b"A2"}
    owner.take([Wait(2000), Restart(), Wait(2000)])
    assert owner.admission.live == set()


def test_a_series_that_comes_back_is_a_new_one_in_the_lowest_free_slot() -> None:
    owner = Owner(expiry=Expiry(series_ms=4000))
    owner.take([Add({b"A1": [1], b"B1": [1], b"C1": [1]}), Wait(2000), Add({b"C1": [1]})])
    owner.take([Wait(4000)])
    assert {slot: key for slot, (key, *_) in owner.live().items()} == {2: b"C1"}
    owner.take([Restart(), Add({b"B1": [5]}), Wait(2000)])
    key, starts, row = owner.live()[0]
    assert (key, starts) == (b"B1", [6000, 6000])
    assert histogram(PLAIN, np.array(row), "took").count == 1


def test_what_is_not_admitted_is_counted_where_it_is_sent_and_admitted_when_there_is_room() -> None:
    owner = Owner(limit=1, expiry=Expiry(series_ms=4000))
    owner.take([Add({b"A1": [1], b"A2": [1, 1], b"A3": [1]}), Wait(2000)])
    live = {key: row for key, _, row in owner.live().values()}
    assert {key: counted(PLAIN, np.array([row]), "took")[0] for key, row in live.items()} == {
        b"A1": 1,
        b"A+": 3,
    }
    owner.take([Add({b"A2": [1]}), Wait(4000), Add({b"A2": [7]})])
    assert owner.admission.live == {b"A+", b"A2"}


class InPairs:
    """Counts a key as the first of the pair that it makes with the next one to come."""

    def __init__(self) -> None:
        self.live: list[bytes] = []

    def admit(self, key: bytes) -> bytes:
        return key if len(self.live) != 1 or key.endswith(b"!") else self.live[0]

    def met(self, key: bytes) -> None:
        self.live.append(key)

    def gone(self, key: bytes) -> None:
        self.live.remove(key)


def test_who_was_not_admitted_is_asked_for_again_when_there_is_another_series() -> None:
    table = SeriesTable(
        PartitionStore(MemoryDisk()), b"t", PLAIN, ("took",), PERIOD_MS, admission=InPairs()
    )
    for keys in ([b"a"], [b"b"], [b"!"], [b"b"]):
        table.add(Rollup(PLAIN, 0, 1000, keys, PLAIN.empty(1)))
    assert table.keys[:] == [b"a", b"!", b"b"]


def test_a_series_of_another_partition_is_dropped_when_it_is_restored() -> None:
    owner = Owner(limit=100)
    owner.take([Add({key: [1] for key in KEYS}), Wait(2000), Add({key: [1] for key in KEYS})])
    owner.checkpoint()
    table = SeriesTable(
        owner.store, b"t", PLAIN, ("took", "events"), PERIOD_MS,
        is_ours=lambda key: key[:1] == b"A",
    )  # fmt: skip
    table.restore(owner.now)
    ours = [key for key in KEYS if key[:1] == b"A"]
    assert [table.keys[slot] for slot in table.keys.taken.tolist()] == ours
    assert table.count == owner.added
    assert table.close(4000).slots.tolist() == [0, 1, 2]
    table.seal()
    owner.store.begin_checkpoint()
    owner.store.finish_checkpoint(0)
    again = SeriesTable(owner.store, b"t", PLAIN, ("took", "events"), PERIOD_MS)
    again.restore(owner.now)
    assert (len(again), again.count) == (3, owner.added)


def test_what_is_dropped_of_an_open_period_leaves_nothing_in_the_store() -> None:
    owner = Owner(limit=10_000)
    owner.take([Add({b"%c-%d" % (b"AB"[n % 2], n): [1] for n in range(3 * BLOCK)}), Restart()])
    for is_ours in (lambda key: key[:1] == b"A", None):
        table = SeriesTable(
            owner.store, b"t", PLAIN, ("took", "events"), PERIOD_MS, is_ours=is_ours
        )
        table.restore(owner.now)
        assert (len(table), table.count) == (3 * BLOCK // 2, owner.added)
        table.seal()
    assert len(table.close(2000).slots) == 3 * BLOCK // 2


def test_streams_are_found_again_by_their_names() -> None:
    owner = Owner()
    owner.take([Add({b"A1": [1, 5]}), Wait(2000)])
    owner.checkpoint()
    layout = Layout("red", ("took",), (10, 1000), ("unpaired", "events"))
    streams = ("unpaired", "took", "events")
    table = SeriesTable(owner.store, b"t", layout, streams, PERIOD_MS)
    table.restore(owner.now)
    assert table.starts.tolist() == [[NEVER, 0, 0]]
    assert counted(layout, table.rows[:], "events").tolist() == [2]


def test_many_series_come_and_go_in_the_same_few_slots() -> None:
    owner = Owner(limit=10_000, expiry=Expiry(series_ms=2000))
    for turn in range(5):
        keys = [b"A%d-%d" % (turn, number) for number in range(2 * BLOCK + 1)]
        owner.take([Add({key: [1] for key in keys}), Wait(2000), Restart()])
    assert len(owner.table.keys) <= 4 * BLOCK + 2
    owner.take([Wait(4000), Restart(is_new=False)])
    assert [key for key, _ in owner.store.scan(b"t")] == [b"tm"]


@settings(max_examples=100, deadline=None)
@given(st.lists(_DURATIONS, max_size=5), st.sampled_from([FINER, EXPONENTIAL]))
def test_other_buckets_on_the_way_are_those_that_rebucketing_gives(
    parts: list[list[int]], layout: Layout
) -> None:
    plain, changed = Owner(), Owner()
    steps: list[Step] = [Add({b"A1": part}) for part in parts]
    plain.take([*steps, Wait(2000)])
    changed.take([*steps, Use(layout), Wait(2000)])
    assert len(plain.table.rows) == bool(parts)
    expected = rebucketed(plain.table.rows[:], PLAIN, layout)
    assert changed.table.rows[:].tolist() == expected.tolist()


def test_owners_do_not_go_through_a_layout_that_nobody_used() -> None:
    owner = Owner().take([Use(FINER), Add({b"A1": [50, 500]}, layout=FINER), Wait(2000)])
    owner.checkpoint()
    owner.open()  # with PLAIN, then `use(FINER)`
    assert histogram(FINER, owner.table.rows[0], "took").buckets == [0, 1, 1, 0]
