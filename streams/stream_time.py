"""Stream time: what time it is for a task, told by its records alone.

Time never goes back. Where records come from producers, it is the running maximum of their
timestamps. Where they come from tasks of ours, they carry watermarks, and what one source has not
said yet may still come: sums wait for the lowest watermark of the sources that are not idle, and
spans are put in the order of their own time as far as that has come.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from itertools import accumulate
from typing import Any, NamedTuple, Protocol

from tailrace.schemas.records import Record
from tailrace.schemas.watermarks import WATERMARK_HEADER, Watermark, read_watermark


class Arranged(NamedTuple):
    """Records to process, and stream time (ms) at each; `early` came out before their time."""

    records: Sequence[Record]
    times: list[int]
    early: int = 0


class StreamTime(Protocol):
    """The clock of one task. `now` in ms."""

    now: int

    @property
    def may_idle(self) -> bool:
        """True if time may move without a record, once there are no more of them."""
        ...

    def arrange(self, records: Sequence[Record], latest: int) -> Arranged:
        """Take *records*; return those that may be processed now, in order.

        `now` is then what it is at the last of these.
        """
        ...

    def position(self, end: int) -> int:
        """Return where to read on after a restart, when everything before *end* was taken."""
        ...

    def state(self) -> Mapping[str, Any]:
        """Return what `restore` needs, as JSON."""
        ...

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from *state*."""
        ...


class RecordTime:
    """The running maximum of timestamps.

    One after *latest* counts as *latest*: a producer whose clock is ahead must not stop the time
    of everybody else.
    """

    may_idle = True

    def __init__(self) -> None:
        self.now = 0

    def arrange(self, records: Sequence[Record], latest: int) -> Arranged:
        """Return all of *records*, at the running maximum."""
        stamps = (min(record.timestamp, latest) for record in records)
        times = list(accumulate(stamps, max, initial=self.now))[1:]
        self.now = times[-1] if times else self.now
        return Arranged(records, times)

    def position(self, end: int) -> int:
        """Nothing is kept back."""
        return end

    def state(self) -> Mapping[str, Any]:
        """Only the time itself."""
        return {"time": self.now}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from the time itself."""
        self.now = state["time"]


class SourceTime:
    """The lowest watermark of *sources*; it stands still until each of them has been heard.

    For records whose own time does not matter: they are processed as they come.
    """

    def __init__(self, sources: Collection[str]) -> None:
        self.now = 0
        self._sources = Sources(sources)

    @property
    def may_idle(self) -> bool:
        """True when every source is idle."""
        return self._sources.are_idle

    def arrange(self, records: Sequence[Record], latest: int) -> Arranged:
        """Return all of *records*, each at the lowest watermark with its own heard."""
        times = []
        last = None
        for record in records:
            mark = watermark_of(record)
            if mark is not None and mark != last:
                last = mark
                self._sources.hear(mark)
                self.now = max(self.now, self._sources.heard_to)
            times.append(self.now)
        return Arranged(records, times)

    def position(self, end: int) -> int:
        """Nothing is kept back."""
        return end

    def state(self) -> Mapping[str, Any]:
        """The time, and what each source has said."""
        return {"time": self.now, "sources": self._sources.state()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what was heard."""
        self.now = state["time"]
        self._sources.restore(state.get("sources", {}))


class Sources:
    """What each of *names* has said last. `heard_to`: the lowest of their watermarks."""

    def __init__(self, names: Collection[str]) -> None:
        self.heard_to = 0
        self._marks: dict[str, Watermark | None] = dict.fromkeys(names)
        self._strangers: dict[str, Watermark] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._marks

    @property
    def are_idle(self) -> bool:
        """True when every source is idle: none of them will say anything about the past."""
        return all(mark is not None and mark.is_idle for mark in self._marks.values())

    def hear(self, mark: Watermark) -> None:
        """Take note of *mark*; what a stranger says holds back nothing.

        But it is remembered: under another config it is none, and a source that is idle does not
        say so twice.
        """
        if mark.source not in self._marks:
            self._strangers[mark.source] = mark
            return
        before = self._marks[mark.source]
        if before is not None and before.time > mark.time:
            mark = mark._replace(time=before.time)
        self._marks[mark.source] = mark
        # Only the source that held time back, or one that fell idle, can let it go on.
        if before is None or before.is_idle or mark.is_idle or before.time <= self.heard_to:
            self.heard_to = max(self.heard_to, self._lowest())

    def _lowest(self) -> int:
        marks = [mark for mark in self._marks.values() if mark is not None]
        if len(marks) < len(self._marks):
            return 0
        busy = [mark.time for mark in marks if not mark.is_idle]
        return min(busy) if busy else max((mark.time for mark in marks), default=0)

    def state(self) -> Mapping[str, Any]:
        """Return what `restore` needs, as JSON."""
        marks = [*self._strangers.values(), *self._marks.values()]
        heard = {mark.source: mark[1:] for mark in marks if mark is not None}
        return {**heard, _HEARD_TO: self.heard_to}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from *state*."""
        self.heard_to = state.get(_HEARD_TO, 0)
        for name, heard in state.items():
            if name != _HEARD_TO:
                mark = Watermark(name, *heard)
                (self._marks if name in self._marks else self._strangers)[name] = mark


_HEARD_TO = ""
"""Beside the names of sources, of which none is empty."""


def watermark_of(record: Record) -> Watermark | None:
    """Return what the header of *record* says; None if it has none that can be read."""
    for name, value in record.headers:
        if name == WATERMARK_HEADER:
            try:
                return read_watermark(value)
            except (AttributeError, ValueError):  # a header may have no value
                return None  # whoever wrote it is no source of ours
    return None
