"""What the connectors wrote for random scenarios, in files: for tests where none can be built.

`scenarios.json.gz` has a scenario on each line: its config, its messages, and the flushes of the
connectors for its spans as they came (`raw`), and changed by what is known (`changed`) if these
are others. Flushes are OTLP, with when they were.
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
from tailrace_loadtest.compare_metrics.flushes import Flush, read
from tailrace_loadtest.compare_metrics.scenario import Arrival, Scenario

_NAME = "scenarios.json.gz"


class Recorded(NamedTuple):
    """A scenario, and what the connectors wrote of its spans as they came, and changed."""

    scenario: Scenario
    raw: Sequence[Flush]
    changed: Sequence[Flush]
    causes: frozenset[str]


def record(program: Path, directory: Path, scenarios: Sequence[Scenario]) -> None:
    """Write a file into *directory* that `recorded` reads."""
    changed = [as_counted_here(each) for each in scenarios]
    raw = connectors.answers(program, scenarios)
    others = connectors.answers(program, [scenario for scenario, _ in changed])
    lines = [
        orjson.dumps(
            {
                "name": scenario.name,
                "config": scenario.config,
                "until": scenario.until,
                "messages": [[each.at, _text(each.value)] for each in scenario.arrivals],
                "raw": _flushes(one),
                "changed": _flushes(other),
                "causes": sorted(causes),
            }
        )
        for scenario, one, other, (_, causes) in zip(scenarios, raw, others, changed, strict=True)
    ]
    directory.mkdir(parents=True, exist_ok=True)
    (directory / _NAME).write_bytes(gzip.compress(b"\n".join(lines), 9, mtime=0))


def recorded(directory: Path) -> Iterator[Recorded]:
    """Yield what `record` wrote."""
    for line in gzip.decompress((directory / _NAME).read_bytes()).splitlines():
        content = orjson.loads(line)
        arrivals = [Arrival(at, b64decode(value)) for at, value in content["messages"]]
        (of,) = content["config"]
        yield Recorded(
            Scenario(content["name"], content["config"], arrivals, content["until"]),
            _read(content["raw"], of),
            _read(content["changed"], of),
            frozenset(content["causes"]),
        )


def _flushes(answer: connectors.Answer) -> list[Any]:
    return [[each.at, _text(each.encoded)] for each in answer.flushes]


def _read(flushes: Sequence[Any], of: str) -> list[Flush]:
    return [read(b64decode(value), at, of, connectors.EPOCH_NS) for at, value in flushes]


def _text(value: bytes) -> str:
    return b64encode(value).decode()
