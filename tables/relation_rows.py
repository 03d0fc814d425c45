"""What is kept of spans and traces that relations between spans are about, and how it is stored.

Masks are sets of numbers as bits: of filters, or of signals. A row is stored with the numbers of
the day; the head of its block (`Terms`) says what they meant, so that it can be read in others'.

Values are lists of byte strings, each behind its length (u32); numbers in them are little endian,
masks as short as they are.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import orjson

from tailrace.tables.aging_rows import Decoder, Row

_SPAN = struct.Struct("<qq?")
_TRACE = struct.Struct("<qqqqq?")
_OWED = struct.Struct("<IB")
_NUMBER = struct.Struct("<I")


EVENT, MATCH = 1, 2
"""What may be owed to a signal: an event, a match, or both."""


Owed = tuple[tuple[int, int], ...]
Groups = tuple[tuple[int, bytes], ...]


class Witness(NamedTuple):
    """A span as evidence shows it; times in ns."""

    trace_id: bytes
    span_id: bytes
    start: int
    end: int
    service: str
    name: str


@dataclass(slots=True)
class Orphan:
    """A child that waits for its parent.

    `owed`: signals and bits of EVENT and MATCH. `groups`: numbers of groupings and its groups.
    `has_met`: some span came under the parent's id that a filter of parents is of.
    """

    parent_id: bytes
    child: Witness
    owed: Owed
    groups: Groups
    has_met: bool = False

    def group(self, grouping: int) -> bytes:
        """Return the child's group in *grouping*."""
        return next(group for number, group in self.groups if number == grouping)


@dataclass(slots=True, eq=False)
class KnownSpan(Row):
    """A span id of a trace; the key is the trace's id and the span's.

    `filters`: those filters of parents that some span under this id is of. `taken`: the signals
    that have had a span under this id as their child.
    """

    filters: int
    taken: int
    orphans: tuple[Orphan, ...] = ()


@dataclass(slots=True, eq=False)
class GatheredTrace(Row):
    """A trace before its judgement; the key is its id. Times in ns.

    `filters`: those that some span is of. `known`: the signals that were there when it opened.
    `witness`: its root, or its longest span; `groups` are that one's.
    """

    start: int
    end: int
    spans: int
    filters: int
    known: int
    witness: Witness
    has_root: bool
    groups: Groups

    def group(self, grouping: int) -> bytes:
        """Return the group of the witness in *grouping*."""
        return next(group for number, group in self.groups if number == grouping)


class Terms(NamedTuple):
    """What numbers mean: filters and signals by their hashes, groupings by their fields."""

    filters: tuple[bytes, ...]
    signals: tuple[bytes, ...]
    groupings: tuple[tuple[str, ...], ...]

    @property
    def head(self) -> bytes:
        """Return them as bytes."""
        hashes = [[each.hex() for each in part] for part in (self.filters, self.signals)]
        return orjson.dumps([*hashes, self.groupings])


def _terms(head: bytes) -> Terms:
    filters, signals, groupings = orjson.loads(head)
    return Terms(
        tuple(map(bytes.fromhex, filters)),
        tuple(map(bytes.fromhex, signals)),
        tuple(map(tuple, groupings)),
    )


class _Translation:
    """From the numbers of other terms to those of today; what is no more is left out."""

    def __init__(self, old: Terms, new: Terms) -> None:
        self.is_same = old == new
        self.filters, self.signals, self.groupings = (
            {before: today[each] for before, each in enumerate(old[part]) if each in today}
            for part, today in enumerate({each: n for n, each in enumerate(of)} for of in new)
        )
        self._memo: dict[tuple[bool, int], int] = {}

    def mask(self, mask: int, is_signals: bool) -> int:
        """Return a mask of signals, or of filters."""
        if self.is_same:
            return mask
        found = self._memo.get((is_signals, mask))
        if found is None:
            numbers = self.signals if is_signals else self.filters
            found = sum(1 << new for old, new in numbers.items() if mask >> old & 1)
            self._memo[is_signals, mask] = found
        return found


class KnownSpans:
    """The codec of `KnownSpan`."""

    def __init__(self, terms: Terms) -> None:
        self._terms = terms
        self.head = terms.head

    def encode(self, row: KnownSpan) -> bytes:
        return _packed([_mask(row.filters), _mask(row.taken), *map(_orphan, row.orphans)])

    def decoder(self, head: bytes) -> Decoder[KnownSpan]:
        change = _Translation(_terms(head), self._terms)

        def decode(key: bytes, due: int, value: bytes) -> KnownSpan | None:
            filters, taken, *orphans = _unpacked(value)
            row = KnownSpan(
                key, due, change.mask(_number(filters), False), change.mask(_number(taken), True)
            )
            found = (_read_orphan(key[:16], key[16:], each, change) for each in orphans)
            row.orphans = tuple(each for each in found if each.owed)
            return row if row.filters or row.taken else None

        return decode


class GatheredTraces:
    """The codec of `GatheredTrace`."""

    def __init__(self, terms: Terms) -> None:
        self._terms = terms
        self.head = terms.head

    def encode(self, row: GatheredTrace) -> bytes:
        witness = row.witness
        numbers = (row.start, row.end, row.spans, witness.start, witness.end, row.has_root)
        return _packed(
            [
                _TRACE.pack(*numbers),
                _mask(row.filters),
                _mask(row.known),
                witness.span_id,
                _bytes(witness.service),
                _bytes(witness.name),
                *_group_cells(row.groups),
            ]
        )

    def decoder(self, head: bytes) -> Decoder[GatheredTrace]:
        change = _Translation(_terms(head), self._terms)

        def decode(key: bytes, due: int, value: bytes) -> GatheredTrace:
            numbers, filters, known, span_id, service, name, *groups = _unpacked(value)
            start, end, spans, first, last, has_root = _TRACE.unpack(numbers)
            return GatheredTrace(
                key, due, start, end, spans,
                change.mask(_number(filters), False),
                change.mask(_number(known), True),
                Witness(key, span_id, first, last, _text(service), _text(name)),
                has_root,
                _groups(groups, change),
            )  # fmt: skip

        return decode


def _orphan(orphan: Orphan) -> bytes:
    child = orphan.child
    return _packed(
        [
            _SPAN.pack(child.start, child.end, orphan.has_met),
            orphan.parent_id,
            _bytes(child.service),
            _bytes(child.name),
            b"".join(_OWED.pack(*each) for each in orphan.owed),
            *_group_cells(orphan.groups),
        ]
    )


def _read_orphan(trace_id: bytes, span_id: bytes, value: bytes, change: _Translation) -> Orphan:
    numbers, parent_id, service, name, owed, *groups = _unpacked(value)
    start, end, has_met = _SPAN.unpack(numbers)
    signals = change.signals
    return Orphan(
        parent_id,
        Witness(trace_id, span_id, start, end, _text(service), _text(name)),
        tuple((signals[n], bits) for n, bits in _OWED.iter_unpack(owed) if n in signals),
        _groups(groups, change),
        has_met,
    )


def _group_cells(groups: Groups) -> Iterator[bytes]:
    for number, group in groups:
        yield _NUMBER.pack(number)
        yield group


def _groups(cells: Sequence[bytes], change: _Translation) -> Groups:
    known = change.groupings
    rows = ((_number(cells[n]), cells[n + 1]) for n in range(0, len(cells), 2))
    return tuple((known[number], group) for number, group in rows if number in known)


def _packed(cells: Sequence[bytes]) -> bytes:
    return b"".join(part for cell in cells for part in (_NUMBER.pack(len(cell)), cell))


def _unpacked(value: bytes) -> list[bytes]:
    cells, at = [], 0
    while at < len(value):
        (size,) = _NUMBER.unpack_from(value, at)
        at += _NUMBER.size + size
        cells.append(value[at - size : at])
    return cells


def _mask(mask: int) -> bytes:
    return mask.to_bytes((mask.bit_length() + 7) // 8, "little")


def _number(cell: bytes) -> int:
    return int.from_bytes(cell, "little")


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _text(cell: bytes) -> str:
    return cell.decode("utf-8", "surrogatepass")
