"""Sliding windows: how many events the last five minutes had, and how many of them matched.

A window is a row of buckets, aligned stretches of event time: at least a second long, about a
sixtieth of the window. Laws, with `now` the latest time that the window was advanced to:

- The sums are those of all events whose bucket has begun, and has not left. A bucket begins when
  its first millisecond is now. It leaves, whole, when its end is `length` or more before now: so
  nothing younger than `length` is ever missing, and nothing of `length` + `resolution` is in it.
- The sums at a time depend on which events were added, never on their order, nor on when the window
  was advanced in between. What is added ahead of now waits for its bucket to begin.
- Whether an event comes too late depends on now: who must not be changed by a restart advances
  first, then adds.

Time and additions cost O(1), amortised. An event out of order is a binary search and moves the
buckets behind it, of which there are no more than 61 but for what is ahead of now.

Memory: 24 bytes a bucket that is not empty, with up to a sixteenth and 64 bytes of reserve, and
260 bytes for the rest, large sums included.
"""

from __future__ import annotations

import struct
from array import array
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Final

MIN_RESOLUTION_MS: Final = 1000
BUCKETS: Final = 60
"""How many buckets are a whole window; one more is on its way in or out."""

_VERSION: Final = 1
_HEAD = struct.Struct("<BcQqq")
_CODES: Final = ("B", "H", "I", "q")
_ALL_CHANGED: Final = -(1 << 63)
_NONE_CHANGED: Final = 1 << 63


@lru_cache(1024)  # so that windows of one length share the number
def resolution_ms(length_ms: int) -> int:
    """Return how long the buckets of a window of *length_ms* are: whole seconds."""
    return max(MIN_RESOLUTION_MS, length_ms // BUCKETS // 1000 * 1000)


class SlidingWindow:
    """The events of the last *length_ms*; `all` and `matched` are sums. Events in seconds."""

    __slots__ = (
        "_begun", "_changed_from", "_rows", "all", "length_ms", "matched", "now_ms",
        "resolution_ms",
    )  # fmt: skip

    def __init__(self, length_ms: int) -> None:
        self.length_ms = length_ms
        self.resolution_ms = resolution_ms(length_ms)
        self.now_ms = 0
        self.all = 0
        self.matched = 0
        # Bucket number, all, matched; then the next bucket.
        self._rows = array("q")
        self._begun = 0  # as an index of rows
        self._changed_from = _ALL_CHANGED

    def __len__(self) -> int:
        """The number of buckets that are not empty, those ahead of now included."""
        return len(self._rows) // 3

    @property
    def oldest(self) -> int | None:
        """The first second of the oldest bucket, or None."""
        return self._rows[0] * self.resolution_ms // 1000 if self._rows else None

    @property
    def newest(self) -> int | None:
        """The first second of the newest bucket, which may be ahead of now, or None."""
        return self._rows[-3] * self.resolution_ms // 1000 if self._rows else None

    @property
    def next_change_ms(self) -> int | None:
        """When time alone changes the sums: a bucket leaves, or one that is ahead begins."""
        rows, size, begun = self._rows, self.resolution_ms, self._begun
        leaves = (rows[0] + 1) * size + self.length_ms if begun else None
        if begun == len(rows):
            return leaves
        begins = rows[begun] * size
        return begins if leaves is None else min(begins, leaves)

    def add(self, second: int, all: int, matched: int) -> bool:
        """Add events of *second* (since 1970); False, and nothing done, if that is too long ago."""
        size = self.resolution_ms
        bucket = second * 1000 // size
        if (bucket + 1) * size <= self.now_ms - self.length_ms:
            return False
        if not all and not matched:
            return True
        rows = self._rows
        at = self._find(bucket)
        is_there = at < len(rows) and rows[at] == bucket
        if is_there:
            rows[at + 1] += all
            rows[at + 2] += matched
        else:
            rows[at:at] = array("q", (bucket, all, matched))
        if bucket * size <= self.now_ms:
            self.all += all
            self.matched += matched
            self._begun += 0 if is_there else 3
        self._changed_from = min(self._changed_from, bucket)
        return True

    def _find(self, bucket: int) -> int:
        """Return the index of *bucket*, or of the first behind it."""
        rows = self._rows
        if not rows or bucket > rows[-3]:
            return len(rows)
        if bucket == rows[-3]:
            return len(rows) - 3
        return 3 * bisect_left(range(len(rows) // 3), bucket, key=lambda row: rows[3 * row])

    def advance(self, now_ms: int) -> bool:
        """Let it be *now_ms*, if it is not later already; True if the sums changed."""
        if now_ms <= self.now_ms:
            return False
        self.now_ms = now_ms
        rows, size, begun = self._rows, self.resolution_ms, self._begun
        is_changed = False
        while begun < len(rows) and rows[begun] * size <= now_ms:
            self.all += rows[begun + 1]
            self.matched += rows[begun + 2]
            begun += 3
            is_changed = True
        left, edge = 0, now_ms - self.length_ms
        while left < begun and (rows[left] + 1) * size <= edge:
            self.all -= rows[left + 1]
            self.matched -= rows[left + 2]
            left += 3
            is_changed = True
        if left:
            del rows[:left]
        self._begun = begun - left
        return is_changed

    # Bytes

    @property
    def changed(self) -> int:
        """How many buckets `encode(only_changed=True)` writes."""
        return (len(self._rows) - self._find(self._changed_from)) // 3

    def encode(self, *, only_changed: bool = False) -> bytes:
        """Return the window as bytes; or what `keep` did not know of it, and what is behind that.

        Version, width of a number, length, now, number of the first bucket; then the buckets'
        numbers after that, all and matched in turns, as narrow as they may be. Little endian.
        """
        rows = self._rows
        if only_changed:
            rows = rows[3 * (len(self) - self.changed) :]
        first = rows[0] if rows else 0
        cells = rows[:]
        for at in range(0, len(cells), 3):
            cells[at] -= first
        code = _narrowest(cells)
        head = _HEAD.pack(_VERSION, code.encode(), self.length_ms, self.now_ms, first)
        return head + struct.pack(f"<{len(cells)}{code}", *cells)

    def keep(self) -> None:
        """From now on, changed is what changes after this: someone has the whole as it is."""
        self._changed_from = _NONE_CHANGED

    @property
    def is_kept(self) -> bool:
        """True if it takes a whole one to understand what changed."""
        return self._changed_from != _ALL_CHANGED

    @classmethod
    def decode(cls, changed: bytes, whole: bytes | None = None) -> SlidingWindow:
        """Return the window of which `encode` made *changed*, when *whole* was kept before that."""
        length_ms, now_ms, rows = _decoded(changed)
        window = cls(length_ms)
        window._rows = rows
        if whole is not None:
            changed_from = rows[0] if rows else _NONE_CHANGED
            _, _, window._rows = _decoded(whole)
            del window._rows[window._find(changed_from) :]
            window._rows += rows
            window._changed_from = changed_from
        window.advance(now_ms)
        return window


def _narrowest(cells: Sequence[int]) -> str:
    top = max(cells, default=0)
    for code, bits in zip(_CODES, (8, 16, 32), strict=False):
        if top < 1 << bits:
            return code
    return _CODES[-1]


def _decoded(value: bytes) -> tuple[int, int, array[int]]:
    """Return length, now and rows."""
    if value[0] != _VERSION:
        raise ValueError(
            f"a window has state of version {value[0]}; this tailrace reads version {_VERSION}. "
            f"Run the version that wrote it."
        )
    _, raw_code, length_ms, now_ms, first = _HEAD.unpack_from(value)
    code = raw_code.decode()
    count = (len(value) - _HEAD.size) // struct.calcsize(f"<{code}")
    rows = array("q", struct.unpack_from(f"<{count}{code}", value, _HEAD.size))
    for at in range(0, count, 3):
        rows[at] += first
    return length_ms, now_ms, rows


class Windows(tuple[SlidingWindow, ...]):
    """Windows of several lengths over the same events."""

    __slots__ = ()

    @classmethod
    def of(cls, lengths_ms: Sequence[int]) -> Windows:
        """Return empty windows, in this order."""
        return cls(map(SlidingWindow, lengths_ms))

    def add(self, second: int, all: int, matched: int) -> bool:
        """Add to each; False if it was too long ago for all of them."""
        return True in [window.add(second, all, matched) for window in self]

    def advance(self, now_ms: int) -> bool:
        """Let it be *now_ms* in each; True if the sums of any changed."""
        return True in [window.advance(now_ms) for window in self]

    @property
    def next_change_ms(self) -> int | None:
        """When time alone changes the sums of any."""
        return min(self._changes(), default=None)

    def _changes(self) -> Iterator[int]:
        for window in self:
            change = window.next_change_ms
            if change is not None:
                yield change
