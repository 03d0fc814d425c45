"""Spans whose call lacks the other side: how many, of which service, and why nobody waits for it.

So that the service whose spans are of the wrong kind can be found.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from tailrace.schemas.half_edges import CLIENT as IS_CLIENT
from tailrace.schemas.half_edges import MESSAGING, ROOT
from tailrace.schemas.series import CLIENT, SERVER, UNPAIRED, UnpairedSeries
from tailrace.schemas.sums import Ints, observed
from tailrace.tables.half_edge_rows import Halves, Prototypes
from tailrace.tables.interval_sums import IntervalSums

EXPIRED: Final = "expired"
"""It waited for as long as it may."""
STORE_FULL: Final = "store_full"
"""Too many waited already."""
VIRTUAL_NODE: Final = "virtual_node"
"""It waited; a virtual node stands for the other side."""
NO_PARENT: Final = "no_parent"
"""A server that nobody of ours calls; no virtual node stands for whoever did."""
LINK_EXPIRED: Final = "link_expired"
"""A link of it waited for its producer for as long as it may."""
LINK_STORE_FULL: Final = "link_store_full"
"""Too many links and producers waited already."""

_REASONS: Final = (EXPIRED, STORE_FULL, VIRTUAL_NODE, NO_PARENT, LINK_EXPIRED, LINK_STORE_FULL)
_REASON_BITS, _STATE_BITS = 3, 8
_KEPT_CODES = 100_000


class UnpairedSums(dict[int, int]):
    """Adds halves to *sums*; a dict of the slots of their codes."""

    def __init__(self, prototypes: Prototypes, sums: IntervalSums) -> None:
        super().__init__()
        self._prototypes = prototypes
        self._sums = sums
        self._generations = self._current()

    def _current(self) -> tuple[int, int]:
        return self._prototypes.generation, self._sums.generation

    def add(self, halves: Halves, reasons: npt.NDArray[np.uint8]) -> None:
        """Count *halves* in the open interval, each for its reason (see `numbers_of`)."""
        if not len(halves.keys):
            return
        if self._generations != self._current() or len(self) > _KEPT_CODES:
            self.clear()
            self._generations = self._current()
        states = halves.states & np.uint8(IS_CLIENT | MESSAGING)
        codes = (
            halves.prototypes.astype(np.int64) << (_STATE_BITS + _REASON_BITS)
            | states.astype(np.int64) << _REASON_BITS
            | reasons
        )
        slots = np.fromiter(map(self.__getitem__, codes.tolist()), np.int64, len(codes))
        present, groups = np.unique(slots, return_inverse=True)
        weights = None
        if self._prototypes.has_weights:
            numbers = halves.prototypes.tolist()
            weights = np.array([self._prototypes[each].weight for each in numbers], np.int64)
        nothing: Ints = np.zeros(0, np.int64)
        rows = observed(self._sums.layout, UNPAIRED, groups, len(present), nothing, weights)
        self._sums.add(present, rows)

    def __missing__(self, code: int) -> int:
        prototype = self._prototypes[code >> (_STATE_BITS + _REASON_BITS)]
        states = code >> _REASON_BITS & ((1 << _STATE_BITS) - 1)
        series = UnpairedSeries(
            prototype.tenant,
            prototype.service,
            SERVER if states & IS_CLIENT else CLIENT,
            "messaging_system" if states & MESSAGING else "",
            _REASONS[code & ((1 << _REASON_BITS) - 1)],
        )
        slot = self[code] = self._sums.slot(series.key())
        return slot


def number_of(reason: str) -> np.uint8:
    """Return the number by which *reason* is known here."""
    return np.uint8(_REASONS.index(reason))


def expiry_reasons(halves: Halves, *, has_virtual_nodes: bool) -> npt.NDArray[np.uint8]:
    """Return why nobody waits for the other sides of *halves*, which have expired."""
    is_client, is_root = (halves.states & IS_CLIENT) != 0, (halves.states & ROOT) != 0
    if has_virtual_nodes:
        return np.where(is_client | is_root, number_of(VIRTUAL_NODE), number_of(EXPIRED))
    return np.where(is_root, number_of(NO_PARENT), number_of(EXPIRED))
