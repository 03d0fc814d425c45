"""Cumulative series as Prometheus text, as the collector's Prometheus exporter names them.

Where series have equal labels in Prometheus, of resources with equal job and instance, they are
added up. The exporter keeps one of them, and loses what the others have counted.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator
from decimal import Decimal

import numpy as np
from prometheus_client import generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from tailrace.agents.metrics.instruments import UNITS, Family, Instrument
from tailrace.agents.metrics.points import scaled_sums
from tailrace.schemas.series import decoded_attributes
from tailrace.schemas.strings import AttributeValue, text_of
from tailrace.schemas.sums import Ints
from tailrace.tables.series import SeriesTable
from tailrace.tables.series_rows import NEVER

Labels = tuple[tuple[str, str], ...]
"""Names and values, in the order of the names."""

_UNIT_NAMES = {"ms": "milliseconds", "s": "seconds"}
_JOB_AND_INSTANCE = ("service.name", "service.namespace", "service.instance.id")
_TAKEN = ("job", "instance", "le")
_NOT_IN_NAMES = re.compile(r"[^a-zA-Z0-9:]+")
_NOT_IN_LABELS = re.compile(r"[^a-zA-Z0-9_]")


def exposition(parts: Iterable[tuple[Family, SeriesTable]]) -> bytes:
    """Return the cumulative sums of *parts*, of all partitions that are wanted, as text.

    They are as of the last flush of each. Metrics and samples are in order of names and labels.
    """
    samples = _Samples()
    for family, table in parts:
        samples.add(family, table)
    return generate_latest(samples)


def metric_name(name: str, unit: str = "") -> str:
    """Return the name of a metric, a counter if it has no unit: with `_total`, once."""
    words = [word for word in _NOT_IN_NAMES.split(name) if word]
    if not unit:
        words = [*(word for word in words if word != "total"), "total"]
    elif _UNIT_NAMES[unit] not in words:
        words.append(_UNIT_NAMES[unit])
    joined = "_".join(words)
    return f"_{joined}" if joined[0].isdigit() else joined


def label_name(key: str) -> str:
    """Return the name of the label of an attribute; never one that the exporter itself sets."""
    name = _NOT_IN_LABELS.sub("_", key)
    if name[:1].isdigit():
        return f"key_{name}"
    if name.startswith("__") or not name.strip("_"):
        return f"key{name}"  # no label of a user; for some the exporter drops the whole metric
    return f"exported_{name}" if name in _TAKEN or name.startswith("otel_scope_") else name


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
            name = metric_name(instrument.name, instrument.unit)
            self._instruments[name] = instrument, bounds
        rows, starts = table.rows, table.starts
        targets: dict[bytes, dict[str, str]] = {}
        for stream in np.flatnonzero(starts.ravel() != NEVER).tolist():
            slot, kind = divmod(stream, len(family.streams))
            key = table.keys[slot]
            encoded = family.resource(key)
            if encoded not in targets:
                resource = dict(decoded_attributes(encoded))
                targets[encoded] = _target(resource)
                self._meet(resource, targets[encoded])
            attributes = decoded_attributes(family.attributes(key, kind))
            labels = _labels(attributes, family.scope, targets[encoded])
            for instrument in family.instruments:
                histogram = instrument.histograms[kind]
                if histogram is not None:
                    cells = rows[slot, family.layout.columns(histogram)]
                    self._count(metric_name(instrument.name, instrument.unit), labels, cells)

    def _count(self, name: str, labels: Labels, cells: Ints) -> None:
        known = self._cells.setdefault(name, {})
        known[labels] = known[labels] + cells if labels in known else cells

    def _meet(self, resource: dict[str, AttributeValue], target: dict[str, str]) -> None:
        """Take note of a target; the first of those with the same job and instance tells all."""
        job, instance = target.get("job", ""), target.get("instance", "")
        if not job or not instance or (job, instance) in self._targets:
            return
        others = [pair for pair in resource.items() if pair[0] not in _JOB_AND_INSTANCE]
        labels = {**dict(_joined(others)), **target}
        self._targets[job, instance] = tuple(sorted(labels.items()))

    def collect(self) -> Iterator[Metric]:
        """Yield every metric with its samples, in order of names."""
        names = set(self._cells)
        if self._targets:
            names.add("target_info")
        for name in sorted(names):
            if name == "target_info":
                metric = Metric(name, "Target metadata", "gauge")
                for labels in sorted(self._targets.values()):
                    metric.add_sample(name, dict(labels), 1)
                yield metric
                continue
            yield self._metric(name)

    def _metric(self, name: str) -> Metric:
        instrument, bounds = self._instruments[name]
        series = sorted(self._cells[name].items())
        if not instrument.is_histogram:
            metric = Metric(name.removesuffix("_total"), "", "counter")
            for labels, cells in series:
                metric.add_sample(name, dict(labels), int(cells[2:].sum()))
            return metric
        metric = Metric(name, "", "histogram")
        unit_ns = UNITS[instrument.unit]
        edges = [*(go_text(bound / unit_ns) for bound in bounds.tolist()), "+Inf"]
        for labels, cells in series:
            counts = itertools.accumulate(cells[2:].tolist())
            for edge, count in zip(edges, counts, strict=True):
                metric.add_sample(f"{name}_bucket", {**dict(labels), "le": edge}, count)
            [total] = scaled_sums(cells[np.newaxis], unit_ns)
            metric.add_sample(f"{name}_sum", dict(labels), total)
            metric.add_sample(f"{name}_count", dict(labels), int(cells[2:].sum()))
        return metric


def _target(resource: dict[str, AttributeValue]) -> dict[str, str]:
    """Return job and instance, where *resource* has what they are made of."""
    target = {}
    if "service.name" in resource:
        target["job"] = text_of(resource["service.name"])
        if "service.namespace" in resource:
            target["job"] = f"{text_of(resource['service.namespace'])}/{target['job']}"
    if "service.instance.id" in resource:
        target["instance"] = text_of(resource["service.instance.id"])
    return target


def _labels(
    attributes: Iterable[tuple[str, AttributeValue]], scope: str, target: dict[str, str]
) -> Labels:
    own = {"otel_scope_name": scope, "otel_scope_version": "", "otel_scope_schema_url": ""}
    return tuple(sorted({**dict(_joined(attributes)), **own, **target}.items()))


def _joined(attributes: Iterable[tuple[str, AttributeValue]]) -> Iterator[tuple[str, str]]:
    """Yield labels; values of attributes that get one name are joined, in order of the keys."""
    texts: dict[str, list[str]] = {}
    for key, value in sorted(attributes, key=lambda pair: pair[0]):
        texts.setdefault(label_name(key), []).append(text_of(value))
    return ((name, ";".join(values)) for name, values in texts.items())


def go_text(value: float) -> str:
    """Return *value* as Go's shortest format writes it: exponents from a million on."""
    text = repr(value)
    if abs(value) < 1e6:
        return text.removesuffix(".0")
    mantissa, _, exponent = f"{Decimal(text).normalize():e}".partition("e")
    return f"{mantissa}e+{int(exponent):02d}"
