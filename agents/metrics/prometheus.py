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

from tailrace.agents.metrics.instruments import UNITS, Family, Instrument
from tailrace.agents.metrics.points import scaled_sums
from tailrace.schemas.prometheus.naming import (
    TARGET_INFO,
    TARGET_INFO_HELP,
    Kind,
    Labels,
    go_text,
    labels,
    metric_name,
    target,
    target_info,
)
from tailrace.schemas.series import decoded_attributes
from tailrace.schemas.strings import AttributeValue
from tailrace.schemas.sums import Ints
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
        self._instruments: dict[str, tuple[Instrument, Ints]] = {}
        self._cells: dict[str, dict[Labels, Ints]] = {}
        self._targets: dict[tuple[str, str], Labels] = {}

    def add(self, family: Family, table: SeriesTable) -> None:
        """Add all series of *table*."""
        bounds = np.array(family.layout.bounds, np.int64)
        for instrument in family.instruments:
            name = _name(instrument)
            self._instruments[name] = instrument, bounds
        rows, starts = table.rows, table.starts
        targets: dict[bytes, dict[str, str]] = {}
        for stream in np.flatnonzero(starts.ravel() != NEVER).tolist():
            slot, kind = divmod(stream, len(family.streams))
            key = table.keys[slot]
            encoded = family.resource(key)
            if encoded not in targets:
                resource = dict(decoded_attributes(encoded))
                targets[encoded] = target(resource)
                self._meet(resource)
            attributes = decoded_attributes(family.attributes(key, kind))
            named = labels(attributes, family.scope, targets[encoded])
            for instrument in family.instruments:
                histogram = instrument.histograms[kind]
                if histogram is not None:
                    cells = rows[slot, family.layout.columns(histogram)]
                    self._count(_name(instrument), named, cells)

    def _count(self, name: str, named: Labels, cells: Ints) -> None:
        known = self._cells.setdefault(name, {})
        known[named] = known[named] + cells if named in known else cells

    def _meet(self, resource: dict[str, AttributeValue]) -> None:
        """Take note of a target; the first of those with the same job and instance tells all."""
        found = target_info(resource)
        if found is not None:
            known = dict(found)
            self._targets.setdefault((known["job"], known["instance"]), found)

    def collect(self) -> Iterator[Metric]:
        """Yield every metric with its samples, in order of names."""
        names = set(self._cells)
        if self._targets:
            names.add(TARGET_INFO)
        for name in sorted(names):
            if name == TARGET_INFO:
                metric = Metric(name, TARGET_INFO_HELP, "gauge")
                for named in sorted(self._targets.values()):
                    metric.add_sample(name, dict(named), 1)
                yield metric
                continue
            yield self._metric(name)

    def _metric(self, name: str) -> Metric:
        instrument, bounds = self._instruments[name]
        series = sorted(self._cells[name].items())
        if not instrument.is_histogram:
            metric = Metric(name.removesuffix("_total"), "", "counter")
            for named, cells in series:
                metric.add_sample(name, dict(named), int(cells[2:].sum()))
            return metric
        metric = Metric(name, "", "histogram")
        unit_ns = UNITS[instrument.unit]
        edges = [*(go_text(bound / unit_ns) for bound in bounds.tolist()), "+Inf"]
        for named, cells in series:
            counts = itertools.accumulate(cells[2:].tolist())
            for edge, count in zip(edges, counts, strict=True):
                metric.add_sample(f"{name}_bucket", {**dict(named), "le": edge}, count)
            [total] = scaled_sums(cells[np.newaxis], unit_ns)
            metric.add_sample(f"{name}_sum", dict(named), total)
            metric.add_sample(f"{name}_count", dict(named), int(cells[2:].sum()))
        return metric


def _name(instrument: Instrument) -> str:
    kind: Kind = "histogram" if instrument.is_histogram else "counter"
    return metric_name(instrument.name, instrument.unit, kind)
