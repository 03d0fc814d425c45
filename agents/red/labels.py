"""From spans to the keys of their series: as ids side by side, and what these ids mean.

A series is a resource and a set of labels: service, name, kind and status of the span, its
instrumentation scope if that was asked for, then the dimensions, then the tenant if there are
several. All ids become texts here and nowhere else, and once for each combination of them.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from tailrace.agents.red.dimensions import Dimensions, LabelSet, OfResource
from tailrace.agents.red.settings import RedSettings
from tailrace.schemas.definitions.definition import DEFAULT_TENANT
from tailrace.schemas.series import (
    EVENTS,
    SERVICE,
    TENANT,
    RedSeries,
    encoded_attributes,
    encoded_resource,
)
from tailrace.schemas.spans import SpanBatch
from tailrace.schemas.strings import ABSENT, AttributeValue, Strings, Values, text_of
from tailrace.schemas.tracestate import threshold

Ids = npt.NDArray[np.int32]

SPAN_NAME: Final = "span.name"
SPAN_KIND: Final = "span.kind"
STATUS_CODE: Final = "status.code"
SCOPE_NAME: Final = "span.instrumentation.scope.name"
SCOPE_VERSION: Final = "span.instrumentation.scope.version"
METHOD: Final = "sampling.method"

_METHODS = ("counted", "extrapolated")
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
    labels: OfResource


class SeriesIds:
    """What the series of each span of a *family*, or of each event, depends on, as ids."""

    def __init__(self, settings: RedSettings, family: str, labels: LabelSet) -> None:
        self.settings = settings
        self.of_events = family == EVENTS
        self.dimensions = Dimensions(labels, settings.names, of_events=self.of_events)
        self._has_name = SPAN_NAME not in settings.excluded
        self._kinds = np.uint8(len(_STATUSES) * (SPAN_KIND not in settings.excluded))
        self._statuses = np.uint8(STATUS_CODE not in settings.excluded)
        extra = 2 * bool(settings.scopes) + settings.tells_tenant
        self._dimensions_at = 3 + extra
        self._width = self._dimensions_at + len(self.dimensions)
        self._packed = np.dtype((np.void, 4 * self._width))

    def packed(self, batch: SpanBatch, rows: slice) -> list[bytes]:
        """Return for each span of *rows*, or for each event of those, its ids as bytes."""
        if self.of_events:
            ids = self._of_events(batch, rows)
        else:
            ids = self._ids(batch, rows, rows.stop - rows.start)
            for column, values in enumerate(self.dimensions.of_spans(batch, rows)):
                ids[:, self._dimensions_at + column] = values
        packed: list[bytes] = ids.view(self._packed)[:, 0].tolist()
        return packed

    def _of_events(self, batch: SpanBatch, rows: slice) -> Ids:
        events = batch.events
        assert events is not None
        first, end = np.searchsorted(events.row, [rows.start, rows.stop]).tolist()
        ids = self._ids(batch, events.row[first:end], end - first)
        dimensions = self.dimensions.of_events(batch, events, slice(first, end))
        for column, values in enumerate(dimensions):
            ids[:, self._dimensions_at + column] = values
        return ids

    def _ids(self, batch: SpanBatch, rows: slice | Ids, count: int) -> Ids:
        """Return the ids that are not of dimensions, with room for those."""
        ids = np.empty((count, self._width), np.int32)
        ids[:, 0] = batch.resource[rows]
        ids[:, 1] = batch.name[rows] if self._has_name else 0
        ids[:, 2] = batch.kind[rows] * self._kinds + batch.status[rows] * self._statuses
        if self.settings.tells_method:
            ids[:, 2] += _is_extrapolated(batch, rows) * np.int32(len(_KINDS) * len(_STATUSES))
        if self.settings.scopes:
            is_told = self._is_told(batch, rows)
            ids[:, 3] = np.where(is_told, batch.scope_name[rows], ABSENT)
            ids[:, 4] = np.where(is_told, batch.scope_version[rows], ABSENT)
        if self.settings.tells_tenant:
            at = self._dimensions_at - 1
            one = len(batch.tenant) == 0
            ids[:, at] = batch.strings.intern(DEFAULT_TENANT) if one else batch.tenant[rows]
        return ids

    def _is_told(self, batch: SpanBatch, rows: slice | Ids) -> npt.NDArray[np.bool_]:
        numbers, places = np.unique(batch.scope_name[rows], return_inverse=True)
        names = [batch.strings[number] for number in numbers.tolist()]
        told = [bool(name) and name in self.settings.scopes for name in names]
        return np.array(told, np.bool_)[places]


def _is_extrapolated(batch: SpanBatch, rows: slice | Ids) -> npt.NDArray[np.bool_]:
    """Whether the trace state of each span says how likely it was to be kept."""
    numbers, places = np.unique(batch.trace_state[rows], return_inverse=True)
    said = [threshold(batch.strings[number]) is not None for number in numbers.tolist()]
    return np.array(said, np.bool_)[places]


class SeriesLabels:
    """What ids of *ids* mean: the keys of series. *strings* and *values* gave those ids."""

    def __init__(self, ids: SeriesIds, strings: Strings, values: Values) -> None:
        self._ids = ids
        self._settings = ids.settings
        self._strings, self._values = strings, values
        self._rules = ids.settings.rules
        self._resources: dict[int, _Resource | None] = {}

    def series(self, packed: bytes) -> RedSeries | None:
        """Return the series of what has these ids; None if its resource has no service."""
        number, name, code, *ids = np.frombuffer(packed, np.int32).tolist()
        if number not in self._resources:
            self._resources[number] = self._resource(self._values[number])
        resource = self._resources[number]
        if resource is None:
            return None
        labels = self._of_span(resource.service, name, code)
        if self._settings.scopes:
            labels |= self._of_scope(*ids[:2])
            ids = ids[2:]
        tenant = self._strings[ids.pop(0)] if self._settings.tells_tenant else None
        labels |= self._ids.dimensions.labels(ids, self._values, resource.labels)
        if self._rules is not None:
            labels = self._rules.resource(labels)
        if tenant is not None:
            labels.pop(TENANT, None)  # it comes last, whatever else was called so
            labels[TENANT] = tenant
        return RedSeries(resource.encoded, encoded_attributes(list(labels.items())))

    def _resource(self, attributes: AttributeValue) -> _Resource | None:
        assert isinstance(attributes, dict)
        if SERVICE not in attributes:
            return None
        keys = self._settings.resource_keys or attributes.keys()
        kept = {key: value for key, value in attributes.items() if key in keys}
        if self._rules is not None:
            kept = self._rules.resource(kept)
        service = text_of(attributes[SERVICE])
        of_resource = self._ids.dimensions.of_resource(attributes)
        return _Resource(encoded_resource(kept), service, of_resource)

    def _of_span(self, service: str, name: int, code: int) -> dict[str, AttributeValue]:
        is_extrapolated, code = divmod(code, len(_KINDS) * len(_STATUSES))
        kind, status = divmod(code, len(_STATUSES))
        labels: dict[str, AttributeValue] = {
            SERVICE: service,
            SPAN_NAME: self._strings[name],
            SPAN_KIND: _KINDS[kind],
            STATUS_CODE: _STATUSES[status],
        }
        for excluded in self._settings.excluded:
            labels.pop(excluded, None)
        if self._settings.tells_method:
            labels[METHOD] = _METHODS[is_extrapolated]
        return labels

    def _of_scope(self, name: int, version: int) -> dict[str, AttributeValue]:
        if name == ABSENT:
            return {}
        found = {SCOPE_NAME: self._strings[name], SCOPE_VERSION: self._strings[version]}
        return {label: text for label, text in found.items() if text}
