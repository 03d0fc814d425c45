"""First matches: a trace counts once for a signal and group, and again when a window has passed.

Laws:

- A match at t counts if no match of its signal, group and trace counted after t - window, t being
  stream time.
- Of more than `limit` traces that counted in windows of one length, the oldest is forgotten.

In memory and in the store a trace that counted is a hash of 16 bytes.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable

from tailrace.schemas.matches import SignalId
from tailrace.schemas.records import Totals
from tailrace.tables.aging_rows import AgingRows, Row, Unsaid, erase
from tailrace.tables.store import PartitionStore

_KEY_BYTES = 16
_WINDOW = struct.Struct(">q")


class FirstMatches:
    """What counted in one partition, for each length of window. Times in ms of stream time."""

    def __init__(
        self, store: PartitionStore, prefix: bytes, windows_ms: Iterable[int], limit: int
    ) -> None:
        self._store = store
        self._prefix = prefix
        self._limit = limit
        self._counted: dict[int, AgingRows[Row]] = {
            window: AgingRows(store, prefix + _WINDOW.pack(window), _KEY_BYTES, Unsaid())
            for window in sorted(set(windows_ms))
        }

    def __len__(self) -> int:
        return sum(map(len, self._counted.values()))

    def restore(self) -> None:
        """Build memory from the store; windows that nobody asks for any more are removed."""
        size = len(self._prefix)
        stored = {key[size : size + _WINDOW.size] for key, _ in self._store.scan(self._prefix)}
        for window in sorted(stored - set(map(_WINDOW.pack, self._counted))):
            erase(self._store, self._prefix + window)
        for rows in self._counted.values():
            rows.restore()

    def seal(self) -> None:
        """Put into the store what is only in memory."""
        for rows in self._counted.values():
            rows.seal()

    def advance(self, now: int) -> None:
        """Forget what does not matter from *now* on."""
        for rows in self._counted.values():
            while rows.take_due(now + 1) is not None:
                pass

    def counts(
        self,
        now: int,
        window_ms: int,
        signal: SignalId,
        group: bytes,
        trace_id: bytes,
        totals: Totals,
    ) -> bool:
        """Remember that *trace_id* matched at *now*; true if it counts. `advance` was called."""
        said = b"".join((*signal, trace_id, group))
        key = hashlib.blake2b(said, digest_size=_KEY_BYTES).digest()
        rows = self._counted[window_ms]
        if rows.get(key) is not None:
            return False
        if len(rows) >= self._limit:
            totals.add("match_firsts_forgotten", 1)
            rows.take_oldest()
        rows.put(Row(key, now + window_ms))
        return True
