"""Which topics a config needs, and with how many partitions, given those that are there."""

from __future__ import annotations

import pytest

from tailrace.schemas.config import parse
from tailrace.schemas.errors import ConfigError
from tailrace.streams.provisioning import planned

ALWAYS = {"tailrace.dead_letters": 1, "tailrace-definitions": 1}
SPANS = {"otlp_spans": 6, "tailrace-spans-changelog": 6}
TRACES = {"otlp_sampled": 6, "tailrace.decisions": 6, "tailrace-control": 1}
ROLLUPS = {"tailrace-rollups": 8, "tailrace-rollups-changelog": 8}
METRICS = {"otlp_metrics": 8}
EDGES = {"tailrace.edges": 8}
ALERTS = {"tailrace.alerts": 8}
TELLING = ALERTS | {"tailrace-notifications-changelog": 8}
ALL = ALWAYS | SPANS | TRACES | ROLLUPS | METRICS | EDGES | TELLING
RENAMED = {"otlp_metrics": "m", "tailrace.edges": "e", "tailrace.alerts": "a"}
REKEYED = {"tailrace-spans": 6, "tailrace-rekey-otlp_spans-changelog": 6}


def plan(text: str, **there: int) -> dict[str, int]:
    """What *text* needs, each topic once, where *there* and six partitions of spans are."""
    config = parse(text or "{}")
    topics = planned(config, {"otlp_spans": 6, **there}).topics
    assert len({topic.name for topic in topics}) == len(topics)
    return {topic.name: topic.partitions for topic in topics}


@pytest.mark.parametrize(
    ("text", "needed"),
    [
        pytest.param("", ALL, id="by default all stages"),
        pytest.param(
            "service_graph: {enabled: false}",
            {name: n for name, n in ALL.items() if name not in EDGES},
            id="no edges without a service graph",
        ),
        pytest.param("span_metrics: {enabled: false}", ALL, id="edges are metrics, too"),
        pytest.param(
            "{span_metrics: {enabled: false}, service_graph: {enabled: false}}",
            ALWAYS | SPANS | TRACES | ROLLUPS | METRICS | TELLING,
            id="what alerts match is counted and written, too",
        ),
        pytest.param("only: sampling", ALWAYS | SPANS | TRACES, id="traces alone"),
        pytest.param("only: red", ALWAYS | SPANS | ROLLUPS | METRICS, id="metrics of spans alone"),
        pytest.param(
            "only: service_graph",
            ALWAYS | SPANS | ROLLUPS | METRICS | EDGES,
            id="the service graph alone",
        ),
        pytest.param(
            "only: alerts",
            ALWAYS | SPANS | ROLLUPS | METRICS | ALERTS,
            id="alerts that nobody is told of",
        ),
        pytest.param("only: notifier", ALWAYS | TELLING, id="no spans for who tells of alerts"),
        pytest.param(
            "input: {keyed_by_trace_id: false}",
            ALL | REKEYED,
            id="one stage more when spans are not keyed by trace ID",
        ),
        pytest.param(
            "input: {metrics: [scraped]}",
            ALL | {"scraped": 8, "tailrace-metrics-scraped-changelog": 8},
            id="one stage more for metrics that come in",
        ),
        pytest.param(
            "{only: red, input: {metrics: [scraped]}}",
            ALWAYS | SPANS | ROLLUPS | METRICS,
            id="no metrics that come in without alerts that ask for them",
        ),
        pytest.param(
            "app: other\noutput: {metrics: m, edges: e, alerts: a}",
            {RENAMED.get(name, name).replace("tailrace-", "other-"): n for name, n in ALL.items()},
            id="named after the app and by the config",
        ),
    ],
)
def test_a_config_needs(text: str, needed: dict[str, int]) -> None:
    assert plan(text) == needed


UNKEYED = "input: {topics: [otlp_spans, more], keyed_by_trace_id: false}"


def test_each_input_is_rekeyed_by_as_many_tasks_as_it_has_partitions() -> None:
    found = plan(UNKEYED, more=9)
    assert found["tailrace-rekey-otlp_spans-changelog"] == 6
    assert found["tailrace-rekey-more-changelog"] == 9
    assert found["tailrace-spans"] == found["tailrace-spans-changelog"] == 9
    assert found["otlp_sampled"] == found["tailrace.decisions"] == 9


def test_rekeyed_spans_stay_where_they_are_when_an_input_grows() -> None:
    found = plan(UNKEYED, more=12, **{"tailrace-spans": 9})
    assert found["tailrace-spans"] == found["tailrace-spans-changelog"] == 9
    assert found["tailrace-rekey-more-changelog"] == 12


def test_rollups_may_have_been_made_with_any_number_of_partitions() -> None:
    found = plan("", **{"tailrace-rollups": 3})
    assert found["tailrace-rollups-changelog"] == found["otlp_metrics"] == 3
    assert found["tailrace.edges"] == found["tailrace.alerts"] == 3
    assert found["tailrace-notifications-changelog"] == 3
    again = {name: n for name, n in found.items() if name != "otlp_spans"}
    assert plan("", **again) == found


@pytest.mark.parametrize("rollups", [4, 16])
def test_another_number_of_partitions_of_rollups_is_refused(rollups: int) -> None:
    with pytest.raises(ConfigError, match=f"has {rollups} partitions and had 8; series would move"):
        plan("", **{"tailrace-rollups": rollups, "tailrace-rollups-changelog": 8})


@pytest.mark.parametrize("alerts", [4, 16])
def test_another_number_of_partitions_of_alerts_is_refused_for_their_ends_would_be_lost(
    alerts: int,
) -> None:
    with pytest.raises(ConfigError, match=f"has {alerts} partitions and had 8; alerts would move"):
        plan("", **{"tailrace.alerts": alerts, "tailrace-notifications-changelog": 8})


def test_rollups_that_were_deleted_are_not_made_with_another_number() -> None:
    with pytest.raises(ConfigError, match="has 8 partitions and had 4"):
        plan("", **{"tailrace-rollups-changelog": 4})


def test_a_changelog_left_over_says_nothing_when_nobody_counts() -> None:
    found = plan("only: sampling", **{"tailrace-rollups-changelog": 4})
    assert found == ALWAYS | SPANS | TRACES


def test_the_notifier_has_as_many_tasks_as_the_alerts_have_partitions() -> None:
    found = plan("{app: pager, only: notifier}", **{"tailrace.alerts": 3, "tailrace-rollups": 8})
    assert found == {
        "pager-definitions": 1,
        "tailrace.dead_letters": 1,
        "tailrace.alerts": 3,
        "pager-notifications-changelog": 3,
    }


def test_topics_of_routes_are_made_as_that_of_all_other_kept_traces() -> None:
    routes = "routes: [{topic: random, kept: by_chance}, {topic: otlp_sampled, policies: [alert]}]"
    config = parse(f"tail_sampling: {{policies: [{{name: a, type: always_sample}}], {routes}}}")
    plan = planned(config, {"otlp_spans": 6})
    assert [(each.name, each.partitions) for each in plan.outputs][:3] == [
        ("otlp_sampled", 6),
        ("random", 6),
        ("tailrace.decisions", 6),
    ]
