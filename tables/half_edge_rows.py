"""Half edges as columns: one side each of a call, by serial number in order of arrival."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from tailrace.schemas.definitions.definition import DEFAULT_TENANT
from tailrace.schemas.half_edges import KEY_BYTES, Ints, Keys, Prototype

_FIRST_CAPACITY = 1024
_KEPT_PROTOTYPES = 50_000
"""With more, those that no half refers to are forgotten."""


class Prototypes:
    """Prototypes by number. Numbers lose their meaning when `generation` changes."""

    def __init__(self) -> None:
        self.generation = 0
        self.has_weights = False
        """True once there was a weight other than 1."""
        self._numbers: dict[Prototype, int] = {}
        self._prototypes: list[Prototype] = []
        self._owners: list[bytes] = []
        self._has_tenants = False  # true once there was one other than `default`
        self._limit = _KEPT_PROTOTYPES

    def __len__(self) -> int:
        return len(self._prototypes)

    def __getitem__(self, number: int) -> Prototype:
        return self._prototypes[number]

    @property
    def are_many(self) -> bool:
        """True if it is time to forget some."""
        return len(self._prototypes) > self._limit

    def number(self, prototype: Prototype) -> int:
        """Return the number of *prototype*, which may be new."""
        number = self._numbers.setdefault(prototype, len(self._prototypes))
        if number == len(self._prototypes):
            self._prototypes.append(prototype)
            self._owners.append(_owner(prototype))
            self.has_weights |= prototype.weight != 1
            self._has_tenants |= prototype.tenant != DEFAULT_TENANT
        return number

    def owned(self, keys: Keys, numbers: npt.NDArray[np.int32]) -> list[bytes]:
        """Return *keys* of halves of the prototypes *numbers*, each with its tenant.

        Those of `default` are as they are, and shorter than any other: whatever IDs a tenant
        writes, its halves have no key of another's.
        """
        found: list[bytes] = keys.tolist()
        if not self._has_tenants:
            return found
        owners = self._owners
        return [key + owners[of] for key, of in zip(found, numbers.tolist(), strict=True)]

    def keep(self, used: Ints) -> None:
        """Forget all but *used*, ascending; `used[i]` becomes number i."""
        self.generation += 1
        self._prototypes = [self._prototypes[number] for number in used.tolist()]
        self._owners = list(map(_owner, self._prototypes))
        self._numbers = {prototype: number for number, prototype in enumerate(self._prototypes)}
        self._limit = max(_KEPT_PROTOTYPES, 2 * len(self._prototypes))


def _owner(prototype: Prototype) -> bytes:
    return b"" if prototype.tenant == DEFAULT_TENANT else prototype.tenant.encode()


class Halves(NamedTuple):
    """Halves as they arrive: `times` (ms of stream time) never go back, `durations` are in ns.

    A key is the 16 bytes of the trace ID and the 8 bytes of the client's span ID. That of a half
    for which no other side will come means nothing.
    """

    keys: Keys
    prototypes: npt.NDArray[np.int32]
    durations: Ints
    times: Ints
    states: npt.NDArray[np.uint8]

    def part(self, rows: slice | Ints | npt.NDArray[np.bool_]) -> Halves:
        """Return those of *rows*."""
        return Halves(
            self.keys[rows],
            self.prototypes[rows],
            self.durations[rows],
            self.times[rows],
            self.states[rows],
        )


class HalfRows:
    """The halves that are remembered. Those with serials before `first` are gone."""

    def __init__(self, first: int = 0) -> None:
        self.first = first
        self._start = 0
        self._end = 0
        self._keys = np.empty(_FIRST_CAPACITY, f"V{KEY_BYTES}")
        self._prototypes = np.empty(_FIRST_CAPACITY, np.int32)
        self._durations = np.empty(_FIRST_CAPACITY, np.int64)
        self._times = np.empty(_FIRST_CAPACITY, np.int64)
        self._states = np.empty(_FIRST_CAPACITY, np.uint8)

    def __len__(self) -> int:
        return self._end - self._start

    @property
    def next(self) -> int:
        """The serial of the next half."""
        return self.first + self._end - self._start

    @property
    def keys(self) -> Keys:
        """Row 0 is the half `first`, here and in what follows. A view: to be used at once."""
        return self._keys[self._start : self._end]

    @property
    def prototypes(self) -> npt.NDArray[np.int32]:
        """Numbers of prototypes."""
        return self._prototypes[self._start : self._end]

    @property
    def durations(self) -> Ints:
        """In ns, 0 or more."""
        return self._durations[self._start : self._end]

    @property
    def times(self) -> Ints:
        """Ascending: when each came, in ms of stream time."""
        return self._times[self._start : self._end]

    @property
    def states(self) -> npt.NDArray[np.uint8]:
        """Bits."""
        return self._states[self._start : self._end]

    def time(self, serial: int) -> int:
        """Return when the half *serial* came."""
        return int(self._times[self._start + serial - self.first])

    def first_since(self, time: int) -> int:
        """Return the serial of the first that came at *time* or later."""
        times = self.times
        if not len(times) or times[0] >= time:
            return self.first
        return self.first + int(np.searchsorted(times, time))

    def chosen(self, rows: Ints, times: Ints) -> Halves:
        """Return a copy of the halves of *rows*, with other *times*."""
        return Halves(
            self.keys[rows],
            self.prototypes[rows],
            self.durations[rows],
            times,
            self.states[rows],
        )

    def append(self, halves: Halves) -> int:
        """Add *halves*; return the serial of the first of them."""
        first, count = self.next, len(halves.keys)
        if self._end + count > len(self._times):
            self._move(max(_FIRST_CAPACITY, 2 * (len(self) + count)))
        rows = slice(self._end, self._end + count)
        self._keys[rows] = halves.keys
        self._prototypes[rows] = halves.prototypes
        self._durations[rows] = halves.durations
        self._times[rows] = halves.times
        self._states[rows] = halves.states
        self._end += count
        return first

    def drop(self, count: int) -> None:
        """Forget the oldest *count*."""
        self.first += count
        self._start += count

    def _move(self, capacity: int) -> None:
        size = len(self)

        def moved(column: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
            larger = np.empty(capacity, column.dtype)
            larger[:size] = column[self._start : self._end]
            return larger

        for name in ("_keys", "_prototypes", "_durations", "_times", "_states"):
            setattr(self, name, moved(getattr(self, name)))
        self._start, self._end = 0, size
