"""From spans to the slots, and to the keys, of their series.

One look-up a span: its ids, side by side as bytes, are the key of a dict. Only ids that were not
yet seen together are turned into a series.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tailrace.agents.red.labels import SeriesIds, SeriesLabels
from tailrace.agents.red.settings import RedSettings
from tailrace.schemas.series import SERVICE, RedSeries, decoded_attributes, encoded_resource
from tailrace.schemas.spans import SpanBatch
from tailrace.schemas.sums import Ints
from tailrace.tables.interval_sums import IntervalSums

SKIPPED = -1
"""Instead of a slot, for a span of a resource without a `service.name`: as the collector does."""
KEY_BYTES = 16 << 10
"""How long the key of a series may be: every record must hold several."""


class SeriesSlots(dict[bytes, int]):
    """The slots in *sums* of the series of spans, whose ids *batch* gave.

    It serves batches with the same `strings` and `values`, for as long as slots keep their
    meaning; `serves` tells.
    """

    __slots__ = (
        "_generation",
        "_ids",
        "_labels",
        "_of_overflow",
        "_strings",
        "_sums",
        "_values",
        "has_skipped",
    )

    def __init__(self, ids: SeriesIds, sums: IntervalSums, batch: SpanBatch) -> None:
        super().__init__()
        self._ids = ids
        self._labels = SeriesLabels(ids, batch.strings, batch.values)
        self._sums = sums
        self._generation = sums.generation
        self._strings, self._values = batch.strings, batch.values
        self._of_overflow: set[int] = set()
        self.has_skipped = False
        """True once `of` has given SKIPPED."""

    def serves(self, batch: SpanBatch) -> bool:
        """True if ids of *batch* and slots of the sums mean what they did."""
        return (
            self._values is batch.values
            and self._strings is batch.strings
            and self._generation == self._sums.generation
        )

    def of(self, batch: SpanBatch, rows: slice) -> Ints:
        """Return the slot of the series of each span, or of each event of those; or SKIPPED."""
        packed = self._ids.packed(batch, rows)
        return np.fromiter(map(self.__getitem__, packed), np.int64, len(packed))

    def overflowed(self, slots: Ints) -> int:
        """Return how many of *slots* are of a series that stands for others."""
        if not self._of_overflow:
            return 0
        return int(np.isin(slots, list(self._of_overflow)).sum())

    def __missing__(self, packed: bytes) -> int:
        series = self._labels.series(packed)
        if series is None:
            slot, self.has_skipped = SKIPPED, True
        else:
            slot = self._slot(series)
        self[packed] = slot
        return slot

    def _slot(self, series: RedSeries) -> int:
        key = series.key()
        if len(key) <= KEY_BYTES:
            return self._sums.slot(key)
        slot = self._sums.slot(_overflow_key(series))
        self._of_overflow.add(slot)
        return slot


class SeriesKeys:
    """The keys of the series of spans, without counting them.

    Of *family*; `of` gives one key for each span, or for events one for each event.
    """

    def __init__(self, settings: RedSettings, family: str) -> None:
        self._ids = SeriesIds(settings, family, settings.families[family])
        self._memo: _Keys | None = None

    def of(self, batch: SpanBatch) -> Sequence[bytes | None]:
        """Return the key for each; None for one without a series of its own."""
        memo = self._memo
        if memo is None or not memo.serves(batch):
            memo = self._memo = _Keys(self._ids, batch)
        return [memo[each] for each in self._ids.packed(batch, slice(0, len(batch)))]


class _Keys(dict[bytes, bytes | None]):
    """The keys of series by ids that *batch* gave."""

    __slots__ = ("_labels", "_strings", "_values")

    def __init__(self, ids: SeriesIds, batch: SpanBatch) -> None:
        super().__init__()
        self._labels = SeriesLabels(ids, batch.strings, batch.values)
        self._strings, self._values = batch.strings, batch.values

    def serves(self, batch: SpanBatch) -> bool:
        return self._values is batch.values and self._strings is batch.strings

    def __missing__(self, packed: bytes) -> bytes | None:
        series = self._labels.series(packed)
        key = None if series is None else series.key()
        self[packed] = key = None if key is None or len(key) > KEY_BYTES else key
        return key


def _overflow_key(series: RedSeries) -> bytes:
    """Return the key of the series for what is too large to have its own.

    It is of the whole resource, or if that is the one that is too large, of its service alone, or
    of none.
    """
    attributes = dict(decoded_attributes(series.resource))
    service = {SERVICE: attributes[SERVICE]} if SERVICE in attributes else {}
    for encoded in (series.resource, encoded_resource(service)):
        key = RedSeries(encoded, series.dimensions).overflow_key
        if len(key) <= KEY_BYTES:
            return key
    return RedSeries(b"", series.dimensions).overflow_key
