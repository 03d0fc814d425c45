"""What parts of a config say to each other: topics, and the rhythm of rollups and flushes."""

import pytest

from tailrace.schemas.config import parse
from tailrace.schemas.errors import ConfigError

WRONG: dict[str, tuple[str, str]] = {
    "an output that is the worker's own topic": (
        "{app: mill, output: {metrics: mill-rollups}}",
        'output.metrics is "mill-rollups", which app mill uses inside; name another',
    ),
    "an output that is a changelog": (
        "output: {edges: tailrace-spans-changelog}",
        'output.edges is "tailrace-spans-changelog", which app tailrace uses inside; name another',
    ),
    "an output that is the topic of definitions": (
        "output: {alerts: tailrace-definitions}",
        'output.alerts is "tailrace-definitions", which app tailrace uses inside; name another',
    ),
    "an output that is the control topic": (
        "output: {decisions: tailrace-control}",
        'output.decisions is "tailrace-control", which app tailrace uses inside; name another',
    ),
    "an input that is the worker's own topic": (
        "input: {topics: [otlp_spans, tailrace-spans], keyed_by_trace_id: false}",
        'input.topics[1] is "tailrace-spans", which app tailrace uses inside; name another',
    ),
    "nothing that would run": (
        "{only: [red, service_graph], span_metrics: {enabled: false}, "
        "service_graph: {enabled: false}}",
        "only is red, service_graph, which is turned off; nothing would run",
    ),
    "a capability that nobody knows": (
        "only: [sampling, alert]",
        'only[1] is "alert"; it must be sampling, red, service_graph, alerts, notifier, '
        "remote_write or otlp_http",
    ),
    "a naming that nobody knows": (
        "naming: prometheus",
        'naming is "prometheus"; it must be collector or tempo',
    ),
    "Tempo's names with exponential buckets of milliseconds": (
        "{naming: tempo, span_metrics: {histogram: {exponential: {}}}}",
        "span_metrics.histogram.unit is ms, and naming: tempo tells durations in seconds, which "
        "decides the buckets of an exponential histogram; write s",
    ),
    "metrics that come in on a topic of spans": (
        "input: {metrics: [m, otlp_spans]}",
        'input.metrics[1] is "otlp_spans", which is an input already; name it once',
    ),
    "metrics that are read and written": (
        "input: {metrics: [otlp_metrics]}",
        'output.metrics is "otlp_metrics", which is an input topic too; the worker would read '
        "what it writes",
    ),
    "metrics on a topic of the worker's own": (
        "input: {metrics: [tailrace-rollups]}",
        'input.metrics[0] is "tailrace-rollups", which app tailrace uses inside; name another',
    ),
    "rollups too often": (
        "engine: {rollup_interval: 50ms}",
        "engine.rollup_interval is 50ms; it must be 100ms or more",
    ),
    "rollups within a millisecond": (
        "engine: {rollup_interval: 100100us}",
        "engine.rollup_interval is 100.1ms; it must be whole milliseconds",
    ),
    "span metrics that are flushed within an interval of rollups": (
        "span_metrics: {metrics_flush_interval: 1500ms}",
        "span_metrics.metrics_flush_interval is 1.5s, no whole multiple of "
        "engine.rollup_interval, 1s; 2s would be one",
    ),
    "a service graph that is flushed more often than rollups come": (
        "{engine: {rollup_interval: 10s}, service_graph: {metrics_flush_interval: 5s}}",
        "service_graph.metrics_flush_interval is 5s, no whole multiple of "
        "engine.rollup_interval, 10s; 10s would be one",
    ),
}


@pytest.mark.parametrize("case", WRONG.values(), ids=WRONG)
def test_refused(case: tuple[str, str]) -> None:
    text, problem = case
    with pytest.raises(ConfigError) as error:
        parse(text, "test.yaml", {})
    assert str(error.value) == problem


RIGHT: dict[str, str] = {
    "an input named like the topic that keyed input has no need of": (
        "{app: mill, input: {topics: [mill-spans]}}"
    ),
    "topics of another app": "output: {metrics: mill-rollups, edges: mill-spans-changelog}",
    "two rhythms": (
        "{engine: {rollup_interval: 500ms}, span_metrics: {metrics_flush_interval: 1500ms}, "
        "service_graph: {metrics_flush_interval: 1m}}"
    ),
    "a flush at every rollup": (
        "{engine: {rollup_interval: 5s}, span_metrics: {metrics_flush_interval: 5s}}"
    ),
    "flushes that never happen, for the section is off": (
        "{engine: {rollup_interval: 7s}, span_metrics: {enabled: false}, "
        "service_graph: {enabled: false}}"
    ),
}


@pytest.mark.parametrize("text", RIGHT.values(), ids=RIGHT)
def test_accepted(text: str) -> None:
    assert parse(text, "test.yaml", {}).warnings == ()


def test_both_rhythms_are_told() -> None:
    with pytest.raises(ConfigError) as error:
        parse("engine: {rollup_interval: 7s}", "test.yaml", {})
    assert [problem.path for problem in error.value.problems] == [
        "span_metrics.metrics_flush_interval",
        "service_graph.metrics_flush_interval",
    ]


def test_what_tempos_names_make_idle_is_told() -> None:
    text = "{naming: tempo, span_metrics: {namespace: mine, histogram: {unit: s}}}"
    assert [problem.path for problem in parse(text).warnings] == [
        "span_metrics.namespace",
        "span_metrics.histogram.unit",
    ]
    exponential = "{naming: tempo, span_metrics: {histogram: {unit: s, exponential: {}}}}"
    assert parse(exponential).warnings == ()
    assert parse("{span_metrics: {namespace: mine, histogram: {unit: s}}}").warnings == ()
