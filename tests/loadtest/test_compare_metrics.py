"""What metrics are compared by: spans and configs at random, and what is known to differ."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest
import yaml
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)

from tailrace.schemas.config import parse
from tailrace.schemas.config.service_graph import ServiceGraphConfig
from tailrace.schemas.config.span_metrics import SpanMetricsConfig
from tailrace_loadtest.compare_metrics import connectors, folders, golden, ours, traffic
from tailrace_loadtest.compare_metrics.came import arrivals_of, spans_of
from tailrace_loadtest.compare_metrics.connectors import Answer
from tailrace_loadtest.compare_metrics.differences import KNOWN, WRITTEN, as_counted_here
from tailrace_loadtest.compare_metrics.draws import scenarios
from tailrace_loadtest.compare_metrics.flushes import Flush, Point
from tailrace_loadtest.compare_metrics.report import Report
from tailrace_loadtest.compare_metrics.scenario import BEGIN_NS, Scenario, Seen, arrival
from tailrace_loadtest.compare_metrics.scenarios_graph import GRAPH
from tailrace_loadtest.compare_metrics.scenarios_red import RED
from tailrace_loadtest.compare_metrics.series import Difference, differences
from tailrace_loadtest.files import json_line, length_prefixed
from tailrace_loadtest.go_modules import NoProgram

MIGRATING = Path(__file__).parents[2] / "docs" / "migrating.md"
MANY = scenarios(Random(1), 300, 3)
OURS = {"enabled", "roll_ups", "links"}
"""Keys that no connector has."""


def set_keys(body: dict[str, Any], before: str = "") -> set[str]:
    inner = [set_keys(each, f"{before}{key}.") for key, each in body.items() if type(each) is dict]
    return {f"{before}{key}" for key in body}.union(*inner)


def drawn_keys(section: str) -> set[str]:
    bodies = [each.config[section] for each in (*MANY, *RED, *GRAPH) if section in each.config]
    return set[str]().union(*map(set_keys, bodies))


# What is drawn


def test_the_same_seed_gives_the_same_scenarios() -> None:
    assert scenarios(Random(3), 6, 10) == scenarios(Random(3), 6, 10) != scenarios(Random(4), 6, 10)


def test_every_key_that_is_accepted_is_drawn() -> None:
    red = {*SpanMetricsConfig.model_fields} - OURS
    assert red <= drawn_keys("span_metrics")
    assert {"histogram.disable", "histogram.unit", "histogram.dimensions"} <= drawn_keys(
        "span_metrics"
    )
    assert {"histogram.explicit.buckets", "histogram.exponential.max_size"} <= drawn_keys(
        "span_metrics"
    )
    graph = {*ServiceGraphConfig.model_fields} - OURS - {"series_expiration"}
    assert graph | {"store.ttl", "store.max_items"} <= drawn_keys("service_graph")


def test_every_config_that_is_drawn_is_accepted() -> None:
    for scenario in (*MANY, *RED, *GRAPH):
        config = parse(ours.config(scenario))
        assert config.capabilities & {"red", "service_graph"}


def test_the_last_span_ends_when_the_scenario_begins() -> None:
    for scenario in MANY[:20]:
        ends = [each.span.end_time_unix_nano for each in spans_of(scenario.arrivals)]
        assert max(ends) == BEGIN_NS
        assert [each.at for each in scenario.arrivals] == sorted(
            each.at for each in scenario.arrivals
        )


def test_scenarios_have_one_name_each() -> None:
    names = [each.name for each in (*RED, *GRAPH)]
    assert len({*names}) == len(names)


def test_spans_that_are_not_changed_come_as_before() -> None:
    for scenario in MANY[:20]:
        spans = spans_of(scenario.arrivals)
        assert spans_of(arrivals_of(spans)) == spans


# What is known


@pytest.mark.parametrize("known", KNOWN, ids=lambda known: known.cause)
def test_each_known_cause_is_listed_in_the_docs(known) -> None:  # type: ignore[no-untyped-def]
    assert known.listed in MIGRATING.read_text()


@pytest.mark.parametrize("written", WRITTEN)
def test_each_difference_of_what_is_written_is_listed_in_the_docs(written: str) -> None:
    assert WRITTEN[written] in MIGRATING.read_text()


def test_spans_without_an_oddity_are_not_changed() -> None:
    random = Random(5)
    load = traffic.load(random, 60, 20)
    body = {"store": {"ttl": "2s"}}
    for section in ("span_metrics", "service_graph"):
        scenario = Scenario("plain", {section: body}, load.arrivals(), 100)
        assert as_counted_here(scenario)[1] <= {"an empty service name"}


CLIENT = Seen("web", kind="client", parent=9)
SERVER = Seen("shop", kind="server", parent=1, id=2)
CHANGES: dict[str, tuple[str, Sequence[Seen], int]] = {
    "a span without a valid ID": ("span_metrics", [Seen(), Seen(trace=0)], 1),
    "a service name that is no text": (
        "span_metrics",
        [Seen(service=None, resource={"service.name": 7})],
        1,
    ),
    "an empty service name": ("service_graph", [CLIENT, Seen("", kind="server", parent=1)], 1),
    "a span that ends before it starts": ("service_graph", [replace(CLIENT, ms=-5)], 1),
    "another name of an attribute": (
        "service_graph",
        [replace(CLIENT, attributes={"db.namespace": "x"})],
        1,
    ),
    "the server of a database": (
        "service_graph",
        [SERVER, replace(CLIENT, attributes={"db.name": "x"})],
        1,
    ),
    "a client that comes twice": ("service_graph", [CLIENT, SERVER, CLIENT], 2),
    "several root servers": ("service_graph", [Seen(), Seen(id=2)], 2),
    "several servers of a client": ("service_graph", [CLIENT, SERVER, replace(SERVER, id=3)], 4),
    "spans that stand for several": (
        "service_graph",
        [replace(CLIENT, state="ot=th:c"), SERVER],
        8,
    ),
}


@pytest.mark.parametrize("cause", CHANGES)
def test_a_known_cause_changes_the_spans_that_show_it(cause: str) -> None:
    section, spans, left = CHANGES[cause]
    scenario = Scenario("one", {section: {}}, [arrival(0.5, *spans)], 60)
    changed, causes = as_counted_here(scenario)
    assert causes == {cause}
    assert len(spans_of(changed.arrivals)) == left
    assert as_counted_here(changed) == (changed, set())
    assert as_counted_here(scenario, (cause,))[1] == set()


def test_a_kind_that_is_unknown_is_none() -> None:
    (came,) = spans_of([arrival(0.5, Seen())])
    came.span.MergeFromString(bytes((0x30, 9)))
    scenario = Scenario("one", {"span_metrics": {}}, arrivals_of([came]), 60)
    changed, causes = as_counted_here(scenario)
    assert causes == {"a kind that is unknown"}
    assert spans_of(changed.arrivals)[0].span.kind == 0


# What is compared


def point(value: int, start: float = 0.0, **changes: Any) -> Point:
    plain = Point("calls", "", "sum", "cumulative", "s", {}, {"a": "b"}, start, None, {})
    stale = {"is_stale": True} if value < 0 else {}
    return replace(plain, value={"value": max(value, 0), **stale}, **changes)


def flushes(*said: tuple[float, int | None], **changes: Any) -> list[Flush]:
    return [
        Flush(at, "", () if value is None else (point(value, time=at, **changes),))
        for at, value in said
    ]


def compared(config: dict[str, Any], theirs: list[Flush], here: list[Flush]) -> list[Difference]:
    return [*differences(Scenario("x", {"span_metrics": config}, [], 60), theirs, here)]


EQUAL: dict[str, tuple[dict[str, Any], list[Flush], list[Flush]]] = {
    "what is not said again still holds": (
        {},
        flushes((10, 0), (20, 2), (30, 2)),
        flushes((10, 1), (20, 2)),
    ),
    "a counter is 0 there at first": ({}, flushes((10, 0), (20, 3)), flushes((10, 3))),
    "a series begins with 0 here": (
        {},
        flushes((10, None), (20, 0)),
        flushes((10, 0), (20, 5), start=10.0),
    ),
    "what expires has last words there": (
        {"series_expiration": "5s"},
        flushes((10, 0), (20, 1), (30, 1), (40, None)),
        flushes((10, 1), (20, 1), (30, -1), (40, None)),
    ),
    "a delta holds for its flush only": (
        {},
        flushes((10, 1), (20, None), temporality="delta"),
        flushes((10, 1), temporality="delta"),
    ),
    "a series expires here and begins anew": (
        {"series_expiration": "5s"},
        flushes((10, 0), (20, 1), (30, None), (40, 0), (50, 2)),
        [
            *flushes((10, 1), (20, 1)),
            Flush(30, "", (point(-1, time=30.0), point(0, start=30.0, time=30.0))),
            *flushes((40, 2), start=30.0),
        ],
    ),
    "two that are one there are added up": (
        {"resource_metrics_key_attributes": ["service.name"]},
        [Flush(10, "", (point(0),)), Flush(20, "", (point(3),))],
        [Flush(20, "", (point(1, resource={"host": "a"}), point(2, resource={"host": "b"})))],
    ),
}
DIFFERENT: dict[str, tuple[dict[str, Any], list[Flush], list[Flush]]] = {
    "another value": ({}, flushes((10, 0), (20, 2)), flushes((20, 3))),
    "a value at another flush": ({}, flushes((10, 0), (20, 2), (30, 2)), flushes((30, 2))),
    "0 at a later flush": ({}, flushes((10, 0), (20, 0)), flushes((10, 1))),
    "other bounds": (
        {},
        [Flush(10, "", (replace(point(0), value={"count": 1, "bounds": [1], "buckets": [1, 0]}),))],
        [Flush(10, "", (replace(point(0), value={"count": 1, "bounds": [2], "buckets": [1, 0]}),))],
    ),
    "a series that is not there": ({}, flushes((10, None)), flushes((10, 1))),
    "a delta that is said again": (
        {},
        flushes((10, 1), (20, None), temporality="delta"),
        flushes((10, 1), (20, 1), temporality="delta"),
    ),
    "what never expires here": (
        {"series_expiration": "5s"},
        flushes((10, 0), (20, 1), (30, 1), (40, None)),
        flushes((20, 1), (40, 1)),
    ),
    "what goes though nothing expires": (
        {},
        flushes((10, 0), (20, 1), (30, 1)),
        flushes((20, 1), (30, -1)),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", EQUAL)
def test_both_say_the_same(case: str) -> None:
    assert compared(*EQUAL[case]) == []


@pytest.mark.parametrize("case", DIFFERENT)
def test_both_do_not_say_the_same(case: str) -> None:
    assert compared(*DIFFERENT[case])


def test_a_report_counts_what_is_unknown_and_what_is_refused() -> None:
    scenario = Scenario("x", {"span_metrics": {"histogram": {"unit": "s"}}}, [], 60)
    report = Report()
    report.add(scenario, flushes((10, 1)), None)
    assert report.is_right
    assert report.keys == {"span_metrics.histogram.unit": 1}
    report.refused(scenario, "no such key")
    (different,) = compared({}, flushes((10, 5)), flushes((10, 1)))
    report.add(scenario, flushes((10, 1)), different)
    assert not report.is_right
    assert "NOT DONE: x" in report.text()
    assert "DIFFERENCES THAT ARE NOT KNOWN, in x" in report.text()


# Files and programs


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    scenario = Scenario("one", {"span_metrics": {}}, [arrival(0.5, Seen(links=[(1, 2)]))], 60)
    answer = Answer(flushes((10, 1), (20, 2)), "a 1\n", "")
    golden.write(tmp_path, scenario, answer)
    assert golden.read(tmp_path / "one.json") == (scenario, answer)


def test_what_is_flushed_here_is_what_simulate_flushes() -> None:
    right = Scenario("right", {"span_metrics": {"dimensions": []}}, [arrival(0.5, Seen())], 60)
    wrong = replace(right, config={"span_metrics": {"dimension": []}})
    found, refused = ours.answers([right, wrong], 2)
    assert isinstance(found, list)
    assert {each.metric for flush in found for each in flush.points} == {
        "traces.span.metrics.calls",
        "traces.span.metrics.duration",
    }
    assert isinstance(refused, ours.Refused)
    assert "dimension" in str(refused)


def test_the_end_of_a_series_is_of_the_flush_that_says_it(tmp_path: Path) -> None:
    request = ExportMetricsServiceRequest()
    metric = request.resource_metrics.add().scope_metrics.add().metrics.add(name="calls")
    at = BEGIN_NS + 20 * 10**9
    metric.sum.data_points.add(time_unix_nano=at, as_int=1)
    metric.sum.data_points.add(time_unix_nano=at - 10**6, flags=1)
    (tmp_path / "metrics.pb").write_bytes(length_prefixed(request.SerializeToString()))
    [flush] = ours.flushes(Scenario("x", {"span_metrics": {}}, [], 60), tmp_path / "metrics.pb")
    assert (flush.at, len(flush.points)) == (20, 2)


def test_connectors_that_panic_take_no_other_scenario_along(tmp_path: Path) -> None:
    program = tmp_path / "connectors.test"
    program.write_text(
        """#!/bin/sh
while read -r line; do
    case $line in *bad*) echo panic: no >&2; exit 2;; esac
    echo '{"flushes": [], "error": ""}'
done < "$CONNECTORS_IN" > "$CONNECTORS_OUT"
"""
    )
    program.chmod(0o755)
    good = Scenario("good", {"span_metrics": {}}, [], 60)
    bad = Scenario("bad", {"span_metrics": {"namespace": "bad"}}, [], 60)
    found = connectors.answers(program, [good, bad, good])
    assert [each.error for each in found] == ["", "panic: no", ""]


def test_what_is_shown_of_a_folder_is_written_without_help(tmp_path: Path) -> None:
    program = tmp_path / "connectors.test"
    program.write_text(
        """#!/bin/sh
printf '%s' '{"flushes": [], "exposition": "# HELP a\\n# TYPE a counter\\na 1"}' > $CONNECTORS_OUT
"""
    )
    program.chmod(0o755)
    folder = tmp_path / "equal" / "one"
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text("span_metrics: {}\n")
    (folder / "input.jsonl").write_bytes(json_line(arrival(0.5, Seen()).value))
    folders.write(program, tmp_path)
    assert (folder / "collector.prom").read_text() == "# TYPE a counter\na 1\n"


def test_without_go_it_is_said_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GO", os.fspath(tmp_path / "none"))
    with pytest.raises(NoProgram, match="make compare-metrics GO="):
        connectors.build()


def test_configs_are_written_as_a_user_would_write_them() -> None:
    scenario = Scenario("x", {"service_graph": {"dimensions": ["größe"]}}, [], 60)
    assert yaml.safe_load(ours.config(scenario)) == {
        "only": ["service_graph"],
        "service_graph": {"dimensions": ["größe"], "links": {"enabled": False}},
    }
