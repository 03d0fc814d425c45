"""Keys of series: slots by key, and keys by slot, in the memory of what tells keys apart.

Many keys begin alike: with their resource. What they begin with is kept once for all of them, and
they are a *group*. A slot that was given up goes to a later key, the lowest first; so which slot a
key gets depends on which slots are taken, and on nothing else.
"""

from __future__ import annotations

import heapq
import struct
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import overload

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]

BLOCK = 128
"""Keys of a block: what a checkpoint writes when one of them changed."""
FREE = -1
"""The group of a slot that is free."""

_KNOWN = 8192
"""How many ends of keys are looked at for one to share."""
_VERSION = 1
_HEAD = struct.Struct("<BHH")  # version, keys, what they begin with


def whole(key: bytes) -> int:
    """Say of a key that it has nothing in common with others."""
    return 0


class _Group(dict[bytes, int]):
    """What the keys of a group have after their beginning, and their slots."""

    __slots__ = ("beginning", "number")

    def __init__(self, beginning: bytes, number: int) -> None:
        super().__init__()
        self.beginning = beginning
        self.number = number


class SeriesKeys(Sequence[bytes]):
    """The key of every slot; a slot that is free has none, and reads as empty.

    *split*: how much of a key is the beginning that it may share with others.
    """

    def __init__(self, split: Callable[[bytes], int] = whole) -> None:
        self._split = split
        self._by_beginning: dict[bytes, _Group] = {}
        self._groups: list[_Group | None] = []
        self._free_groups: list[int] = []
        self._of_slot = np.full(64, FREE, np.int64)
        self._rest: list[bytes] = []
        self._free: list[int] = []
        self._known: dict[bytes, bytes] = {}
        self.live = 0
        """How many slots have a key."""

    def __len__(self) -> int:
        return len(self._rest)

    @overload
    def __getitem__(self, slot: int) -> bytes: ...

    @overload
    def __getitem__(self, slot: slice) -> list[bytes]: ...

    def __getitem__(self, slot: int | slice) -> bytes | list[bytes]:
        if isinstance(slot, slice):
            return [self[each] for each in range(*slot.indices(len(self)))]
        if not -len(self) <= slot < len(self):
            raise IndexError(slot)
        slot %= len(self)
        number = int(self._of_slot[slot])
        if number == FREE:
            return b""
        group = self._groups[number]
        assert group is not None
        return group.beginning + self._rest[slot]

    def ends(self, slots: Ints) -> list[bytes]:
        """Return what the key of each of *slots* has after the beginning; not a copy."""
        return list(map(self._rest.__getitem__, slots.tolist()))

    @property
    def groups(self) -> Ints:
        """The group of every slot, or FREE. Numbers mean something until the next restart."""
        return self._of_slot[: len(self)]

    @property
    def taken(self) -> Ints:
        """The slots that have a key, ascending."""
        return np.flatnonzero(self.groups != FREE)

    def find(self, key: bytes) -> int | None:
        """Return the slot of *key*, or None."""
        end = self._split(key)
        group = self._by_beginning.get(key[:end])
        return None if group is None else group.get(key[end:])

    def slots_of(self, keys: Sequence[bytes], unknown: Callable[[bytes], int]) -> Ints:
        """Return the slot of each of *keys*, or what *unknown* says."""
        slots = np.empty(len(keys), np.int64)
        group, beginning, end = _Group(b"", FREE), None, 0
        for place, key in enumerate(keys):
            # Keys that begin alike mostly follow each other. A split is told by the beginning.
            if beginning is None or not key.startswith(beginning):
                end = self._split(key)
                found = self._by_beginning.get(key[:end])
                group, beginning = (
                    (_Group(b"", FREE), None) if found is None else (found, key[:end])
                )
            slot = group.get(key[end:])
            slots[place] = unknown(key) if slot is None else slot
        return slots

    def add(self, key: bytes) -> int:
        """Give *key*, which has no slot, the lowest one that is free."""
        slot = heapq.heappop(self._free) if self._free else len(self._rest)
        self._have(slot + 1)
        end = self._split(key)
        group, rest = self._group(key[:end]), self._shared(key[end:])
        self._of_slot[slot], self._rest[slot], group[rest] = group.number, rest, slot
        self.live += 1
        return slot

    def _have(self, count: int) -> None:
        """Have at least *count* slots."""
        if count > len(self._of_slot):
            room = max(count, len(self._of_slot) * 5 // 4)
            more = np.full(room - len(self._of_slot), FREE, np.int64)
            self._of_slot = np.concatenate([self._of_slot, more])
        if count > len(self._rest):
            self._rest += [b""] * (count - len(self._rest))

    def _shared(self, rest: bytes) -> bytes:
        """Return *rest* as another group may have it already: those of a service are alike."""
        if len(self._known) >= _KNOWN:
            self._known.clear()
        return self._known.setdefault(rest, rest)

    def _group(self, beginning: bytes) -> _Group:
        """Return the group of keys with *beginning*, which may be new."""
        group = self._by_beginning.get(beginning)
        if group is None:
            number = self._free_groups.pop() if self._free_groups else len(self._groups)
            group = self._by_beginning[beginning] = _Group(beginning, number)
            if number == len(self._groups):
                self._groups.append(group)
            else:
                self._groups[number] = group
        return group

    def remove(self, slots: Sequence[int]) -> None:
        """Free *slots*, each of which has a key."""
        for slot in slots:
            number = int(self._of_slot[slot])
            group = self._groups[number]
            assert group is not None
            del group[self._rest[slot]]
            if not group:
                del self._by_beginning[group.beginning]
                self._groups[number] = None
                self._free_groups.append(number)
            self._rest[slot], self._of_slot[slot] = b"", FREE
        self.live -= len(slots)
        self._settle()

    def _settle(self) -> None:
        """Have no free slot at the end, and the others in order."""
        count = int(self.taken[-1]) + 1 if self.live else 0
        del self._rest[count:]
        self._free = np.flatnonzero(self.groups == FREE).tolist()  # ascending, so it is a heap

    # Store

    def packed(self, block: int) -> bytes:
        """Return the keys of *block* as bytes; empty if its slots are free."""
        first = block * BLOCK
        taken = first + np.flatnonzero(self.groups[first : first + BLOCK] != FREE)
        if not len(taken):
            return b""
        numbers, places = np.unique(self._of_slot[taken], return_inverse=True)
        groups = [self._groups[number] for number in numbers.tolist()]
        beginnings = [b"" if group is None else group.beginning for group in groups]
        rests = [self._rest[slot] for slot in taken.tolist()]
        return b"".join(
            (
                _HEAD.pack(_VERSION, len(taken), len(beginnings)),
                taken.astype("<u4").tobytes(),
                places.astype("<u2").tobytes(),
                np.fromiter(map(len, [*beginnings, *rests]), "<u4").tobytes(),
                *beginnings,
                *rests,
            )
        )

    def restore(self, values: Iterator[bytes]) -> None:
        """Take the keys of *values*, blocks in order, into a table that has none.

        Who wrote them may have split keys elsewhere.
        """
        for value in values:
            slots, places, beginnings, rests = _unpacked(value)
            is_as_here = [self._split(each) == len(each) for each in beginnings]
            self._have(slots[-1] + 1)
            for slot, place, rest in zip(slots, places, rests, strict=True):
                beginning = beginnings[place]
                if not is_as_here[place]:
                    key = beginning + rest
                    end = self._split(key)
                    beginning, rest = key[:end], key[end:]
                group, shared = self._group(beginning), self._shared(rest)
                self._of_slot[slot], self._rest[slot], group[shared] = group.number, shared, slot
            self.live += len(slots)
        self._settle()


def _unpacked(value: bytes) -> tuple[list[int], list[int], list[bytes], list[bytes]]:
    """Return slots, for each which beginning it has, the beginnings, and what else keys have."""
    _, keys, groups = _HEAD.unpack_from(value)
    slots = np.frombuffer(value, "<u4", keys, _HEAD.size)
    places = np.frombuffer(value, "<u2", keys, _HEAD.size + 4 * keys)
    at = _HEAD.size + 6 * keys
    lengths = np.frombuffer(value, "<u4", keys + groups, at)
    ends = at + 4 * (keys + groups) + np.cumsum([0, *lengths.tolist()])
    texts = [value[start:end] for start, end in pairwise(ends.tolist())]
    return slots.tolist(), places.tolist(), texts[:groups], texts[groups:]
