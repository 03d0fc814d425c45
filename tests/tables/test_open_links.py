"""Open links: what came is sent once, to the partition of its key, in parts that fit."""

from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tailrace.schemas.half_edges import (
    KEY_BYTES,
    LinkHalves,
    Prototype,
    decode_link_halves,
    places,
)
from tailrace.tables.half_edge_rows import Halves, Prototypes
from tailrace.tables.interval_sums import RollupTopic
from tailrace.tables.open_links import Kind, OpenLinks
from tailrace.tables.store import MemoryDisk, PartitionStore

TOPIC = RollupTopic("rollups", 3, 2048, 1000)
Coming = tuple[Kind, int, int, str]
"""Its kind, its key, how long it took, and its service."""

COMING: st.SearchStrategy[list[Coming]] = st.lists(
    st.tuples(
        st.sampled_from(Kind),
        st.integers(1, 1 << 40),
        st.integers(0, 1 << 62),
        st.sampled_from(["a", "b", "c", "long" * 200, "ü" * 600]),
    ),
    max_size=60,
)


def come(links: OpenLinks, prototypes: Prototypes, coming: list[Coming]) -> None:
    for kind, key, duration, service in coming:
        halves = Halves(
            np.frombuffer(key.to_bytes(KEY_BYTES, "big"), f"V{KEY_BYTES}"),
            np.array([prototypes.number(Prototype(service, ""))], np.int32),
            np.array([duration], np.int64),
            np.zeros(1, np.int64),
            np.array([8], np.uint8),
        )
        links.add(kind, halves, prototypes)


def told(records: list[LinkHalves]) -> list[tuple[bytes, int, str]]:
    return [
        (bytes(key), duration, of.prototypes[number].service)
        for of in records
        for key, duration, number in zip(
            of.keys.tolist(), of.durations.tolist(), of.of.tolist(), strict=True
        )
    ]


@given(COMING, st.integers(0, 60))
def test_what_came_is_sent_once_and_in_order_whoever_sends_it(
    coming: list[Coming], sealed: int
) -> None:
    store = PartitionStore(MemoryDisk())
    first = OpenLinks(store, b"L", TOPIC)
    prototypes = Prototypes()
    come(first, prototypes, coming[:sealed])
    first.seal()
    other, others = OpenLinks(store, b"L", TOPIC), Prototypes()
    other.restore(0)
    others.number(Prototype("of another process", ""))
    assert len(other) == len(first)
    come(first, prototypes, coming[sealed:])
    come(other, others, coming[sealed:])
    sent = first.take(5000)
    assert sent == other.take(5000)
    assert (len(first), first.take(6000)) == (0, {})
    for partition, values in sent.items():
        records = [decode_link_halves(value) for value in values]
        assert {of.end for of in records} == {6000}
        assert all((places(of.keys, 3) == partition).all() for of in records)
        assert all(len(value) <= TOPIC.record_bytes for value in values)
    expected = Counter((key.to_bytes(KEY_BYTES, "big"), duration) for _, key, duration, _ in coming)
    records = [decode_link_halves(value) for values in sent.values() for value in values]
    assert Counter(each[:2] for each in told(records)) == expected


def various(prototypes: Prototypes, count: int, dimension: tuple[str, str]) -> Halves:
    """Halves by turns of *count* prototypes, each of which has *dimension*."""
    of = [prototypes.number(Prototype(f"service {n}", "", (dimension,))) for n in range(count)]
    numbers = np.array([*of, *of, *of], np.int32)
    keys = np.arange(3 * len(numbers), dtype=np.int64).view(f"V{KEY_BYTES}")
    nothing = np.zeros(len(numbers), np.int64)
    return Halves(keys, numbers, nothing, nothing, np.full(len(numbers), 8, np.uint8))


def test_a_record_has_room_for_every_prototype_that_its_halves_use() -> None:
    topic = RollupTopic("rollups", 1, 20_000, 1000)
    links, prototypes = OpenLinks(PartitionStore(MemoryDisk()), b"L", topic), Prototypes()
    coming = various(prototypes, 200, ("pod", "x" * 300))
    links.add(Kind.ALONE, coming, prototypes)
    (values,) = links.take(0).values()
    assert max(map(len, values)) <= topic.record_bytes
    assert min(map(len, values[:-1])) > topic.record_bytes // 3
    keys = [bytes(key) for each in values for key in decode_link_halves(each).keys.tolist()]
    assert keys == coming.keys.tolist()


def test_what_is_stored_is_no_larger_than_a_value_may_be() -> None:
    topic = RollupTopic("rollups", 1, 1 << 20, 1000)
    store, prototypes = PartitionStore(MemoryDisk()), Prototypes()
    links = OpenLinks(store, b"L", topic)
    links.add(Kind.ALONE, various(prototypes, 2500, ("pod", "x" * 300)), prototypes)
    links.seal()
    assert max(len(value or b"") for value in store.begin_checkpoint().values()) < 600 << 10


def test_dimensions_that_no_record_holds_are_left_out() -> None:
    links, prototypes = OpenLinks(PartitionStore(MemoryDisk()), b"L", TOPIC), Prototypes()
    links.add(Kind.MET, various(prototypes, 1, ("n" * 3000, "x")), prototypes)
    values = [value for each in links.take(0).values() for value in each]
    assert max(map(len, values)) <= TOPIC.record_bytes
    assert {service for _, _, service in told(list(map(decode_link_halves, values)))} == {
        "service 0"
    }


def test_what_was_sent_is_in_no_checkpoint() -> None:
    store = PartitionStore(MemoryDisk())
    links, prototypes = OpenLinks(store, b"L", TOPIC), Prototypes()
    come(links, prototypes, [(Kind.MET, 1, 2, "a"), (Kind.ALONE, 2, 2, "a")])
    links.seal()
    assert len(store.begin_checkpoint()) == 2
    store.finish_checkpoint(0)
    other = OpenLinks(store, b"L", TOPIC)
    other.restore(0)
    for each in (links, other):
        each.take(0)
        each.seal()
        assert list(store.begin_checkpoint().values()) == [None, None]
        store.finish_checkpoint(0)


def test_a_name_that_no_record_holds_is_cut() -> None:
    links, prototypes = OpenLinks(PartitionStore(MemoryDisk()), b"L", TOPIC), Prototypes()
    come(links, prototypes, [(Kind.MET, 1, 2, "ü" * 600)])
    ((value,),) = links.take(0).values()
    ((_, _, service),) = told([decode_link_halves(value)])
    assert service
    assert set(service) == {"ü"}
    assert len(service) < 600
