"""Tenants: whose each span of a batch is.

A record's header says it for all that is in the record; without one, an attribute of the resource.
Where neither is there, it is `default`. What is said and can be no tenant counts as `default`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from tailrace.schemas.config.tenancy import TenancyConfig
from tailrace.schemas.definitions.definition import DEFAULT_TENANT
from tailrace.schemas.records import Headers, Record
from tailrace.schemas.spans import SpanBatch
from tailrace.schemas.strings import ABSENT, AttributeValue, Strings, Values, text_of

LONGEST_TENANT: Final = 200
"""In characters."""

_UNKNOWN: Final = -1
_REFUSED: Final = -2
"""Instead of a tenant that can be none."""
_UNSAID: Final = -3
_ELSEWHERE: Final = -4
"""Of a header that is another; the one that is asked for may stand before it."""
_KEPT_HEADERS: Final = 10_000

Ids = npt.NDArray[np.int32]


def is_tenant(text: str) -> bool:
    """True if *text* can be a tenant: 1 to LONGEST_TENANT printable characters."""
    return 0 < len(text) <= LONGEST_TENANT and text.isprintable() and text == text.strip()


def said_by_headers(name: str | None, headers: Headers) -> str | None:
    """Return what the last header of that *name* says; None if there is none.

    What is no text is returned as one that is no tenant.
    """
    found = None if name is None else header_of(name, headers)
    return None if found is None else _text(found[1])


def header_of(name: str, headers: Headers) -> tuple[str, bytes] | None:
    """Return the last header of that *name*, which counts, as Kafka's clients have it."""
    return next((each for each in reversed(headers) if each[0] == name), None)


def said_by_resource(key: str | None, resource: Mapping[str, AttributeValue]) -> str | None:
    """Return the text of the attribute *key*; None if it is not there."""
    return text_of(resource[key]) if key is not None and key in resource else None


def _text(value: bytes | None) -> str:
    try:
        return (value or b"").decode()  # a header may have no value
    except UnicodeDecodeError:
        return ""


def said_tenant(
    config: TenancyConfig, headers: Headers, resource: Mapping[str, AttributeValue]
) -> str:
    """Return what a record and a resource of it say; it may be no tenant."""
    said = said_by_headers(config.header, headers)
    if said is None:
        said = said_by_resource(config.resource_attribute, resource)
    return DEFAULT_TENANT if said is None else said


class _Said(dict[tuple[str, bytes], int]):
    """Headers of records to the ids of their tenants."""

    def __init__(self, name: str | None, strings: Strings) -> None:
        super().__init__()
        self._name = name
        self._strings = strings

    def __missing__(self, header: tuple[str, bytes]) -> int:
        if header[0] != self._name:
            return _ELSEWHERE
        number = _id(_text(header[1]), self._strings)
        if len(self) < _KEPT_HEADERS:
            self[header] = number
        return number

    def of(self, headers: Headers) -> int:
        """Return what *headers* say, if the last of them is another."""
        found = None if self._name is None else header_of(self._name, headers)
        return _UNSAID if found is None else self[found]


def _id(said: str, strings: Strings) -> int:
    return strings.intern(said) if is_tenant(said) else _REFUSED


class SpanTenants:
    """The tenants of the spans of batches, worked out once for each resource.

    `refused` counts spans whose tenant can be none; they count as of `default`.
    """

    def __init__(self, config: TenancyConfig) -> None:
        self.refused = 0
        self._header = config.header
        self._attribute = config.resource_attribute
        self._bind(Strings(), Values())

    def _bind(self, strings: Strings, values: Values) -> None:
        """Go by the ids that these give."""
        self._strings, self._values = strings, values
        self._default = strings.intern(DEFAULT_TENANT)
        self._said = _Said(self._header, strings)
        # The last cell is that of ABSENT, which is -1.
        self._of_resources: Ids = np.full(1, _UNKNOWN, np.int32)

    def of(self, batch: SpanBatch, records: Sequence[Record]) -> Ids:
        """Return ids of `strings` for the rows of *batch*; none if all are of `default`.

        *records* are what the batch was decoded from.
        """
        if batch.strings is not self._strings or batch.values is not self._values:
            self._bind(batch.strings, batch.values)
        found = self._by_headers(batch, records) if self._header is not None else None
        if self._attribute is None:
            found = np.empty(0, np.int32) if found is None else found
            found[found == _UNSAID] = self._default
        elif found is None:
            found = self._by_resources(batch.resource)
        else:
            rows = np.flatnonzero(found == _UNSAID)
            found[rows] = self._by_resources(batch.resource[rows])
        is_refused = found == _REFUSED
        if is_refused.any():
            self.refused += int(is_refused.sum())
            found[is_refused] = self._default
        return found if (found != self._default).any() else np.empty(0, np.int32)

    def _by_headers(self, batch: SpanBatch, records: Sequence[Record]) -> Ids | None:
        """Return what the headers say of each row; None if no record has such a header."""
        said = self._said
        found = np.array([said[h[-1]] if (h := each.headers) else _UNSAID for each in records])
        for row in np.flatnonzero(found == _ELSEWHERE).tolist():
            found[row] = said.of(records[row].headers)
        if (found == _UNSAID).all():
            return None
        of_fragments = found.astype(np.int32)[batch.fragment_message]
        return np.repeat(of_fragments, np.diff(batch.fragment_start))

    def _by_resources(self, resources: Ids) -> Ids:
        cells, known = self._of_resources, len(self._values)
        if known >= len(cells):
            more = np.full(2 * known - len(cells) + 1, _UNKNOWN, np.int32)
            cells = self._of_resources = np.concatenate([cells[:-1], more, cells[-1:]])
        found = cells[resources]
        if len(found) and found.min() < 0:
            for unknown in np.unique(resources[found == _UNKNOWN]).tolist():
                cells[unknown] = self._by_resource(unknown)
            found = cells[resources]
        return found

    def _by_resource(self, id: int) -> int:
        resource = self._values[id] if id != ABSENT else {}
        assert isinstance(resource, dict)
        said = said_by_resource(self._attribute, resource)
        return self._default if said is None else _id(said, self._strings)
