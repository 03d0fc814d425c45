"""The same spans give the same series as in a collector's connectors, flush by flush.

`golden_collector/connectors/` has a scenario for each key, `random_connectors/` scenarios at
random. Their READMEs say how both were recorded.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from tailrace.schemas.config import load
from tailrace.streams.simulate import simulate
from tailrace_loadtest.compare_metrics import golden, ours
from tailrace_loadtest.compare_metrics.comparison import unknown
from tailrace_loadtest.compare_metrics.differences import KNOWN, as_counted_here
from tailrace_loadtest.compare_metrics.flushes import Flush
from tailrace_loadtest.compare_metrics.recording import Recorded, recorded
from tailrace_loadtest.compare_metrics.scenario import Scenario

HERE = Path(__file__).parent
KEYS = sorted((HERE / "golden_collector" / "connectors").iterdir())
RANDOM = [*recorded(HERE / "random_connectors")]
DIFFERENT = {"red-delta-limit": "**A limit of deltas**"}
"""Scenarios of keys that differ as a whole, and where that is listed."""


def flushed(scenario: Scenario, directory: Path) -> list[Flush]:
    """What a simulation writes."""
    config, spans, arrivals = ours.written(scenario, directory)
    simulate(load(config, {}), [spans], str(arrivals), directory / "out", flushes=True)
    return ours.flushes(scenario, directory / "out" / "metrics.pb")


def different(scenario: Scenario, theirs: Sequence[Flush], directory: Path) -> list[str]:
    """Each flush of a series that is not as it must be."""
    found = unknown(scenario, theirs, flushed(scenario, directory))
    return [f"{each.at:g} s {each.identity}: {each.theirs} there, {each.ours}" for each in found]


@pytest.mark.parametrize("path", KEYS, ids=lambda path: path.stem.replace("-", " "))
def test_each_key_says_what_it_says_there(path: Path, tmp_path: Path) -> None:
    scenario, answer = golden.read(path)
    assert answer.flushes
    found = different(scenario, answer.flushes, tmp_path)
    is_known = path.stem in DIFFERENT or bool(as_counted_here(scenario)[1])
    assert bool(found) == is_known, found[:3]


def test_what_differs_as_a_whole_is_listed() -> None:
    page = (HERE.parents[1] / "docs" / "migrating.md").read_text()
    assert all(listed in page for listed in DIFFERENT.values())
    assert DIFFERENT.keys() <= {path.stem for path in KEYS}


@pytest.mark.parametrize("case", [pytest.param(each, id=each.scenario.name) for each in RANDOM])
def test_random_configs_say_what_they_say_there(case: Recorded, tmp_path: Path) -> None:
    assert different(case.scenario, case.flushes, tmp_path)[:3] == []


def test_every_known_difference_is_among_them_and_most_have_none() -> None:
    assert len(RANDOM) >= 50
    shown = set[str]().union(*(case.causes for case in RANDOM))
    assert {known.cause for known in KNOWN} <= shown
    assert sum(not case.causes for case in RANDOM) >= len(RANDOM) / 3
    filled = [case for case in RANDOM if sum(len(flush.points) for flush in case.flushes) > 10]
    assert len(filled) >= 0.9 * len(RANDOM)


def test_what_is_known_is_what_was_known_when_it_was_recorded() -> None:
    for case in RANDOM:
        assert as_counted_here(case.scenario)[1] == case.causes
