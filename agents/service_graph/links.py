"""Halves that are looked for in other traces: of consumers, by what their spans link to."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tailrace.schemas.half_edges import (
    CLIENT,
    DATABASE,
    FAILED,
    KEY_BYTES,
    LINKED,
    MESSAGING,
    Keys,
)
from tailrace.schemas.spans import Links, SpanBatch
from tailrace.tables.half_edge_rows import Halves

_PRODUCER = CLIENT | MESSAGING


def mark_producers(states: npt.NDArray[np.uint8]) -> None:
    """Mark those of *states* that are of producers: consumers of other traces may look for them."""
    states[(states & (_PRODUCER | DATABASE)) == _PRODUCER] |= LINKED


def linked_halves(batch: SpanBatch, rows: npt.NDArray[np.intp], halves: Halves) -> Halves | None:
    """Return a half for each producer that a consumer of *halves* links to, None if there is none.

    `halves` are of *rows*, ascending; those with links are marked. A link to the span's own parent
    is none: these two meet anyway. Nor is a second link of a span to the same producer.
    """
    links = batch.links
    if links is None or not len(links):
        return None
    place = np.minimum(np.searchsorted(rows, links.row), len(rows) - 1)
    keys = _keys(links)
    wanted = np.flatnonzero((rows[place] == links.row) & (keys != halves.keys[place]))
    wanted = wanted[_is_first(place[wanted], keys[wanted])]
    chosen = place[wanted]
    if not len(chosen):
        return None
    states = halves.states[chosen] & np.uint8(MESSAGING | FAILED)
    halves.states[chosen] |= np.uint8(LINKED)
    return halves.part(chosen)._replace(keys=keys[wanted], states=states)


def _keys(links: Links) -> Keys:
    """Return the keys of the producers that are linked to."""
    words = np.empty((len(links), KEY_BYTES // 8), np.uint64)
    words[:, :2] = np.frombuffer(b"".join(links.trace_id), np.uint64).reshape(-1, 2)
    words[:, 2] = np.frombuffer(b"".join(links.span_id), np.uint64)
    return words.view(f"V{KEY_BYTES}")[:, 0]


def _is_first(place: npt.NDArray[np.intp], keys: Keys) -> npt.NDArray[np.bool_]:
    """False where the same place and key stood before."""
    firsts: dict[tuple[int, bytes], int] = {}
    for number, pair in enumerate(zip(place.tolist(), keys.tolist(), strict=True)):
        firsts.setdefault(pair, number)
    found = np.zeros(len(place), np.bool_)
    found[list(firsts.values())] = True
    return found
