"""The worker's own metrics: nothing that is counted is hidden, and nothing declared is made up."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import tailrace
from tailrace.agents.notifier.outbound import _FATES
from tailrace.agents.notifier.secrets import Secrets
from tailrace.agents.notifier.sender import Sender, Surroundings
from tailrace.agents.notifier.targets import Targets
from tailrace.schemas.config import WorkerConfig
from tailrace.schemas.notifications import Notification, WeekOfPages
from tailrace.streams.alert_metrics import COSTS, FATES
from tailrace.streams.declared_metrics import LANE_METRICS, families
from tailrace.streams.definitions import Follower
from tailrace.streams.engine import Engine, EngineSettings
from tailrace.streams.metric_kinds import Around, declared
from tailrace.streams.metrics import Metrics
from tailrace.streams.metrics_page import page
from tailrace.streams.spans import SpanTasks
from tailrace.tables.alert_states import Phase
from tests.streams.clusters import cluster

[SOURCES] = map(Path, tailrace.__path__)
ROOMS = ("agents", "streams", "tables")
DECLARING = ("declared_metrics.py", "alert_metrics.py")
_COUNTED = re.compile(r'\b(?:self\.)?_?totals\.add\(\s*(f?)"([a-z_]+)([.{"])')
_READ = re.compile(r'\b(?:total|parts)\(\s*"([a-z_]+)"')

SUMS_OF_OTHERS = {
    "alert_events": "its rows are told",
    "notifications": "its statuses are told",
    "red_seen_spans": "what became of them is told",
}
TOLD_OTHERWISE = {"traces", "notifications"}


def counted() -> Iterator[tuple[str, bool]]:
    """What the code counts: a name, and whether it is one of several behind a dot."""
    for room in ROOMS:
        for path in sorted((SOURCES / room).rglob("*.py")):
            for found in _COUNTED.finditer(path.read_text()):
                yield found[2], found[3] != '"'


def read() -> set[str]:
    """The totals that metrics read."""
    return {
        found[1]
        for name in DECLARING
        for found in _READ.finditer((SOURCES / "streams" / name).read_text())
    }


@pytest.mark.parametrize("name", sorted(set(counted())), ids=lambda each: f"{each[0]}")
def test_what_is_counted_is_a_metric(name: tuple[str, bool]) -> None:
    total, is_one_of_several = name
    is_told = total in TOLD_OTHERWISE if is_one_of_several else total in SUMS_OF_OTHERS
    assert total in read() or is_told


def test_what_metrics_read_is_counted() -> None:
    sources = [path for room in ROOMS for path in (SOURCES / room).rglob("*.py")]
    elsewhere = "".join(path.read_text() for path in sources if path.name not in DECLARING)
    for name in read():
        assert re.search(rf'"{name}[".]', elsewhere), name


async def test_a_contact_point_is_shown_from_when_it_is_told_of_something(tmp_path: Path) -> None:
    engine = Engine(EngineSettings("app", tmp_path), [], {})
    spans = SpanTasks(WorkerConfig(), cluster(WorkerConfig()))
    sender = Sender(Surroundings(Secrets({}), Targets(), lambda: 0.5))
    metrics = Metrics(Around(engine, spans, Follower({}, "definitions"), sender))
    of_lanes = {metric.name for metric in map(declared, LANE_METRICS)}
    assert not any(each.samples for each in metrics.collect() if each.name in of_lanes)
    notified = Notification("0", 0, "acme", "oncall", "firing", "0", {}, [], {}, 0)
    sender.submit(notified, lambda name, outcome: None)
    shown = {each.name: each.samples[0] for each in metrics.collect() if each.name in of_lanes}
    await sender.close()
    labels = {"tenant": "acme", "contact_point": "oncall"}
    assert {name: sample.labels for name, sample in shown.items()} == dict.fromkeys(
        of_lanes, labels
    )
    assert shown["tailrace_contact_point_waiting"].value == 1
    assert shown["tailrace_contact_point_circuit"].value == 0


def test_no_two_metrics_have_one_name() -> None:
    names = [family.sample_name for family in families()]
    assert len(set(names)) == len(names)


def test_every_value_of_a_label_is_on_the_page() -> None:
    shown = {*re.findall(r"`([a-z_]+)`", page())}
    assert {*map(str, Phase), *FATES, *COSTS} <= shown
    assert FATES == _FATES
    assert all(hasattr(WeekOfPages(0), cost) for cost in COSTS)
