"""What keeps the calls of tenants apart.

The sides of a call meet by a key, and a tenant is part of it: sides of two tenants never meet. Each
waits for its own, as if the other tenant's spans were not there.
"""

from __future__ import annotations

import hashlib
from typing import Final

import numpy as np
import numpy.typing as npt

from tailrace.schemas.definitions.definition import DEFAULT_TENANT
from tailrace.schemas.half_edges import Ints
from tailrace.schemas.strings import Strings
from tailrace.tables.half_edge_rows import Prototypes

_LOW: Final = (1 << 32) - 1


def salt(tenant: str) -> int:
    """Return what the last 8 bytes of a tenant's keys are combined with; 0 of `default`."""
    if tenant == DEFAULT_TENANT:
        return 0
    return int.from_bytes(hashlib.blake2b(tenant.encode(), digest_size=8).digest())


class Salts(dict[int, int]):
    """Ids that *strings* gave to tenants, to their salts."""

    def __init__(self, strings: Strings) -> None:
        super().__init__()
        self._strings = strings

    def of(self, tenants: npt.NDArray[np.int32]) -> npt.NDArray[np.uint64]:
        """Return the salt of each of *tenants*."""
        return np.fromiter(map(self.__getitem__, tenants.tolist()), np.uint64, len(tenants))

    def __missing__(self, number: int) -> int:
        found = self[number] = salt(self._strings[number])
        return found


class Owned(dict[int, int]):
    """A prototype's number and a tenant's id side by side, to the prototype of that tenant."""

    def __init__(self, prototypes: Prototypes, strings: Strings) -> None:
        super().__init__()
        self._prototypes = prototypes
        self._strings = strings

    def of(
        self, numbers: npt.NDArray[np.int32], tenants: npt.NDArray[np.int32]
    ) -> npt.NDArray[np.int32]:
        """Return the numbers of the same prototypes, each of its tenant."""
        pairs: Ints = numbers.astype(np.int64) << 32 | tenants
        return np.fromiter(map(self.__getitem__, pairs.tolist()), np.int32, len(pairs))

    def __missing__(self, pair: int) -> int:
        prototype = self._prototypes[pair >> 32]._replace(tenant=self._strings[pair & _LOW])
        number = self[pair] = self._prototypes.number(prototype)
        return number
