"""Half edges: calls of which one side was seen, and waits for the other.

A half that came at t (ms of stream time) expires when stream time passes t + *ttl*. Laws:

- Sides of two tenants never meet: what follows is said of each tenant alone.
- A server pairs with the client of its key, in whichever order they come, if the earlier one had
  not expired when the later one came. A client pairs with every server under it: with those that
  wait when it comes, and until it expires with those that come. A server pairs with one client.
- Of two clients with one key the first counts: the second is the same span again.
- Every half becomes one side of a call, expires, or waits (`pending`).
- A checkpoint writes what came since the last one and is still wanted, and which older halves were
  paired since; never what was written before.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from tailrace.schemas.half_edges import (
    CLIENT,
    DATABASE,
    FAILED,
    KEY_BYTES,
    LEFT,
    LINKED,
    PAIRED,
    ROOT,
    Ints,
)
from tailrace.tables.half_edge_blocks import Block, has_key
from tailrace.tables.half_edge_journal import PREFIX, HalfEdgeJournal
from tailrace.tables.half_edge_pairs import HalfEdgePairs, tokens
from tailrace.tables.half_edge_rows import HalfRows, Halves, Prototypes
from tailrace.tables.store import PartitionStore

NOBODY = -1
_DONE = PAIRED | LEFT | DATABASE


class Calls(NamedTuple):
    """Calls as columns.

    The prototype of each side or NOBODY; how long the call took there, in ns; when it was complete,
    in ms; the bits of the side that came last, FAILED if either failed.
    """

    client: Ints
    server: Ints
    client_ns: Ints
    server_ns: Ints
    at: Ints
    states: npt.NDArray[np.uint8]


class Met(NamedTuple):
    """What became of halves as they came. `shared`: pairs whose client had paired before."""

    pairs: int = 0
    shared: int = 0
    repeated: int = 0
    dropped: int = 0


class HalfEdges:
    """The half edges of one partition. Times in ms of stream time.

    *prefix* is this table's in *store*.
    """

    def __init__(self, store: PartitionStore, ttl_ms: int, prefix: bytes = PREFIX) -> None:
        self.prototypes = Prototypes()
        self.pending = 0
        """Halves that wait for another side, or just to expire."""
        self._ttl_ms = ttl_ms
        self._journal = HalfEdgeJournal(store, prefix)
        self._rows = HalfRows()
        self._pairs = HalfEdgePairs(self._rows, ttl_ms)
        self._taken = 0  # the serial after the last that `calls` has seen
        self._sealed = 0  # the serial after the last that `seal` has seen
        self._paired_since: list[Ints] = []
        self._dropped: list[int] = []
        self._met: list[Halves] = []

    @property
    def held(self) -> int:
        """The keys that others may find, some perhaps of expired halves."""
        return len(self._pairs)

    @property
    def first_due(self) -> int | None:
        """When the oldest half expires, None if there is none; it is gone after that."""
        times = self._rows.times
        return int(times[0]) + self._ttl_ms if len(times) else None

    def add(self, halves: Halves) -> Met:
        """Let *halves* come, one or more."""
        mine = self._append(halves)
        keyed = has_key(halves.states)
        pairs, shared, repeated = self._pairs.meet(
            self.prototypes.owned(halves.keys[keyed], halves.prototypes[keyed]),
            mine[keyed].tolist(),
            int(halves.times[-1]),
        )
        waiting = int(np.count_nonzero((halves.states & DATABASE) == 0))
        self.pending += waiting - repeated - 2 * pairs + shared
        return Met(pairs, shared, repeated)

    def add_within(self, halves: Halves, limit: int) -> Met:
        """Let *halves* come, all at one time; what is due before that is done already.

        A half that would have to wait beside *limit* others is dropped.
        """
        first, now = self._rows.next, int(halves.times[-1])
        mine = self._append(halves).tolist()
        serials = range(first, self._rows.next)
        keys = self.prototypes.owned(halves.keys, halves.prototypes)
        total = Met()
        for serial, key, token, state in zip(
            serials, keys, mine, halves.states.tolist(), strict=True
        ):
            if state & DATABASE:
                continue
            waits = bool(state & ROOT) or self._pairs.would_wait(key, token)
            if waits and self.pending >= limit:
                self._pairs.leave(token)
                self._dropped.append(serial)
                total = total._replace(dropped=total.dropped + 1)
                continue
            pairs = shared = repeated = 0
            if not state & ROOT:
                pairs, shared, repeated = self._pairs.meet([key], [token], now)
            self.pending += 1 - repeated - 2 * pairs + shared
            total = total._replace(
                pairs=total.pairs + pairs,
                shared=total.shared + shared,
                repeated=total.repeated + repeated,
            )
        return total

    def _append(self, halves: Halves) -> Ints:
        """Remember *halves*; return their tokens."""
        first = self._rows.append(halves)
        return tokens(np.arange(first, self._rows.next), halves.states)

    def calls(self) -> Calls:
        """Take the calls that were completed since this was last asked."""
        rows, first = self._rows, self._rows.first
        pairs, states = self._pairs.take(), rows.states
        waited, came = pairs.waited - first, pairs.came - first
        client = np.where(pairs.is_client, came, waited)
        server = np.where(pairs.is_client, waited, came)
        is_new = (pairs.waited < self._sealed) & ((states[waited] & PAIRED) == 0)
        self._paired_since.append(pairs.waited[is_new])
        bits = states[came] | (states[waited] & FAILED)
        self._meet(client, came)
        states[waited] |= PAIRED
        states[came] |= PAIRED
        states[pairs.left - first] |= LEFT
        seen, self._taken = self._taken - first, rows.next
        alone = np.flatnonzero(states[seen:] & DATABASE) + seen
        client, ends = np.concatenate((client, alone)), np.concatenate((server, alone))
        nobody = np.full(len(alone), NOBODY)
        return Calls(
            rows.prototypes[client].astype(np.int64),
            np.concatenate((rows.prototypes[server], nobody)),
            rows.durations[client],
            rows.durations[ends],
            np.concatenate((rows.times[came], rows.times[alone])),
            np.concatenate((bits, states[alone])),
        )

    def _meet(self, client: Ints, came: Ints) -> None:
        """Remember the clients that are looked for by links, and met their first server here."""
        rows = self._rows
        states = rows.states[client]
        firsts = np.flatnonzero(((states & LINKED) != 0) & ((states & PAIRED) == 0))
        if len(firsts):
            _, places = np.unique(client[firsts], return_index=True)
            chosen = firsts[np.sort(places)]
            self._met.append(rows.chosen(client[chosen], rows.times[came[chosen]]))

    def met(self) -> list[Halves]:
        """Take the clients with links that met a server since this was last asked, in order.

        Their times are when they did; after `calls`.
        """
        met, self._met = self._met, []
        return met

    def expired(self, now: int) -> Halves:
        """Take the halves that waited in vain until before *now*, in order; after `calls`.

        Their times are when they expire.
        """
        rows = self._rows
        count = rows.first_since(now - self._ttl_ms) - rows.first
        waited = np.flatnonzero((rows.states[:count] & _DONE) == 0)
        expired = rows.chosen(waited, rows.times[waited] + self._ttl_ms)
        self.pending -= len(waited)
        rows.drop(count)
        self._pairs.forget()
        return expired

    def dropped(self) -> Halves:
        """Take the halves that had no room since this was last asked, in order; before `expired`.

        Their times are when they came.
        """
        serials = np.array(self._dropped, np.int64) - self._rows.first
        self._dropped = []
        return self._rows.chosen(serials, self._rows.times[serials])

    def forget_prototypes(self) -> None:
        """Forget the prototypes that no half has any more, if they are many; after `calls`."""
        if self.prototypes.are_many:
            column = self._rows.prototypes
            used = np.unique(column)
            column[:] = np.searchsorted(used, column)
            self.prototypes.keep(used.astype(np.int64))

    def seal(self) -> None:
        """Put into the store what is only in memory; after `calls`."""
        rows = self._rows
        fresh = max(self._sealed, rows.first) - rows.first
        wanted = np.flatnonzero(_is_wanted(rows.states[fresh:])) + fresh
        paired = np.concatenate([np.zeros(0, np.int64), *self._paired_since])
        self._sealed, self._paired_since = rows.next, []
        block = Block(
            rows.next,
            wanted + rows.first,
            [self.prototypes[number] for number in rows.prototypes[wanted].tolist()],
            rows.durations[wanted],
            rows.times[wanted],
            rows.states[wanted],
            rows.keys[wanted],
            paired[paired >= rows.first],
        )
        self._journal.write(block, rows.first)

    def restore(self) -> None:
        """Read what is in the store; once, before anything else."""
        first, blocks = self._journal.read()
        rows = self._rows = HalfRows(first)
        end = max([first, *(block.end for block in blocks)])
        self._fill(blocks, end - first)
        self._pairs = HalfEdgePairs(rows, self._ttl_ms)
        self._taken = self._sealed = end
        states = rows.states
        self.pending = int(np.count_nonzero((states & _DONE) == 0))
        held = np.flatnonzero(_is_wanted(states) & has_key(states))
        mine = tokens(held + first, states[held])
        has_paired = (states[held] & PAIRED) != 0
        keys = self.prototypes.owned(rows.keys[held], rows.prototypes[held])
        self._pairs.restore(keys, mine.tolist(), has_paired.tolist())

    def _fill(self, blocks: list[Block], count: int) -> None:
        """Put *blocks* into the rows; halves that are in none have left."""
        first, keys = self._rows.first, np.zeros(count, f"V{KEY_BYTES}")
        prototypes, states = np.zeros(count, np.int32), np.full(count, LEFT, np.uint8)
        durations, times = np.zeros(count, np.int64), np.zeros(count, np.int64)
        for block in blocks:
            numbers = np.array(
                [self.prototypes.number(each) for each in block.prototypes], np.int32
            )
            alive = np.flatnonzero(block.serials >= first)
            at = block.serials[alive] - first
            durations[at], times[at] = block.durations[alive], block.times[alive]
            states[at], prototypes[at] = block.states[alive], numbers[alive]
            keys[at] = block.keys[alive]
        for block in blocks:
            states[block.paired[block.paired >= first] - first] |= PAIRED
        times = np.maximum.accumulate(times)
        self._rows.append(Halves(keys, prototypes, durations, times, states))


def lone_calls(halves: Halves) -> Calls:
    """Return *halves* as calls that lack the other side, which took no time there."""
    prototypes = halves.prototypes.astype(np.int64)
    is_client = (halves.states & CLIENT) != 0
    return Calls(
        np.where(is_client, prototypes, NOBODY),
        np.where(is_client, NOBODY, prototypes),
        np.where(is_client, halves.durations, 0),
        np.where(is_client, 0, halves.durations),
        halves.times,
        halves.states,
    )


def _is_wanted(states: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    """False for halves that have left, and for servers that have paired: a client is kept."""
    is_left = (states & (LEFT | DATABASE)) != 0
    is_served = (states & (CLIENT | PAIRED)) == PAIRED
    wanted: npt.NDArray[np.bool_] = ~(is_left | is_served)
    return wanted
