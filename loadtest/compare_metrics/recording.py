"""What the connectors wrote for random scenarios, in a file: for tests where none can be built.

`scenarios.json.gz` has a scenario on each line: its config, its messages, and what the connectors
wrote of its spans as they are counted here, which is after every known difference. Of flushes that
say the same one after the other only the first is there.
"""

from __future__ import annotations

import gzip
from base64 import b64decode, b64encode
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from tailrace_loadtest.compare_metrics import connectors
from tailrace_loadtest.compare_metrics.differences import as_counted_here
from tailrace_loadtest.compare_metrics.flushes import Flush
from tailrace_loadtest.compare_metrics.golden import metrics_of, points_of
from tailrace_loadtest.compare_metrics.scenario import Arrival, Scenario

_NAME = "scenarios.json.gz"


class Recorded(NamedTuple):
    """A scenario, what the connectors wrote, and which known differences change its spans."""

    scenario: Scenario
    flushes: Sequence[Flush]
    causes: frozenset[str]


def record(program: Path, directory: Path, scenarios: Sequence[Scenario]) -> None:
    """Write a file into *directory* that `recorded` reads."""
    changed = [as_counted_here(each) for each in scenarios]
    answers = connectors.answers(program, [scenario for scenario, _ in changed])
    lines = [
        orjson.dumps(
            {
                "name": scenario.name,
                "config": scenario.config,
                "until": scenario.until,
                "messages": [
                    [each.at, b64encode(each.value).decode()] for each in scenario.arrivals
                ],
                "flushes": [[each.at, metrics_of(each.points)] for each in _news(answer.flushes)],
                "causes": sorted(causes),
            }
        )
        for scenario, answer, (_, causes) in zip(scenarios, answers, changed, strict=True)
    ]
    directory.mkdir(parents=True, exist_ok=True)
    (directory / _NAME).write_bytes(gzip.compress(b"\n".join(lines), 9, mtime=0))


def recorded(directory: Path) -> Iterator[Recorded]:
    """Yield what `record` wrote."""
    for line in gzip.decompress((directory / _NAME).read_bytes()).splitlines():
        content = orjson.loads(line)
        arrivals = [Arrival(at, b64decode(value)) for at, value in content["messages"]]
        (of,) = content["config"]
        flushes = [Flush(at, of, tuple(points_of(each))) for at, each in content["flushes"]]
        scenario = Scenario(content["name"], content["config"], arrivals, content["until"])
        yield Recorded(scenario, flushes, frozenset(content["causes"]))


def _news(flushes: Sequence[Flush]) -> Iterator[Flush]:
    """Yield *flushes* without those that say nothing new; what is a delta is always new."""
    before: Any = []
    for flush in flushes:
        said = sorted(
            repr((each.metric, each.resource, each.attributes, each.value)) for each in flush.points
        )
        if said != before or any(each.temporality == "delta" for each in flush.points):
            yield flush
        before = said
