"""What a collector's connectors write: built from the Go module beside this file, and run.

They run on a clock of their own, so that hours take them no time and flushes fall where they fall.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from base64 import b64decode, b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import yaml

from tailrace_loadtest.compare_metrics.flushes import Flush, read
from tailrace_loadtest.compare_metrics.scenario import Scenario
from tailrace_loadtest.go_modules import built

EPOCH_NS = 946_684_800_000_000_000
"""When their clock begins: with the year 2000."""
_MODULE = Path(__file__).parent / "connectors"
_SWEEP = "130ms"
"""How often spans that wait are looked at: at no time at which anything else happens."""


@dataclass(frozen=True)
class Answer:
    """What came out; or why the config is refused, or what went wrong."""

    flushes: Sequence[Flush] = ()
    exposition: str = ""
    error: str = ""


def build() -> Path:
    """The program, in the user's cache; raises NoProgram."""
    return built(_MODULE, "connectors.test", ("test", "-c"), "compare-metrics")


def answers(program: Path, scenarios: Sequence[Scenario]) -> list[Answer]:
    """What comes of each of *scenarios*; one that the connectors panic at takes no other along."""
    found: list[Answer] = []
    while len(found) < len(scenarios):
        rest = scenarios[len(found) :]
        text, lines = _run(program, rest)
        found += [_answer(line) for line in lines]
        if len(lines) < len(rest):
            panics = [line for line in text.splitlines() if line.startswith("panic: ")]
            found.append(Answer(error="".join(panics[:1]) or text[-600:]))
    return found


def _run(program: Path, scenarios: Sequence[Scenario]) -> tuple[str, list[bytes]]:
    with tempfile.TemporaryDirectory() as name:
        asked, answered = Path(name) / "in", Path(name) / "out"
        asked.write_bytes(b"".join(orjson.dumps(_job(each)) + b"\n" for each in scenarios))
        done = subprocess.run(
            [str(program), "-test.timeout=0"],
            env={**os.environ, "CONNECTORS_IN": str(asked), "CONNECTORS_OUT": str(answered)},
            capture_output=True,
            text=True,
            check=False,
        )
        return done.stdout + done.stderr, answered.read_bytes().splitlines()


def _job(scenario: Scenario) -> dict[str, Any]:
    config = {**scenario.config}
    if "service_graph" in config:
        config["service_graph"] = {"store_expiration_loop": _SWEEP, **config["service_graph"]}
    return {
        "config": yaml.safe_dump(config, allow_unicode=True),
        "messages": [
            {"at": each.at, "value": b64encode(each.value).decode()} for each in scenario.arrivals
        ],
        "until": scenario.until,
        "expose": scenario.is_exposed,
    }


def _answer(line: bytes) -> Answer:
    content = orjson.loads(line)
    flushes = [
        read(b64decode(each["value"]), each["at"], each["of"], EPOCH_NS)
        for each in content["flushes"] or ()
    ]
    return Answer(flushes, content.get("exposition", ""), content.get("error", ""))
