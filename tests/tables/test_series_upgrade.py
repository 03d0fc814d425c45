"""Series after an upgrade, and after a config that moved them or turned them off for a while."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable

import numpy as np
import orjson
import pytest

from tailrace.schemas.sums import Layout, Rollup, histogram
from tailrace.tables.series import Expiry, SeriesTable
from tailrace.tables.series_keys import whole
from tailrace.tables.series_rows import BLOCK, NEVER, Part, packed, unpacked
from tailrace.tables.store import MemoryDisk, PartitionStore

TOOK = Layout("red", ("took",), (10, 1000))
PERIOD_MS = 2000
DAY_MS = 86_400_000
KEYS = [b"%04d" % number for number in range(3 * BLOCK)]


def table_of(
    store: PartitionStore, now: int, is_ours: Callable[[bytes], bool] | None = None
) -> SeriesTable:
    table = SeriesTable(
        store, b"t", TOOK, ("took",), PERIOD_MS, expiry=Expiry(series_ms=60_000), is_ours=is_ours
    )
    table.restore(now)
    return table


def rows_of(counts: Iterable[int]) -> np.ndarray:
    """Rows with so many durations in their first bucket."""
    counts = list(counts)
    rows = TOOK.empty(len(counts))
    rows[:, 2] = counts
    return rows


def ones(start: int, keys: list[bytes]) -> Rollup:
    return Rollup(TOOK, start, start + 1000, keys, rows_of([1] * len(keys)))


def checkpoint(table: SeriesTable, store: PartitionStore) -> dict[bytes, bytes | None]:
    table.seal()
    changes = dict(store.begin_checkpoint())
    store.finish_checkpoint(0)
    return changes


def counts_of(table: SeriesTable) -> dict[bytes, int]:
    """How much the cumulative sums have of each key."""
    rows = table.rows
    return {table.keys[slot]: int(rows[slot][2]) for slot in table.keys.taken.tolist()}


def of_version_1(slots: list[int], counts: list[int], start: int = 0) -> bytes:
    """Rows as version 1 wrote them, which started at *start*."""
    return b"".join(
        (
            struct.pack(">BIHB", 1, len(slots), 1, 4),
            np.array(slots, "<u4").tobytes(),
            np.full(len(slots), start, "<i8").tobytes(),
            np.array([2], "<u2").tobytes(),
            np.array(counts, "<i4").tobytes(),
        )
    )


def version_1(counts: list[int]) -> dict[bytes, bytes]:
    """A store of version 1 in which `KEYS[i]` has counted `counts[i]`, and 1 in an open period."""
    keys = KEYS[: len(counts)]
    lengths = np.array([len(key) for key in keys], "<u4").tobytes()
    fields = [TOOK.family, TOOK.histograms, TOOK.bounds, PERIOD_MS, PERIOD_MS]
    values = {
        b"tm": b"\x01" + orjson.dumps(fields),
        b"tk" + struct.pack(">I", 0): struct.pack(">BI", 1, len(keys)) + lengths + b"".join(keys),
    }
    for block, first in enumerate(range(0, len(keys), 128)):
        slots = list(range(first, min(first + 128, len(keys))))
        number = struct.pack(">I", block)
        values[b"tv" + number] = of_version_1(slots, [counts[slot] for slot in slots])
        period = b"tp" + struct.pack(">QI", 2 * PERIOD_MS, block)
        values[period] = of_version_1(slots, [1] * len(slots))
    return values


def store_with(values: dict[bytes, bytes]) -> PartitionStore:
    store = PartitionStore(MemoryDisk())
    for key, value in values.items():
        store.put(key, value)
    store.begin_checkpoint()
    store.finish_checkpoint(0)
    return store


@pytest.mark.parametrize(
    "stays",
    [
        pytest.param(lambda key: True, id="all of them"),
        pytest.param(lambda key: int(key) % 3 == 0, id="some from everywhere"),
        pytest.param(lambda key: int(key) < 100, id="a few at the beginning"),
        pytest.param(lambda key: int(key) > 1400, id="a few at the end"),
    ],
)
def test_series_of_version_1_that_stay_count_on_through_any_number_of_restarts(
    stays: Callable[[bytes], bool],
) -> None:
    counts = [10 + number % 7 for number in range(len(KEYS))]
    store = store_with(version_1(counts))
    expected = {key: count for key, count in zip(KEYS, counts, strict=True) if stays(key)}
    table = table_of(store, PERIOD_MS, stays)
    assert table.count == sum(counts) + len(KEYS)
    assert table.foreign == len(KEYS) - len(expected)  # of the open period
    assert counts_of(table) == expected
    checkpoint(table, store)
    for _ in range(2):
        table = table_of(store, PERIOD_MS, stays)
        assert (table.count, table.foreign) == (sum(counts) + len(KEYS), 0)
        assert counts_of(table) == expected
        assert checkpoint(table, store) == {}
    table.close(2 * PERIOD_MS)
    checkpoint(table, store)
    again = table_of(store, 2 * PERIOD_MS, stays)
    assert counts_of(again) == {key: count + 1 for key, count in expected.items()}
    blocks = [value for _, value in store.scan(b"tv")]
    slots = np.concatenate([unpacked(value, TOOK).slots for value in blocks])
    assert slots.tolist() == again.keys.taken.tolist()


def test_rows_that_an_upgrade_left_behind_are_not_read_and_go_away() -> None:
    store = PartitionStore(MemoryDisk())
    table = table_of(store, 0)
    table.add(ones(0, KEYS))
    table.close(PERIOD_MS)
    checkpoint(table, store)
    left = {b"tv" + struct.pack(">I", block): block * 128 for block in range(3, 40)}
    for key, first in left.items():
        slots = list(range(first, first + 128))
        store.put(key, of_version_1(slots, [77] * len(slots)))
    store.begin_checkpoint()
    store.finish_checkpoint(0)
    table = table_of(store, PERIOD_MS)
    assert counts_of(table) == dict.fromkeys(KEYS, 1)
    assert checkpoint(table, store) == dict.fromkeys(left)
    assert counts_of(table_of(store, PERIOD_MS)) == dict.fromkeys(KEYS, 1)


def handed_out(table: SeriesTable) -> list[tuple[int, int, dict[bytes, int]]]:
    """What a table hands out: since when, until when, and how much of each key."""
    return [
        (each.start, each.end, dict(zip(each.keys, each.rows[:, 2].tolist(), strict=True)))
        for each in table.take_strays()
    ]


def test_what_comes_for_a_series_of_another_partition_is_handed_out_as_it_came() -> None:
    store = PartitionStore(MemoryDisk())
    table = table_of(store, 0, lambda key: key[:1] == b"A")
    assert not table.add(ones(0, [b"B1", b"A1", b"B2"]))
    assert table.add(ones(-PERIOD_MS, [b"B1"]))
    assert not table.add(ones(PERIOD_MS, [b"B3"]))
    assert (table.count, table.foreign) == (5, 4)
    assert handed_out(table) == [
        (0, 1000, {b"B1": 1, b"B2": 1}),
        (-PERIOD_MS, 1000 - PERIOD_MS, {b"B1": 1}),
        (PERIOD_MS, PERIOD_MS + 1000, {b"B3": 1}),
    ]
    assert handed_out(table) == []
    assert table.due(PERIOD_MS) == [PERIOD_MS]
    assert counts_of(table) == {b"A1": 0}
    checkpoint(table, store)
    table = table_of(store, 0, lambda key: key[:1] == b"A")
    assert (table.count, table.foreign) == (5, 0)
    assert table.close(PERIOD_MS).slots.tolist() == [0]
    assert counts_of(table) == {b"A1": 1}
    assert len(table.close(2 * PERIOD_MS).slots) == 0


def test_what_open_periods_had_of_series_that_moved_away_is_handed_out_once() -> None:
    disk = MemoryDisk()
    store = PartitionStore(disk)
    table = table_of(store, 0)
    table.add(ones(0, [b"A1", b"B1", b"B2"]))
    table.close(PERIOD_MS)
    table.add(ones(PERIOD_MS, [b"A1", b"B1"]))
    table.add(ones(PERIOD_MS + 1000, [b"B1"]))
    table.add(ones(3 * PERIOD_MS, [b"B3"]))
    checkpoint(table, store)
    for _ in range(2):  # the first one does not live to see a checkpoint
        store = PartitionStore(disk)
        table = table_of(store, PERIOD_MS, lambda key: key[:1] == b"A")
        assert (table.count, table.foreign) == (7, 3)
        assert handed_out(table) == [
            (PERIOD_MS, 2 * PERIOD_MS, {b"B1": 2}),
            (3 * PERIOD_MS, 4 * PERIOD_MS, {b"B3": 1}),
        ]
    checkpoint(table, store)
    table = table_of(store, PERIOD_MS, lambda key: key[:1] == b"A")
    assert (table.count, table.foreign, handed_out(table)) == (7, 0, [])


@pytest.mark.parametrize("since", [PERIOD_MS, 90 * DAY_MS])
def test_what_came_before_a_family_was_turned_off_counts_in_the_first_period_after(
    since: int,
) -> None:
    store = PartitionStore(MemoryDisk())
    table = table_of(store, 0)
    table.add(ones(0, KEYS[:700]))
    table.add(ones(PERIOD_MS, [KEYS[-1], *KEYS[:600]]))
    checkpoint(table, store)
    for _ in range(2):
        table = table_of(store, since)
        assert table.count == 1301
        assert table.due(since) == []
        checkpoint(table, store)
        assert {key[2:10] for key, _ in store.scan(b"tp")} == {struct.pack(">Q", since + PERIOD_MS)}
    table.add(ones(since, KEYS[:2]))
    closed = table.close(since + PERIOD_MS)
    assert closed.since == since
    assert len(closed.slots) == 701
    expected = {key: 2 if key in KEYS[:600] else 1 for key in (*KEYS[:700], KEYS[-1])}
    expected |= dict.fromkeys(KEYS[:2], 3)
    assert counts_of(table) == expected
    # As with all that is late, that it counted only now is news.
    assert table.expired(since + 50_000).tolist() == []
    checkpoint(table, store)
    assert list(store.scan(b"tp")) == []
    assert counts_of(table_of(store, since)) == expected


def test_a_period_that_is_still_open_is_written_no_second_time_for_those_that_passed() -> None:
    store = PartitionStore(MemoryDisk())
    table = table_of(store, 0)
    table.add(ones(0, KEYS[:1]))
    table.add(ones(5 * PERIOD_MS, KEYS))
    checkpoint(table, store)
    changes = checkpoint(table_of(store, 2 * PERIOD_MS), store)
    gone = b"tp" + struct.pack(">QI", PERIOD_MS, 0)
    moved = b"tp" + struct.pack(">QI", 3 * PERIOD_MS, 0)
    assert (changes.pop(gone), changes.pop(moved) is None) == (None, False)
    assert set(changes) == {b"tm"}


@pytest.mark.parametrize("columns", [65_535, 65_536, 65_568])
def test_rows_may_have_more_columns_than_16_bits_can_number(columns: int) -> None:
    layout = Layout("wide", ("took",), tuple(range(columns - 6)))
    assert 3 + layout.width == columns  # slots, news and starts are the first
    rows = layout.empty(2)
    rows[0], rows[1, -1] = np.arange(layout.width) + 1, 5
    part = Part(np.array([3, 9]), np.array([[7], [NEVER]]), np.array([1, 2]), rows)
    found = unpacked(packed(part), layout)
    for one, other in zip(found, part, strict=True):
        assert (one == other).all()


_VERSION_1 = {
    "746b00000000": "0100000002020000000200000041314231",
    "746b00000002": "0100000001020000004331",
    "746d": "015b22726564222c5b22746f6f6b222c226661696c6564225d2c5b31302c313030305d2c323030302c"
    "323030305d",
    "74700000000000000fa000000000": "01000000020003040100000002000000d007000000000000ffffffffffff"
    "ff7fb80b000000000000ffffffffffffff7f01000200040005000000d0070000010000000000000000000000010000"
    "00",
    "747600000000": "010000000200050400000000010000000000000000000000ffffffffffffff7f00000000000000"
    "00ffffffffffffff7f0000010002000300040000000000010000003d000000010000000200000000000000010000000000"
    "00000000000001000000",
}
"""Of streams `took` and `failed`: A1 took 1, 10 and 50 ns and B1 1,000,000,001 in the first period;
B1 took 5 and C1 2000 in the second, which is open."""


@pytest.mark.parametrize("others", [("failed",), ("failed", "lost")])
def test_state_of_version_1_is_read_and_written_anew_once(others: tuple[str, ...]) -> None:
    store = PartitionStore(MemoryDisk())
    for key, value in _VERSION_1.items():
        store.put(bytes.fromhex(key), bytes.fromhex(value))
    layout = Layout("red", ("took", "failed"), (10, 1000), others[1:])
    expiry = Expiry(series_ms=3000)
    for is_first in (True, False):
        table = SeriesTable(store, b"t", layout, ("took", *others), 2000, expiry=expiry)
        table.restore(2500)
        assert table.keys[:] == [b"A1", b"B1", b"C1"]
        assert table.count == 6
        assert table.starts[:, 0].tolist() == [0, 0, NEVER]
        assert [histogram(layout, row, "took").buckets for row in table.rows] == [
            [2, 1, 0],
            [0, 0, 1],
            [0, 0, 0],
        ]
        store.begin_checkpoint()
        store.finish_checkpoint(0)
        table.seal()
        written = {key[1:2] for key in store.begin_checkpoint()}
        store.finish_checkpoint(0)
        assert written == ({b"m", b"n", b"v", b"p"} if is_first else set())
        assert not list(store.scan(b"tk"))
    assert table.expired(4000).tolist() == []  # nobody knows of news before, so it was now
    closed = table.close(4000)
    assert (closed.slots.tolist(), closed.appeared.tolist()) == ([1, 2], [2 * (1 + len(others))])
    assert table.starts[2, 0] == 3000
    table.close(6000)
    assert table.expired(6000).tolist() == [0]


def by_two(key: bytes) -> int:
    return 2


@pytest.mark.parametrize(("before", "after"), [(whole, by_two), (by_two, whole)])
def test_series_whose_keys_were_split_elsewhere_count_on_and_never_twice(
    before: Callable[[bytes], int], after: Callable[[bytes], int]
) -> None:
    store, keys = PartitionStore(MemoryDisk()), [b"A1:x", b"B1:x", b"A1:y", b"A2:x"]
    lives = (before, after, before, after)
    for life, split in enumerate(lives):
        table = SeriesTable(store, b"t", TOOK, ("took",), PERIOD_MS, split=split)
        table.restore(life * PERIOD_MS)
        table.add(ones(life * PERIOD_MS, keys))
        table.close((life + 1) * PERIOD_MS)
        checkpoint(table, store)
    assert table.keys[:] == keys
    assert counts_of(table) == dict.fromkeys(keys, len(lives))
    table.give_up(np.array([0, 2]))
    assert [table.keys.find(key) for key in keys] == [None, 1, None, 3]
