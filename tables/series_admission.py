"""Under which key a series is counted: who says so, and what it said."""

from __future__ import annotations

from typing import Final, Protocol

from tailrace.tables.series_keys import SeriesKeys

_KEPT_BYTES: Final = 16 << 20
"""About how many bytes of keys are remembered."""
_ENTRY_BYTES: Final = 200
"""About what a key costs besides its own bytes."""


class Admission(Protocol):
    """Who decides under which key a series is counted.

    What it says may depend on the key and on which series there are, and on nothing else, not on
    their order: after a restart it is told of them in the order of their slots.
    """

    def admit(self, key: bytes) -> bytes:
        """Return the key under which *key*, which no series has, is counted; perhaps itself.

        It is asked again when there are other series.
        """
        ...

    def met(self, key: bytes) -> None:
        """From now on there is a series with *key*."""
        ...

    def gone(self, key: bytes) -> None:
        """There is no series with *key* any more."""
        ...


class Everybody:
    """Admits every key as it is."""

    def admit(self, key: bytes) -> bytes:
        return key

    def met(self, key: bytes) -> None:
        """It makes no difference."""

    def gone(self, key: bytes) -> None:
        """It makes no difference."""


EVERYBODY: Final = Everybody()


class Doorkeeper:
    """Gives keys that have no slot of *keys* the one that *admission* wants for them.

    It remembers what it was told until there are other series, or too many bytes of keys.
    """

    def __init__(self, keys: SeriesKeys, admission: Admission) -> None:
        self._keys = keys
        self._admission = admission
        self._elsewhere: dict[bytes, int] = {}
        self._bytes = 0
        self.new: set[int] = set()
        """Slots that were given; whoever reads it empties it."""

    def restored(self) -> None:
        """Tell of the series that there are."""
        for slot in self._keys.taken.tolist():
            self._admission.met(self._keys[slot])

    def slot_of(self, key: bytes) -> int:
        """Return the slot where *key*, which has none, is counted."""
        slot = self._elsewhere.get(key)
        if slot is not None:
            return slot
        admitted = self._admission.admit(key)
        slot = self._keys.find(admitted)
        if slot is None:
            slot = self._keys.add(admitted)
            self.new.add(slot)
            self._admission.met(admitted)
            self._forget()
        if admitted != key:
            self._remember(key, slot)
        return slot

    def counted_as(self, key: bytes) -> bytes:
        """Return the key under which *key*, which has no slot, would be counted now."""
        slot = self._elsewhere.get(key)
        return self._admission.admit(key) if slot is None else self._keys[slot]

    def _remember(self, key: bytes, slot: int) -> None:
        cost = len(key) + _ENTRY_BYTES
        if self._bytes + cost > _KEPT_BYTES:
            self._forget()
        self._elsewhere[key] = slot
        self._bytes += cost

    def _forget(self) -> None:
        self._elsewhere.clear()
        self._bytes = 0

    def gone(self, keys: list[bytes]) -> None:
        """Tell that the series of *keys* are no more."""
        self._forget()
        for key in keys:
            self._admission.gone(key)
