"""What the transport delivers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tailrace.schemas.records import Record


@dataclass(frozen=True, slots=True)
class Batch:
    """The records of one partition at the offsets [start, end).

    Offsets without a record were control records or compacted. A reader whose position is not
    `start` must not take the batch: it belongs to a position that was given up.
    """

    topic: str
    partition: int
    start: int
    end: int
    records: Sequence[Record]
