"""Exemplars lead to traces that exist: all of them were kept, and each is of its own series."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from typer.testing import CliRunner

from tailrace.streams.cli import app
from tailrace_loadtest.counting import counted
from tailrace_loadtest.files import write_records
from tailrace_loadtest.load import Load
from tailrace_loadtest.truth import Truth

LOAD = Load(spans=4000, seconds=20, decision_wait_s=3)
CONFIG = {
    "tail_sampling": {
        "decision_wait": "3s",
        "policies": [
            {"name": "errors", "type": "status_code", "status_code": {"status_codes": ["ERROR"]}},
            {"name": "some", "type": "probabilistic", "probabilistic": {"sampling_percentage": 20}},
        ],
    },
    "span_metrics": {"metrics_flush_interval": "5s", "exemplars": {"enabled": True}},
    "service_graph": {"enabled": False},
}


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a simulation of a load wrote."""
    directory = tmp_path_factory.mktemp("exemplars")
    (directory / "config.json").write_bytes(orjson.dumps(CONFIG))
    spans = write_records(counted(Truth(LOAD)), LOAD.start_ms, directory, as_json=False)
    arguments = ["-c", str(directory / "config.json"), "--out", str(directory / "out")]
    done = CliRunner().invoke(
        app, ["simulate", *arguments, "--arrivals", "event", "--flushes", str(spans)]
    )
    assert done.exit_code == 0, done.output
    return directory / "out"


def messages(path: Path) -> list[Any]:
    content, at, found = path.read_bytes(), 0, []
    while at < len(content):
        length = int.from_bytes(content[at : at + 4], "big")
        found.append(ExportMetricsServiceRequest.FromString(content[at + 4 : at + 4 + length]))
        at += 4 + length
    return found


def points(path: Path) -> list[tuple[str, dict[str, str], Any]]:
    """Each point of a flush that has exemplars: its metric, labels and itself."""
    return [
        (metric.name, {each.key: each.value.string_value for each in point.attributes}, point)
        for message in messages(path)
        for block in message.resource_metrics
        for scope in block.scope_metrics
        for metric in scope.metrics
        for point in (metric.histogram if metric.HasField("histogram") else metric.sum).data_points
        if point.exemplars
    ]


def spans_of(path: Path) -> dict[tuple[str, str], dict[str, Any]]:
    """Every kept span, by the ids of its trace and itself."""
    found = {}
    for line in path.read_bytes().splitlines():
        for block in orjson.loads(line)["resourceSpans"]:
            for scope in block["scopeSpans"]:
                for span in scope["spans"]:
                    found[span["traceId"], span["spanId"]] = span
    return found


def test_every_exemplar_is_a_kept_span_of_its_own_series(out: Path) -> None:
    kept = spans_of(out / "sampled.jsonl")
    found = points(out / "metrics.pb")
    assert {metric.rsplit(".", 1)[1] for metric, _, _ in found} == {"calls", "duration"}
    for _, labels, point in found:
        for exemplar in point.exemplars:
            span = kept[exemplar.trace_id.hex(), exemplar.span_id.hex()]
            assert span["name"] == labels["span.name"]
            took = int(span["endTimeUnixNano"]) - int(span["startTimeUnixNano"])
            assert exemplar.as_double == pytest.approx(took / 1e6)


def test_errors_are_exemplars_of_their_series_though_they_are_rare(out: Path) -> None:
    found = points(out / "metrics.pb")
    assert any(labels["status.code"] == "STATUS_CODE_ERROR" for _, labels, _ in found)


def test_an_exemplar_of_a_histogram_is_in_a_bucket_that_counts_something(out: Path) -> None:
    for metric, _, point in points(out / "metrics.pb"):
        if metric.endswith("duration"):
            for exemplar in point.exemplars:
                bucket = sum(bound < exemplar.as_double for bound in point.explicit_bounds)
                assert point.bucket_counts[bucket] > 0
