"""Folders with spans, a config, and what a Prometheus exporter shows of them in the end."""

from __future__ import annotations

from pathlib import Path

import orjson
import yaml

from tailrace.schemas.otlp.json import read_json
from tailrace_loadtest.compare_metrics import connectors
from tailrace_loadtest.compare_metrics.scenario import Arrival, Scenario

_LONG_S = 200.0
"""Enough for two flushes after the last span has waited."""


def write(program: Path, directory: Path) -> None:
    """Write `collector.prom` anew into every folder below *directory* that has a config."""
    folders = sorted(path.parent for path in directory.glob("*/*/config.yaml"))
    answers = connectors.answers(program, [_scenario(each) for each in folders])
    for folder, answer in zip(folders, answers, strict=True):
        lines = [line for line in answer.exposition.splitlines() if not line.startswith("# HELP")]
        (folder / "collector.prom").write_text("\n".join(lines) + "\n")


def _scenario(folder: Path) -> Scenario:
    config = yaml.safe_load((folder / "config.yaml").read_text())
    lines = (folder / "input.jsonl").read_bytes().splitlines()
    times = folder / "arrivals.json"
    seconds = orjson.loads(times.read_bytes()) if times.exists() else [0.0] * len(lines)
    arrivals = [Arrival(at + 0.5, read_json(line)) for at, line in zip(seconds, lines, strict=True)]
    both = {name: config.get(name) or {} for name in ("span_metrics", "service_graph")}
    return Scenario(folder.name, both, arrivals, max(seconds) + _LONG_S)
