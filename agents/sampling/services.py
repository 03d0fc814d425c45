"""Services as bits, so that a set of them costs one integer a trace."""

from __future__ import annotations

from collections.abc import Iterator

_CACHED_SETS = 10_000


class ServiceNames:
    """Gives each service a bit. Bits last as long as the process and are never stored."""

    def __init__(self) -> None:
        self._bits: dict[str, int] = {}
        self._names: list[str] = []
        self._sorted: dict[int, list[str]] = {}

    def bit(self, name: str) -> int:
        """Return the bit of the service *name*; 0 for a span without a service."""
        if not name:
            return 0
        bit = self._bits.get(name)
        if bit is None:
            bit = self._bits[name] = 1 << len(self._names)
            self._names.append(name)
        return bit

    def sorted(self, bits: int) -> list[str]:
        """Return the names of *bits* in alphabetical order."""
        names = self._sorted.get(bits)
        if names is None:
            if len(self._sorted) >= _CACHED_SETS:
                self._sorted.clear()
            names = self._sorted[bits] = sorted(self._of(bits))
        return names

    def _of(self, bits: int) -> Iterator[str]:
        while bits:
            lowest = bits & -bits
            yield self._names[lowest.bit_length() - 1]
            bits ^= lowest
