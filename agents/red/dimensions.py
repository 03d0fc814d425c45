"""Dimensions: attributes that tell the series of one resource apart.

A dimension's value is that of the span's attribute; where the span has none, that of the event, if
events are counted; then the resource's; where that has none either, the default. On each of them
the first name counts that is there: the one that was configured, then the others by which semantic
conventions know the attribute. The label is always the configured one.

Patterns take every attribute that matches, by its own name, from the same places.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from tailrace.schemas.globs import Glob
from tailrace.schemas.spans import AttributeColumn, Events, SpanBatch
from tailrace.schemas.strings import ABSENT, AttributeValue, Values, text_of, typed

Ids = npt.NDArray[np.int32]
Pair = tuple[str, AttributeValue]
Labels = Mapping[str, AttributeValue]
Names = Callable[[str], tuple[str, ...]]
"""By which names an attribute is known, the given one first."""


@dataclass(frozen=True, slots=True)
class LabelSet:
    """Labels from attributes: `named` with their defaults, in order, and all that match `globs`."""

    named: tuple[tuple[str, str | None], ...] = ()
    globs: tuple[str, ...] = ()

    @property
    def pattern(self) -> str:
        """One pattern for all of `globs`; empty if there are none."""
        return self.globs[0] if len(self.globs) == 1 else f"{{{','.join(self.globs)}}}"


class OfResource(NamedTuple):
    """What a resource says where a span says nothing: a label of each dimension, or None."""

    named: list[Pair | None]
    matching: Labels
    """Attributes that match a pattern."""


class Dimensions:
    """The dimensions of *labels*, read from batches and resources."""

    def __init__(self, labels: LabelSet, names: Names, *, of_events: bool = False) -> None:
        keys = [names(name) for name, _ in labels.named]
        self._labels = labels.named
        self._keys = keys
        self._of_spans = [[AttributeColumn("span", key) for key in each] for each in keys]
        self._of_events = [
            [AttributeColumn("event", key) for key in each] if of_events else [] for each in keys
        ]
        self._glob: Glob | None = None
        if labels.globs:
            self._glob = Glob(labels.pattern)
            self._of_spans.append([AttributeColumn("span", labels.pattern, is_pattern=True)])
            self._of_events.append([])
            if of_events:
                self._of_spans.append([])
                self._of_events.append([AttributeColumn("event", labels.pattern, is_pattern=True)])

    @property
    def columns(self) -> tuple[AttributeColumn, ...]:
        """The columns that `of_spans` and `of_events` read."""
        columns = [column for each in (*self._of_spans, *self._of_events) for column in each]
        return tuple(dict.fromkeys(columns))

    def __len__(self) -> int:
        """How many ids there are for each span or event."""
        return len(self._of_spans)

    def of_spans(self, batch: SpanBatch, rows: slice) -> list[Ids]:
        """For each dimension, the value id that each span itself has, or ABSENT."""
        return [_first(batch.attributes, columns, rows) for columns in self._of_spans]

    def of_events(self, batch: SpanBatch, events: Events, rows: slice) -> list[Ids]:
        """For each dimension, the value id that each event of *rows* or its span has, or ABSENT."""
        owners, found = events.row[rows], []
        for of_span, of_event in zip(self._of_spans, self._of_events, strict=True):
            ids = _first(batch.attributes, of_span, owners) if of_span else None
            if of_event:
                own = _first(events.attributes, of_event, rows)
                ids = own if ids is None else np.where(ids == ABSENT, own, ids)
            assert ids is not None
            found.append(ids)
        return found

    def of_resource(self, resource: Labels) -> OfResource:
        """Return the labels of what has no others."""
        named: list[Pair | None] = []
        for (name, default), keys in zip(self._labels, self._keys, strict=True):
            found = next((resource[key] for key in keys if key in resource), default)
            is_there = default is not None or any(key in resource for key in keys)
            named.append(_label(name, found) if is_there else None)
        glob = self._glob
        if glob is None:
            return OfResource(named, {})
        return OfResource(named, {key: resource[key] for key in resource if glob.matches(key)})

    def labels(self, ids: Sequence[int], values: Values, of_resource: OfResource) -> Iterator[Pair]:
        """Yield the labels of a span or event that has the values *ids* itself."""
        for (name, _), absent, own in zip(self._labels, of_resource.named, ids, strict=False):
            if own != ABSENT:
                yield _label(name, values[own])
            elif absent is not None:
                yield absent
        if self._glob is not None:
            matching = dict(of_resource.matching)
            # The span's come last, so that they are what stays.
            for own in reversed(ids[len(self._labels) :]):
                found = values[own] if own != ABSENT else {}
                assert isinstance(found, dict)
                matching |= found
            for name in sorted(matching):
                yield _label(name, matching[name])


def _label(name: str, value: AttributeValue) -> Pair:
    """Values of equal text are one series; as numbers or booleans, where they can be."""
    return name, typed(text_of(value))


def _first(
    attributes: Mapping[AttributeColumn, Ids], columns: Sequence[AttributeColumn], rows: slice | Ids
) -> Ids:
    """The first of *columns* that is not ABSENT."""
    ids = attributes[columns[0]][rows]
    for column in columns[1:]:
        ids = np.where(ids == ABSENT, attributes[column][rows], ids)
    return ids
