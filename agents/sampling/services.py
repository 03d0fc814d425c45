"""Services as bits, so that a set of them costs one integer a trace."""

from __future__ import annotations

from collections.abc import Iterator

from tailrace.schemas import compact_json

_CACHED_SETS = 10_000


class ServiceNames:
    """Gives each service a bit. Bits last as long as the process and are never stored."""

    def __init__(self) -> None:
        self._bits: dict[str, int] = {}
        self._names: list[str] = []
        self._encoded: dict[int, bytes] = {}

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
        return sorted(self._of(bits))

    def encoded(self, bits: int) -> bytes:
        """Return the names of *bits* in alphabetical order, as JSON; made once for each set."""
        names = self._encoded.get(bits)
        if names is None:
            if len(self._encoded) >= _CACHED_SETS:
                self._encoded.clear()
            names = self._encoded[bits] = compact_json.dumps(self.sorted(bits))
        return names

    def _of(self, bits: int) -> Iterator[str]:
        while bits:
            lowest = bits & -bits
            yield self._names[lowest.bit_length() - 1]
            bits ^= lowest
