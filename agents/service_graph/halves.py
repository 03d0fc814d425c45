"""From spans to half edges.

Columns of ids become the numbers of prototypes by one look-up a span: the ids of its service and of
the database or peer that it names, side by side in one integer; with dimensions, one look-up more
for each. Only ids that were not yet seen together are turned into a prototype.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import compress
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from tailrace.agents.service_graph.links import linked_halves, mark_producers
from tailrace.agents.service_graph.settings import Columns, ServiceGraphSettings
from tailrace.agents.service_graph.tenants import Owned
from tailrace.schemas.config.metric_labels import MetricLabelsConfig
from tailrace.schemas.half_edges import (
    CLIENT,
    DATABASE,
    FAILED,
    KEY_BYTES,
    MESSAGING,
    ROOT,
    Ints,
    Keys,
    Prototype,
    cut,
)
from tailrace.schemas.label_rules import LabelRules, Missing
from tailrace.schemas.spans import SpanBatch
from tailrace.schemas.strings import ABSENT, Strings, Values, text_of
from tailrace.tables.half_edge_rows import Halves, Prototypes

NAME_BYTES = 1 << 10
"""How long a name may be; longer ones are cut."""
_NO_RULES = LabelRules(MetricLabelsConfig())
_KEPT_IDS = 100_000
_INTERNAL = 1
_SIDES = np.array([0, 0, 0, CLIENT, CLIENT | MESSAGING, MESSAGING], np.uint8)
"""By kind of span."""
_LOW = (1 << 32) - 1


class _Folds(dict[int, int]):
    """Two ids side by side, to one id for both."""

    def __init__(self) -> None:
        super().__init__()
        self.pairs: list[int] = []

    def __missing__(self, pair: int) -> int:
        number = self[pair] = len(self.pairs)
        self.pairs.append(pair)
        return number


class _Weighted(dict[int, int]):
    """A prototype's number and a weight side by side, to the prototype with that weight."""

    def __init__(self, prototypes: Prototypes) -> None:
        super().__init__()
        self._prototypes = prototypes

    def __missing__(self, pair: int) -> int:
        prototype = self._prototypes[pair >> 32]._replace(weight=pair & _LOW)
        number = self[pair] = self._prototypes.number(prototype)
        return number


class _Numbers(dict[int, int]):
    """Numbers of prototypes by ids that *strings* and *values* gave."""

    def __init__(
        self,
        settings: ServiceGraphSettings,
        prototypes: Prototypes,
        strings: Strings,
        values: Values,
    ) -> None:
        super().__init__()
        dimensions = self._dimensions = settings.dimensions
        self._rules = settings.rules or _NO_RULES
        self._folds = [_Folds() for _ in dimensions]
        self._prototypes = prototypes
        self._weighted = _Weighted(prototypes)
        self.owned = Owned(prototypes, strings)
        self._generation = prototypes.generation
        self._strings, self._values = strings, values
        # Interned here, so that they are known by their ids.
        self.unnamed = strings.intern("")
        self.blanks = values.intern(""), values.intern(None)

    def serves(self, batch: SpanBatch) -> bool:
        """True if ids of *batch* and numbers mean what they did."""
        return (
            self._values is batch.values
            and self._strings is batch.strings
            and self._generation == self._prototypes.generation
            and len(self) <= _KEPT_IDS
        )

    def of(self, service: Ints, others: Sequence[Ints]) -> npt.NDArray[np.int32]:
        """Return the number of each half, by its service, its target and its dimensions."""
        *folded, last = others
        ids = service
        for folds, other in zip(self._folds, folded, strict=True):
            pairs = (ids << 32 | (other + 1)).tolist()
            ids = np.fromiter(map(folds.__getitem__, pairs), np.int64, len(pairs))
        pairs = (ids << 32 | (last + 1)).tolist()
        return np.fromiter(map(self.__getitem__, pairs), np.int32, len(pairs))

    def weighted(self, numbers: npt.NDArray[np.int32], weights: Ints) -> npt.NDArray[np.int32]:
        """Return the numbers of the same prototypes with *weights*."""
        pairs = (numbers.astype(np.int64) << 32 | weights).tolist()
        return np.fromiter(map(self._weighted.__getitem__, pairs), np.int32, len(pairs))

    def __missing__(self, pair: int) -> int:
        ids, other = pair >> 32, pair & _LOW
        others = [other - 1]
        for folds in reversed(self._folds):
            ids, other = folds.pairs[ids] >> 32, folds.pairs[ids] & _LOW
            others.append(other - 1)
        *values, target = others
        shown = [
            (name, self._rules.label(name, self._values[value]))
            for name, value in zip(self._dimensions, reversed(values), strict=True)
            if value != ABSENT
        ]
        dimensions = tuple(
            (name, cut(text_of(value), NAME_BYTES))
            for name, value in shown
            if not isinstance(value, Missing)
        )
        prototype = Prototype(
            cut(self._strings[ids], NAME_BYTES),
            "" if target == ABSENT else cut(text_of(self._values[target]), NAME_BYTES),
            dimensions,
        )
        number = self[pair] = self._prototypes.number(prototype)
        return number


class Read(NamedTuple):
    """Halves, and those of them that are looked for by links; None where there are none.

    `unnamed`: how many lack a service.
    """

    halves: Halves | None
    linked: Halves | None
    unnamed: int


class HalfReader:
    """Reads half edges, in terms of *prototypes*, from spans."""

    def __init__(self, settings: ServiceGraphSettings, prototypes: Prototypes) -> None:
        self._settings = settings
        self._dimension_columns = settings.dimension_columns
        # A peer attribute that names databases too is done with when it does not.
        self._target_columns = tuple(
            dict.fromkeys((*settings.database_columns, *settings.peer_columns))
        )
        self._database_columns = len(settings.database_columns)
        self._has_links = settings.has_links
        self._prototypes = prototypes
        self._numbers: _Numbers | None = None

    def read(self, batch: SpanBatch, times: Sequence[int]) -> Read:
        """Return what *batch* has; `times[i]` is stream time (ms) at message i."""
        rows = np.flatnonzero(batch.kind > _INTERNAL)
        numbers = self._numbers
        if numbers is None or not numbers.serves(batch):
            numbers = self._numbers = _Numbers(
                self._settings, self._prototypes, batch.strings, batch.values
            )
        service = batch.service.take(rows)
        is_named = service != numbers.unnamed
        unnamed = len(rows) - int(np.count_nonzero(is_named))
        if unnamed:
            rows, service = rows[is_named], service[is_named]
        if not len(rows):
            return Read(None, None, unnamed)
        states = _SIDES.take(batch.kind.take(rows))
        is_client = (states & CLIENT) != 0
        states |= (batch.status.take(rows) >> 1) * np.uint8(FAILED)
        states |= (batch.is_root.take(rows) & ~is_client) * np.uint8(ROOT)
        target, is_database = self._targets(batch, rows, is_client, numbers.blanks)
        states |= is_database * np.uint8(DATABASE)
        found = self._prototypes_of(batch, rows, service, target, numbers)
        fragments = np.searchsorted(batch.fragment_start, rows, "right") - 1
        keys = _keys(batch, rows, fragments, is_client)
        durations = np.maximum(batch.end - batch.start, 0).take(rows)
        halves = Halves(keys, found, durations, _times(batch, times, fragments), states)
        if not self._has_links:
            return Read(halves, None, unnamed)
        mark_producers(states)
        return Read(halves, linked_halves(batch, rows, halves), unnamed)

    def _prototypes_of(
        self,
        batch: SpanBatch,
        rows: npt.NDArray[np.intp],
        service: npt.NDArray[np.int32],
        target: Ints,
        numbers: _Numbers,
    ) -> npt.NDArray[np.int32]:
        """Return the number of the prototype of each of *rows*."""
        others = [_first_present(batch, each, rows) for each in self._dimension_columns]
        found = numbers.of(service.astype(np.int64), [target, *others])
        if batch.weight is not None:
            found = numbers.weighted(found, batch.weight.take(rows))
        if len(batch.tenant):
            found = numbers.owned.of(found, batch.tenant.take(rows))
        return found

    def _targets(
        self,
        batch: SpanBatch,
        rows: npt.NDArray[np.intp],
        is_client: npt.NDArray[np.bool_],
        blanks: Sequence[int],
    ) -> tuple[Ints, npt.NDArray[np.bool_]]:
        """Return the value by which each client calls its callee, and if that is a database.

        An empty value is none.
        """
        columns = [batch.attributes[column] for column in self._target_columns]
        table = np.array(columns).reshape(-1, len(batch))
        used = np.flatnonzero(table.max(1) > ABSENT)
        if not len(used):
            return np.full(len(rows), ABSENT, np.int64), np.zeros(len(rows), np.bool_)
        table = table[used].take(rows, 1)
        is_there = (table != ABSENT) & is_client
        for blank in blanks:
            is_there &= table != blank
        place, every = is_there.argmax(0), np.arange(len(rows))
        is_found = is_there[place, every]
        target = np.where(is_found, table[place, every], ABSENT).astype(np.int64)
        return target, is_found & (used[place] < self._database_columns)


def _times(batch: SpanBatch, times: Sequence[int], fragments: npt.NDArray[np.intp]) -> Ints:
    if times[0] == times[-1]:
        return np.full(len(fragments), times[0], np.int64)
    found: Ints = np.array(times, np.int64)[batch.fragment_message.take(fragments)]
    return found


def _keys(
    batch: SpanBatch,
    rows: npt.NDArray[np.intp],
    fragments: npt.NDArray[np.intp],
    is_client: npt.NDArray[np.bool_],
) -> Keys:
    """Return the keys of halves; those of roots mean nothing."""
    words = np.empty((len(rows), KEY_BYTES // 8), np.uint64)
    trace_ids = np.frombuffer(b"".join(batch.fragment_trace_id), np.uint64).reshape(-1, 2)
    words[:, :2] = trace_ids.take(fragments, 0)
    span_ids = np.frombuffer(b"".join(batch.span_id), np.uint64)
    words[:, 2] = np.where(is_client, span_ids.take(rows), _parents(batch).take(rows))
    return words.view(f"V{KEY_BYTES}")[:, 0]


def _parents(batch: SpanBatch) -> npt.NDArray[np.uint64]:
    """Return the parent of each span as a word; that of roots is 0."""
    has_parent = ~batch.is_root
    count = int(np.count_nonzero(has_parent))
    joined = b"".join(batch.parent_span_id)
    if len(joined) != 8 * count:  # some roots say so with 8 zero bytes
        joined = b"".join(compress(batch.parent_span_id, has_parent.tolist()))
    words = np.zeros(len(batch), np.uint64)
    words[has_parent] = np.frombuffer(joined, np.uint64)
    return words


def _first_present(batch: SpanBatch, columns: Columns, rows: npt.NDArray[np.intp]) -> Ints:
    """Return for each of *rows* the first value that one of *columns* has, or ABSENT."""
    table = np.array([batch.attributes[column] for column in columns]).take(rows, 1)
    place = (table != ABSENT).argmax(0)
    found: Ints = table[place, np.arange(len(rows))].astype(np.int64)
    return found
