"""What became of halves since somebody last looked: edges, the unpaired, and what is passed on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from tailrace.agents.service_graph.edges import Edges, edges_of
from tailrace.agents.service_graph.unpaired import STORE_FULL, expiry_reasons, number_of
from tailrace.schemas.half_edges import CLIENT, LINKED, ROOT, Ints
from tailrace.schemas.records import Totals
from tailrace.tables.half_edge_rows import Halves
from tailrace.tables.half_edges import HalfEdges, lone_calls
from tailrace.tables.open_links import Kind

Passed = Sequence[tuple[Kind, Halves]]


class Settled(NamedTuple):
    """Edges and halves by when it was clear what they are. `unpaired[i]` is for `reasons[i]`."""

    edges: Edges
    unpaired: Sequence[tuple[Halves, npt.NDArray[np.uint8]]]
    passed: Passed

    def times(self) -> Ints:
        """Return when something was clear, ms."""
        halves = [*(halves for halves, _ in self.unpaired), *(halves for _, halves in self.passed)]
        return np.concatenate([self.edges.at, *(each.times for each in halves)])

    def between(self, start: int, end: int) -> Settled:
        """Return what was clear in [start, end)."""

        def within(times: Ints) -> npt.NDArray[np.bool_]:
            inside: npt.NDArray[np.bool_] = (times >= start) & (times < end)
            return inside

        unpaired = [(halves, reasons, within(halves.times)) for halves, reasons in self.unpaired]
        return Settled(
            self.edges.only(within(self.edges.at)),
            [(halves.part(rows), reasons[rows]) for halves, reasons, rows in unpaired],
            [(kind, halves.part(within(halves.times))) for kind, halves in self.passed],
        )


def completed(halves: HalfEdges) -> Settled:
    """Take the calls of *halves* that are complete by now, and those that had no room."""
    edges = edges_of(halves.calls(), is_virtual=False)
    dropped = halves.dropped()
    # Of a consumer with links, these say what became of it.
    told = dropped.part((dropped.states & (CLIENT | LINKED)) != LINKED)
    reasons = np.full(len(told.keys), number_of(STORE_FULL))
    return Settled(edges, [(told, reasons)], [(Kind.MET, met) for met in halves.met()])


def expired(halves: HalfEdges, now: int, totals: Totals, *, has_virtual_nodes: bool) -> Settled:
    """Take those of *halves* that are due before *now*; after `completed`.

    Who is looked for by links is passed on, if it is a producer, and nothing is said of it here.
    """
    gone = halves.expired(now)
    is_linked = (gone.states & LINKED) != 0
    alone = gone.part(is_linked & ((gone.states & CLIENT) != 0))
    alone = alone._replace(states=alone.states & np.uint8(~LINKED & 0xFF))
    told = gone.part(~is_linked)
    virtual = tell_expired(told, totals, has_virtual_nodes=has_virtual_nodes)
    totals.add("half_edges_linked", int(np.count_nonzero(is_linked)))
    reasons = expiry_reasons(told, has_virtual_nodes=has_virtual_nodes)
    return Settled(virtual, [(told, reasons)], [(Kind.ALONE, alone)])


def tell_expired(halves: Halves, totals: Totals, *, has_virtual_nodes: bool) -> Edges:
    """Count *halves* as expired; return their edges with virtual nodes."""
    is_client, is_root = (halves.states & CLIENT) != 0, (halves.states & ROOT) != 0
    servers, roots = int(np.count_nonzero(is_client)), int(np.count_nonzero(is_root))
    totals.add("edges_expired.server", servers)
    totals.add("edges_expired.client", len(is_client) - servers)
    if has_virtual_nodes:
        totals.add("edges.virtual_server", servers)
        totals.add("edges.virtual_client", roots)
    chosen = halves.part((is_client | is_root) & has_virtual_nodes)
    return edges_of(lone_calls(chosen), is_virtual=True)
