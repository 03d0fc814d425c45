"""The partition store: all tables of one task, with a write-behind cache in front of the disk.

Laws:

- A read sees every write before it: what is dirty, then what is in flight, then the disk.
- Nothing reaches the disk but by `finish_checkpoint`, and a checkpoint reaches it whole or not
  at all.
- What is born and dies between two checkpoints is never written.

A key is the table's prefix (one byte) and the table's own key. Keys that begin with a zero byte
belong to the engine; `DISK_ONLY` keys are about the disk itself and are in no changelog.
This is the one module that knows RocksDB.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Mapping
from contextlib import suppress
from heapq import merge
from pathlib import Path
from typing import Protocol

import rocksdict

Changes = Mapping[bytes, bytes | None]
"""Key to new value, or to None where the key was deleted."""

DISK_ONLY = b"\x00\x00"
_CHANGELOG_OFFSET = DISK_ONLY + b"changelog-offset"

_IS_LOCKED = re.compile(r"IO error: (While lock file|lock hold by current process)")
_BLOCK_CACHE_BYTES = 16 << 20
_WRITE_BUFFER_BYTES = 4 << 20


class StoreCorrupt(Exception):
    """The store's files cannot be read; the state is in the changelog, so they may be removed."""

    def __init__(self, path: Path, detail: str) -> None:
        self.path = path
        super().__init__(
            f"the store at {path} cannot be opened: {detail}\n"
            f"Stop the worker and remove that directory; its state will be restored from the "
            f"changelog topic."
        )


class StoreLocked(Exception):
    """Another process has the store open."""

    def __init__(self, path: Path) -> None:
        self.path = path
        super().__init__(
            f"the store at {path} is open in another process; give each worker its own --data"
        )


class StoreUnwritable(Exception):
    """The store's files cannot be written; what was committed is in the changelog."""

    def __init__(self, path: Path, detail: str) -> None:
        self.path = path
        super().__init__(
            f"the store at {path} cannot be written: {detail}\n"
            f"Free some space there, then start the worker again; nothing is lost."
        )


class Disk(Protocol):
    """What keeps a store's committed values, ordered by key."""

    def get(self, key: bytes) -> bytes | None: ...

    def scan(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Yield every key that starts with *prefix*, in order. Exhaust it before any `await`."""
        ...

    def write(self, changes: Changes) -> None:
        """Apply all of *changes*, or none."""
        ...

    @property
    def bytes(self) -> int:
        """About how much space it takes."""
        ...

    def close(self) -> None: ...


class MemoryDisk:
    """A disk for simulation and tests; it lives as long as the object."""

    def __init__(self) -> None:
        self.values: dict[bytes, bytes] = {}

    def get(self, key: bytes) -> bytes | None:
        return self.values.get(key)

    def scan(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        return iter(sorted(kv for kv in self.values.items() if kv[0].startswith(prefix)))

    def write(self, changes: Changes) -> None:
        for key, value in changes.items():
            if value is None:
                self.values.pop(key, None)
            else:
                self.values[key] = value

    @property
    def bytes(self) -> int:
        return sum(len(key) + len(value) for key, value in self.values.items())

    def close(self) -> None:
        """Nothing to release."""


class RocksDisk:
    """A RocksDB directory. All of a worker's share one block cache; write buffers are small.

    The write-ahead log is not synced: after a crash of the machine the disk holds some earlier
    checkpoint whole, and the changelog has the rest.
    """

    _cache: rocksdict.Cache | None = None

    def __init__(self, path: Path) -> None:
        path.mkdir(parents=True, exist_ok=True)
        try:
            self._db = rocksdict.Rdict(str(path), self._options())
        except Exception as error:
            if _IS_LOCKED.match(str(error)):
                raise StoreLocked(path) from error
            raise StoreCorrupt(path, str(error)) from error
        self._path = path

    @classmethod
    def _options(cls) -> rocksdict.Options:
        if cls._cache is None:
            cls._cache = rocksdict.Cache(_BLOCK_CACHE_BYTES)
        table = rocksdict.BlockBasedOptions()
        table.set_block_cache(cls._cache)
        table.set_cache_index_and_filter_blocks(True)
        options = rocksdict.Options(raw_mode=True)
        options.create_if_missing(True)
        options.set_block_based_table_factory(table)
        options.set_write_buffer_size(_WRITE_BUFFER_BYTES)
        options.set_max_write_buffer_number(2)
        options.set_max_background_jobs(2)
        options.set_max_open_files(64)
        options.set_keep_log_file_num(2)
        options.set_paranoid_checks(True)
        return options

    def get(self, key: bytes) -> bytes | None:
        try:
            value: bytes | None = self._db.get(key)
        except Exception as error:
            raise StoreCorrupt(self._path, str(error)) from error
        return value

    def scan(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        rows = self._db.iter()
        rows.seek(prefix)
        while rows.valid():
            key = rows.key()
            if not key.startswith(prefix):
                break
            yield key, rows.value()
            rows.next()
        try:
            rows.status()
        except Exception as error:
            raise StoreCorrupt(self._path, str(error)) from error

    def write(self, changes: Changes) -> None:
        batch = rocksdict.WriteBatch(raw_mode=True)
        for key, value in changes.items():
            if value is None:
                batch.delete(key)
            else:
                batch.put(key, value)
        try:
            self._db.write(batch)
        except Exception as error:
            raise StoreUnwritable(self._path, str(error)) from error

    @property
    def bytes(self) -> int:
        total = 0
        for file in self._path.iterdir():
            with suppress(FileNotFoundError):  # RocksDB removes files when it wants
                total += file.stat().st_size
        return total

    def close(self) -> None:
        with suppress(Exception):  # after a failed write it says that again, but it is closed
            self._db.close()


class PartitionStore:
    """Reads and writes of one task's tables, behind which checkpoints become durable."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self._dirty: dict[bytes, bytes | None] = {}
        self._in_flight: dict[bytes, bytes | None] | None = None
        self.dirty_bytes = 0
        """An upper bound of what the next checkpoint writes."""

    def get(self, key: bytes) -> bytes | None:
        """Return the value of *key* as written last, or None."""
        if key in self._dirty:
            return self._dirty[key]
        if self._in_flight is not None and key in self._in_flight:
            return self._in_flight[key]
        return self._disk.get(key)

    def put(self, key: bytes, value: bytes) -> None:
        """Set *key* to *value* from now on."""
        self._dirty[key] = value
        self.dirty_bytes += len(key) + len(value)

    def delete(self, key: bytes) -> None:
        """Remove *key*; a key that never left memory leaves no trace."""
        born_here = self._dirty.get(key) is not None
        beneath = self._in_flight is not None and self._in_flight.get(key) is not None
        if born_here and not beneath and self._disk.get(key) is None:
            del self._dirty[key]
        else:
            self._dirty[key] = None
            self.dirty_bytes += len(key)

    def scan(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Yield what is there under *prefix*, in key order. No `await` while it runs."""
        layers = [self._dirty, self._in_flight or {}]
        rows = [
            [(key, rank, layer[key]) for key in sorted(layer) if key.startswith(prefix)]
            for rank, layer in enumerate(layers)
        ]
        disk = ((key, len(layers), value) for key, value in self._disk.scan(prefix))
        previous = None
        for key, _, value in merge(*rows, disk, key=lambda row: row[:2]):
            if key != previous and value is not None:
                yield key, value
            previous = key

    def begin_checkpoint(self) -> Changes:
        """Take what changed since the last one; it is in flight until it is finished."""
        if self._in_flight is not None:
            raise RuntimeError("a checkpoint of this store is already in flight")
        self._in_flight, self._dirty, self.dirty_bytes = self._dirty, {}, 0
        return self._in_flight

    def finish_checkpoint(self, changelog_offset: int) -> None:
        """Write what is in flight, and the changelog's next offset with it."""
        if self._in_flight is None:
            raise RuntimeError("no checkpoint of this store is in flight")
        self.apply(self._in_flight, changelog_offset)
        self._in_flight = None

    def apply(self, changes: Changes, changelog_offset: int) -> None:
        """Write *changes* to the disk as they came from the changelog up to *changelog_offset*."""
        offset = struct.pack(">q", changelog_offset)
        self._disk.write({**changes, _CHANGELOG_OFFSET: offset})

    @property
    def changelog_offset(self) -> int | None:
        """The changelog offset up to which the disk has everything; None if it has nothing."""
        value = self._disk.get(_CHANGELOG_OFFSET)
        return None if value is None else int(struct.unpack(">q", value)[0])

    @property
    def disk_bytes(self) -> int:
        """About how much space the disk takes."""
        return self._disk.bytes

    def close(self) -> None:
        """Forget what is not on the disk, and release the disk."""
        self._dirty, self._in_flight, self.dirty_bytes = {}, None, 0
        self._disk.close()
