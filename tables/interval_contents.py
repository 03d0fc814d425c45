"""Contents of one source that close together: one watermark says that all of them are told.

What each of them is, and what is sent of it, is its own; see `interval_source`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from tailrace.schemas.records import Outbox
from tailrace.tables.interval_source import Content, IntervalSource, RollupTopic
from tailrace.tables.store import PartitionStore


class Kept(Content, Protocol):
    """A content that is in the store between two processes."""

    def restore(self, now: int) -> None:
        """Read the open interval, at stream time *now* (ms)."""
        ...

    def seal(self) -> None:
        """Put the open interval into the store."""
        ...


class IntervalContents:
    """The open interval of one source, with all its *contents*.

    *prefix* is that of the source in *store*; contents have their own.
    """

    def __init__(
        self,
        store: PartitionStore,
        prefix: bytes,
        topic: RollupTopic,
        source: str,
        contents: Sequence[Kept],
    ) -> None:
        self._contents = contents
        self._source = IntervalSource(store, prefix, topic, source, self)

    def __len__(self) -> int:
        """How many series and other things are in the open interval."""
        return sum(map(len, self._contents))

    def restore(self, now: int) -> None:
        """Go on at stream time *now* (ms)."""
        self._source.restore(now)
        for content in self._contents:
            content.restore(now)

    def roll(self, now: int, outbox: Outbox) -> None:
        """Close the open interval if *now* (ms) lies after it; call before adding at *now*."""
        self._source.roll(now, outbox)

    def idle(self, now: int, outbox: Outbox) -> None:
        """Close the open interval if *now* lies after it, and say that nothing more is known."""
        self._source.idle(now, outbox)

    def seal(self) -> None:
        """Put the open interval into the store."""
        for content in self._contents:
            content.seal()

    def take(self, start: int) -> Mapping[int, Sequence[bytes]]:
        """Return the records of the interval that began at *start*, those of each content in turn;
        it is empty afterwards."""
        records: dict[int, list[bytes]] = {}
        for content in self._contents:
            for partition, values in content.take(start).items():
                records.setdefault(partition, []).extend(values)
        return records
