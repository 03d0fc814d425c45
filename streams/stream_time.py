"""Stream time: what time it is for a task, told by its records alone.

Time never goes back. Where records come from producers, it is the running maximum of their
timestamps. Where they come from tasks of ours, they carry watermarks, and it is the lowest
watermark of the sources that are not idle: what one source has not said yet may still come.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from itertools import accumulate
from typing import Any, Protocol

from tailrace.schemas.records import Record
from tailrace.schemas.watermarks import WATERMARK_HEADER, Watermark, read_watermark


class StreamTime(Protocol):
    """The clock of one task. `now` in ms."""

    now: int

    @property
    def may_idle(self) -> bool:
        """True if time may move without a record, once there are no more of them."""
        ...

    def observe(self, records: Sequence[Record], latest: int) -> list[int]:
        """Return the time at each of *records*, and let it be what it is at the last."""
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

    def observe(self, records: Sequence[Record], latest: int) -> list[int]:
        """Return the running maximum at each record."""
        stamps = (min(record.timestamp, latest) for record in records)
        times = list(accumulate(stamps, max, initial=self.now))[1:]
        self.now = times[-1] if times else self.now
        return times

    def state(self) -> Mapping[str, Any]:
        """Only the time itself."""
        return {"time": self.now}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from the time itself."""
        self.now = state["time"]


class SourceTime:
    """The lowest watermark of *sources*; it stands still until each of them has been heard."""

    def __init__(self, sources: Collection[str]) -> None:
        self.now = 0
        self._marks: dict[str, Watermark | None] = dict.fromkeys(sources)

    @property
    def may_idle(self) -> bool:
        """True when every source is idle: none of them will say anything about the past."""
        return all(mark is not None and mark.is_idle for mark in self._marks.values())

    def observe(self, records: Sequence[Record], latest: int) -> list[int]:
        """Return the time at each record, its own watermark heard."""
        times = []
        last = None
        for record in records:
            for name, value in record.headers:
                if name == WATERMARK_HEADER and value != last:
                    last = value
                    self._hear(value)
            times.append(self.now)
        return times

    def _hear(self, value: bytes) -> None:
        try:
            mark = read_watermark(value)
        except ValueError:
            return  # whoever wrote it is no source of ours
        if mark.source not in self._marks:
            return  # another config's
        before = self._marks[mark.source]
        if before is not None and before.time > mark.time:
            mark = mark._replace(time=before.time)
        self._marks[mark.source] = mark
        # Only the source that held time back, or one that fell idle, can let it go on.
        if before is None or before.is_idle or mark.is_idle or before.time <= self.now:
            self.now = max(self.now, self._lowest())

    def _lowest(self) -> int:
        marks = [mark for mark in self._marks.values() if mark is not None]
        if len(marks) < len(self._marks):
            return 0
        busy = [mark.time for mark in marks if not mark.is_idle]
        return min(busy) if busy else max((mark.time for mark in marks), default=0)

    def state(self) -> Mapping[str, Any]:
        """The time, and what each source has said."""
        heard = {mark.source: mark[1:] for mark in self._marks.values() if mark is not None}
        return {"time": self.now, "sources": heard}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what was heard; of sources that are none any more, nothing is kept."""
        self.now = state["time"]
        for source, (time, is_idle) in state.get("sources", {}).items():
            if source in self._marks:
                self._marks[source] = Watermark(source, time, is_idle)
