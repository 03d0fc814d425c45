"""Services as bits, so that a set of them costs one integer a trace."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from tailrace.schemas import compact_json

_CACHED_SETS: Final = 10_000
_CACHED_BYTES: Final = 1000
"""The names of a larger set are not remembered as JSON."""
_MANY: Final = 4096
"""With more, those that nobody has any more are forgotten: a set costs a bit for each there is."""


class ServiceNames:
    """Gives each service a bit. Bits last until `renumbered`, and are never stored."""

    def __init__(self) -> None:
        self._bits: dict[str, int] = {}
        self._names: list[str] = []
        self._encoded: dict[int, bytes] = {}
        self._most = _MANY

    def __len__(self) -> int:
        """How many services have a bit."""
        return len(self._names)

    @property
    def are_many(self) -> bool:
        """True if it is time for `renumbered`."""
        return len(self._names) > self._most

    def renumbered(self, sets: Sequence[int]) -> list[int]:
        """Return *sets* in new bits, all old ones being void; who is in none of them is forgotten.

        It is time again when there are twice as many as then.
        """
        before = {bits: list(self._of(bits)) for bits in set(sets)}
        self._bits, self._names, self._encoded = {}, [], {}
        after = {bits: sum(map(self.bit, names)) for bits, names in before.items()}
        self._most = max(_MANY, 2 * len(self._names))
        return [after[bits] for bits in sets]

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
        """Return the names of *bits* in alphabetical order, as JSON; mostly made once for a set."""
        names = self._encoded.get(bits)
        if names is None:
            names = compact_json.dumps(self.sorted(bits))
            if len(names) <= _CACHED_BYTES:
                if len(self._encoded) >= _CACHED_SETS:
                    self._encoded.clear()
                self._encoded[bits] = names
        return names

    def _of(self, bits: int) -> Iterator[str]:
        while bits:
            lowest = bits & -bits
            yield self._names[lowest.bit_length() - 1]
            bits ^= lowest
