"""From spans to the slots of their series.

A series is one resource, all of its attributes, and one set of labels: service, name, kind and
status of the span, then the configured dimensions. Attribute values keep their types.

Columns of ids become the slots of series by one look-up a span: a span's ids, side by side as
bytes, are the key of a dict. Only ids that were not yet seen together are turned into a series.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tailrace.agents.red.dimensions import Dimensions
from tailrace.schemas.series import Attributes, RedSeries, encoded_attributes, encoded_resource
from tailrace.schemas.spans import SpanBatch
from tailrace.schemas.strings import ABSENT, AttributeValue, text_of
from tailrace.schemas.sums import Ints
from tailrace.tables.interval_sums import IntervalSums

SKIPPED = -1
"""Instead of a slot, for a span of a resource without a `service.name`: as the collector does."""
KEY_BYTES = 16 << 10
"""How long the key of a series may be: every record must hold several."""

_SERVICE = "service.name"
_OVERFLOW = encoded_attributes([("otel.metric.overflow", True)])
_STATUSES = ("STATUS_CODE_UNSET", "STATUS_CODE_OK", "STATUS_CODE_ERROR")
_KINDS = (
    "SPAN_KIND_UNSPECIFIED",
    "SPAN_KIND_INTERNAL",
    "SPAN_KIND_SERVER",
    "SPAN_KIND_CLIENT",
    "SPAN_KIND_PRODUCER",
    "SPAN_KIND_CONSUMER",
)


class _Resource(NamedTuple):
    """What the series of one resource have in common."""

    encoded: bytes
    service: str
    absent: list[Attributes]
    """For each dimension, the label of a span that lacks it."""


class SeriesSlots(dict[bytes, int]):
    """The slots in *sums* of the series of spans, whose ids *batch* gave.

    It serves batches with the same `strings` and `values`, for as long as slots keep their
    meaning; `serves` tells.
    """

    __slots__ = (
        "_dimensions",
        "_generation",
        "_of_overflow",
        "_packed",
        "_resources",
        "_strings",
        "_sums",
        "_values",
        "has_skipped",
    )

    def __init__(self, dimensions: Dimensions, sums: IntervalSums, batch: SpanBatch) -> None:
        super().__init__()
        self._dimensions = dimensions
        self._sums = sums
        self._generation = sums.generation
        self._strings, self._values = batch.strings, batch.values
        self._resources: dict[int, _Resource | None] = {}
        self._of_overflow: set[int] = set()
        self._packed = np.dtype((np.void, 4 * (3 + len(dimensions))))
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
        """Return the slot of the series of each span, or SKIPPED."""
        dimensions = self._dimensions.of_spans(batch, rows)
        count = rows.stop - rows.start
        ids = np.empty((count, 3 + len(dimensions)), np.int32)
        ids[:, 0] = batch.resource[rows]
        ids[:, 1] = batch.name[rows]
        ids[:, 2] = batch.kind[rows] * np.uint8(len(_STATUSES)) + batch.status[rows]
        for column, values in enumerate(dimensions, 3):
            ids[:, column] = values
        packed = ids.view(self._packed)[:, 0].tolist()
        return np.fromiter(map(self.__getitem__, packed), np.int64, count)

    def overflowed(self, slots: Ints) -> int:
        """Return how many of *slots* are of a series that stands for others."""
        if not self._of_overflow:
            return 0
        return int(np.isin(slots, list(self._of_overflow)).sum())

    def __missing__(self, ids: bytes) -> int:
        number, name, code, *values = np.frombuffer(ids, np.int32).tolist()
        if number not in self._resources:
            self._resources[number] = self._resource(self._values[number])
        resource = self._resources[number]
        if resource is None:
            slot, self.has_skipped = SKIPPED, True
        else:
            slot = self._slot(resource, name, code, values)
        self[ids] = slot
        return slot

    def _resource(self, attributes: AttributeValue) -> _Resource | None:
        assert isinstance(attributes, dict)
        if _SERVICE not in attributes:
            return None
        return _Resource(
            encoded_resource(attributes),
            text_of(attributes[_SERVICE]),
            self._dimensions.of_resource(attributes),
        )

    def _slot(self, resource: _Resource, name: int, code: int, values: list[int]) -> int:
        kind, status = divmod(code, len(_STATUSES))
        labels: list[tuple[str, AttributeValue]] = [
            (_SERVICE, resource.service),
            ("span.name", self._strings[name]),
            ("span.kind", _KINDS[kind]),
            ("status.code", _STATUSES[status]),
        ]
        for dimension, value in enumerate(values):
            if value == ABSENT:
                labels += resource.absent[dimension]
            else:
                labels += self._dimensions.labelled(dimension, self._values[value])
        key = RedSeries(resource.encoded, encoded_attributes(labels)).key()
        if len(key) <= KEY_BYTES:
            return self._sums.slot(key)
        slot = self._sums.slot(_overflow_key(resource))
        self._of_overflow.add(slot)
        return slot


def _overflow_key(resource: _Resource) -> bytes:
    """Return the key of the series for what is too large to have its own.

    It is of the whole resource, or if that is the one that is too large, of its service alone, or
    of none.
    """
    service = encoded_resource({_SERVICE: resource.service})
    for encoded in (resource.encoded, service):
        key = RedSeries(encoded, _OVERFLOW).key()
        if len(key) <= KEY_BYTES:
            return key
    return RedSeries(b"", _OVERFLOW).key()
