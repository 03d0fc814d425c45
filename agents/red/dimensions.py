"""Dimensions: what tells the series of one resource apart, beyond name, kind and status.

A dimension's value is that of the span's attribute; where the span has none, the resource's; where
that has none either, the default. On each of them the first name counts that is there: the one
that was configured, then the others by which semantic conventions know the attribute. The label
is always the configured one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tailrace.schemas.series import Attributes
from tailrace.schemas.spans import AttributeColumn, SpanBatch
from tailrace.schemas.strings import ABSENT, AttributeValue

Names = Callable[[str], tuple[str, ...]]


def _only(key: str) -> tuple[str, ...]:
    return (key,)


@dataclass(frozen=True, slots=True)
class RedSettings:
    """`dimensions`: names and defaults, in order. `bounds_ns`: of the buckets, inclusive.

    `names` says by which names an attribute is known, the given one first.
    """

    dimensions: tuple[tuple[str, str | None], ...]
    bounds_ns: tuple[int, ...]
    names: Names = _only

    @property
    def columns(self) -> tuple[AttributeColumn, ...]:
        """The columns that batches must have; a resource's attributes come with every batch."""
        keys = (key for name, _ in self.dimensions for key in self.names(name))
        return tuple(AttributeColumn("span", key) for key in dict.fromkeys(keys))


class Dimensions:
    """The dimensions of *settings*, read from batches and resources."""

    def __init__(self, settings: RedSettings) -> None:
        self._named = [(name, settings.names(name)) for name, _ in settings.dimensions]
        self._defaults = dict(settings.dimensions)
        self._columns = [[AttributeColumn("span", key) for key in keys] for _, keys in self._named]

    def __len__(self) -> int:
        return len(self._named)

    def of_spans(self, batch: SpanBatch, rows: slice) -> list[npt.NDArray[np.int32]]:
        """For each dimension, the value id that each span itself has, or ABSENT."""
        found = []
        for columns in self._columns:
            ids = batch.attributes[columns[0]][rows]
            for column in columns[1:]:
                ids = np.where(ids == ABSENT, batch.attributes[column][rows], ids)
            found.append(ids)
        return found

    def of_resource(self, resource: Mapping[str, AttributeValue]) -> list[Attributes]:
        """For each dimension, the label of spans without it: one (name, value), or none."""
        labels: list[Attributes] = []
        for name, keys in self._named:
            key = next((key for key in keys if key in resource), None)
            if key is not None:
                labels.append([(name, resource[key])])
            elif self._defaults[name] is not None:
                labels.append([(name, self._defaults[name])])
            else:
                labels.append([])
        return labels

    def labelled(self, dimension: int, value: AttributeValue) -> Attributes:
        """Return the label of a span that has *value* itself."""
        return [(self._named[dimension][0], value)]
