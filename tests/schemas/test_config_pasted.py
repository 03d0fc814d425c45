"""Configs from the connectors' own READMEs and test data, pasted as they stand."""

import pytest

from tailrace.schemas.config import parse
from tailrace.schemas.durations import MILLISECOND, SECOND
from tailrace.schemas.errors import ConfigError

SPAN_METRICS_README = """
span_metrics:
    histogram:
      dimensions:
        - name: url.scheme
          default: https
      explicit:
        buckets: [100us, 1ms, 2ms, 6ms, 10ms, 100ms, 250ms]
    dimensions:
      - name: http.method
        default: GET
      - name: http.status_code
      - glob: "k8s.*.name"
      - glob: "db.**.name"
    calls_dimensions:
      - name: http.url
        default: /ping
    exemplars:
      enabled: true
    exclude_dimensions: ['status.code']
    aggregation_temporality: "AGGREGATION_TEMPORALITY_CUMULATIVE"
    metrics_flush_interval: 15s
    metrics_expiration: 5m
    series_expiration: 5m
    events:
      enabled: true
      dimensions:
        - name: exception.type
        - name: exception.message
    resource_metrics_key_attributes:
      - service.name
      - telemetry.sdk.language
      - telemetry.sdk.name
    include_instrumentation_scope:
      - express
"""

SPAN_METRICS_FULL = """
span_metrics:
  histogram:
    unit: "s"
    explicit:
      buckets: [ 10ms, 100ms, 250ms ]
  exemplars:
    enabled: true
  resource_metrics_cache_size: 1600
  dimensions:
    - name: http.method
      default: GET
    - name: http.status_code
  aggregation_temporality: "AGGREGATION_TEMPORALITY_DELTA"
  metrics_flush_interval: 30s
"""

REFUSED: dict[str, tuple[str, list[str]]] = {
    "what the test data of span_metrics calls full": (
        SPAN_METRICS_FULL,
        ["resource_metrics_cache_size"],
    ),
    "two kinds of histogram at once": (
        "span_metrics: {histogram: {exponential: {max_size: 10}, "
        "explicit: {buckets: [ 10ms, 100ms, 250ms ]}}}",
        ["histogram.exponential"],
    ),
    "delta with its cache": (
        'span_metrics: {aggregation_temporality: "AGGREGATION_TEMPORALITY_DELTA", '
        "metric_timestamp_cache_size: 123}",
        ["metric_timestamp_cache_size"],
    ),
    "the test data of service_graph, whose buckets are nanoseconds": (
        "service_graph: {latency_histogram_buckets: [1,2,3,4,5], "
        "dimensions: [dimension-1, dimension-2], store: {ttl: 1s, max_items: 10}, "
        "database_name_attributes: [db.name]}",
        [f"latency_histogram_buckets[{index}]" for index in range(5)],
    ),
}


@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED)
def test_refused_for_exactly_what_is_not_there(case: tuple[str, list[str]]) -> None:
    text, paths = case
    with pytest.raises(ConfigError) as error:
        parse(text, "test.yaml", {})
    assert sorted(problem.path.split(".", 1)[1] for problem in error.value.problems) == paths


ACCEPTED: dict[str, str] = {
    "peers as the README of service_graph shows them": (
        "service_graph: {dimensions: [db.system, messaging.system], "
        "virtual_node_peer_attributes: [db.name, db.system, messaging.system, peer.service], "
        "virtual_node_extra_label: true}"
    ),
    "everything that the README of span_metrics shows": SPAN_METRICS_README,
    "calls and durations apart, as the test data of span_metrics has them": (
        "span_metrics: {histogram: {dimensions: [{name: http.status_code}]}, dimensions: "
        "[{name: http.method, default: GET}], calls_dimensions: [{name: http.url}]}"
    ),
    "names and patterns, as the test data of span_metrics has them": (
        "span_metrics: {dimensions: [{name: http.method, default: GET}, {glob: db.*}]}"
    ),
    "exponential, as the test data of span_metrics has it": (
        "span_metrics: {histogram: {exponential: {max_size: 10}}}"
    ),
    "a section without a body": "span_metrics:",
    "an explicit without a body": "span_metrics: {histogram: {explicit: }}",
    "without the instance, as the README says": (
        "span_metrics: {exclude_dimensions: ['collector.instance.id']}"
    ),
    "a namespace, as the README says": "span_metrics: {namespace: span.metrics}",
    "the defaults of span_metrics, written out": (
        "span_metrics: {aggregation_temporality: AGGREGATION_TEMPORALITY_CUMULATIVE, "
        "metrics_flush_interval: 60s, histogram: {disable: false, unit: ms}, "
        "namespace: traces.span.metrics, aggregation_cardinality_limit: 0, "
        "exemplars: {max_per_data_point: 5}}"
    ),
}


@pytest.mark.parametrize("text", ACCEPTED.values(), ids=ACCEPTED)
def test_accepted(text: str) -> None:
    assert parse(text, "test.yaml", {}).warnings == ()


def test_buckets_and_dimensions_as_the_readme_of_service_graph_shows_them() -> None:
    config = parse(
        "service_graph: {latency_histogram_buckets: [100ms, 250ms, 1s, 5s, 10s], "
        "dimensions: [dimension-1, dimension-2], store: {ttl: 1s, max_items: 10}}"
    ).service_graph
    assert config.bounds_ns == (
        100 * MILLISECOND, 250 * MILLISECOND, SECOND, 5 * SECOND, 10 * SECOND,
    )  # fmt: skip
    assert config.dimensions == ("dimension-1", "dimension-2")
    assert (config.store.ttl, config.store.max_items) == (SECOND, 10)
