"""The doorkeeper: what it remembers of keys that are counted elsewhere."""

from __future__ import annotations

import tracemalloc

from tailrace.tables.series_admission import Doorkeeper
from tailrace.tables.series_keys import SeriesKeys


class Nobody:
    """Has every key counted under the same one, and says how often it was asked."""

    def __init__(self) -> None:
        self.asked = 0

    def admit(self, key: bytes) -> bytes:
        self.asked += 1
        return b"others"

    def met(self, key: bytes) -> None:
        """It makes no difference."""

    def gone(self, key: bytes) -> None:
        """It makes no difference."""


def test_admission_is_asked_once_about_a_key_until_there_are_other_series() -> None:
    nobody = Nobody()
    door = Doorkeeper(SeriesKeys(), nobody)
    assert [door.slot_of(key) for key in (b"a", b"b", b"a", b"b")] == [0] * 4
    assert nobody.asked == 2
    door.gone([b"c"])
    assert door.slot_of(b"a") == 0
    assert nobody.asked == 3


def test_what_is_remembered_is_limited_in_bytes() -> None:
    door = Doorkeeper(SeriesKeys(), Nobody())
    tracemalloc.start()
    for number in range(3000):
        assert door.slot_of(b"%d".ljust(16_000, b"-") % number) == 0
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 17 << 20


def test_of_short_keys_more_are_remembered() -> None:
    nobody = Nobody()
    door = Doorkeeper(SeriesKeys(), nobody)
    for _ in range(2):
        for number in range(50_000):
            door.slot_of(b"%d" % number)
    assert nobody.asked == 50_000
