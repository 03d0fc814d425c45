"""Which label is to blame: how many series there are, and how many there would be without each.

A label's *share* of the blame is what its metric would save if the label were not there: series
that differ in nothing else become one.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)

from tailrace.schemas.otlp.attributes import plain_value
from tailrace.schemas.series import CLIENT, SERVICE, TENANT
from tailrace.schemas.strings import text_of

_DATA = ("sum", "gauge", "histogram", "exponential_histogram", "summary")
_NO_VALUE = 1

Pairs = tuple[tuple[str, str], ...]


class LabelReport(NamedTuple):
    """`without`: series that the metric would have without the label. `top`: values, series."""

    label: str
    values: int
    without: int
    top: tuple[tuple[str, int], ...]


class MetricReport(NamedTuple):
    """One metric: its series, those of each tenant and service, and its labels, the worst first.

    An edge is of its client.
    """

    metric: str
    series: int
    services: tuple[tuple[str, str, int], ...]
    labels: tuple[LabelReport, ...]


class Cardinality:
    """The series that were seen, each by its labels: those of the resource and its own."""

    def __init__(self) -> None:
        self._series: dict[str, set[Pairs]] = defaultdict(set)

    def add(self, value: bytes) -> None:
        """Take note of the series of a record; DecodeError if it is no OTLP metrics.

        A point without a value says that its series is no more.
        """
        request: Any = ExportMetricsServiceRequest.FromString(value)
        for block in request.resource_metrics:
            resource = _texts(block.resource.attributes)
            for scope in block.scope_metrics:
                for metric in scope.metrics:
                    self._add_metric(metric, resource)

    def _add_metric(self, metric: Any, resource: Mapping[str, str]) -> None:
        known = self._series[metric.name]
        kind = metric.WhichOneof("data")
        if kind not in _DATA:
            return
        for point in getattr(metric, kind).data_points:
            pairs = tuple(sorted({**resource, **_texts(point.attributes)}.items()))
            if point.flags & _NO_VALUE:
                known.discard(pairs)
            else:
                known.add(pairs)

    def reports(self, top: int, tenant: str | None = None) -> list[MetricReport]:
        """Return a report of each metric, that with most series first; *top* values of a label.

        With *tenant*, of its series alone.
        """
        found = []
        for metric, every in self._series.items():
            series = [each for each in every if tenant in (None, _tenant(dict(each)))]
            if series:
                found.append(_report(metric, series, top))
        return sorted(found, key=lambda each: (-each.series, each.metric))


def _report(metric: str, series: list[Pairs], top: int) -> MetricReport:
    values: dict[str, Counter[str]] = defaultdict(Counter)
    without: dict[str, set[int]] = defaultdict(set)
    services: Counter[tuple[str, str]] = Counter()
    lacking: Counter[str] = Counter()
    for pairs in series:
        whole = 0
        for pair in pairs:
            whole ^= hash(pair)
        for name, value in pairs:
            values[name][value] += 1
            without[name].add(whole ^ hash((name, value)))
            lacking[name] += 1
        labels = dict(pairs)
        services[_tenant(labels), labels.get(SERVICE) or labels.get(CLIENT, "")] += 1
    reports = [
        LabelReport(
            name,
            len(counts),
            len(without[name]) + len(series) - lacking[name],
            tuple(_most(counts, top)),
        )
        for name, counts in values.items()
    ]
    reports.sort(key=lambda each: (each.without, -each.values, each.label))
    whose = ((tenant, service, count) for (tenant, service), count in _most(services, top))
    return MetricReport(metric, len(series), tuple(whose), tuple(reports))


def _most(counts: Counter[Any], top: int) -> list[tuple[Any, int]]:
    """Return the *top* of *counts*; of equal ones, the first in order."""
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:top]


def _tenant(labels: Mapping[str, str]) -> str:
    return labels.get(TENANT, "default")


def _texts(attributes: Iterable[Any]) -> dict[str, str]:
    return {each.key: text_of(plain_value(each.value)) for each in attributes}
