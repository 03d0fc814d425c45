"""The partition store against a plain dictionary."""

from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from tailrace.tables.store import MemoryDisk, PartitionStore, RocksDisk, StoreCorrupt, StoreLocked

KEYS = st.binary(min_size=1, max_size=2).map(lambda key: b"t" + key)
VALUES = st.binary(max_size=3)


class StoreIsADictionary(RuleBasedStateMachine):
    """Reads, scans, checkpoints that land and workers that die, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.disk = MemoryDisk()
        self.store = PartitionStore(self.disk)
        self.model: dict[bytes, bytes] = {}
        self.taken: dict[bytes, bytes] | None = None
        self.durable: dict[bytes, bytes] = {}
        self.changelog: list[dict[bytes, bytes | None]] = []

    @rule(key=KEYS, value=VALUES)
    def put(self, key: bytes, value: bytes) -> None:
        self.store.put(key, value)
        self.model[key] = value

    @rule(key=KEYS)
    def delete(self, key: bytes) -> None:
        self.store.delete(key)
        self.model.pop(key, None)

    @rule()
    def begin(self) -> None:
        if self.taken is None:
            self.changelog.append(dict(self.store.begin_checkpoint()))
            self.taken = dict(self.model)

    @rule()
    def finish(self) -> None:
        if self.taken is not None:
            self.store.finish_checkpoint(len(self.changelog))
            self.durable, self.taken = self.taken, None

    @rule()
    def die(self) -> None:
        if self.taken is not None:
            self.changelog.pop()
        self.store = PartitionStore(self.disk)
        self.model, self.taken = dict(self.durable), None

    @invariant()
    def reads_see_every_write_before_them(self) -> None:
        assert dict(self.store.scan(b"t")) == self.model
        assert [key for key, _ in self.store.scan(b"t")] == sorted(self.model)
        for key in self.model:
            assert self.store.get(key) == self.model[key]
        assert self.store.get(b"absent") is None

    @invariant()
    def the_changelog_rebuilds_the_disk(self) -> None:
        replayed = MemoryDisk()
        for changes in self.changelog[: None if self.taken is None else -1]:
            replayed.write(changes)
        assert replayed.values == self.durable

    @invariant()
    def the_disk_knows_how_far_it_is(self) -> None:
        landed = len(self.changelog) - (self.taken is not None)
        assert (self.store.changelog_offset or 0) == landed


TestStoreIsADictionary = StoreIsADictionary.TestCase
TestStoreIsADictionary.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


def test_what_is_born_and_dies_between_two_checkpoints_is_never_written() -> None:
    store = PartitionStore(MemoryDisk())
    store.put(b"ta", b"1")
    store.delete(b"ta")
    assert store.begin_checkpoint() == {}


def test_a_deleted_key_that_is_on_the_disk_leaves_a_tombstone() -> None:
    disk = MemoryDisk()
    disk.write({b"ta": b"1"})
    store = PartitionStore(disk)
    store.put(b"ta", b"2")
    store.delete(b"ta")
    assert store.begin_checkpoint() == {b"ta": None}


def test_a_deleted_key_that_is_in_flight_leaves_a_tombstone() -> None:
    store = PartitionStore(MemoryDisk())
    store.put(b"ta", b"1")
    store.begin_checkpoint()
    store.put(b"ta", b"2")
    store.delete(b"ta")
    assert store.get(b"ta") is None
    store.finish_checkpoint(1)
    assert store.begin_checkpoint() == {b"ta": None}


def test_rocksdb_keeps_what_was_checkpointed(tmp_path: Path) -> None:
    store = PartitionStore(RocksDisk(tmp_path))
    store.put(b"ta", b"1")
    store.put(b"tb", b"2")
    store.put(b"u", b"3")
    store.begin_checkpoint()
    store.finish_checkpoint(7)
    store.put(b"tb", b"lost")
    store.close()
    again = PartitionStore(RocksDisk(tmp_path))
    assert list(again.scan(b"t")) == [(b"ta", b"1"), (b"tb", b"2")]
    assert again.changelog_offset == 7
    again.close()


def test_a_second_opening_is_refused_with_a_remedy(tmp_path: Path) -> None:
    first = RocksDisk(tmp_path)
    with pytest.raises(StoreLocked, match="its own --data"):
        RocksDisk(tmp_path)
    first.close()


@pytest.mark.parametrize("victim", ["CURRENT", "MANIFEST-*", "*.sst"])
def test_a_corrupt_directory_is_named_and_can_be_removed(tmp_path: Path, victim: str) -> None:
    path = tmp_path / "store"
    disk = RocksDisk(path)
    disk.write({b"t%d" % n: b"x" * 100 for n in range(1000)})
    disk._db.flush()
    disk.close()
    for file in path.glob(victim):
        file.write_bytes(b"\xff" * 50)
    with pytest.raises(StoreCorrupt, match=f"{path}[^/]"):
        list(RocksDisk(path).scan(b"t"))


def test_a_damaged_block_is_corruption_and_not_a_lock(tmp_path: Path) -> None:
    path = tmp_path / "block-storage"
    disk = RocksDisk(path)
    disk.write({b"t%05d" % n: b"x" * 100 for n in range(5000)})
    disk._db.flush()
    disk.close()
    [file] = path.glob("*.sst")
    damaged = bytearray(file.read_bytes())
    damaged[-200:-60] = bytes(140)
    file.write_bytes(damaged)
    with pytest.raises(StoreCorrupt, match="remove that directory"):
        list(RocksDisk(path).scan(b"t"))
