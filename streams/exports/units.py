"""Records of one partition in units: what is translated together.

A unit is one flush of a family, whole, or a run of records that are of no flush. A flush of which
a part is not there, as it was deleted before it was read, is a unit as it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from tailrace.schemas import topics
from tailrace.schemas.records import Record

_RUN_RECORDS: Final = 64
_RUN_BYTES: Final = 4 << 20


@dataclass(frozen=True, slots=True)
class Unit:
    """Records that belong together, of the offsets [start, end)."""

    start: int
    end: int
    records: Sequence[Record]


class Units:
    """Cuts records into units.

    *until*: where the first one ends, if somebody has begun to send it.
    """

    def __init__(self, until: int | None = None) -> None:
        self._until = until
        self._open: list[Record] = []
        self._flush = ""
        self._missing = 0
        self._bytes = 0

    def add(self, records: Sequence[Record], end: int) -> Iterator[Unit]:
        """Yield the units that *records* complete; with them the log is read up to *end*."""
        for record in records:
            if self._until is not None:
                if record.offset < self._until:
                    self._open.append(record)
                    continue
                yield from self._close_first()
            flush, number, count = _flush_of(record)
            if self._open and (flush != self._flush or (not flush and self._is_full)):
                yield from self._close(record.offset)
            self._flush = flush
            self._open.append(record)
            self._bytes += len(record.value or b"")
            if flush and number == count:
                yield from self._close(record.offset + 1)
        if self._until is not None and end >= self._until:
            yield from self._close_first()
        elif self._until is None and not self._flush:
            yield from self._close(end)

    def _close_first(self) -> Iterator[Unit]:
        until, self._until = self._until, None
        yield from self._close(until or 0)

    @property
    def _is_full(self) -> bool:
        return len(self._open) >= _RUN_RECORDS or self._bytes >= _RUN_BYTES

    def _close(self, end: int) -> Iterator[Unit]:
        records, self._open, self._flush, self._bytes = self._open, [], "", 0
        if records:
            yield Unit(records[0].offset, end, records)


def _flush_of(record: Record) -> tuple[str, int, int]:
    """Return of which flush *record* is, and which of its records; an empty one if of none."""
    for name, value in record.headers:
        if name == topics.FLUSH_HEADER:
            flush, _, place = value.decode(errors="replace").rpartition(" ")
            number, _, count = place.partition("/")
            if number.isdecimal() and count.isdecimal():
                return flush, int(number), int(count)
    return "", 0, 0
