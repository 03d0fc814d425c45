"""Spans in, series out: every flush is what the collector's connector wrote of the same spans.

Its flushes were recorded (see `golden_collector`), with each of its keys.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tailrace.schemas.config import load
from tailrace.schemas.config.service_graph import ServiceGraphConfig
from tailrace.streams.simulate import simulate
from tailrace_loadtest.compare_metrics.golden import read
from tailrace_loadtest.compare_metrics.ours import flushes, written
from tailrace_loadtest.compare_metrics.series import differences

DIRECTORY = Path(__file__).parent.parent / "golden_collector" / "connectors"
SCENARIOS = sorted(path.stem for path in DIRECTORY.glob("graph-*.json"))
OTHER_NAMES = {
    "graph-databases": {"stock", "unknown"},
    "graph-databases-labelled": {"stock", "unknown"},
    "graph-databases-own": {"resource", "second"},
}
"""Servers that differ, for names that semantic conventions gave to an attribute are one here."""


def test_there_is_a_recording_for_every_key() -> None:
    keys = set()
    for name in SCENARIOS:
        keys |= read(DIRECTORY / f"{name}.json")[0].config["service_graph"].keys()
    assert keys >= {*ServiceGraphConfig.model_fields} - {"enabled", "links", "series_expiration"}


@pytest.mark.parametrize("name", SCENARIOS)
def test_series_are_those_of_the_connector(name: str, tmp_path: Path) -> None:
    scenario, answer = read(DIRECTORY / f"{name}.json")
    config, spans, arrivals = written(scenario, tmp_path)
    out = tmp_path / "out"
    simulate(load(config), [spans], str(arrivals), out, flushes=True)
    ours = flushes(scenario, out / "metrics.pb")
    assert ours
    found = list(differences(scenario, answer.flushes, ours))
    assert {dict(each.identity.attributes)["server"] for each in found} == OTHER_NAMES.get(
        name, set()
    ), found
