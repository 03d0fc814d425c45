"""Cumulative series as Prometheus text, as the collector's Prometheus exporter names them.

Where series have equal labels in Prometheus, of resources with equal job and instance, they are
added up. The exporter keeps one of them, and loses what the others have counted.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator

import numpy as np
from prometheus_client import generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from tailrace.agents.metrics.instruments import Family, Instrument
from tailrace.agents.metrics.points import Points, durations_counted, points_of, scaled_sums
from tailrace.agents.metrics.targets import Targets
from tailrace.schemas.prometheus.naming import (
    TARGET_INFO,
    TARGET_INFO_HELP,
    Kind,
    Labels,
    go_text,
    labels,
    metric_name,
)
from tailrace.schemas.series import TENANT, decoded_attributes
from tailrace.schemas.sums import Ints, Layout
from tailrace.tables.series import SeriesTable
from tailrace.tables.series_rows import NEVER


def exposition(parts: Iterable[tuple[Family, SeriesTable]]) -> bytes:
    """Return the cumulative sums of *parts*, of all partitions that are wanted, as text.

    They are as of the last flush of each. Metrics and samples are in order of names and labels.
    """
    samples = _Samples()
    for family, table in parts:
        samples.add(family, table)
    return generate_latest(samples)


class _Samples(Collector):
    """Collects samples by metric and labels, and adds up those that have both in common."""

    def __init__(self) -> None:
        self._instruments: dict[str, tuple[Instrument, Layout]] = {}
        self._cells: dict[str, dict[Labels, Ints]] = {}
        self._targets = Targets()

    def add(self, family: Family, table: SeriesTable) -> None:
        """Add all series of *table*."""
        layout, rows, starts = table.layout, table.rows, table.starts
        names = [_name(instrument) for instrument in family.instruments]
        for name, instrument in zip(names, family.instruments, strict=True):
            self._instruments[name] = instrument, layout
        points = [points_of(instrument, layout) for instrument in family.instruments]
        for number, of in enumerate(family.streams):
            for slot in np.flatnonzero((starts[:, list(of)] != NEVER).any(1)).tolist():
                key = table.keys[slot]
                encoded = family.resource(key)
                attributes = decoded_attributes(family.attributes(key, number))
                named = labels(attributes, family.scope, self._targets.labels(encoded))
                began = int(starts[slot, list(of)].min())
                self._targets.meet(encoded, dict(named).get(TENANT, ""), began)
                row = rows[slot : slot + 1]
                for name, each, instrument in zip(names, points, family.instruments, strict=True):
                    if instrument.parts[number]:
                        cells = each.cells(row, instrument.parts[number])
                        self._count(name, each, named, cells)

    def _count(self, name: str, points: Points, named: Labels, cells: Ints) -> None:
        known = self._cells.setdefault(name, {})
        known[named] = points.together(known[named], cells) if named in known else cells

    def collect(self) -> Iterator[Metric]:
        """Yield every metric with its samples, in order of names."""
        names, infos = set(self._cells), self._targets.infos()
        if infos:
            names.add(TARGET_INFO)
        for name in sorted(names):
            if name == TARGET_INFO:
                metric = Metric(name, TARGET_INFO_HELP, "gauge")
                for named in infos:
                    metric.add_sample(name, dict(named), 1)
                yield metric
                continue
            yield self._metric(name)

    def _metric(self, name: str) -> Metric:
        instrument, layout = self._instruments[name]
        series = sorted(self._cells[name].items(), key=lambda pair: pair[0])
        if not instrument.is_histogram:
            metric = Metric(name.removesuffix("_total"), "", "counter")
            for named, [count] in series:
                metric.add_sample(name, dict(named), int(count))
            return metric
        metric = Metric(name, "", "histogram")
        edges = [*(go_text(bound / instrument.unit_ns) for bound in layout.bounds), "+Inf"]
        for named, cells in series:
            [count] = durations_counted(layout, cells).tolist()
            # What is exponential has no bounds that text could tell.
            buckets = [count] if layout.is_exponential else cells[0, 2:].tolist()
            counts = itertools.accumulate(buckets)
            for edge, below in zip(edges, counts, strict=True):
                metric.add_sample(f"{name}_bucket", {**dict(named), "le": edge}, below)
            [total] = scaled_sums(cells, instrument.unit_ns).tolist()
            metric.add_sample(f"{name}_sum", dict(named), total)
            metric.add_sample(f"{name}_count", dict(named), count)
        return metric


def _name(instrument: Instrument) -> str:
    kind: Kind = "histogram" if instrument.is_histogram else "counter"
    return metric_name(instrument.name, instrument.unit, kind)
