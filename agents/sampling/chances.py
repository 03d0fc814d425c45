"""The chance that a trace had to be kept, exactly.

A trace's hashes, one for each salt, are its draws: independent, and each any number of 64 bits with
the same chance. Whatever else is known of the trace, a policy votes for it within a box of draws:
an interval of hashes for each salt that the policy asks. A panel keeps a trace within the union of
such boxes, less those in which it is dropped.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import product
from math import prod
from typing import TypeAlias

MAX_DRAW = (1 << 64) - 1
_DRAWS = 1 << 64
_MAX_CELLS = 1 << 10

Box: TypeAlias = tuple[tuple[int, int, int], ...]
"""Salt (its hash), lowest and highest draw; sorted by salt, each salt once."""

EVERYWHERE: Box = ()
NOWHERE: Box = ((0, 1, 0),)


def box(intervals: Iterable[tuple[int, int, int]]) -> Box:
    """The draws that are in all of *intervals*."""
    found: dict[int, tuple[int, int]] = {}
    for salt, low, high in intervals:
        lowest, highest = found.get(salt, (0, MAX_DRAW))
        found[salt] = max(low, lowest), min(high, highest)
    if any(low > high for low, high in found.values()):
        return NOWHERE
    return tuple(
        (salt, *bounds) for salt, bounds in sorted(found.items()) if bounds != (0, MAX_DRAW)
    )


def complement(of: Box) -> Box:
    """All other draws than those of *of*, which begins at the lowest draw of one salt at most."""
    if of in (EVERYWHERE, NOWHERE):
        return NOWHERE if of == EVERYWHERE else EVERYWHERE
    [(salt, low, high)] = of
    assert low == 0
    return box([(salt, high + 1, MAX_DRAW)])


def volume(of: Box) -> float:
    """The share of all draws that are in it."""
    return _size(of) / _all_of(len(of))


def chance(kept: Iterable[Box], dropped: Iterable[Box] = ()) -> float | None:
    """The share of all draws that are in one of *kept* and in none of *dropped*.

    None if there are more boxes and salts than can be counted out.
    """
    wanted = {each for each in kept if each != NOWHERE}
    unwanted = {each for each in dropped if each != NOWHERE}
    groups = [(wanted, unwanted)] if unwanted else [(part, unwanted) for part in _apart(wanted)]
    missed, draws = 1, 1
    for part, less in groups:
        counted = _count(part, less)
        if counted is None:
            return None
        hits, of = counted
        missed, draws = missed * (of - hits), draws * of
    return (draws - missed) / draws


def _size(of: Box) -> int:
    return prod(max(0, high - low + 1) for _, low, high in of)


def _all_of(salts: int) -> int:
    return 1 << 64 * salts


def _apart(boxes: set[Box]) -> list[set[Box]]:
    """Divide *boxes* into groups that have no salt in common."""
    groups: list[tuple[set[int], set[Box]]] = []
    for each in sorted(boxes):
        salts, group = {salt for salt, _, _ in each}, {each}
        others = []
        for old_salts, old_group in groups:
            if salts & old_salts:
                salts |= old_salts
                group |= old_group
            else:
                others.append((old_salts, old_group))
        groups = [*others, (salts, group)]
    return [group for _, group in groups]


def _count(kept: set[Box], dropped: set[Box]) -> tuple[int, int] | None:
    """Return how many draws are in *kept* and not in *dropped*, and how many there are."""
    edges: dict[int, list[int]] = {}
    for salt, low, high in (interval for each in kept | dropped for interval in each):
        edges.setdefault(salt, [0, _DRAWS]).extend((low, high + 1))
    salts = sorted(edges)
    cuts = [sorted(set(edges[salt])) for salt in salts]
    if prod(len(cut) - 1 for cut in cuts) > _MAX_CELLS:
        return None
    inside, outside = (
        [_cells(each, salts, cuts) for each in boxes] for boxes in (sorted(kept), sorted(dropped))
    )
    hits = 0
    for cell in product(*(range(len(cut) - 1) for cut in cuts)):
        if _is_in(cell, inside) and not _is_in(cell, outside):
            hits += prod(cut[index + 1] - cut[index] for cut, index in zip(cuts, cell, strict=True))
    return hits, _all_of(len(salts))


def _cells(of: Box, salts: Sequence[int], cuts: Sequence[list[int]]) -> list[range]:
    bounds = {salt: (low, high + 1) for salt, low, high in of}
    return [
        range(
            *(bisect_left(cut, edge) for edge in bounds[salt]) if salt in bounds else (0, len(cut))
        )
        for salt, cut in zip(salts, cuts, strict=True)
    ]


def _is_in(cell: tuple[int, ...], boxes: Sequence[list[range]]) -> bool:
    return any(all(index in span for index, span in zip(cell, each, strict=True)) for each in boxes)
