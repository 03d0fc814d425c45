"""Exemplars: which kept traces become examples of their series, and when that is said."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.schemas.exemplars import Exemplar, decode_exemplars
from tailrace.schemas.records import Outbox, Output
from tailrace.tables.exemplars import (
    A_SERIES,
    TRACE_BYTES,
    TRACES,
    Exemplars,
    SeriesExemplar,
)
from tailrace.tables.interval_source import RollupTopic
from tailrace.tables.store import MemoryDisk, PartitionStore

INTERVAL = 1000


def described(raw: Sequence[bytes], tenants: Sequence[str]) -> list[SeriesExemplar]:
    """Each fragment is one span, whose series is its first letter."""
    return [
        SeriesExemplar(
            "red",
            each[:1],
            Exemplar(len(each), 7, each[:16].ljust(16), tenant[:8].ljust(8).encode()),
        )
        for each, tenant in zip(raw, tenants, strict=True)
    ]


class Partition:
    """Exemplars on a disk that outlives them."""

    def __init__(self, partitions: int = 1) -> None:
        self.topic = RollupTopic("rollups", partitions, 1 << 20, INTERVAL)
        self.store = PartitionStore(MemoryDisk())
        self.outbox = Outbox()
        self.begin()

    def begin(self) -> None:
        self.exemplars = Exemplars(self.store, b"x", self.topic, described, zlib.crc32)
        self.exemplars.restore()

    def restart(self) -> None:
        """Lose everything but the disk."""
        self.exemplars.seal()
        self.store.begin_checkpoint()
        self.store.finish_checkpoint(0)
        self.begin()

    @property
    def sent(self) -> list[Output]:
        return self.outbox.topics.get("rollups", [])

    @property
    def told(self) -> list[tuple[int, bytes, Exemplar]]:
        return [
            (output.timestamp, key, exemplar)
            for output in self.sent
            for key, exemplars in decode_exemplars(output.value).by_key.items()
            for exemplar in exemplars
        ]


def test_what_was_kept_in_an_interval_is_said_when_it_is_over() -> None:
    partition = Partition()
    partition.exemplars.offer("errors", 1400, "default", [b"alpha", b"beta"])
    partition.exemplars.tell(1999, partition.outbox)
    assert not partition.sent
    partition.exemplars.tell(2000, partition.outbox)
    assert [(at, key) for at, key, _ in partition.told] == [(2000, b"a"), (2000, b"b")]
    partition.exemplars.tell(9000, partition.outbox)
    assert len(partition.sent) == 1


def test_one_trace_of_each_policy_is_taken_in_an_interval() -> None:
    partition = Partition()
    for policy, raw in (("rest", b"rA"), ("rest", b"qB"), ("errors", b"eC"), ("rest", b"sD")):
        partition.exemplars.offer(policy, 1000, "default", [raw])
    partition.exemplars.offer("rest", 2000, "default", [b"tE"])
    partition.exemplars.tell(5000, partition.outbox)
    assert [(at, key) for at, key, _ in partition.told] == [
        (2000, b"r"),
        (2000, b"e"),
        (3000, b"t"),
    ]


def test_a_policy_of_one_tenant_is_in_no_others_way() -> None:
    partition = Partition()
    for tenant, raw in (("acme", b"a"), ("beta", b"b"), ("acme", b"c")):
        partition.exemplars.offer("errors", 1000, tenant, [raw])
    partition.exemplars.tell(2000, partition.outbox)
    assert [key for _, key, _ in partition.told] == [b"a", b"b"]


def test_there_is_room_for_so_many_traces_an_interval() -> None:
    partition = Partition()
    for number in range(TRACES + 3):
        partition.exemplars.offer(f"policy {number}", 1000, "default", [bytes([97 + number])])
    partition.exemplars.tell(2000, partition.outbox)
    assert len(partition.told) == TRACES


def test_a_series_has_so_many_exemplars_an_interval() -> None:
    partition = Partition()
    partition.exemplars.offer(
        "rest", 1000, "default", [b"a%d" % number for number in range(A_SERIES + 2)]
    )
    partition.exemplars.tell(2000, partition.outbox)
    assert len(partition.told) == A_SERIES


def test_a_huge_trace_leaves_the_room_to_the_next() -> None:
    partition = Partition()
    partition.exemplars.offer("rest", 1000, "default", [b"h" * (TRACE_BYTES + 1)])
    partition.exemplars.offer("rest", 1001, "default", [b"small"])
    partition.exemplars.tell(2000, partition.outbox)
    assert [key for _, key, _ in partition.told] == [b"s"]


def test_exemplars_go_where_their_series_is_written() -> None:
    partition = Partition(partitions=8)
    keys = [bytes([letter]) for letter in b"abcdefgh"]
    partition.exemplars.offer("rest", 1000, "default", keys)
    partition.exemplars.tell(2000, partition.outbox)
    placed = {
        key: output.partition
        for output in partition.sent
        for key in decode_exemplars(output.value).by_key
    }
    assert placed == {key: zlib.crc32(key) % 8 for key in keys}


def test_state_of_a_later_version_is_refused() -> None:
    partition = Partition()
    partition.store.put(b"x", b"\x02")
    with pytest.raises(ValueError, match="version 2"):
        partition.begin()


OFFERS = st.lists(
    st.tuples(
        st.sampled_from(["rest", "errors", "slow"]),
        st.integers(0, 1500),
        st.lists(st.binary(min_size=1, max_size=5), max_size=3),
        st.booleans(),
        st.booleans(),
    ),
    max_size=20,
)


@given(OFFERS)
def test_neither_restarts_nor_when_it_is_asked_change_what_is_said(
    offers: list[tuple[str, int, list[bytes], bool, bool]],
) -> None:
    one, other = Partition(), Partition()
    now = 0
    for policy, later, raw, is_asked, is_restarted in offers:
        now += later
        for partition in (one, other):
            partition.exemplars.offer(policy, now, f"t{later % 3}", raw)
        if is_asked:
            other.exemplars.tell(now, other.outbox)
        if is_restarted:
            other.restart()
    for partition in (one, other):
        partition.exemplars.tell(now + 2 * INTERVAL, partition.outbox)
    assert one.sent == other.sent
