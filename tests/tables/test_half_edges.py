"""Half edges through checkpoints: what is written, what is kept, what is dropped.

Who pairs with whom is held to a naive graph in the tests of the service graph.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tailrace.schemas.half_edges import (
    CLIENT,
    DATABASE,
    FAILED,
    KEY_BYTES,
    ROOT,
    Prototype,
)
from tailrace.tables.half_edge_blocks import Block, decode, encode
from tailrace.tables.half_edge_rows import Halves
from tailrace.tables.half_edges import HalfEdges
from tailrace.tables.store import Changes, MemoryDisk, PartitionStore

TTL_MS = 1000
SERVER = 0
Coming = tuple[int, int]
"""A number, which is key, prototype and duration, and bits."""


class Partition:
    """Half edges over a store that outlives them."""

    def __init__(self) -> None:
        self.store = PartitionStore(MemoryDisk())
        self.begin()

    def begin(self) -> None:
        self.edges = HalfEdges(self.store, TTL_MS)
        self.edges.restore()

    def come(self, at: int, *halves: Coming) -> None:
        self.edges.add(columns(self.edges, at, halves))

    def checkpoint(self) -> Changes:
        """Take calls, as every checkpoint does before; return what it writes."""
        self.edges.calls()
        self.edges.seal()
        changes = self.store.begin_checkpoint()
        self.store.finish_checkpoint(0)
        return changes

    def expire(self, now: int) -> list[int]:
        """Return the durations of those that waited in vain."""
        self.edges.calls()
        expired = self.edges.expired(now)
        durations: list[int] = expired.durations.tolist()
        return durations


def columns(edges: HalfEdges, at: int, halves: tuple[Coming, ...]) -> Halves:
    numbers = [number for number, _ in halves]
    prototypes = [edges.prototypes.number(Prototype(f"service {number}", "")) for number in numbers]
    keys = b"".join(number.to_bytes(KEY_BYTES, "big") for number in numbers)
    return Halves(
        np.frombuffer(keys, f"V{KEY_BYTES}"),
        np.array(prototypes, np.int32),
        np.array(numbers, np.int64),
        np.full(len(halves), at, np.int64),
        np.array([bits for _, bits in halves], np.uint8),
    )


def sizes(changes: Changes) -> dict[bytes, int | None]:
    return {key: None if value is None else len(value) for key, value in changes.items()}


def test_what_is_done_with_between_two_checkpoints_costs_nothing() -> None:
    partition = Partition()
    partition.come(0, (1, CLIENT | DATABASE), (2, SERVER), (3, SERVER | ROOT), (4, CLIENT))
    assert partition.expire(TTL_MS + 1) == [2, 3, 4]
    partition.come(TTL_MS + 1, (5, CLIENT | DATABASE))
    assert list(partition.checkpoint()) == [b"h"]
    assert partition.checkpoint() == {}


def test_a_server_that_paired_costs_nothing_and_its_client_is_kept() -> None:
    partition = Partition()
    partition.come(0, (1, CLIENT), (1, SERVER), (1, SERVER))
    ((_, value),) = partition.checkpoint().items()
    assert value is not None
    assert decode(value).durations.tolist() == [1]
    partition.begin()
    assert partition.edges.pending == 0
    partition.come(TTL_MS, (1, SERVER))
    assert partition.edges.pending == 0
    calls = partition.edges.calls()
    assert (calls.client_ns.tolist(), calls.server_ns.tolist()) == ([1], [1])
    assert partition.expire(TTL_MS + 1) == []


def test_a_checkpoint_costs_what_is_new_not_what_is_open() -> None:
    partition = Partition()
    partition.come(0, *((number, CLIENT) for number in range(5000)))
    first = sizes(partition.checkpoint())
    partition.come(1, (5000, CLIENT), (17, SERVER))
    second = sizes(partition.checkpoint())
    assert sum(size or 0 for size in first.values()) > 5000 * KEY_BYTES
    assert sum(size or 0 for size in second.values()) < 200
    partition.begin()
    assert partition.edges.pending == 5000
    assert partition.expire(TTL_MS + 2) == [number for number in range(5001) if number != 17]


def test_a_block_is_dropped_when_all_in_it_has_expired() -> None:
    partition = Partition()
    partition.come(0, (1, CLIENT))
    (first,) = partition.checkpoint()
    partition.come(500, (2, CLIENT), (1, SERVER))
    (second,) = partition.checkpoint()
    assert partition.expire(TTL_MS + 1) == []
    assert partition.checkpoint().keys() == {b"h", first}
    assert partition.expire(TTL_MS + 501) == [2]
    assert partition.checkpoint().keys() == {b"h", second}
    assert [key for key, _ in partition.store.scan(b"h")] == [b"h"]


def test_what_has_expired_of_a_block_stays_expired() -> None:
    partition = Partition()
    partition.come(0, (1, CLIENT))
    partition.come(500, (2, CLIENT), (2, SERVER))
    partition.checkpoint()
    assert partition.expire(TTL_MS + 1) == [1]
    partition.checkpoint()
    partition.begin()
    assert partition.edges.pending == 0
    partition.come(TTL_MS + 2, (1, SERVER), (2, SERVER))
    assert partition.edges.pending == 1


def test_what_was_not_written_does_not_blur_when_others_came() -> None:
    partition = Partition()
    partition.come(10_000, (3, CLIENT))
    partition.come(10_400, (1, CLIENT), (1, SERVER))
    partition.come(10_401, (2, CLIENT))
    partition.checkpoint()
    partition.begin()
    assert partition.expire(10_100 + TTL_MS) == [3]
    partition.come(10_100 + TTL_MS, (1, SERVER))
    assert partition.edges.calls().client_ns.tolist() == [1]


def test_what_has_expired_is_not_held_for_another_ttl() -> None:
    partition = Partition()
    held = []
    for at in range(0, 10 * TTL_MS, 100):
        partition.come(at, (2 * at, CLIENT), (2 * at + 1, SERVER), (2 * at + 1, SERVER))
        partition.expire(at)
        held.append(partition.edges.held)
    assert max(held) <= 2 * 3 * (TTL_MS // 100 + 2)
    partition.expire(20 * TTL_MS)
    partition.expire(20 * TTL_MS)
    assert partition.edges.held == 0


def test_many_halves_make_several_blocks() -> None:
    partition = Partition()
    partition.come(0, *((number, CLIENT) for number in range(20_000)))
    changes = partition.checkpoint()
    assert len(changes) > 1
    assert all(value is not None and len(value) <= 512 << 10 for value in changes.values())
    partition.begin()
    partition.come(1, *((number, SERVER) for number in range(20_000)))
    assert partition.edges.pending == 0
    assert len(partition.checkpoint()) == 1
    partition.begin()
    assert partition.edges.pending == 0
    assert partition.expire(TTL_MS + 2) == []


def test_prototypes_that_nobody_has_any_more_are_forgotten() -> None:
    partition = Partition()
    generation = partition.edges.prototypes.generation
    partition.come(0, *((number, CLIENT) for number in range(60_000)))
    partition.come(1, (60_000, CLIENT), (60_001, CLIENT))
    assert len(partition.expire(TTL_MS + 1)) == 60_000
    partition.edges.forget_prototypes()
    assert partition.edges.prototypes.generation != generation
    assert len(partition.edges.prototypes) == 2
    expired = partition.edges.expired(TTL_MS + 2)
    prototypes = [partition.edges.prototypes[each] for each in expired.prototypes.tolist()]
    services = [prototype.service for prototype in prototypes]
    assert services == ["service 60000", "service 60001"]


def test_few_prototypes_are_kept() -> None:
    partition = Partition()
    partition.come(0, (1, CLIENT))
    partition.expire(TTL_MS + 1)
    partition.edges.forget_prototypes()
    assert len(partition.edges.prototypes) == 1


_BITS = st.sampled_from([SERVER, CLIENT, CLIENT | FAILED, SERVER | ROOT])


@st.composite
def blocks(draw: st.DrawFn) -> Block:
    base = draw(st.integers(0, 1 << 50))
    bits = draw(st.dictionaries(st.integers(0, 99), _BITS, max_size=5))
    serials = sorted(bits)
    weight = draw(st.sampled_from([1, 1, 7]))
    tenant = draw(st.sampled_from(["default", "default", "acme"]))
    states = np.array([bits[serial] for serial in serials], np.uint8)
    keys = np.array([bytes([serial + 1]) * KEY_BYTES for serial in serials], f"V{KEY_BYTES}")
    keys[(states & ROOT) != 0] = bytes(KEY_BYTES)
    return Block(
        end=base + 100,
        serials=np.array(serials, np.int64) + base,
        prototypes=[
            Prototype("api", "db", (("x", str(serial % 2)),), 1 + serial % weight, tenant)
            for serial in serials
        ],
        durations=np.array(serials, np.int64) << 56,
        times=np.array(serials, np.int64) // 2 + base,
        states=states,
        keys=keys,
        paired=np.array(draw(st.lists(st.integers(0, 1 << 50), max_size=3)), np.int64),
    )


def plain(block: Block) -> list[object]:
    return [each.tolist() if isinstance(each, np.ndarray) else each for each in block]


@settings(max_examples=100, deadline=None)
@given(blocks())
def test_a_block_is_read_as_it_was_written(block: Block) -> None:
    assert plain(decode(encode(block))) == plain(block)


@settings(max_examples=100, deadline=None)
@given(blocks())
def test_a_block_is_one_that_earlier_versions_read_as_long_as_they_know_all_of_it(
    block: Block,
) -> None:
    has_weights = any(prototype.weight != 1 for prototype in block.prototypes)
    has_tenants = any(prototype.tenant != "default" for prototype in block.prototypes)
    assert encode(block)[0] == (3 if has_tenants else 2 if has_weights else 1)


def test_a_block_of_a_later_version_is_refused() -> None:
    partition = Partition()
    partition.come(0, (1, CLIENT))
    ((_, value),) = partition.checkpoint().items()
    assert value is not None
    with pytest.raises(ValueError, match="version 9 is not known"):
        decode(b"\x09" + value[1:])
