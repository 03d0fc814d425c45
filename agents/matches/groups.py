"""Groups: the values of the fields that a definition groups by, as text; "" where there is none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from tailrace.schemas.definitions.filters import KINDS, STATUSES
from tailrace.schemas.matches import encode_group
from tailrace.schemas.semconv import coalesced, names
from tailrace.schemas.spans import AttributeColumn, SpanBatch
from tailrace.schemas.strings import ABSENT, Strings, Values, text_of
from tailrace.schemas.sums import Ints

GROUP_BYTES: Final = 1000
"""How long a group may be; a longer one is counted as `overflow`."""
_OVERFLOW: Final = "__overflow__"
_ATTRIBUTES: Final = "attributes."
_RESOURCE: Final = "resource."
_SERVICE_NAME: Final = "service.name"
_REMEMBERED: Final = 100_000


def overflow(group_by: Sequence[str]) -> bytes:
    """Return the group of what finds no place in another."""
    return encode_group([_OVERFLOW] * len(group_by))


def columns_of(group_by: Sequence[str]) -> list[AttributeColumn]:
    """Return the columns that *group_by* reads."""
    keys = [field.removeprefix(_ATTRIBUTES) for field in group_by if field.startswith(_ATTRIBUTES)]
    return [AttributeColumn("span", name) for key in keys for name in names(key)]


def raw(field: str, batch: SpanBatch) -> Ints:
    """Return what tells the values of *field* apart: a code, or the id of what it is read from."""
    if field == "name":
        return batch.name.astype(np.int64)
    if field == "kind":
        return batch.kind.astype(np.int64)
    if field == "status":
        return batch.status.astype(np.int64)
    if field.startswith(_ATTRIBUTES):
        return coalesced(batch.attributes, columns_of([field])).astype(np.int64)
    return batch.resource.astype(np.int64)


class Texts:
    """The texts of fields by what `raw` gives, of batches whose ids mean what they do there."""

    def __init__(self, strings: Strings, values: Values) -> None:
        self._strings = strings
        self._values = values
        self._groups: dict[tuple[tuple[str, ...], tuple[int, ...]], bytes] = {}

    def serves(self, batch: SpanBatch) -> bool:
        """True if the ids of *batch* mean what they do here."""
        return self._values is batch.values and self._strings is batch.strings

    def group(self, group_by: tuple[str, ...], numbers: tuple[int, ...]) -> bytes:
        """Return the group of spans whose fields are *numbers*."""
        key = group_by, numbers
        group = self._groups.get(key)
        if group is None:
            if len(self._groups) >= _REMEMBERED:
                self._groups.clear()
            group = encode_group(list(map(self._text, group_by, numbers)))
            if len(group) > GROUP_BYTES:
                group = overflow(group_by)
            self._groups[key] = group
        return group

    def _text(self, field: str, number: int) -> str:
        if field == "kind":
            return KINDS[number]
        if field == "status":
            return STATUSES[number]
        if number == ABSENT:
            return ""
        if field == "name":
            return self._strings[number]
        if field.startswith(_ATTRIBUTES):
            return text_of(self._values[number])
        return self._of_resource(field, number)

    def _of_resource(self, field: str, number: int) -> str:
        resource = self._values[number]
        assert isinstance(resource, dict)
        is_service = field == "service"
        keys = (_SERVICE_NAME,) if is_service else names(field.removeprefix(_RESOURCE))
        return next((text_of(resource[key]) for key in keys if key in resource), "")
