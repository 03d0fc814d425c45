"""Merging: the records of several sources in the order of their own time.

Tasks that re-key write into one log as fast as each of them reads. A trace's parts come through
several of them, and which task was faster must not decide what is late. So a record is held back
until no source can still say something earlier. Laws:

- Records come out by (time, source, offset), whatever order they were written in, as long as no
  source was idle and not too much was held back.
- Nothing held back is state: after a restart it is read again, and what had come out is left out.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from tailrace.schemas.records import Record
from tailrace.streams.stream_time import Arranged, Sources, watermark_of

HELD_BYTES = 32 << 20
"""A source that is far behind the others makes a partition hold back no more than this."""

_NOBODY = ""
_RECORD_BYTES = 500
"""A record in memory, beside its value."""


class MergedTime:
    """The own time of the last record that came out."""

    def __init__(self, sources: Collection[str], held_bytes: int = HELD_BYTES) -> None:
        self.now = 0
        self._sources = Sources(sources)
        self._held: dict[str, deque[tuple[int, Record]]] = {name: deque() for name in sources}
        self._bytes = 0
        self._limit = held_bytes
        self._taken: dict[str, int] = {}
        """The offset of the last record that came out, of each source, known or not."""
        self._heard = -1
        """The offset up to which marks have been heard; what is read again says nothing new."""

    @property
    def may_idle(self) -> bool:
        """True when every source is idle; then nothing is held back."""
        return self._sources.are_idle

    def arrange(self, records: Sequence[Record], latest: int) -> Arranged:
        """Hold *records* back; return those of which the time has come, in their order.

        When too much is held, the earliest come out before their time.
        """
        out: list[tuple[str, int, Record]] = []
        early = 0
        for record in records:
            mark = watermark_of(record)
            source = mark.source if mark is not None else _NOBODY
            if record.offset <= self._taken.get(source, -1):
                continue  # read again
            if mark is None or source not in self._sources:
                out.append((source, 0, record))  # whenever it is now
                self._taken[source] = record.offset
                continue
            self._held[source].append((mark.time, record))
            self._bytes += _size(record)
            if record.offset <= self._heard:
                continue  # held back before, too
            self._heard = record.offset
            heard_to = self._heard_to
            self._sources.hear(mark)
            if mark.time < self._heard_to or self._heard_to != heard_to:
                self._release(out)
            while self._bytes > self._limit:
                self._release_first(out)
                early += 1
        times = []
        for _, time, _ in out:
            self.now = max(self.now, time)
            times.append(self.now)
        return Arranged([record for _, _, record in out], times, early)

    @property
    def _heard_to(self) -> float:
        """Everything before this has been said."""
        return float("inf") if self._sources.are_idle else self._sources.heard_to

    def _release(self, out: list[tuple[str, int, Record]]) -> None:
        """Add to *out* all that is from before what every source has said."""
        before, ready = self._heard_to, []
        for source, held in self._held.items():
            while held and held[0][0] < before:
                ready.append(self._take(source, held))
        if len(ready) > 1:
            ready.sort(key=_order)
        out += ready

    def _release_first(self, out: list[tuple[str, int, Record]]) -> None:
        """Add to *out* the earliest that is held."""
        source = min(
            (source for source, held in self._held.items() if held),
            key=lambda each: (self._held[each][0][0], each),
        )
        out.append(self._take(source, self._held[source]))

    def _take(self, source: str, held: deque[tuple[int, Record]]) -> tuple[str, int, Record]:
        time, record = held.popleft()
        self._bytes -= _size(record)
        self._taken[source] = record.offset
        return source, time, record

    def position(self, end: int) -> int:
        """Return the offset of the first record that is held, or *end*."""
        firsts = [held[0][1].offset for held in self._held.values() if held]
        return min(firsts, default=end)

    def state(self) -> Mapping[str, Any]:
        """The time, what each source has said, and what of it has come out."""
        heard = {"sources": self._sources.state(), "heard": self._heard}
        return {"time": self.now, "taken": self._taken, **heard}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from *state*; what was held back will be read again."""
        self.now = state["time"]
        self._sources.restore(state.get("sources", {}))
        self._taken = dict(state.get("taken", {}))
        self._heard = state.get("heard", -1)


def _order(row: tuple[str, int, Record]) -> tuple[int, str, int]:
    source, time, record = row
    return time, source, record.offset


def _size(record: Record) -> int:
    return _RECORD_BYTES + len(record.value or b"")
