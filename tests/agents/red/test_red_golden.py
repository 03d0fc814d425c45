"""Spans in, series out: what is counted is what the collector's connector made of the same spans.

Its flushes were recorded (see `golden_collector`); what of them adds up over time is compared.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from tailrace.agents.red.logic import RedLogic
from tailrace.agents.red.settings import RedSettings
from tailrace.schemas.config import parse
from tailrace.schemas.config.span_metrics import SpanMetricsConfig
from tailrace.schemas.otlp.decoder import Decoder
from tailrace.schemas.records import Arrivals, Outbox, Totals
from tailrace.schemas.series import CALLS, DURATION, RED, RedSeries, decoded_attributes
from tailrace.schemas.strings import text_of
from tailrace.schemas.sums import Rollup, counted, decode, exponential_histogram, histogram
from tailrace.streams.red import red_settings
from tailrace.tables.interval_sums import RollupTopic
from tailrace.tables.store import MemoryDisk, PartitionStore
from tailrace_loadtest.compare_metrics.flushes import Point
from tailrace_loadtest.compare_metrics.golden import read

DIRECTORY = Path(__file__).parent.parent / "golden_collector" / "connectors"
SCENARIOS = sorted(path.stem for path in DIRECTORY.glob("red-*.json"))
LIMITED = {name for name in SCENARIOS if "limit" in name}
"""Limits are kept where series are written, not where they are counted."""
ROLLUPS = RollupTopic("rollups", 1, 1 << 20, 10**9)

Pairs = tuple[tuple[str, str], ...]
Series = tuple[str, Pairs, Pairs]
"""Metric, resource and labels, the labels as text."""
Values = dict[Series, dict[str, Any]]


def test_there_is_a_recording_for_every_key() -> None:
    keys = set()
    for name in SCENARIOS:
        section = read(DIRECTORY / f"{name}.json")[0].config["span_metrics"]
        keys |= section.keys() | {f"histogram.{key}" for key in section.get("histogram", {})}
    histogram = {f"histogram.{key}" for key in ("disable", "unit", "explicit", "exponential")}
    ours = {"enabled", "roll_ups"}
    assert keys >= {*SpanMetricsConfig.model_fields, *histogram, "histogram.dimensions"} - ours


@pytest.mark.parametrize("name", [name for name in SCENARIOS if name not in LIMITED])
def test_series_are_those_of_the_connector(name: str) -> None:
    scenario, answer = read(DIRECTORY / f"{name}.json")
    config = parse(orjson.dumps(scenario.config).decode(), "test.yaml", {})
    values = [arrival.value for arrival in scenario.arrivals]
    ours = _counted(red_settings(config), config.span_metrics, values)
    theirs = _told([point for flush in answer.flushes for point in flush.points], name)
    if name == "red-scopes":
        ours, theirs = _without_scopes(ours), _without_scopes(theirs)
    assert ours.keys() == theirs.keys()
    for series, value in theirs.items():
        for key, told in value.items():
            assert ours[series][key] == pytest.approx(told), (series, key)


def _counted(settings: RedSettings, section: SpanMetricsConfig, values: list[bytes]) -> Values:
    """What stage one makes of *values*, by metric and series."""
    decoder = Decoder(
        settings.columns,
        trace_state=True,
        scopes=settings.asks_for_scopes,
        events=settings.asks_for_events,
    )
    logic = RedLogic(settings, PartitionStore(MemoryDisk()), ROLLUPS, "red-0")
    logic.restore(0)
    outbox, totals = Outbox(), Totals()
    logic.process(Arrivals((), [1] * len(values), decoder.decode(values)), outbox, totals)
    logic.advance(ROLLUPS.interval_ms, outbox, totals)
    found: Values = {}
    for output in outbox.topics["rollups"]:
        if output.value:
            found |= _of_rollup(decode(output.value), section)
    return found


def _of_rollup(rollup: Rollup, section: SpanMetricsConfig) -> Values:
    found: Values = {}
    prefix = f"{section.namespace}." if section.namespace else ""
    layout = rollup.layout
    for key, row in zip(rollup.keys, rollup.rows, strict=True):
        resource, labels = (dict(decoded_attributes(part)) for part in RedSeries.of_key(key))
        (name,) = (*layout.histograms, *layout.counts)
        (count,) = counted(layout, row[np.newaxis], name).tolist()
        if layout.family == RED:
            found[_series(f"{prefix}duration", resource, labels)] = _durations(rollup, row, section)
        if layout.family != RED or not section.counts_calls_apart:
            metric = CALLS if layout.family == RED else layout.family
            found[_series(f"{prefix}{metric}", resource, labels)] = {"value": count}
    return found


def _durations(rollup: Rollup, row: Any, section: SpanMetricsConfig) -> dict[str, Any]:
    unit = section.unit_ns
    if not rollup.layout.is_exponential:
        seen = histogram(rollup.layout, row, DURATION)
        bounds = [bound / unit for bound in section.bounds_ns]
        return {
            "count": seen.count, "sum": seen.sum_ns / unit, "buckets": seen.buckets,
            "bounds": bounds,
        }  # fmt: skip
    of = exponential_histogram(rollup.layout, row, DURATION)
    return {
        "count": of.count, "sum": of.sum_ns / unit, "scale": of.scale, "zero_count": of.zeros,
        "offset": of.offset, "buckets": of.buckets, "min": of.min_ns / unit,
        "max": of.max_ns / unit,
    }  # fmt: skip


def _series(metric: str, resource: Mapping[str, Any], labels: Mapping[str, Any]) -> Series:
    """Labels are told apart by their text, resources by type too."""
    about = tuple(sorted((name, repr(value)) for name, value in resource.items()))
    return metric, about, tuple(sorted((name, text_of(value)) for name, value in labels.items()))


def _told(points: list[Point], name: str) -> Values:
    """What *points* say in all: of cumulative ones the last, of each start."""
    last: dict[tuple[Series, Any], dict[str, Any]] = {}
    for number, point in enumerate(points):
        labels = {
            key: value for key, value in point.attributes.items() if key != "collector.instance.id"
        }
        resource = point.resource
        if name == "red-resource-key":  # the connector writes all that the first one had
            kept = ("service.name", "telemetry.sdk.name")
            resource = {key: value for key, value in resource.items() if key in kept}
        series = _series(point.metric, resource, labels)
        part = number if point.temporality == "delta" else point.start
        value = {key: each for key, each in point.value.items() if key != "exemplars"}
        last[series, part] = value
    found: Values = {}
    for (series, _), value in last.items():
        found[series] = _added(found[series], value) if series in found else value
    return found


def _added(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """Of exponential ones only what adds up whatever the scale."""
    found: dict[str, Any] = {
        key: one[key] + other[key]
        for key in ("value", "count", "sum", "zero_count")
        if key in one and key in other
    }
    if "bounds" in one:
        buckets = zip(one["buckets"], other["buckets"], strict=True)
        found |= {"bounds": one["bounds"], "buckets": [sum(pair) for pair in buckets]}
    return found


def _without_scopes(values: Values) -> Values:
    """Scopes tell series apart here; in the connector the first one names the series of all."""
    found: Values = {}
    for (metric, resource, labels), value in values.items():
        short = metric, resource, tuple(pair for pair in labels if "scope" not in pair[0])
        found[short] = _added(found[short], value) if short in found else value
    return found
