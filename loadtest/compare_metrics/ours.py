"""What `tailrace simulate` writes for the same scenario."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import orjson
import yaml

from tailrace_loadtest.compare_metrics.flushes import Flush, Point, read
from tailrace_loadtest.compare_metrics.scenario import BEGIN_NS, Scenario
from tailrace_loadtest.files import frames, length_prefixed

_CAPABILITIES = {"span_metrics": "red", "service_graph": "service_graph"}
_MOMENT = 0.001
_OWN = {"service_graph": {"links": {"enabled": False}}}
"""A collector looks for no consumers in other traces, and its producers wait for none."""


class Refused(Exception):
    """The config is refused, or simulating failed; the text says why."""


def config(scenario: Scenario) -> str:
    """The config of *scenario*, as a user would write it."""
    only = [_CAPABILITIES[name] for name in scenario.config]
    sections = {name: {**body, **_OWN.get(name, {})} for name, body in scenario.config.items()}
    return yaml.safe_dump({"only": only, **sections}, allow_unicode=True, sort_keys=False)


def written(scenario: Scenario, directory: Path) -> tuple[Path, Path, Path]:
    """Files in *directory*: the config, the messages, and when they arrive."""
    paths = directory / "tailrace.yaml", directory / "load.pb", directory / "arrivals.json"
    paths[0].write_text(config(scenario))
    paths[1].write_bytes(b"".join(length_prefixed(each.value) for each in scenario.arrivals))
    paths[2].write_bytes(orjson.dumps([each.at for each in scenario.arrivals]))
    return paths


def flushes(scenario: Scenario, metrics: Path) -> list[Flush]:
    """What stands in the file *metrics* of a simulation; points of one time are one flush."""
    found = [
        point
        for value in frames(metrics.read_bytes())
        for point in read(value, 0.0, "", BEGIN_NS).points
    ]
    by_flush: defaultdict[float, list[Point]] = defaultdict(list)
    for point in found:
        if point.time is not None:
            by_flush[_flushed(point.time, point)].append(point)
    (of,) = scenario.config
    return [Flush(time, of, tuple(by_flush[time])) for time in sorted(by_flush)]


def _flushed(time: float, point: Point) -> float:
    """When *point* of *time* was flushed: the end of a series is said of the moment before."""
    return round(time + _MOMENT, 3) if point.value.get("is_stale") else time


def answers(scenarios: Sequence[Scenario], processes: int) -> list[list[Flush] | Refused]:
    """What is flushed in each of *scenarios*, or why it is refused."""
    with ThreadPoolExecutor(processes) as pool:
        return list(pool.map(_answer, scenarios))


def _answer(scenario: Scenario) -> list[Flush] | Refused:
    with tempfile.TemporaryDirectory() as name:
        settings, load, arrivals = written(scenario, Path(name))
        out = Path(name) / "out"
        done = subprocess.run(
            [
                *(sys.executable, "-m", "tailrace", "simulate", str(load), "--flushes"),
                *("-c", str(settings), "--out", str(out), "--arrivals", str(arrivals)),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            return Refused(done.stderr.strip()[-600:])
        return flushes(scenario, out / "metrics.pb")
