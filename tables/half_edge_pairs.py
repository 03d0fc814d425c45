"""Who waits for whom: half edges by key.

Whom others may look for is a token: its serial, then whether it has paired, then CLIENT. Expired
halves are passed over from the moment they expire. They are removed many at a time: those that came
since the last removal are in one dict, those before in another, which is dropped when all in it
have expired. Who is found there moves to the newer one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from tailrace.schemas.half_edges import CLIENT, Ints
from tailrace.tables.half_edge_rows import HalfRows

_FLAG_BITS = 2
_HAS_PAIRED = 2


def tokens(serials: Ints, states: npt.NDArray[np.uint8]) -> Ints:
    """Return the tokens of halves that have not paired."""
    return serials << _FLAG_BITS | (states & CLIENT)


class Pairs(NamedTuple):
    """The serials of new pairs: which side waited, which came, and if that was the client.

    `left`: those that nobody waits for.
    """

    waited: Ints
    came: Ints
    is_client: Ints
    left: Ints


class HalfEdgePairs:
    """The halves of *rows* that others may look for."""

    def __init__(self, rows: HalfRows, ttl_ms: int) -> None:
        self._rows = rows
        self._ttl_ms = ttl_ms
        self._held: dict[bytes, int] = {}
        self._older: dict[bytes, int] = {}
        self._older_end = 0  # the serial after the last in `_older`
        self._siblings: dict[bytes, deque[int]] = {}  # servers that wait behind one in `_held`
        self._waited: list[int] = []
        self._came: list[int] = []
        self._left: list[int] = []

    def __len__(self) -> int:
        """How many keys are here, some perhaps of expired halves."""
        return len(self._held) + len(self._older) + len(self._siblings)

    def meet(self, keys: Sequence[bytes], tokens: Sequence[int], now: int) -> tuple[int, int, int]:
        """Let halves come in order, until *now*.

        Return how many pairs there are more; how many of them with a client that had paired before;
        and how many clients were there before.
        """
        held, older, siblings = self._held, self._older, self._siblings
        setdefault, waited, came = held.setdefault, self._waited, self._came
        pairs, left, shared = len(came), len(self._left), 0
        doubtful = self._rows.first_since(now - self._ttl_ms) << _FLAG_BITS
        for key, token in zip(keys, tokens, strict=True):
            found = setdefault(key, token)
            if found == token:
                if not older or (found := older.pop(key, token)) == token:
                    continue
                held[key] = found
            if found < doubtful:
                found = self._found(key, token)
                if found == token:
                    continue
            if token & CLIENT:
                if found & CLIENT:
                    self._left.append(token)
                    continue
                held[key] = token | _HAS_PAIRED
                waited.append(found)
                came.append(token)
                if siblings and key in siblings:
                    others = siblings.pop(key)
                    shared += len(others)
                    waited += others
                    came += [token] * len(others)
            elif found & CLIENT:
                waited.append(found)
                came.append(token)
                shared += bool(found & _HAS_PAIRED)
                held[key] = found | _HAS_PAIRED
            else:
                siblings.setdefault(key, deque()).append(token)
        return len(came) - pairs, shared, len(self._left) - left

    def would_wait(self, key: bytes, token: int) -> bool:
        """True if *token*, which has just come, would neither pair nor be there before."""
        if key in self._older:
            self._held[key] = self._older.pop(key)
        found = self._found(key, token)
        if found == token:
            del self._held[key]
        return found == token or not (found | token) & CLIENT

    def leave(self, token: int) -> None:
        """Nobody waits for *token*."""
        self._left.append(token)

    def take(self) -> Pairs:
        """Return what is new since this was last asked."""
        waited, came, left = (
            np.array(each, np.int64) for each in (self._waited, self._came, self._left)
        )
        self._waited.clear()
        self._came.clear()
        self._left.clear()
        return Pairs(waited >> _FLAG_BITS, came >> _FLAG_BITS, came & CLIENT, left >> _FLAG_BITS)

    def restore(
        self, keys: Sequence[bytes], tokens: Sequence[int], has_paired: Sequence[bool]
    ) -> None:
        """Let halves be here as they were, in the order in which they came."""
        for key, new, paired in zip(keys, tokens, has_paired, strict=True):
            token = new | _HAS_PAIRED if paired else new
            if self._found(key, token) != token:
                self._siblings.setdefault(key, deque()).append(token)

    def forget(self) -> None:
        """Remove halves that are gone from the rows, if there may be many."""
        first = self._rows.first
        if first < self._older_end:
            return
        self._older, self._held = self._held, {}
        self._older_end = self._rows.next
        if self._siblings:
            self._siblings = {
                key: others
                for key, others in self._siblings.items()
                if others[-1] >> _FLAG_BITS >= first
            }

    def _found(self, key: bytes, token: int) -> int:
        """Return whom *token* finds when it comes, itself if nobody; forgets who expired before."""
        time = self._rows.time(token >> _FLAG_BITS)
        alive = self._rows.first_since(time - self._ttl_ms) << _FLAG_BITS
        held = self._held
        while (found := held.setdefault(key, token)) < alive:
            others = self._siblings.get(key)
            if others:
                held[key] = others.popleft()
                if not others:
                    del self._siblings[key]
            else:
                del held[key]
        return found
