"""What keeps the calls of tenants apart.

Each half says whose it is, by its prototype, and meets halves of its own tenant only (see
`half_edges`): it waits for those, as if the other tenant's spans were not there.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from tailrace.schemas.half_edges import Ints
from tailrace.schemas.strings import Strings
from tailrace.tables.half_edge_rows import Prototypes

_LOW: Final = (1 << 32) - 1


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
