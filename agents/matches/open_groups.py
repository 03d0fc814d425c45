"""Open groups: how many groups of a signal may have something in one interval.

The first in the order of records have; what comes for others is counted as `overflow`.
"""

from __future__ import annotations

from collections.abc import Iterable

from tailrace.schemas.matches import Series, SignalId


class OpenGroups:
    """The groups of the open interval, at most *most* of each signal."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._open: dict[SignalId, set[bytes]] = {}

    def restore(self, keys: Iterable[Series]) -> None:
        """Open the groups of *keys*, with which the open interval goes on."""
        for key in keys:
            self._open.setdefault(key.signal, set()).add(key.group)

    def admits(self, signal: SignalId, group: bytes, overflow: bytes) -> bool:
        """True if *group* is open, or may be and is from now on; *overflow* always is."""
        known = self._open.setdefault(signal, set())
        if group in known or group == overflow:
            return True
        if len(known) - (overflow in known) >= self._most:
            return False
        known.add(group)
        return True

    def close(self) -> None:
        """Begin a new interval."""
        self._open.clear()
