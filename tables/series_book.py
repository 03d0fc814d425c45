"""A book of series: numbers for the keys of matches, and what of a key is worked out once."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np

from tailrace.schemas.matches import place
from tailrace.schemas.sums import Ints
from tailrace.tables.growing import Column


class SeriesBook(dict[bytes, int]):
    """Numbers by key, in the order in which they were asked for.

    By number: `keys`; `places`, the hashes that decide partitions; `orders`, by which they are put
    in an order that is the same in every process; `sizes` in bytes.
    """

    def __init__(self) -> None:
        super().__init__()
        self.keys_by_number: list[bytes] = []
        self._places: Column[np.int64] = Column(np.int64)
        self._orders: Column[np.int64] = Column(np.int64)
        self._sizes: Column[np.int64] = Column(np.int64)

    def __missing__(self, key: bytes) -> int:
        number = self[key] = len(self.keys_by_number)
        self.keys_by_number.append(key)
        return number

    def numbers(self, keys: Iterable[bytes]) -> Ints:
        """Return the number of each of *keys*, some of which may be new."""
        return np.array(list(map(self.__getitem__, keys)), np.int64)

    def _know(self) -> None:
        new = self.keys_by_number[len(self._sizes) :]
        if new:
            self._places.extend(list(map(place, new)))
            self._orders.extend(list(map(_order, new)))
            self._sizes.extend(list(map(len, new)))

    def partitions(self, numbers: Ints, count: int) -> Ints:
        """Return which of *count* partitions each belongs to."""
        self._know()
        return self._places.cells[numbers] % count

    def sizes(self, numbers: Ints) -> Ints:
        """Return how many bytes each key has."""
        self._know()
        return self._sizes.cells[numbers]

    def ordered(self, numbers: Ints) -> Ints:
        """Return *numbers*, each there once, in an order that the keys alone decide."""
        self._know()
        orders = self._orders.cells[numbers]
        by_order = np.argsort(orders)
        found = numbers[by_order]
        if (np.diff(orders[by_order]) == 0).any():  # two of one hash, once in a blue moon
            found = np.array(sorted(found.tolist(), key=self.keys_by_number.__getitem__))
        return found


def _order(key: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(key, digest_size=8).digest(), "big", signed=True)
