"""Cumulative series in the OpenMetrics text format, piece by piece.

As of the last flush, with the exemplars that it showed; what has expired is not there. Series that
have equal labels in Prometheus are added up, as in `prometheus`. Pieces are small, some of them
empty, so that whoever writes them out can do other things in between; between two pieces series
may change, but never within one. A slot that went to another series meanwhile is left out: its
labels are those of a series that is no more.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np
from prometheus_client.utils import floatToGoString

from tailrace.agents.metrics.family_series import FamilySeries
from tailrace.agents.metrics.instruments import Family, Instrument
from tailrace.agents.metrics.points import added_up, durations_counted, points_of, scaled_sums
from tailrace.agents.metrics.targets import Targets
from tailrace.schemas.exemplars import Exemplar
from tailrace.schemas.prometheus.naming import (
    TARGET_INFO,
    TARGET_INFO_HELP,
    labels,
    metric_name,
    unit_name,
)
from tailrace.schemas.series import TENANT, decoded_attributes
from tailrace.schemas.sums import SECOND_NS, Ints, Layout
from tailrace.tables.series_keys import SeriesKeys
from tailrace.tables.series_rows import NEVER

_PIECE: Final = 128
"""Series of a piece."""
_ESCAPED: Final = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})
_NOBODYS: Final = {"instance": "", "job": ""}
"""What a series of which they are not known has, or a scrape that honours labels would say that it
is the worker's, and it would be another one when it moves."""
_INFO: Final = TARGET_INFO.removesuffix("_info")


class _Member(NamedTuple):
    """A slot as it was when its labels were read; of its key, which is long, the hash."""

    series: FamilySeries
    slot: int
    key_hash: int


Texts = dict[str, list[_Member]]
"""Of each text of labels, the slots that have it."""


def openmetrics(series: Iterable[FamilySeries]) -> Iterator[bytes]:
    """Yield the text of all *series*, of all partitions that are wanted, in small pieces."""
    by_name: dict[str, list[FamilySeries]] = defaultdict(list)
    for each in series:
        by_name[each.name].append(each)
    targets = Targets()
    for of_family in by_name.values():
        family = of_family[0].family
        texts: list[Texts] = [{} for _ in family.streams]
        for each in of_family:
            yield from _gathered(each, texts, targets)
        for instrument in family.instruments:
            yield from _told(instrument, family, texts)
    yield _infos(targets)
    yield b"# EOF\n"


def _gathered(series: FamilySeries, texts: Sequence[Texts], targets: Targets) -> Iterator[bytes]:
    """Find the labels of *series*, and yield nothing, often."""
    family, table = series.family, series.table
    for first in range(0, len(table.keys), _PIECE):
        starts = table.starts[first : first + _PIECE]
        for number, of in enumerate(family.streams):
            for place in np.flatnonzero((starts[:, list(of)] != NEVER).any(1)).tolist():
                key = table.keys[first + place]
                member = _Member(series, first + place, hash(key))
                encoded = family.resource(key)
                attributes = decoded_attributes(family.attributes(key, number))
                named = dict(labels(attributes, family.scope, targets.labels(encoded)))
                targets.meet(encoded, named.get(TENANT, ""), int(starts[place, of].min()))
                # To Prometheus a label without a value is none, and what has it is the same series.
                told = {name: value for name, value in named.items() if value}
                text = _text(sorted({**_NOBODYS, **told}.items()))
                texts[number].setdefault(text, []).append(member)
        yield b""


def _text(pairs: Iterable[tuple[str, str]]) -> str:
    return ",".join(f'{name}="{value.translate(_ESCAPED)}"' for name, value in pairs)


def _told(instrument: Instrument, family: Family, texts: Sequence[Texts]) -> Iterator[bytes]:
    kind = "histogram" if instrument.is_histogram else "counter"
    name = metric_name(instrument.name, instrument.unit, kind).removesuffix("_total")
    head = f"# TYPE {name} {kind}\n"
    unit = unit_name(instrument.unit)
    if unit and name.endswith(f"_{unit}"):
        head += f"# UNIT {name} {unit}\n"
    for number, of in enumerate(texts):
        if not instrument.parts[number]:
            continue
        told = list(of.items())
        for first in range(0, len(told), _PIECE):
            piece = _Piece(instrument, family, number, told[first : first + _PIECE])
            lines = piece.histograms(name) if instrument.is_histogram else piece.counters(name)
            text = "".join(lines)
            if text:
                yield f"{head}{text}".encode()
                head = ""


class _Piece:
    """Some series of one instrument, those with equal labels added up."""

    def __init__(
        self,
        instrument: Instrument,
        family: Family,
        number: int,
        told: Sequence[tuple[str, list[_Member]]],
    ) -> None:
        self._unit_ns = instrument.unit_ns or family.unit_ns
        self._layout = told[0][1][0].series.table.layout
        members: dict[int, tuple[FamilySeries, list[tuple[int, int, int]]]] = {}
        for place, (_, of_text) in enumerate(told):
            for series, slot, key_hash in of_text:
                found = members.setdefault(id(series), (series, []))[1]
                found.append((place, slot, key_hash))
        width = 1 if not instrument.is_histogram else 3 + len(self._layout.bounds)
        self._cells: Ints = np.zeros((len(told), width), np.int64)
        self._starts = np.full(len(told), NEVER)
        self._exemplars: dict[int, list[Exemplar]] = defaultdict(list)
        streams = list(family.streams[number])
        for series, found in members.values():
            if series.table.layout == self._layout:  # it may be about to go over to another
                still = _still_there(series.table.keys, found)
                self._add(series, still, instrument, instrument.parts[number], streams)
        self._told = [
            (place, text) for place, (text, _) in enumerate(told) if self._starts[place] != NEVER
        ]

    def _add(
        self,
        series: FamilySeries,
        found: Ints,
        instrument: Instrument,
        parts: Sequence[str],
        streams: list[int],
    ) -> None:
        """Add the slots `found[:, 1]` of *series* to the places `found[:, 0]`."""
        table = series.table
        starts = table.starts[found[:, 1]][:, streams].min(1)
        is_there = starts != NEVER
        places, slots = found[is_there].T
        np.minimum.at(self._starts, places, starts[is_there])
        numbers = _numbers(instrument, self._layout, table.rows[slots], parts)
        np.add.at(self._cells, places, numbers)
        for place, slot in zip(places.tolist(), slots.tolist(), strict=True):
            if slot in series.shown:
                self._exemplars[place] += series.shown[slot]

    def counters(self, name: str) -> Iterator[str]:
        """Yield the lines of counters."""
        counts, starts = self._cells[:, 0].tolist(), (self._starts / 1000).tolist()
        for place, text in self._told:
            example = self._example(max(self._exemplars.get(place, ()), key=_time, default=None))
            yield (
                f"{name}_total{{{text}}} {counts[place]}{example}\n"
                f"{name}_created{{{text}}} {starts[place]}\n"
            )

    def histograms(self, name: str) -> Iterator[str]:
        """Yield the lines of histograms; what is exponential has no bounds that text can tell."""
        bounds, starts = self._layout.bounds, (self._starts / 1000).tolist()
        edges = [*(_go_text(bound / self._unit_ns) for bound in bounds), "+Inf"]
        totals = scaled_sums(_carried(self._cells), self._unit_ns).tolist()
        counts = self._cells[:, 2:].cumsum(1).tolist()
        for place, text in self._told:
            examples = self._by_bucket(place) if place in self._exemplars else {}
            for bucket, (edge, count) in enumerate(zip(edges, counts[place], strict=True)):
                example = self._example(examples[bucket]) if bucket in examples else ""
                yield f'{name}_bucket{{{text},le="{edge}"}} {count}{example}\n'
            yield (
                f"{name}_count{{{text}}} {counts[place][-1]}\n"
                f"{name}_sum{{{text}}} {totals[place]}\n"
                f"{name}_created{{{text}}} {starts[place]}\n"
            )

    def _by_bucket(self, place: int) -> dict[int, Exemplar]:
        """Return the newest exemplar of each bucket."""
        found: dict[int, Exemplar] = {}
        for each in sorted(self._exemplars[place], key=_time):
            found[int(np.searchsorted(self._layout.bounds, each.value_ns))] = each
        return found

    def _example(self, exemplar: Exemplar | None) -> str:
        """Return what stands after a value that *exemplar* is an example of."""
        if exemplar is None:
            return ""
        ids = f'trace_id="{exemplar.trace_id.hex()}",span_id="{exemplar.span_id.hex()}"'
        seconds, nanoseconds = divmod(exemplar.time_ns, SECOND_NS)
        value = exemplar.value_ns / self._unit_ns
        return f" # {{{ids}}} {value} {seconds}.{nanoseconds:09}"


def _still_there(keys: SeriesKeys, found: Iterable[tuple[int, int, int]]) -> Ints:
    """Return the places and slots of *found* where the series is that their labels are of."""
    count = len(keys)
    still = [(at, slot) for at, slot, known in found if slot < count and hash(keys[slot]) == known]
    return np.array(still, np.int64).reshape(-1, 2)


def _time(exemplar: Exemplar) -> int:
    return exemplar.time_ns


def _numbers(instrument: Instrument, layout: Layout, rows: Ints, parts: Sequence[str]) -> Ints:
    """Return what can be added up of rows: a count, or a sum (s, ns) and counts of buckets."""
    if not instrument.is_histogram:
        return points_of(instrument, layout).cells(rows, parts)[:, np.newaxis]
    cells = added_up(layout, rows, parts)
    if not layout.is_exponential:
        return cells
    return np.concatenate([cells[:, :2], durations_counted(layout, cells)[:, np.newaxis]], axis=1)


def _go_text(value: float) -> str:
    text: str = floatToGoString(value)  # type: ignore[no-untyped-call]  # theirs
    return text


def _carried(cells: Ints) -> Ints:
    carried = cells[:, :2].copy()
    carried[:, 0] += carried[:, 1] // SECOND_NS
    carried[:, 1] %= SECOND_NS
    return carried


def _infos(targets: Targets) -> bytes:
    found = targets.infos()
    if not found:
        return b""
    lines = [f"# TYPE {_INFO} info\n", f"# HELP {_INFO} {TARGET_INFO_HELP}\n"]
    lines += [f"{TARGET_INFO}{{{_text(each)}}} 1\n" for each in found]
    return "".join(lines).encode()
