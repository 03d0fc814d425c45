"""Who waits for whom: half edges by key.

Whom others may look for is a token: its serial, then whether it has paired, then CLIENT. Expired
halves are passed over from the moment they expire, and removed when they are told to be.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from tailrace.tables.half_edge_rows import CLIENT, HalfRows, Ints

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
        self._tokens: dict[bytes, int] = {}
        self._siblings: dict[bytes, list[int]] = {}  # servers that wait behind one in `_tokens`
        self._waited: list[int] = []
        self._came: list[int] = []
        self._left: list[int] = []

    def meet(self, keys: Sequence[bytes], tokens: Sequence[int], now: int) -> tuple[int, int, int]:
        """Let halves come in order, until *now*.

        Return how many pairs there are more; how many of them with a client that had paired before;
        and how many clients were there before.
        """
        held, siblings = self._tokens, self._siblings
        setdefault, waited, came = held.setdefault, self._waited, self._came
        pairs, left, shared = len(came), len(self._left), 0
        doubtful = self._rows.first_since(now - self._ttl_ms) << _FLAG_BITS
        for key, token in zip(keys, tokens, strict=True):
            found = setdefault(key, token)
            if found == token:
                continue
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
                if found & _HAS_PAIRED:
                    shared += 1
                else:
                    held[key] = found | _HAS_PAIRED
            else:
                siblings.setdefault(key, []).append(token)
        return len(came) - pairs, shared, len(self._left) - left

    def would_wait(self, key: bytes, token: int) -> bool:
        """True if *token* would neither pair nor be there before; nothing here has expired."""
        found = self._tokens.get(key)
        return found is None or not (found | token) & CLIENT

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
                self._siblings.setdefault(key, []).append(token)

    def forget(self, keys: Sequence[bytes], serials: Sequence[int]) -> None:
        """Remove halves that have expired, those that are still here, in their order."""
        held, siblings = self._tokens, self._siblings
        pop = held.pop
        for key, serial in zip(keys, serials, strict=True):
            found = pop(key, None)
            if found is None:
                continue
            if found >> _FLAG_BITS != serial:
                held[key] = found
            elif siblings and key in siblings:
                others = siblings[key]
                held[key] = others.pop(0)
                if not others:
                    del siblings[key]

    def _found(self, key: bytes, token: int) -> int:
        """Return whom *token* finds when it comes, itself if nobody; forgets who expired before."""
        until = self._rows.time(token >> _FLAG_BITS) - self._ttl_ms
        while (found := self._tokens.setdefault(key, token)) != token:
            if self._rows.time(found >> _FLAG_BITS) >= until:
                break
            self.forget([key], [found >> _FLAG_BITS])
        return found
