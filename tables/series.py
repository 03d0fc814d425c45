"""Series: cumulative sums by series, and what has come for flush periods that are still open.

A flush period ends at a boundary, a multiple of its length in stream time. What comes for it is
kept apart until it is closed; then it is added to the cumulative sums. Laws:

- Cumulative sums, open periods and what was given up together are everything that was ever added.
- What comes for a period that has passed counts in the first one that has not; so does what came
  for one that passed while nobody asked for it.
- A key of another partition has no series here; what comes for it is handed out as it came.
- A key that is new gets the lowest slot that is free; slots and everything else survive a restart,
  so that what is made of a closed period does not depend on where checkpoints fell.
- A row's streams are what it becomes in the world outside, each named by what of the layout counts
  it. A stream starts with the earliest interval in the first period that has it, for as long as
  its series lives.
- A series that had no news for long enough is expired, and may be given up. If it comes back, it
  is a new one.

In the store, after the table's prefix: `m` about the table, `n` and a number a block of keys, `v`
and a number a block of cumulative rows, `p` with a period's end and a number a block of its rows.
A checkpoint costs what was touched since the last. Version 1 had its keys under `k`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from tailrace.schemas.rebucketing import rebucketed
from tailrace.schemas.sums import Ints, Layout, Rollup, carried, counted, merged
from tailrace.tables.narrow_rows import NarrowRows
from tailrace.tables.series_admission import EVERYBODY, Admission, Doorkeeper
from tailrace.tables.series_expiry import Expiry, expired
from tailrace.tables.series_keys import BLOCK as KEYS
from tailrace.tables.series_keys import SeriesKeys, whole
from tailrace.tables.series_meta import Meta
from tailrace.tables.series_rows import BLOCK, NEVER, OpenPeriod, Part, Rows, united
from tailrace.tables.series_store import SeriesStore
from tailrace.tables.store import PartitionStore

_NO_EXPIRY = Expiry()
_NONE = np.zeros(0, np.int64)

_FOREIGN = -1
"""The slot of what is of another partition."""

LATEST_MS = NEVER // 1_000_000
"""The last time that nanoseconds can tell; after it there is only the end of time."""


class Closed(NamedTuple):
    """A closed period: `rows[i]` was added to slot `slots[i]`, in ascending order.

    `appeared`: the streams that started, as slot × streams of a row + number of the stream.
    `since`: the boundary before, from which on the rows count (ms).
    """

    slots: Ints
    rows: NarrowRows
    appeared: Ints
    since: int


class SeriesTable:
    """The series of one family in one partition. *prefix* is this table's in *store*, one byte.

    *split*: how much of a key is a beginning that it shares with others; it is kept once.
    *admission*: under which key something new is counted.
    *is_ours*: false of keys that belong to other partitions, whose owners count what `take_strays`
    hands out.
    """

    def __init__(
        self,
        store: PartitionStore,
        prefix: bytes,
        layout: Layout,
        streams: Sequence[str],
        period_ms: int,
        *,
        expiry: Expiry = _NO_EXPIRY,
        admission: Admission = EVERYBODY,
        split: Callable[[bytes], int] = whole,
        is_ours: Callable[[bytes], bool] | None = None,
    ) -> None:
        self.layout = layout
        self.streams = tuple(streams)
        self.period_ms = period_ms
        self.count = 0
        """What the streams have counted, in open periods and of series that are no more, too."""
        self.foreign = 0
        """What of it, since the last restart, no series ever said: it is of other partitions."""
        self.keys = SeriesKeys(split)
        """The key of every slot; of a slot that is free, nothing."""
        self._expiry = expiry
        self._just_closed = _NONE
        self._door = Doorkeeper(self.keys, admission)
        self._is_ours = is_ours
        self._store = store
        self._prefix = prefix
        self._held = layout
        """What the rows are of. It is another than `layout` after a restart, until it is known
        which layout is wanted: rows must not go through one that is not."""
        self._rows = Rows(layout, len(self.streams))
        self._open: dict[int, OpenPeriod] = {}
        self._passed = 0
        self._gone = 0
        self._given_up: set[int] = set()
        self._strays: list[Rollup] = []
        self._stored = SeriesStore(store, prefix, self._meta())

    def __len__(self) -> int:
        """The number of series, those that are only in open periods included."""
        return self.keys.live

    @property
    def rows(self) -> NarrowRows:
        """The cumulative sums of every slot, as of the last period that was closed."""
        self._settle()
        return self._rows.upto(len(self.keys)).cells.upto(len(self.keys))

    @property
    def starts(self) -> Ints:
        """When each stream of every slot started (ms), or NEVER."""
        return self._rows.upto(len(self.keys)).starts[: len(self.keys)]

    def use(self, layout: Layout) -> None:
        """Count in rows of *layout*, of the same family, from now on.

        What was counted goes over, exactly as far as buckets allow. After a restart it goes over
        from what the last owner used: so the first thing to do then, if it is ever done.
        """
        assert layout.family == self.layout.family
        self.layout = layout
        self._settle()

    def _settle(self) -> None:
        if self._held != self.layout:
            self._rows.use(self.layout)
            for period in self._open.values():
                period.use(self.layout)
            self._held = self.layout

    # Time

    def add(self, rollup: Rollup) -> bool:
        """Add *rollup* to the period that has its end; True if that has passed.

        Each key is in it once.
        """
        self._settle()
        end = self._boundary(rollup.end)
        is_late = end <= self._passed
        if not rollup.keys:
            return is_late
        rows = rebucketed(rollup.rows, rollup.layout, self.layout)
        counts = self._counts(rows)
        self.count += int(counts.sum())
        slots = self.keys.slots_of(rollup.keys, self._slot_of)
        # Of what is late it is news that it came.
        news = np.full(len(slots), max(rollup.end, self._passed))
        # What comes late starts after all that was said, which may be the end of a namesake.
        start = max(rollup.start, self._passed)
        part = Part(slots, np.where(counts > 0, start, NEVER), news, rows)
        is_foreign = slots == _FOREIGN
        if is_foreign.any():
            self._hand_out(_only(rollup, is_foreign), counts[is_foreign])
            part = Part(*(each[~is_foreign] for each in part))
        part = united(self.layout, part)
        if len(part.slots):
            self._period(self._passed + self.period_ms if is_late else end).add(part)
        return is_late

    def _slot_of(self, key: bytes) -> int:
        """Return the slot for *key*, which has none."""
        is_foreign = self._is_ours is not None and not self._is_ours(key)
        return _FOREIGN if is_foreign else self._door.slot_of(key)

    def counted_as(self, key: bytes) -> bytes:
        """Return the key under which *key* is counted; a series need not be there."""
        return key if self.keys.find(key) is not None else self._door.counted_as(key)

    def _hand_out(self, stray: Rollup, counts: Ints) -> None:
        """Take note that *stray*, which has *counts*, is of other partitions."""
        count = int(counts.sum())
        self._gone += count
        self.foreign += count
        self._strays.append(stray)

    def take_strays(self) -> list[Rollup]:
        """Return what came for other partitions, and was not told by any series.

        After a restart that is what open periods had of them: to be taken before the next `seal`.
        """
        strays, self._strays = self._strays, []
        return strays

    def due(self, now: int) -> list[int]:
        """Return the boundaries up to *now* to flush: of periods that have news, and the last.

        A gap of an hour is no reason to say an hour's times what did not change, so boundaries
        in between are passed over.
        """
        last = now // self.period_ms * self.period_ms
        ends = sorted(end for end in self._open if end <= now)
        if last > self._passed and last not in ends and last <= LATEST_MS:
            ends.append(last)
        return ends

    def close(self, end: int) -> Closed:
        """Close the period that ends at *end*, if it has news, and let its boundary pass."""
        self._settle()
        since, self._passed = self._passed, max(self._passed, end)
        period = self._open.pop(end, None)
        if period is None:
            self._just_closed = _NONE
            return Closed(_NONE, NarrowRows(self.layout), _NONE, since)
        for block in range(period.stored_blocks):
            self._stored.delete_block(end, block)
        slots = self._just_closed = np.sort(period.slots)
        rows, at, appeared = NarrowRows(self.layout, len(slots)), 0, [_NONE]
        for part in period.sorted():
            rows[np.arange(at, at + len(part.slots))] = carried(self.layout, part.cells)
            at += len(part.slots)
            appeared.append(self._accumulate(part))
        return Closed(slots, rows, np.concatenate(appeared), since)

    def _accumulate(self, part: Part) -> Ints:
        """Add *part* to the cumulative sums; return the streams that started."""
        slots, total = part.slots, self._rows.upto(len(self.keys))
        sums = merged(self.layout, total.cells[slots], part.cells)
        total.cells[slots] = carried(self.layout, sums)
        total.news[slots] = np.maximum(total.news[slots], part.news)
        has_started = total.starts[slots] == NEVER
        has_started &= part.starts != NEVER
        total.starts[slots] = np.where(has_started, part.starts, total.starts[slots])
        total.is_dirty[slots // BLOCK] = True
        places, streams = np.nonzero(has_started)
        started: Ints = slots[places] * len(self.streams) + streams
        return started

    def expired(self, at: int) -> Ints:
        """Return the slots, ascending, whose series had no news for too long at the boundary *at*.

        For a flush, after `close(at)`: they are still there, to be told good-bye; then `give_up`.
        What was just closed is none of them, however old: it has yet to be told.
        """
        news = self._rows.upto(len(self.keys)).news.copy()
        for period in self._open.values():
            news[period.slots] = NEVER
        news[self._just_closed] = NEVER
        return expired(self._expiry, self.keys, news, at)

    def give_up(self, slots: Ints) -> None:
        """Forget the series of *slots*, which `expired` named; their slots are free."""
        gone = [self.keys[slot] for slot in slots.tolist()]
        self._forget(slots)
        self._door.gone(gone)

    def _forget(self, slots: Ints) -> None:
        self._settle()
        rows = self._rows.upto(len(self.keys))
        self._gone += int(self._counts(rows.cells[slots]).sum())
        rows.forget(slots)
        self._given_up.update(slots.tolist())
        self.keys.remove(slots.tolist())

    def _boundary(self, at: int) -> int:
        return -(-at // self.period_ms) * self.period_ms

    def _period(self, end: int) -> OpenPeriod:
        period = self._open.get(end)
        if period is None:
            period = self._open[end] = OpenPeriod(self._held, len(self.streams))
        return period

    def _counts(self, rows: Ints) -> Ints:
        """Return what each stream counts in each of *rows*."""
        return np.stack([counted(self._held, rows, name) for name in self.streams], axis=1)

    # Store

    def restore(self, now: int) -> None:
        """Read what the store has, at stream time *now* (ms).

        It may have been written with another layout, other streams or another length of periods.
        """
        stored = self._stored = SeriesStore(self._store, self._prefix, self._meta())
        meta = stored.meta
        self._held, self._gone = meta.layout, meta.gone
        self._passed = max(meta.passed, now) // self.period_ms * self.period_ms
        self.keys.restore(stored.key_blocks())
        for key in stored.take_keys_1():
            self._door.new.add(self.keys.add(key))
        total = self._rows = Rows(meta.layout, len(self.streams)).upto(len(self.keys))
        for part in stored.values():
            total.cells[part.slots], total.starts[part.slots] = part.cells, part.starts
            total.news[part.slots] = part.news
        taken = self.keys.taken
        if meta.version == 1:
            total.news[taken] = self._passed
        if not stored.is_as_wanted:
            total.is_dirty[taken // BLOCK] = True
        self._restore_periods()
        if not _are_alike(meta.layout, self.layout):
            self._settle()
        self._drop_foreign()
        self.count = self._gone + sum(int(self._counts(each).sum()) for each in total.cells.parts())
        self.count += sum(int(self._counts(each.cells).sum()) for each in self._open.values())
        self._door.restored()

    def _restore_periods(self) -> None:
        """Take the open periods; those that passed meanwhile into the first that has not."""
        for end, block, part in self._stored.periods(self._passed):
            is_late = end <= self._passed
            if is_late:  # as when its family was turned off for a while
                part = part._replace(news=np.maximum(part.news, self._passed))
            period = self._period(self._boundary(max(end, self._passed + 1)))
            period.add(part)
            if self._stored.is_as_wanted and not is_late:
                period.is_stored(block)
            else:
                self._stored.delete_block(end, block)

    def _drop_foreign(self) -> None:
        """Forget the series that belong to other partitions, where they begin anew."""
        if self._is_ours is None:
            return
        taken = self.keys.taken.tolist()
        foreign = np.array([s for s in taken if not self._is_ours(self.keys[s])], np.int64)
        if not len(foreign):
            return
        for end, period in self._open.items():
            gone = period.drop(foreign)
            if len(gone.slots):
                keys = [self.keys[slot] for slot in gone.slots.tolist()]
                # Until the last boundary all was said, here.
                start = max(end - self.period_ms, self._passed)
                stray = Rollup(self._held, start, end, keys, gone.cells)
                self._hand_out(stray, self._counts(gone.cells))
            for block in range(period.blocks, period.stored_blocks):
                self._stored.delete_block(end, block)
        self._forget(foreign)

    def _meta(self) -> Meta:
        return Meta(self._held, self.streams, self.period_ms, self._passed, self._gone)

    def seal(self) -> None:
        """Put into the store what changed since the last time."""
        self._settle()
        self._stored.put_meta(self._meta())
        for block in sorted({slot // KEYS for slot in self._door.new | self._given_up}):
            self._stored.put_keys(block, self.keys.packed(block))
        self._door.new.clear()
        self._given_up.clear()
        self._stored.put_rows(self._rows, self.keys.taken)
        for end, period in self._open.items():
            self._stored.put_period(end, period)


def _only(rollup: Rollup, rows: npt.NDArray[np.bool_]) -> Rollup:
    """Return *rows* of *rollup*."""
    chosen = np.flatnonzero(rows)
    keys = [rollup.keys[row] for row in chosen.tolist()]
    return rollup._replace(keys=keys, rows=rollup.rows[chosen])


def _are_alike(one: Layout, other: Layout) -> bool:
    """True if both count the same things, in whatever buckets."""
    return (one.histograms, one.counts) == (other.histograms, other.counts)
