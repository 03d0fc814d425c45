"""From calls to the sums of their edges."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from tailrace.agents.service_graph.halves import NAME_BYTES
from tailrace.agents.service_graph.settings import ServiceGraphSettings
from tailrace.schemas import half_edges as bits
from tailrace.schemas.half_edges import Prototype, cut
from tailrace.schemas.series import (
    CLIENT,
    CLIENT_FAILED,
    SERVER,
    SERVER_FAILED,
    VIRTUAL_NODE,
    EdgeSeries,
)
from tailrace.schemas.sums import Ints, merged, observed
from tailrace.tables.half_edge_rows import Prototypes
from tailrace.tables.half_edges import NOBODY, Calls
from tailrace.tables.interval_sums import IntervalSums

KEY_BYTES = 16 << 10
"""How long the key of an edge may be: every record must hold several."""
USER, UNKNOWN = "user", "unknown"
_KEPT_CODES = 100_000
_TYPES = ("", "messaging_system", "database", VIRTUAL_NODE)
_MESSAGING, _DATABASE, _VIRTUAL = 1, 2, 3
_TYPE_BITS, _SIDE_BITS = 2, 30


class Edges(NamedTuple):
    """Calls of edges by code, which says for some prototypes what edge a call is of."""

    codes: Ints
    client_ns: Ints
    server_ns: Ints
    at: Ints
    is_failed: npt.NDArray[np.bool_]

    def only(self, rows: npt.NDArray[np.bool_]) -> Edges:
        """Return those of *rows*."""
        return Edges(
            self.codes[rows],
            self.client_ns[rows],
            self.server_ns[rows],
            self.at[rows],
            self.is_failed[rows],
        )

    def before(self, others: Edges) -> Edges:
        """Return these, then *others*."""
        return Edges(
            np.concatenate((self.codes, others.codes)),
            np.concatenate((self.client_ns, others.client_ns)),
            np.concatenate((self.server_ns, others.server_ns)),
            np.concatenate((self.at, others.at)),
            np.concatenate((self.is_failed, others.is_failed)),
        )


def edges_of(calls: Calls, *, is_virtual: bool) -> Edges:
    """Return the edges of *calls*; virtual ones lack a side."""
    if is_virtual:
        kinds = np.full(len(calls.states), _VIRTUAL, np.int64)
    else:
        is_database = (calls.states & bits.DATABASE) != 0
        is_messaging = (calls.states & bits.MESSAGING) != 0
        kinds = np.where(is_database, _DATABASE, is_messaging * _MESSAGING).astype(np.int64)
    codes = ((calls.client + 1) << _SIDE_BITS | (calls.server + 1)) << _TYPE_BITS | kinds
    is_failed = (calls.states & bits.FAILED) != 0
    return Edges(codes, calls.client_ns, calls.server_ns, calls.at, is_failed)


class _Weights(dict[int, int]):
    """Codes of edges to how many calls one stands for: as many as the side that stands for more.

    For if both sides were sampled by one randomness, that is how rarely both are there.
    """

    def __init__(self, prototypes: Prototypes) -> None:
        super().__init__()
        self._prototypes = prototypes

    def __missing__(self, code: int) -> int:
        sides = [each for each in _sides(code) if each != NOBODY]
        weight = self[code] = max(self._prototypes[each].weight for each in sides)
        return weight


class EdgeSums(dict[int, int]):
    """Adds edges to *sums*; a dict of the slots of their codes."""

    def __init__(
        self,
        settings: ServiceGraphSettings,
        prototypes: Prototypes,
        sums: IntervalSums,
    ) -> None:
        super().__init__()
        self._dimensions = settings.dimensions
        self._labels_virtual_nodes = settings.labels_virtual_nodes
        self._prototypes = prototypes
        self._sums = sums
        self._layout = settings.layout
        self._weights = _Weights(prototypes)
        self._generations = self._current()

    def _current(self) -> tuple[int, int]:
        return self._prototypes.generation, self._sums.generation

    def add(self, edges: Edges) -> None:
        """Count *edges* in the open interval."""
        if not len(edges.codes):
            return
        if self._generations != self._current() or len(self) > _KEPT_CODES:
            self.clear()
            self._weights.clear()
            self._generations = self._current()
        codes = edges.codes.tolist()
        slots = np.fromiter(map(self.__getitem__, codes), np.int64, len(codes))
        is_present = np.zeros(int(slots.max()) + 1, np.bool_)
        is_present[slots] = True
        present, groups = np.flatnonzero(is_present), (np.cumsum(is_present) - 1)[slots]
        weights = None
        if self._prototypes.has_weights:
            weights = np.fromiter(map(self._weights.__getitem__, codes), np.int64, len(codes))
        rows = self._layout.empty(len(present))
        for client, server, chosen in (
            (CLIENT, SERVER, ~edges.is_failed),
            (CLIENT_FAILED, SERVER_FAILED, edges.is_failed),
        ):
            if chosen.any():
                mine = groups[chosen]
                counts = None if weights is None else weights[chosen]
                for name, durations in ((client, edges.client_ns), (server, edges.server_ns)):
                    more = observed(
                        self._layout, name, mine, len(present), durations[chosen], counts
                    )
                    rows = merged(self._layout, rows, more)
        self._sums.add(present, rows)

    def __missing__(self, code: int) -> int:
        client, server = map(self._side, _sides(code))
        connection_type = _TYPES[code & ((1 << _TYPE_BITS) - 1)]
        slot = self[code] = self._sums.slot(_key(self._series(client, server, connection_type)))
        return slot

    def _side(self, number: int) -> Prototype | None:
        return None if number == NOBODY else self._prototypes[number]

    def _series(
        self, client: Prototype | None, server: Prototype | None, connection_type: str
    ) -> EdgeSeries:
        tenant = next(each.tenant for each in (client, server) if each is not None)
        caller = USER if client is None else client.service
        if server is not None:
            callee = server.service
        else:
            callee = (client.target if client is not None else "") or UNKNOWN
        of_client = {} if client is None else dict(client.dimensions)
        of_server = {} if server is None else dict(server.dimensions)
        dimensions = tuple(
            (f"{side}_{name}", values[name])
            for name in self._dimensions
            for side, values in ((CLIENT, of_client), (SERVER, of_server))
            if name in values
        )
        if self._labels_virtual_nodes:
            virtual = CLIENT if client is None else SERVER if server is None else ""
            is_virtual = connection_type == _TYPES[_VIRTUAL]
            dimensions += ((VIRTUAL_NODE, virtual if is_virtual else ""),)
        return EdgeSeries(tenant, caller, callee, connection_type, dimensions)


def _sides(code: int) -> tuple[int, int]:
    """Return the prototypes of client and server, or NOBODY."""
    sides = code >> _TYPE_BITS
    return (sides >> _SIDE_BITS) - 1, (sides & ((1 << _SIDE_BITS) - 1)) - 1


def _key(series: EdgeSeries) -> bytes:
    """Return the key of *series*, its names cut so that it has at most KEY_BYTES."""
    key, limit = series.key(), NAME_BYTES
    while len(key) > KEY_BYTES and limit:
        limit //= 2
        key = series._replace(
            client=cut(series.client, limit),
            server=cut(series.server, limit),
            dimensions=tuple((name, cut(text, limit)) for name, text in series.dimensions),
        ).key()
    return key
