"""Topics on which metrics come in: what a config may say of them, and what they make necessary."""

from __future__ import annotations

import pytest

from tailrace.schemas.config import parse
from tailrace.schemas.errors import ConfigError
from tailrace.streams.metric_input import MetricCodec
from tailrace.streams.provisioning import planned
from tailrace.streams.stages import metric_stages, stage_topics
from tests.otlp_metrics import MetricPoint, metrics_request
from tests.streams.deaths import Row


def plan(text: str, **there: int) -> dict[str, int]:
    config = parse(text)
    return {topic.name: topic.partitions for topic in planned(config, there).topics}


def test_each_topic_of_metrics_is_a_stage_with_as_many_tasks_as_it_has_partitions() -> None:
    needed = plan("input: {metrics: [scraped, pushed]}", scraped=3)
    assert {name: count for name, count in needed.items() if "scraped" in name} == {
        "scraped": 3, "tailrace-metrics-scraped-changelog": 3,
    }  # fmt: skip
    assert needed["pushed"] == needed["tailrace-metrics-pushed-changelog"] == 8
    assert needed["otlp_spans"] == 8


def test_nobody_reads_metrics_where_there_are_no_alerts() -> None:
    config = parse("{only: [sampling], input: {metrics: scraped}}")
    assert metric_stages(config) == {}
    assert "metrics-scraped" not in stage_topics(config)
    assert "scraped" not in plan("{only: [sampling], input: {metrics: scraped}}")


def test_by_default_no_metrics_come_in() -> None:
    assert metric_stages(parse("{}")) == {}


WRONG: dict[str, tuple[str, str]] = {
    "a topic of spans": (
        "input: {topics: [a], metrics: [a]}",
        'input.metrics[0] is "a", which is an input already; name it once',
    ),
    "a topic twice": (
        "input: {metrics: [a, b, a]}",
        'input.metrics[2] is "a", which is an input already; name it once',
    ),
    "the worker's own metrics": (
        "input: {metrics: [otlp_metrics]}",
        'output.metrics is "otlp_metrics", which is an input topic too; the worker would read '
        "what it writes",
    ),
    "a topic of its own": (
        "input: {metrics: [tailrace-rollups]}",
        'input.metrics[0] is "tailrace-rollups", which app tailrace uses inside; name another',
    ),
}


@pytest.mark.parametrize("case", WRONG.values(), ids=WRONG)
def test_refused(case: tuple[str, str]) -> None:
    text, problem = case
    with pytest.raises(ConfigError) as error:
        parse(text, "test.yaml", {})
    assert str(error.value) == problem


def test_what_is_no_request_is_a_dead_letter_and_costs_nobody_else() -> None:
    good = metrics_request(MetricPoint())
    requests, letters = MetricCodec().decode(
        [Row(0, 0, None, good), Row(1, 0, None, b"\xff\xff"), Row(2, 0, None, None)]
    )
    assert [None if each is None else each.SerializeToString() for each in requests] == [
        good, None, b"",
    ]  # fmt: skip
    assert [(each.record, each.reason, each.value, each.whole) for each in letters] == [
        (1, "malformed", b"\xff\xff", True)
    ]
