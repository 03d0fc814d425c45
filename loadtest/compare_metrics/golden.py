"""Scenarios with what the connectors made of them, as JSON that a person can read."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import orjson

from tailrace.schemas.otlp.json import read_json
from tailrace_loadtest.compare_metrics.connectors import Answer
from tailrace_loadtest.compare_metrics.flushes import Flush, Point
from tailrace_loadtest.compare_metrics.scenario import Arrival, Scenario
from tailrace_loadtest.files import json_line

_OF_METRIC = ("metric", "unit", "kind", "temporality", "scope")
_OF_POINT = ("attributes", "start", "time")


def write(directory: Path, scenario: Scenario, answer: Answer) -> None:
    """Put both into a file named as *scenario*."""
    content = {
        "about": scenario.about,
        "config": scenario.config,
        "messages": [
            {"at": each.at, "spans": orjson.loads(json_line(each.value))}
            for each in scenario.arrivals
        ],
        "until": scenario.until,
        "error": answer.error,
        "flushes": [
            {"at": each.at, "of": each.of, "metrics": metrics_of(each.points)}
            for each in answer.flushes
            if each.points
        ],
        "prometheus": [
            line for line in answer.exposition.splitlines() if not line.startswith("# HELP")
        ],
    }
    (directory / f"{scenario.name}.json").write_text(_spread(content) + "\n")


def read(path: Path) -> tuple[Scenario, Answer]:
    """What `write` put there."""
    content = orjson.loads(path.read_bytes())
    arrivals = [
        Arrival(each["at"], read_json(orjson.dumps(each["spans"]))) for each in content["messages"]
    ]
    flushes = [
        Flush(each["at"], each["of"], tuple(points_of(each["metrics"])))
        for each in content["flushes"]
    ]
    scenario = Scenario(path.stem, content["config"], arrivals, content["until"], content["about"])
    exposition = "\n".join(content["prometheus"]) + "\n"
    return scenario, Answer(flushes, exposition, content["error"])


def metrics_of(points: Iterable[Point]) -> list[dict[str, Any]]:
    """Return *points* as JSON has them, by resource and metric."""
    found = []
    for _, of_metric in groupby(sorted(points, key=_place), key=_place_of_metric):
        group = [*of_metric]
        first = group[0]
        found.append(
            {
                "resource": first.resource,
                **{name: getattr(first, name) for name in _OF_METRIC},
                **({"bounds": first.value["bounds"]} if "bounds" in first.value else {}),
                "points": [
                    {**{name: getattr(each, name) for name in _OF_POINT}, **_own(each)}
                    for each in group
                ],
            }
        )
    return found


def _own(point: Point) -> dict[str, Any]:
    """What it says; the bounds of buckets are those of its metric."""
    return {key: value for key, value in point.value.items() if key != "bounds"}


def _place_of_metric(point: Point) -> str:
    return json.dumps([point.resource, point.metric], sort_keys=True)


def _place(point: Point) -> tuple[str, str]:
    return _place_of_metric(point), json.dumps(point.attributes, sort_keys=True)


def points_of(metrics: Sequence[dict[str, Any]]) -> Iterable[Point]:
    """Yield the points that became *metrics*."""
    for metric in metrics:
        for point in metric["points"]:
            value = {key: found for key, found in point.items() if key not in _OF_POINT}
            if "bounds" in metric:
                value["bounds"] = metric["bounds"]
            yield Point(
                resource=metric["resource"],
                value=value,
                **{name: metric[name] for name in _OF_METRIC},
                **{name: point[name] for name in _OF_POINT},
            )


_DEEPEST = {"messages": 2, "flushes": 8, "prometheus": 2, "config": 2}
"""How far each part is spread over lines."""


def _spread(content: dict[str, Any]) -> str:
    lines = [
        f"  {json.dumps(key)}: {_text(value, _DEEPEST.get(key, 0), 1)}"
        for key, value in content.items()
    ]
    return "{\n" + ",\n".join(lines) + "\n}"


def _text(value: Any, depth: int, at: int) -> str:
    """*value* on one line, or over lines where it has points in it."""
    if depth == 0 or not value or _is_short(value):
        return json.dumps(value, ensure_ascii=False)
    pad, end = "  " * (at + 1), "  " * at
    if isinstance(value, list):
        inner = ",\n".join(pad + _text(each, depth - 1, at + 1) for each in value)
        return f"[\n{inner}\n{end}]"
    own = [
        f"{pad}{json.dumps(key)}: {_text(each, depth - 1, at + 1)}" for key, each in value.items()
    ]
    return "{\n" + ",\n".join(own) + f"\n{end}}}"


def _is_short(value: Any) -> bool:
    """Whether no point and no message stands somewhere in it."""
    if isinstance(value, dict):
        return "metrics" not in value and "points" not in value
    return not isinstance(value, list) or isinstance(value[0], int | float)
