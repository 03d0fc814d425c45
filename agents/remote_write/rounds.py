"""The samples of a unit in rounds: of each series one sample a round, in the order of time.

A receiver may have got the last round before we knew. To send it again is harmless, for of each
series it holds what the receiver has got last; two samples of one series would not be, for the
first would then come after the second.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from tailrace.agents.remote_write.book import Book
from tailrace.agents.remote_write.columns import Columns
from tailrace.schemas.prometheus.native import Native
from tailrace.schemas.prometheus.remote_write import STALE_BYTES, Batch, Exemplar, Metadata

Ints: TypeAlias = npt.NDArray[np.int64]
_STALE = np.frombuffer(STALE_BYTES, np.int64)[0]


class _Samples(NamedTuple):
    """Samples by column."""

    series: Ints
    times: Ints
    starts: Ints
    streams: Ints
    bits: Ints
    """The values, as the bits that they are."""

    def of(self, rows: npt.NDArray[np.intp] | npt.NDArray[np.bool_]) -> _Samples:
        return _Samples(*(column[rows] for column in self))

    def after(self, other: _Samples) -> _Samples:
        return _Samples(*map(np.concatenate, zip(other, self, strict=True)))


@dataclass(frozen=True, slots=True)
class Round:
    """Samples of different series, and histograms of others. `last`: its latest time, in ms.

    Both in order of time: what a receiver refuses for its time is then found by few halves.
    `exemplars`: of the series that are in no later round.
    """

    samples: _Samples
    natives: Sequence[tuple[int, int, int, Native]]
    exemplars: Mapping[int, Sequence[Exemplar]]
    last: int

    def __len__(self) -> int:
        return len(self.samples.series) + len(self.natives)

    def batches(self, book: Book, size: int) -> Iterator[Batch]:
        """Yield it in parts of *size* samples at the most."""
        series, samples = book.series, self.samples
        for first in range(0, len(samples.series), size):
            part = samples.of(np.s_[first : first + size])  # type: ignore[arg-type]  # a slice is fine
            numbers = part.series.tolist()
            yield Batch(
                [series[number] for number in numbers],
                part.bits.tobytes(),
                part.times.tolist(),
                part.starts.tolist(),
                self._exemplars(numbers),
            )
        for first in range(0, len(self.natives), size):
            chunk = self.natives[first : first + size]
            numbers = [number for number, *_ in chunk]
            yield Batch(
                [series[number] for number in numbers],
                bytes(8 * len(chunk)),
                [at for _, at, _, _ in chunk],
                [start for _, _, start, _ in chunk],
                self._exemplars(numbers),
                [native for *_, native in chunk],
            )

    def _exemplars(self, numbers: Sequence[int]) -> dict[int, Sequence[Exemplar]]:
        if not self.exemplars:
            return {}
        return {
            place: self.exemplars[number]
            for place, number in enumerate(numbers)
            if number in self.exemplars
        }

    def metadata(self, book: Book) -> list[Metadata]:
        """Return what is said of its metrics, each once, whatever resources have them."""
        numbers = {*self.samples.series.tolist(), *(number for number, *_ in self.natives)}
        # Hashed once a metric of a resource, not once a series.
        found = {id(each): each for each in (book.series[number].metadata for number in numbers)}
        return sorted(set(found.values()), key=astuple)


def rounds(book: Book, columns: Columns) -> list[Round]:
    """Return what *columns* hold in rounds."""
    samples = _samples(columns)
    samples = samples.of(samples.series >= 0)
    if book.shared and len(samples.series):
        is_shared = np.isin(samples.series, np.fromiter(book.shared, np.int64))
        if is_shared.any():
            samples = _together(book, samples.of(is_shared)).after(samples.of(~is_shared))
    samples, ranks = _ranked(samples)
    natives = _native_rounds(columns)
    count = max(len(natives), int(ranks.max()) + 1 if len(ranks) else 0)
    found = []
    exemplars: dict[int, Sequence[Exemplar]] = dict(columns.exemplars)
    for number in reversed(range(count)):
        mine = _by_time(samples if count == 1 else samples.of(ranks == number))
        theirs = sorted(natives[number], key=_time) if number < len(natives) else []
        told = _exemplars_of(mine, theirs, exemplars)
        times = [
            *(at for _, at, _, _ in theirs),
            *([int(mine.times.max())] if len(mine.times) else []),
        ]
        found.append(Round(mine, theirs, told, max(times, default=0)))
    return found[::-1]


def _by_time(samples: _Samples) -> _Samples:
    times = samples.times
    if not len(times) or times.min() == times.max():
        return samples
    return samples.of(np.argsort(times, kind="stable"))


def _time(native: tuple[int, int, int, Native]) -> int:
    _, at, _, _ = native
    return at


def distinct(found: Sequence[Round]) -> int:
    """Return of how many series the rounds *found* are."""
    if not found:
        return 0
    series = [each.samples.series for each in found]
    natives = {number for each in found for number, *_ in each.natives}
    return len(np.unique(np.concatenate(series))) + len(natives)


def _exemplars_of(
    samples: _Samples,
    natives: Sequence[tuple[int, int, int, Native]],
    exemplars: dict[int, Sequence[Exemplar]],
) -> Mapping[int, Sequence[Exemplar]]:
    """Take from *exemplars* those of the series of a round; rounds are asked from the last on."""
    if not exemplars:
        return {}
    ours = np.fromiter(exemplars, np.int64)
    numbers = set(ours[np.isin(ours, samples.series)].tolist())
    numbers.update(number for number, *_ in natives if number in exemplars)
    return {number: exemplars.pop(number) for number in sorted(numbers)}


def _samples(columns: Columns) -> _Samples:
    points = np.frombuffer(columns.points, np.int64).reshape(-1, 4)
    streams, times, starts = (np.repeat(points[:, each], points[:, 3]) for each in range(3))
    return _Samples(
        np.frombuffer(columns.series, np.int64),
        times,
        starts,
        streams,
        np.frombuffer(columns.values, np.int64),
    )


def _ranked(samples: _Samples) -> tuple[_Samples, Ints]:
    """Return *samples* without repetitions, and which of its series each is, by time."""
    series = samples.series
    if not len(series) or np.bincount(series).max() == 1:
        return samples, np.zeros(len(series), np.int64)
    order = np.lexsort((samples.times, series))
    sorted_ = samples.of(order)
    follows = sorted_.series[1:] == sorted_.series[:-1]
    is_repeated = follows & (sorted_.times[1:] == sorted_.times[:-1])
    # What comes later in the log is what holds.
    sorted_ = sorted_.of(~np.append(is_repeated, False))
    firsts = np.flatnonzero(np.append(True, sorted_.series[1:] != sorted_.series[:-1]))
    lengths = np.diff(np.append(firsts, len(sorted_.series)))
    return sorted_, np.arange(len(sorted_.series)) - np.repeat(firsts, lengths)


def _together(book: Book, samples: _Samples) -> _Samples:
    """Return one sample a series and time: the sum of what its streams have then.

    A time at which not all of them have one is left out, for the sum of some looks like a reset;
    but not the zero with which a series begins of which all streams begin here. Values are added
    up in the order in which they came, so that the sum is the same whoever adds them up.
    """
    # A stream that ends says so of the moment before the flush at which the others go on.
    samples = samples._replace(times=samples.times + (samples.bits == _STALE))
    samples = _last_of_streams(samples)
    is_whole, begins = _streams_of(samples)
    samples = samples.of(np.lexsort((samples.times, samples.series)))
    series, times, bits = samples.series, samples.times, samples.bits
    is_new = np.append(True, series[1:] != series[:-1])
    groups = np.flatnonzero(is_new | np.append(True, times[1:] != times[:-1]))
    sizes = np.diff(np.append(groups, len(series)))
    lives = bits != _STALE
    values = np.where(lives, bits, 0).view(np.float64)
    sums = np.add.reduceat(values, groups).view(np.int64)
    living = np.add.reduceat(lives.astype(np.int64), groups)
    owners = series[groups]
    gauges = np.isin(owners, np.fromiter(book.gauges, np.int64))
    lasts = bits[np.append(groups[1:], len(series)) - 1]
    totals = np.where(gauges, lasts, np.where(living > 0, sums, _STALE))
    zeros = begins[owners] & is_new[groups] & (np.add.reduceat(values != 0, groups) == 0)
    kept = gauges | (sizes == is_whole[owners]) | zeros
    firsts = np.flatnonzero(is_new)
    starts = np.minimum.reduceat(samples.starts, firsts)[np.cumsum(is_new) - 1][groups]
    nobody = np.zeros(len(groups), np.int64)
    return _Samples(owners, times[groups] - (totals == _STALE), starts, nobody, totals).of(kept)


def _last_of_streams(samples: _Samples) -> _Samples:
    """Return of each series, time and stream the last sample, in their order."""
    order = np.lexsort((samples.streams, samples.times, samples.series))
    sorted_ = samples.of(order)
    is_repeated = np.ones(max(0, len(order) - 1), np.bool_)
    for column in (sorted_.series, sorted_.times, sorted_.streams):
        is_repeated &= column[1:] == column[:-1]
    return samples.of(np.sort(order[~np.append(is_repeated, False)]))


def _streams_of(samples: _Samples) -> tuple[Ints, npt.NDArray[np.bool_]]:
    """Return by series how many streams it has here, and whether all of them begin here."""
    count, streams = int(samples.series.max()) + 1, int(samples.streams.max()) + 1
    pairs = samples.series * streams + samples.streams
    begun = np.unique(pairs[samples.times == samples.starts])
    found, ours = (
        np.bincount(each // streams, minlength=count) for each in (np.unique(pairs), begun)
    )
    return found, ours == found


def _native_rounds(columns: Columns) -> list[list[tuple[int, int, int, Native]]]:
    """Return histograms by round; those of one series and time are added up, as samples are."""
    at_once: dict[int, dict[int, dict[int, tuple[int, Native]]]] = {}
    for series, stream, at, start, native in columns.natives:
        flush = at + math.isnan(native.sum)  # as above
        at_once.setdefault(series, {}).setdefault(flush, {})[stream.number] = start, native
    found: list[list[tuple[int, int, int, Native]]] = []
    for series, times in at_once.items():
        every = {stream for streams in times.values() for stream in streams}
        begun = {
            stream
            for at, streams in times.items()
            for stream, (start, _) in streams.items()
            if start == at
        }
        first, rank = min(times), 0
        for at in sorted(times):
            streams = times[at]
            start, whole = _sum(list(streams.values()))
            is_zero = at == first and begun == every and not whole.count
            if len(streams) < len(every) and not is_zero:
                continue
            if rank == len(found):
                found.append([])
            found[rank].append((series, at - math.isnan(whole.sum), start, whole))
            rank += 1
    return found


def _sum(parts: Sequence[tuple[int, Native]]) -> tuple[int, Native]:
    living = [(start, native) for start, native in parts if not math.isnan(native.sum)]
    start, whole = (living or parts)[0]
    for other, native in living[1:]:
        start, whole = min(start, other), whole.plus(native)
    return start, whole
