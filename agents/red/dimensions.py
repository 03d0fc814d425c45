"""Dimensions: what tells the series of one resource apart, beyond name, kind and status.

A dimension's value is that of the span's attribute; where the span has none, the resource's; where
that has none either, the default. On each of them the first name counts that is there: the one
that was configured, then the others by which semantic conventions know the attribute. The label
is always the configured one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from tailrace.schemas.series import Attributes
from tailrace.schemas.spans import AttributeColumn, SpanBatch
from tailrace.schemas.strings import ABSENT, AttributeValue, text_of, typed

Names = Callable[[str], tuple[str, ...]]
"""By which names an attribute is known, the given one first."""


class Dimensions:
    """The dimensions *configured*, by name and default, read from batches and resources."""

    def __init__(self, configured: Sequence[tuple[str, str | None]], names: Names) -> None:
        self._named = [(name, names(name)) for name, _ in configured]
        self._defaults = dict(configured)
        self._of_spans = [[AttributeColumn("span", key) for key in keys] for _, keys in self._named]

    @property
    def columns(self) -> tuple[AttributeColumn, ...]:
        """The columns that `of_spans` reads."""
        return tuple(dict.fromkeys(column for columns in self._of_spans for column in columns))

    def __len__(self) -> int:
        return len(self._named)

    def of_spans(self, batch: SpanBatch, rows: slice) -> list[npt.NDArray[np.int32]]:
        """For each dimension, the value id that each span itself has, or ABSENT."""
        found = []
        for first, *others in self._of_spans:
            ids = batch.attributes[first][rows]
            for column in others:
                ids = np.where(ids == ABSENT, batch.attributes[column][rows], ids)
            found.append(ids)
        return found

    def of_resource(self, resource: Mapping[str, AttributeValue]) -> list[Attributes]:
        """For each dimension, the label of spans without it: one (name, value), or none."""
        labels: list[Attributes] = []
        for name, keys in self._named:
            key = next((key for key in keys if key in resource), None)
            if key is not None:
                labels.append([self._label(name, resource[key])])
            elif self._defaults[name] is not None:
                labels.append([self._label(name, self._defaults[name])])
            else:
                labels.append([])
        return labels

    def labelled(self, dimension: int, value: AttributeValue) -> Attributes:
        """Return the label of a span that has *value* itself."""
        return [self._label(self._named[dimension][0], value)]

    @staticmethod
    def _label(name: str, value: AttributeValue) -> tuple[str, AttributeValue]:
        """Values of equal text are one series; as numbers or booleans, where they can be."""
        return name, typed(text_of(value))
