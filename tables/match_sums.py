"""Match sums: events and matches of the open interval, by series and second of event time.

When the interval closes, and what is sent then: see `interval_source`. Many are added at a time:
nothing here costs anything for each series but what its key costs once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from tailrace.schemas.matches import (
    MatchCounts,
    are_counts,
    decode_counts,
    encode_counts,
    of_version_1,
)
from tailrace.schemas.records import Outbox
from tailrace.schemas.sums import Ints, decode
from tailrace.tables.interval_source import IntervalSource, RollupTopic
from tailrace.tables.series_book import SeriesBook
from tailrace.tables.store import PartitionStore

_OPEN = b"o"
_VALUE_BYTES = 512 << 10
"""About the largest value in the store."""
_KEPT_SERIES = 200_000
_ROW_BYTES = 20
_KEY_BYTES = 8


class Sums(NamedTuple):
    """Columns: series by number, seconds, events, matches."""

    series: Ints
    seconds: Ints
    events: Ints
    matches: Ints

    def of(self, rows: Ints) -> Sums:
        """Return those of *rows*."""
        return Sums(*(column[rows] for column in self))


_NOTHING = Sums(*(np.zeros(0, np.int64) for _ in range(4)))


class MatchSums:
    """The open interval of one source. *prefix* is this table's in *store*, one byte."""

    def __init__(
        self, store: PartitionStore, prefix: bytes, topic: RollupTopic, source: str
    ) -> None:
        self._store = store
        self._prefix = prefix + _OPEN
        self._topic = topic
        self._source = IntervalSource(store, prefix, topic, source, self)
        self._book = SeriesBook()
        self._parts: list[Sums] = []
        self._is_to_sum_up = False
        self._stored = 0
        self._is_changed = False

    def restore(self, now: int) -> None:
        """Read the open interval, at stream time *now* (ms)."""
        self._source.restore(now)
        for _, value in self._store.scan(self._prefix):
            found = decode_counts(value) if are_counts(value) else of_version_1(decode(value))
            numbers = self._book.numbers(found.keys)
            columns = found.seconds, found.events, found.matches
            self._parts.append(Sums(numbers[found.series], *columns))
            self._is_to_sum_up = True
            self._stored += 1

    @property
    def is_idle(self) -> bool:
        """True if this source said that nothing more is known."""
        return self._source.is_idle

    def __len__(self) -> int:
        """The number of series with something in the open interval, in each second."""
        return len(self._whole().series)

    def keys(self) -> list[bytes]:
        """Return the keys of the series with something in the open interval."""
        numbers = np.unique(self._whole().series).tolist()
        return [self._book.keys_by_number[number] for number in numbers]

    def add(self, book: SeriesBook, sums: Sums) -> None:
        """Add *sums*, whose series are those of *book*."""
        if book is not self._book:
            self._renumber(book)
        self._parts.append(sums)
        self._is_to_sum_up = self._is_changed = True

    def add_alone(self, counts: Mapping[tuple[bytes, int], tuple[int, int]]) -> None:
        """Add events and matches by key and second."""
        numbers = self._book.numbers(key for key, _ in counts)
        seconds = np.array([second for _, second in counts], np.int64)
        both = np.array(list(counts.values()), np.int64)
        self.add(self._book, Sums(numbers, seconds, both[:, 0], both[:, 1]))

    def _renumber(self, book: SeriesBook) -> None:
        whole = self._whole()
        distinct, places = np.unique(whole.series, return_inverse=True)
        keys = [self._book.keys_by_number[number] for number in distinct.tolist()]
        self._parts = [whole._replace(series=book.numbers(keys)[places])] if keys else []
        self._book = book

    def _whole(self) -> Sums:
        """Return all that was added, in which nothing is there twice."""
        if self._is_to_sum_up:
            self._is_to_sum_up = False
            self._parts = [_summed(Sums(*map(np.concatenate, zip(*self._parts, strict=True))))]
        return self._parts[0] if self._parts else _NOTHING

    def roll(self, now: int, outbox: Outbox) -> None:
        """Close the open interval if *now* (ms) lies after it; call before adding at *now*."""
        self._source.roll(now, outbox)

    def idle(self, now: int, outbox: Outbox) -> None:
        """Close the open interval if *now* lies after it, and say that nothing more is known."""
        self._source.idle(now, outbox)

    def take(self, start: int) -> Mapping[int, Sequence[bytes]]:
        """Return the records of the interval that began at *start*; it is empty afterwards."""
        whole = self._whole()
        records: dict[int, Sequence[bytes]] = {}
        if len(whole.series):
            partitions = self._book.partitions(whole.series, self._topic.partitions)
            for partition in np.unique(partitions).tolist():
                own = whole.of(np.flatnonzero(partitions == partition))
                # What a part exceeds half of a record by is less than the other half.
                records[partition] = self._encoded(own, start, self._topic.record_bytes // 2)
            self._is_changed = True
        self._parts = []
        if len(self._book) > _KEPT_SERIES:
            self._book = SeriesBook()
        return records

    def seal(self) -> None:
        """Put the open interval into the store."""
        if not self._is_changed:
            return
        self._is_changed = False
        values = self._encoded(self._whole(), self._source.start, _VALUE_BYTES)
        for number, value in enumerate(values):
            self._store.put(self._key(number), value)
        for number in range(len(values), self._stored):
            self._store.delete(self._key(number))
        self._stored = len(values)

    def _key(self, part: int) -> bytes:
        return self._prefix + part.to_bytes(4, "big")

    def _encoded(self, sums: Sums, start: int, room: int) -> list[bytes]:
        """Return *sums* as records of about *room* bytes, in the order of series and seconds."""
        if not len(sums.series):
            return []
        book = self._book
        distinct, places = np.unique(sums.series, return_inverse=True)
        ordered = book.ordered(distinct)
        ranks = np.empty(len(distinct), np.int64)
        ranks[np.searchsorted(distinct, ordered)] = np.arange(len(ordered))
        series = ranks[places]
        rows = np.lexsort((sums.seconds, series))
        series, sums = series[rows], sums.of(rows)
        found = []
        for part in _split(series, book.sizes(ordered), room):
            first, last = int(series[part][0]), int(series[part][-1])
            keys = [book.keys_by_number[each] for each in ordered[first : last + 1].tolist()]
            columns = sums.seconds[part], sums.events[part], sums.matches[part]
            end = start + self._topic.interval_ms
            found.append(
                encode_counts(MatchCounts(start, end, keys, series[part] - first, *columns))
            )
        return found


def _split(series: Ints, key_sizes: Ints, room: int) -> Iterator[slice]:
    """Yield which rows of *series*, which ascend, go together: as many as fit, or one more."""
    is_first = np.diff(series, prepend=-1) != 0
    ends = np.cumsum(_ROW_BYTES + is_first * (_KEY_BYTES + key_sizes[series]))
    cuts = np.flatnonzero(np.diff(ends // room)) + 1
    bounds = [0, *cuts.tolist(), len(series)]
    for first, last in pairwise(bounds):
        yield slice(first, last)


def _summed(sums: Sums) -> Sums:
    """Return *sums*, each series and second once, ascending."""
    if not len(sums.series):
        return sums
    earliest = int(sums.seconds.min())
    seconds = int(sums.seconds.max()) - earliest + 1
    places = sums.series * seconds + (sums.seconds - earliest)
    distinct, owners = np.unique(places, return_inverse=True)
    return Sums(
        distinct // seconds,
        distinct % seconds + earliest,
        # Doubles are exact here: no interval has 2^53 spans.
        np.bincount(owners, sums.events).astype(np.int64),
        np.bincount(owners, sums.matches).astype(np.int64),
    )
