"""Waiting links: they come out interval by interval, whoever was first, and wait on the disk."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.schemas.half_edges import KEY_BYTES, LinkHalves, Prototype
from tailrace.tables.store import MemoryDisk, PartitionStore, RocksDisk
from tailrace.tables.waiting_links import WaitingLinks

Coming = tuple[int, list[int]]
"""The end of an interval, and what is told of it."""

COMING: st.SearchStrategy[list[Coming]] = st.lists(
    st.tuples(
        st.integers(1, 4).map(lambda number: number * 1000),
        st.lists(st.integers(0, 9), min_size=1, max_size=4),
    ),
    max_size=8,
)


def halves(numbers: list[int]) -> LinkHalves:
    """Halves with *numbers* as their keys, durations and prototypes."""
    used = sorted(set(numbers))
    return LinkHalves(
        0,
        [Prototype(f"service {number}", "") for number in used],
        np.array([used.index(number) for number in numbers], np.int64),
        np.array(numbers, np.int64),
        np.full(len(numbers), 8, np.uint8),
        np.array([number.to_bytes(KEY_BYTES, "big") for number in numbers], f"V{KEY_BYTES}"),
    )


def taken(waiting: WaitingLinks) -> list[tuple[int, list[tuple[str, int]]]]:
    """What comes out of *waiting*: the end of each interval, and its halves."""
    found = []
    while (end := waiting.first_ms) is not None:
        of = waiting.take(end)
        assert of is not None
        assert of.end == end
        services = [of.prototypes[number].service for number in of.of.tolist()]
        found.append((end, list(zip(services, of.durations.tolist(), strict=True))))
    assert len(waiting) == 0
    return found


@given(COMING, st.integers(0, 8), st.randoms(use_true_random=False))
def test_halves_come_out_by_interval_whoever_was_first_and_whoever_takes_them(
    coming: list[Coming], sealed: int, chance: Random
) -> None:
    expected = {
        end: sorted((f"service {n}", n) for at, numbers in coming if at == end for n in numbers)
        for end, _ in coming
    }
    store = PartitionStore(MemoryDisk())
    waiting = WaitingLinks(store, b"L")
    chance.shuffle(coming)
    for offset, (end, numbers) in enumerate(coming):
        waiting.add(halves(numbers), end, offset)
        if offset == sealed:
            store.begin_checkpoint()
            store.finish_checkpoint(0)
    other = WaitingLinks(store, b"L")
    other.restore()
    assert len(other) == len(waiting) == sum(len(numbers) for _, numbers in coming)
    assert taken(other) == sorted(expected.items())
    assert list(store.scan(b"L")) == []


@pytest.mark.parametrize("is_restored", [False, True])
def test_what_waits_for_long_is_not_in_memory(tmp_path: Path, is_restored: bool) -> None:
    store = PartitionStore(RocksDisk(tmp_path / "store"))
    waiting = WaitingLinks(store, b"L")
    tracemalloc.start()
    for offset in range(50):  # about 60 KB each
        waiting.add(halves(list(range(1000))), 1000 * offset, offset)
        store.begin_checkpoint()
        store.finish_checkpoint(0)
    if is_restored:
        waiting = WaitingLinks(store, b"L")
        waiting.restore()
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(waiting) == 50_000
    assert held < 1 << 20
    store.close()
