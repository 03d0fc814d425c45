"""Traces that kept traces link to: wanted until a time, whether or not anybody has seen them. Laws:

- A trace is wanted until the latest time that was said of it.
- At most *limit* are remembered, those heard of last; what is forgotten early is counted.
- What is remembered is a function of what was heard, in its order and at its times, and is the
  same after a restart.

Layout: a row for what one checkpoint has heard. Key: prefix, number of the row (8 bytes). Value: a
version byte, then for each trace its ID (16 bytes), its time (ms) and the number under which it was
heard (8 bytes each). A row of which nothing counts any more is deleted. Under the prefix alone: the
number up to which all was forgotten, because it was too much.
"""

from __future__ import annotations

from collections import Counter
from heapq import heappop, heappush
from typing import Final, NamedTuple

from tailrace.tables.store import PartitionStore

MAX_LINKED: Final = 100_000
"""Traces that are remembered in one partition."""

_VERSION: Final = b"\x01"
_ID_BYTES: Final = 16
_ENTRY_BYTES: Final = _ID_BYTES + 16


class _Wanted(NamedTuple):
    until_ms: int
    heard: int
    row: int


class LinkedTraces:
    """The wanted traces of one partition. *prefix* is this table's in *store*."""

    def __init__(self, store: PartitionStore, prefix: bytes, limit: int = MAX_LINKED) -> None:
        self._store = store
        self._prefix = prefix
        self._limit = limit
        self._wanted: dict[bytes, _Wanted] = {}
        """In the order in which they were heard of last."""
        self._by_end: list[tuple[int, bytes]] = []
        self._counted: Counter[int] = Counter()
        """How many of `_wanted` each row has."""
        self._row = 0
        """The number of the row that the next checkpoint writes."""
        self._emptied: set[int] = set()
        self._heard = 0
        """How many times anything was heard."""
        self._forgotten = self._stored_forgotten = 0
        """Up to which of these all was forgotten."""

    def __len__(self) -> int:
        """How many traces are remembered."""
        return len(self._wanted)

    def add(self, trace_id: bytes, until_ms: int) -> None:
        """Want *trace_id* until *until_ms*, or longer if that was said before."""
        before = self._wanted.get(trace_id)
        if before is not None:
            until_ms = max(until_ms, before.until_ms)
            self._forget(trace_id)
        self._heard += 1
        self._wanted[trace_id] = _Wanted(until_ms, self._heard, self._row)
        self._counted[self._row] += 1
        heappush(self._by_end, (until_ms, trace_id))

    def trim(self, now_ms: int) -> int:
        """Let go what is over at *now_ms*, then what is too much; return how many of the latter."""
        self._let_go(now_ms)
        excess = max(0, len(self._wanted) - self._limit)
        for _ in range(excess):
            trace_id = next(iter(self._wanted))
            self._forgotten = self._wanted[trace_id].heard
            self._forget(trace_id)
        if len(self._by_end) > 2 * self._limit:  # of those said twice, and of those forgotten
            self._by_end = sorted((each.until_ms, name) for name, each in self._wanted.items())
        return excess

    def _let_go(self, now_ms: int) -> None:
        while self._by_end and self._by_end[0][0] < now_ms:
            _, trace_id = heappop(self._by_end)
            found = self._wanted.get(trace_id)
            if found is not None and found.until_ms < now_ms:
                self._forget(trace_id)

    def until(self, trace_id: bytes) -> int | None:
        """Return until when *trace_id* is wanted; None if it is not known."""
        found = self._wanted.get(trace_id)
        return None if found is None else found.until_ms

    def _forget(self, trace_id: bytes) -> None:
        row = self._wanted.pop(trace_id).row
        self._counted[row] -= 1
        if not self._counted[row]:
            del self._counted[row]
            self._emptied.add(row)

    def restore(self) -> None:
        """Read what the store has."""
        for key, value in list(self._store.scan(self._prefix)):
            if value[:1] != _VERSION:
                raise ValueError(
                    f"linked traces have state of version {value[0]}; this tailrace reads version "
                    f"{_VERSION[0]}. Run the version that wrote it."
                )
            if key == self._prefix:
                self._forgotten = self._stored_forgotten = _number(value, 1)
                continue
            self._row = _number(key, len(self._prefix))
            for at in range(1, len(value), _ENTRY_BYTES):
                end = at + _ID_BYTES
                self._heard = _number(value, end + 8) - 1
                if self._heard >= self._forgotten:
                    self.add(value[at:end], _number(value, end))
            self._row += 1
        self._heard = max(self._heard, self._forgotten)

    def seal(self, now_ms: int) -> None:
        """Put what was heard since the last time into the store; take out what is over."""
        self._let_go(now_ms)
        for row in self._emptied:
            if row != self._row:
                self._store.delete(self._key(row))
        self._emptied.clear()
        heard = b"".join(
            trace_id + _bytes(each.until_ms) + _bytes(each.heard)
            for trace_id, each in self._newest()
        )
        if heard:
            self._store.put(self._key(self._row), _VERSION + heard)
            self._row += 1
        if self._forgotten != self._stored_forgotten:
            self._stored_forgotten = self._forgotten
            self._store.put(self._prefix, _VERSION + _bytes(self._forgotten))

    def _newest(self) -> list[tuple[bytes, _Wanted]]:
        """Return what was heard of since the last checkpoint, in its order."""
        count = self._counted.get(self._row, 0)
        found: list[tuple[bytes, _Wanted]] = []
        for trace_id in reversed(self._wanted):
            if len(found) == count:
                break
            found.append((trace_id, self._wanted[trace_id]))
        return found[::-1]

    def _key(self, row: int) -> bytes:
        return self._prefix + _bytes(row)


def _bytes(number: int) -> bytes:
    return number.to_bytes(8, "big")


def _number(value: bytes, at: int) -> int:
    return int.from_bytes(value[at : at + 8], "big")
