"""Metric windows: what one signal's streams have said of late, for one group. Laws:

- A stream is what its newest sample says. It is forgotten when it said nothing for `kept_ms`: the
  length of the window, or five minutes if that is shorter, as Prometheus looks back.
- What a counter has increased by is told by two samples that follow each other: it begins anew
  where it falls, or where it starts after the sample before. The first of a stream tells it only
  if it started within that time; else it is only what the next is compared to.
- A sample of a counter that is no newer than the one before, by its own time, tells nothing. Of
  changes each tells its own, in whatever order they come, but for two at one time.
- Increases and values lie in buckets as those of `SlidingWindow` do, which leave whole. Sums of
  them are exact, and rounded once: they do not depend on the order of what was added.
- Who must not be changed by a restart advances to a sample's time before it adds it.

Memory: 300 bytes a stream with what the tables around have of it; 400 a bucket, of which there are
61 at most.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, NamedTuple, TypeAlias

from tailrace.schemas.metric_samples import Meaning, Sample
from tailrace.tables.windows import resolution_ms

LOOKBACK_MS: Final = 300_000
MAX_STREAMS: Final = 10_000
"""Of one group; what further ones say is left out."""

Partials: TypeAlias = tuple[float, ...]
"""Numbers whose sum, as reals, is the sum of all that was added."""
_MS: Final = 1_000_000


class Added(StrEnum):
    """What became of a sample."""

    TAKEN = "taken"
    OUT_OF_ORDER = "out_of_order"
    LATE = "late"
    OVERFLOW = "overflow"


class Stream(NamedTuple):
    """The newest sample. `is_over`: it said that there is no value now; this was the last."""

    came_ms: int
    time_ns: int
    value: float
    is_over: bool = False


@dataclass(slots=True)
class Bucket:
    """Increases, and values as they came, of one stretch of time."""

    increases: int = 0
    increase: Partials = ()
    values: int = 0
    total: Partials = ()
    low: float = math.inf
    high: float = -math.inf

    def cells(self) -> list[Any]:
        """Return it as JSON has it."""
        said = [self.low, self.high] if self.values else []
        return [self.increases, self.increase, self.values, self.total, *said]

    @classmethod
    def of(cls, cells: list[Any]) -> Bucket:
        """Return what `cells` made."""
        increases, increase, values, total, *said = cells
        return cls(increases, tuple(increase), values, tuple(total), *said)


class MetricWindow:
    """Samples of the last *length_ms*. `changed`: the streams of which the store is to be told."""

    __slots__ = ("buckets", "changed", "is_changed", "length_ms", "now_ms", "streams")

    def __init__(self, length_ms: int) -> None:
        self.length_ms = length_ms
        self.now_ms = 0
        self.streams: dict[bytes, Stream] = {}
        """In the order in which their newest samples came."""
        self.buckets: dict[int, Bucket] = {}
        self.changed: set[bytes] = set()
        self.is_changed = False

    @property
    def kept_ms(self) -> int:
        """For how long a stream is remembered that says nothing."""
        return max(self.length_ms, LOOKBACK_MS)

    def __len__(self) -> int:
        """How much there is to forget."""
        return len(self.streams) + len(self.buckets)

    # Time

    @property
    def next_change_ms(self) -> int | None:
        """When time alone changes something."""
        changes = []
        if self.buckets:
            changes.append((min(self.buckets) + 1) * resolution_ms(self.length_ms) + self.length_ms)
        if self.streams:
            changes.append(next(iter(self.streams.values())).came_ms + self.kept_ms)
        return min(changes, default=None)

    def advance(self, now_ms: int) -> bool:
        """Let it be *now_ms*, if it is not later already; True if something was forgotten."""
        if now_ms <= self.now_ms:
            return False
        self.now_ms = now_ms
        before = len(self)
        while self.streams:
            name, stream = next(iter(self.streams.items()))
            if stream.came_ms + self.kept_ms > now_ms:
                break
            del self.streams[name]
            self.changed.add(name)
        size, edge = resolution_ms(self.length_ms), now_ms - self.length_ms
        for number in [each for each in self.buckets if (each + 1) * size <= edge]:
            del self.buckets[number]
        self.is_changed |= len(self) < before
        return len(self) < before

    # Samples

    def add(
        self,
        sample: Sample,
        came_ms: int,
        wanted: Iterable[str],
        most_streams: int = MAX_STREAMS,
    ) -> Added:
        """Add *sample*, which came at *came_ms*; *wanted*: what will be asked, as in `value`."""
        came_ms = max(came_ms, self.now_ms)
        before = self.streams.get(sample.stream)
        if before is not None and self._is_old(sample, before):
            return Added.OUT_OF_ORDER
        if sample.meaning is Meaning.NOTHING:
            if before is not None:
                over = Stream(came_ms, sample.time_ns, before.value, is_over=True)
                self._remember(sample.stream, over)
            return Added.TAKEN
        if before is None and len(self.streams) >= most_streams:
            return Added.OVERFLOW
        if before is None or sample.time_ns > before.time_ns:
            self._remember(sample.stream, Stream(came_ms, sample.time_ns, sample.value))
        increase = self._increase(sample, before, came_ms)
        return self._count(min(sample.time_ns // _MS, came_ms), sample.value, increase, set(wanted))

    @staticmethod
    def _is_old(sample: Sample, before: Stream) -> bool:
        if sample.meaning is Meaning.CHANGE:
            return sample.time_ns == before.time_ns
        return sample.time_ns <= before.time_ns

    def _remember(self, name: bytes, stream: Stream) -> None:
        self.streams.pop(name, None)
        self.streams[name] = stream
        self.changed.add(name)
        self.is_changed = True

    def _increase(self, sample: Sample, before: Stream | None, came_ms: int) -> float | None:
        if sample.meaning is Meaning.CHANGE:
            return sample.value
        if before is None:
            is_whole = sample.start_ns >= (came_ms - self.kept_ms) * _MS and sample.start_ns > 0
            return sample.value if is_whole else None
        falls = sample.value < before.value and sample.meaning is Meaning.TOTAL
        if falls or sample.start_ns > before.time_ns:
            return sample.value
        return sample.value - before.value

    def _count(self, at_ms: int, value: float, increase: float | None, wanted: set[str]) -> Added:
        counts = increase is not None and not wanted.isdisjoint(_OF_INCREASES)
        has_values = not wanted.isdisjoint(_OF_VALUES)
        if not counts and not has_values:
            return Added.TAKEN
        size = resolution_ms(self.length_ms)
        number = at_ms // size
        if (number + 1) * size <= self.now_ms - self.length_ms:
            return Added.LATE
        bucket = self.buckets.setdefault(number, Bucket())
        self.is_changed = True
        if increase is not None and counts:
            bucket.increases += 1
            bucket.increase = _plus(bucket.increase, increase)
        if has_values:
            bucket.values += 1
            bucket.total = _plus(bucket.total, value)
            bucket.low, bucket.high = min(bucket.low, value), max(bucket.high, value)
        return Added.TAKEN

    # Answers

    def value(self, asked: str) -> float | None:
        """Return what is *asked* of the window, or None if nothing is known of it.

        `count`: increases of all streams together; `rate`: a second. `last`: the newest values of
        all streams together. `avg`, `min`, `max`: of all values of all streams.
        """
        if asked == "last":
            values = [each.value for each in self.streams.values() if not each.is_over]
            return math.fsum(values) if values else None
        buckets = self.buckets.values()
        if asked in _OF_INCREASES:
            if not any(each.increases for each in buckets):
                return None
            count = math.fsum(part for each in buckets for part in each.increase)
            return count * 1000 / self.length_ms if asked == "rate" else count
        values_there = sum(each.values for each in buckets)
        if asked not in _OF_VALUES or not values_there:
            return None
        if asked == "avg":
            return math.fsum(part for each in buckets for part in each.total) / values_there
        return min(b.low for b in buckets) if asked == "min" else max(b.high for b in buckets)


_OF_INCREASES: Final = frozenset(("count", "rate"))
_OF_VALUES: Final = frozenset(("avg", "min", "max"))


def _plus(partials: Partials, number: float) -> Partials:
    """Return *partials* with *number* added, without a rounding (Shewchuk, 1997)."""
    parts: list[float] = []
    for part in partials:
        if abs(number) < abs(part):
            number, part = part, number
        total = number + part
        rest = part - (total - number)
        if rest:
            parts.append(rest)
        number = total
    return (*parts, number)
