"""The same spans give the same metrics as in the collector, but for differences that are listed.

`golden_collector/` holds what a real collector made of spans; its README says which and how.
"""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tailrace.schemas.config import load
from tailrace.streams.simulate import simulate

GOLDEN = Path(__file__).parent / "golden_collector"
# Equal but for what is to be mended, with what it is.
DEFECTS: dict[str, str] = {}

OURS_ALONE = "traces_service_graph_unpaired_spans"
"""A metric that the collector does not have."""

Sample = tuple[str, tuple[tuple[str, str], ...]]
"""A name and labels."""


def folders(name: str) -> list[Path]:
    found = sorted(path for path in (GOLDEN / name).iterdir() if path.is_dir())
    assert found
    return found


def samples(text: str) -> dict[Sample, float]:
    """Every sample, and the type of every metric under its name with `# TYPE`."""
    found: dict[Sample, float] = {}
    for family in text_string_to_metric_families(text):
        found[f"# TYPE {family.name} {family.type}", ()] = 1
        for sample in family.samples:
            labels = {**sample.labels}
            labels.pop("collector_instance_id", None)  # one writer a series: nothing to tell apart
            key = sample.name, tuple(sorted(labels.items()))
            assert key not in found, f"{key} stands twice"
            found[key] = sample.value
    return found


def ours(folder: Path, out: Path) -> dict[Sample, float]:
    arrivals = folder / "arrivals.json"
    how = str(arrivals) if arrivals.exists() else "at-once"
    config = load(folder / "config.yaml", {})
    simulate(config, [folder / "input.jsonl"], how, out)
    found = samples((out / "metrics.prom").read_text())
    return {key: value for key, value in found.items() if OURS_ALONE not in key[0]}


def differing(found: dict[Sample, float], wanted: dict[Sample, float]) -> list[str]:
    """What is not in both, or has another value; sums are rounded differently."""
    return [
        f"{name}{dict(labels)} is {here}, not {there}"
        for name, labels in sorted(found.keys() | wanted.keys())
        for here, there in [(found.get((name, labels)), wanted.get((name, labels)))]
        if here is None or there is None or not math.isclose(here, there, rel_tol=1e-9)
    ]


def named(folder: Path) -> object:
    name = folder.name
    marks = [pytest.mark.xfail(reason=DEFECTS[name])] if name in DEFECTS else []
    return pytest.param(folder, id=name.replace("-", " "), marks=marks)


@pytest.mark.parametrize("folder", [*map(named, folders("equal"))])
def test_metrics_are_those_of_the_collector(folder: Path, tmp_path: Path) -> None:
    wanted = samples((folder / "collector.prom").read_text())
    assert len(wanted) > 10
    assert differing(ours(folder, tmp_path), wanted) == []


@pytest.mark.parametrize("folder", [*map(named, folders("different"))])
def test_known_differences_are_what_they_were(folder: Path, tmp_path: Path) -> None:
    wanted = samples((folder / "ours.prom").read_text())
    assert differing(ours(folder, tmp_path), wanted) == []
    assert differing(wanted, samples((folder / "collector.prom").read_text())) != []


def test_every_known_difference_has_a_reason() -> None:
    readme = (GOLDEN / "README.md").read_text()
    for folder in folders("different"):
        assert f"| `{folder.name}` |" in readme
