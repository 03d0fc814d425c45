"""`span_metrics`: every key of the connector is accepted as it stands or refused with a reason."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.schemas.config import SpanMetricsConfig, load, parse
from tailrace.schemas.config.dimensions import RESERVED
from tailrace.schemas.config.histograms import DEFAULT_BUCKETS
from tailrace.schemas.config.span_metrics import CACHE_KEYS
from tailrace.schemas.durations import MILLISECOND, SECOND, spell
from tailrace.schemas.errors import ConfigError


def _read(body: str) -> SpanMetricsConfig:
    config = parse(f"span_metrics: {body}", "test.yaml", {"OFF": "false"})
    assert config.warnings == ()
    return config.span_metrics


def _problems(body: str) -> list[str]:
    with pytest.raises(ConfigError) as error:
        _read(body)
    return [str(problem).removeprefix("span_metrics.") for problem in error.value.problems]


KEYS = {
    "dimensions", "calls_dimensions", "exclude_dimensions", "dimensions_cache_size",
    "resource_metrics_cache_size", "resource_metrics_key_attributes", "aggregation_temporality",
    "histogram", "metrics_flush_interval", "metrics_expiration", "series_expiration",
    "metric_timestamp_cache_size", "namespace", "exemplars", "events",
    "include_instrumentation_scope", "aggregation_cardinality_limit", "add_resource_attributes",
    "enable_metrics_sampling_method",
}  # fmt: skip
"""Of the connector's `Config`, and of its `HistogramConfig` below."""
HISTOGRAM_KEYS = {"disable", "unit", "exponential", "explicit", "dimensions"}


def test_every_key_of_the_connector_is_known() -> None:
    model = SpanMetricsConfig
    assert {*model.model_fields, *model.refusals} == KEYS | {"enabled", "roll_ups"}
    histogram = type(SpanMetricsConfig().histogram)
    assert {*histogram.model_fields, *histogram.refusals} == HISTOGRAM_KEYS


def test_without_a_section_the_defaults_are_the_connectors() -> None:
    config = load(None).span_metrics
    assert config == _read("{}")
    assert config.enabled
    assert config.namespace == "traces.span.metrics"
    assert config.histogram.unit == "ms"
    assert config.metrics_flush_interval == 60 * SECOND
    assert config.dimensions == ()
    assert [bound / MILLISECOND for bound in config.bounds_ns] == [
        2, 4, 6, 8, 10, 50, 100, 200, 400, 800, 1000, 1400, 2000, 5000, 10_000, 15_000,
    ]  # fmt: skip


BOUNDS: dict[str, tuple[str, tuple[int, ...]]] = {
    "no histogram is the default": ("{histogram: }", DEFAULT_BUCKETS),
    "an explicit without a body is the default": ("{histogram: {explicit: }}", DEFAULT_BUCKETS),
    "an empty explicit is the default": ("{histogram: {explicit: {}}}", DEFAULT_BUCKETS),
    "an exponential without a body is none": ("{histogram: {exponential: }}", DEFAULT_BUCKETS),
    "no buckets are only +Inf": ("{histogram: {explicit: {buckets: []}}}", ()),
    "buckets of any unit": (
        "{histogram: {explicit: {buckets: [0, 100us, 2ms, 1.5s, 1m30s]}}}",
        (0, 100_000, 2 * MILLISECOND, 1500 * MILLISECOND, 90 * SECOND),
    ),
    "seconds are only the unit of what is written": (
        "{histogram: {unit: s, explicit: {buckets: [2ms]}}}",
        (2 * MILLISECOND,),
    ),
}


@pytest.mark.parametrize("case", BOUNDS.values(), ids=BOUNDS)
def test_bounds(case: tuple[str, tuple[int, ...]]) -> None:
    body, expected = case
    assert _read(body).bounds_ns == expected


@given(st.lists(st.integers(0, 10**12)) | st.sets(st.integers(0, 10**12)).map(sorted))
def test_bounds_are_accepted_exactly_if_each_is_more_than_the_one_before(bounds: list[int]) -> None:
    body = f"{{histogram: {{explicit: {{buckets: [{', '.join(map(spell, bounds))}]}}}}}}"
    if bounds == sorted(set(bounds)):
        assert _read(body).bounds_ns == tuple(bounds)
    else:
        assert all(problem.startswith("histogram.explicit.buckets[") for problem in _problems(body))


@pytest.mark.parametrize("unit", ["ms", "MS", "s", "S"])
def test_the_unit_may_be_in_capitals(unit: str) -> None:
    assert _read(f"{{histogram: {{unit: {unit}}}}}").histogram.unit == unit.lower()


def test_an_empty_default_is_a_default_and_none_is_none() -> None:
    dimensions = _read("{dimensions: [{name: a, default: ''}, {name: b, default: }]}").dimensions
    assert [(each.name, each.default) for each in dimensions] == [("a", ""), ("b", None)]


@pytest.mark.parametrize("name", RESERVED)
def test_a_dimension_that_every_series_has_is_refused(name: str) -> None:
    assert _problems(f"{{dimensions: [{{name: a}}, {{name: {name}}}]}}") == [
        f'dimensions[1].name is "{name}", which every series has anyway; remove it'
    ]


WRONG: dict[str, tuple[str, ...]] = {
    "a dimension twice": (
        "{dimensions: [{name: a}, {name: b}, {name: a, default: x}]}",
        'dimensions[2].name is "a", as is that of dimensions[0]; keep one',
    ),
    "a dimension without a name": (
        "{dimensions: [{default: x}]}",
        "dimensions[0].name is missing; add it",
    ),
    "a dimension with an empty name": (
        "{dimensions: [{name: ''}]}",
        "dimensions[0].name is empty; give it a value",
    ),
    "a number as a default": (
        "{dimensions: [{name: http.status_code, default: 200}]}",
        'dimensions[0].default is 200; it must be text: write "200", in quotes',
    ),
    "a dimension by name and by pattern": (
        "{dimensions: [{name: a, glob: 'db.*'}]}",
        'dimensions[0].glob is "db.*" beside a name; keep one of them',
    ),
    "a pattern with a default": (
        "{dimensions: [{glob: 'db.*', default: x}]}",
        "dimensions[0].default has no meaning for a glob, which matches what is there; remove it",
    ),
    "a pattern that is none": (
        "{calls_dimensions: [{glob: 'db.[a'}]}",
        'calls_dimensions[0].glob is "db.[a", which is no pattern: a [ is never closed',
    ),
    "a pattern that matches what every series has": (
        "{histogram: {dimensions: [{glob: 'span.*'}]}}",
        'histogram.dimensions[0].glob is "span.*", which matches "span.name", a dimension anyway; '
        "narrow it",
    ),
    "a pattern that matches another dimension": (
        "{dimensions: [{glob: 'db.*'}, {name: db.system}]}",
        'dimensions[0].glob is "db.*", which matches "db.system", a dimension anyway; narrow it',
    ),
    "a dimension of calls twice": (
        "{calls_dimensions: [{name: a}, {name: a}]}",
        'calls_dimensions[1].name is "a", as is that of dimensions[0]; keep one',
    ),
    "events without dimensions": (
        "{events: {enabled: true}}",
        "events.dimensions is empty; name at least one, as in [{name: exception.type}]",
    ),
    "two kinds of histogram": (
        "{histogram: {explicit: {}, exponential: {}}}",
        "histogram.exponential stands beside explicit; keep one of them",
    ),
    "one bucket": (
        "{histogram: {exponential: {max_size: 1}}}",
        "histogram.exponential.max_size is 1; it must be 2 to 16384, or 0 for 160",
    ),
    "more buckets than the collector has": (
        "{histogram: {exponential: {max_size: 16385}}}",
        "histogram.exponential.max_size is 16385; it must be 2 to 16384, or 0 for 160",
    ),
    "an expiration in the past": (
        "{metrics_expiration: -20s}",
        "metrics_expiration is -20s; it must be 0s or more",
    ),
    "an expiration of series in the past": (
        "{series_expiration: -20s}",
        "series_expiration is -20s; it must be 0s or more",
    ),
    "an expiration that stream time cannot tell from none": (
        "{series_expiration: 999us}",
        "series_expiration is 999us; it must be 1ms or more, or 0s for ever",
    ),
    "a limit below 0": (
        "{aggregation_cardinality_limit: -1}",
        "aggregation_cardinality_limit is -1; it must be 0 or more",
    ),
    "exemplars below 0": (
        "{exemplars: {max_per_data_point: -1}}",
        "exemplars.max_per_data_point is -1; it must be 0 or more",
    ),
    "a roll-up under the same name": (
        "{roll_ups: [{namespace: a}, {namespace: traces.span.metrics}, {namespace: a}]}",
        'roll_ups[1].namespace is "traces.span.metrics", as is namespace; two metrics would have '
        "one name",
        'roll_ups[2].namespace is "a", as is roll_ups[0].namespace; two metrics would have one '
        "name",
    ),
    "a roll-up without a name": (
        "{roll_ups: [{dimensions: [a]}]}",
        "roll_ups[0].namespace is missing; add it",
    ),
    "a dimension as the service graph has them": (
        "{dimensions: [http.method]}",
        'dimensions[0] is "http.method"; it must be a mapping, as in {name: http.route}',
    ),
    "one dimension that is no list": (
        "{dimensions: {name: a}}",
        "dimensions is a mapping; it must be a list",
    ),
    "buckets that are not sorted": (
        "{histogram: {explicit: {buckets: [10ms, 5ms]}}}",
        "histogram.explicit.buckets[1] is 5ms and stands after 10ms; sort the bounds, or counts "
        "go to the wrong buckets",
    ),
    "a bucket twice": (
        "{histogram: {explicit: {buckets: [10ms, 10000us]}}}",
        "histogram.explicit.buckets[1] is 10ms, as is the bound before it; write it once",
    ),
    "a bucket without a unit": (
        "{histogram: {explicit: {buckets: [10]}}}",
        "histogram.explicit.buckets[0] is 10 without a unit; say the unit, as in 10s or 10ms",
    ),
    "a bucket below 0": (
        "{histogram: {explicit: {buckets: [-1ms]}}}",
        "histogram.explicit.buckets[0] is -1ms; it must be 0s or more",
    ),
    "one bucket that is no list": (
        "{histogram: {explicit: {buckets: 10ms}}}",
        'histogram.explicit.buckets is "10ms"; it must be a list',
    ),
    "a misspelt key far in": (
        "{histogram: {explicit: {bukets: [1s]}}}",
        "histogram.explicit.bukets is not a known key; did you mean buckets?",
    ),
    "a unit that is none": (
        "{histogram: {unit: h}}",
        'histogram.unit is "h"; it must be ms or s',
    ),
    "no time between flushes": (
        "{metrics_flush_interval: 0s}",
        "metrics_flush_interval is 0s; metrics are flushed at fixed times here, so it must be "
        "more than 0s",
    ),
    "less than no time between flushes": (
        "{metrics_flush_interval: -1s}",
        "metrics_flush_interval is -1s; metrics are flushed at fixed times here, so it must be "
        "more than 0s",
    ),
    "a temporality that the collector takes for cumulative in silence": (
        "{aggregation_temporality: DELTA}",
        'aggregation_temporality is "DELTA"; it must be AGGREGATION_TEMPORALITY_CUMULATIVE or '
        "AGGREGATION_TEMPORALITY_DELTA",
    ),
    "resource attributes that are neither there nor not": (
        "{add_resource_attributes: maybe}",
        "add_resource_attributes is no boolean; resource attributes are always there; remove it",
    ),
    "an on that is text": ("{enabled: on}", 'enabled is "on"; it must be true or false'),
}


@pytest.mark.parametrize("case", WRONG.values(), ids=WRONG)
def test_refused(case: tuple[str, ...]) -> None:
    body, *problems = case
    assert _problems(body) == problems


def test_everything_that_stage_one_and_two_ask_for() -> None:
    config = _read(
        "{dimensions: [{name: a}], calls_dimensions: [{name: b}], histogram: {exponential: {}, "
        "unit: s, dimensions: [{name: c}]}, events: {enabled: true, dimensions: [{glob: d.*}]}, "
        "aggregation_temporality: AGGREGATION_TEMPORALITY_DELTA}"
    )
    named = (config.duration_labels, config.calls_labels, config.event_labels)
    assert [[each.name or each.glob for each in labels] for labels in named] == [
        ["a", "c"],
        ["a", "b"],
        ["a", "d.*"],
    ]
    assert (config.bounds_ns, config.max_size, config.unit_ns) == ((), 160, SECOND)
    assert (config.has_durations, config.has_events, config.is_delta) == (True, True, True)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("{}", False),
        ("{calls_dimensions: [{name: a}]}", True),
        ("{histogram: {dimensions: [{name: a}]}}", True),
        ("{histogram: {disable: true}}", True),
        ("{calls_dimensions: [{name: a}], histogram: {dimensions: [{name: a}]}}", False),
        (
            "{calls_dimensions: [{name: a}, {glob: b.*}], histogram: {dimensions: "
            "[{glob: b.*}, {name: a}]}}",
            False,
        ),
        ("{calls_dimensions: [{name: a}], histogram: {dimensions: [{name: a, default: x}]}}", True),
        ("{dimensions: [{name: a}], calls_dimensions: [{name: a}]}", False),
    ],
)
def test_calls_are_counted_apart_where_their_labels_are_others(body: str, expected: bool) -> None:
    assert _read(body).counts_calls_apart is expected


def test_who_excludes_what_is_not_there_is_told() -> None:
    text = "span_metrics: {exclude_dimensions: [service.name, http.method]}"
    assert [str(each) for each in parse(text, "test.yaml", {}).warnings] == [
        'span_metrics.exclude_dimensions names "http.method", which is none of the labels that '
        "every series has; nothing is excluded by it"
    ]


@pytest.mark.parametrize("key", CACHE_KEYS)
def test_a_key_that_bounds_a_cache_is_refused_with_its_reason(key: str) -> None:
    assert _problems(f"{{{key}: 1000}}") == [f"{key} {CACHE_KEYS[key]}"]


IDLE: dict[str, str] = {
    "exemplars without a body": "{exemplars: }",
    "no expiration as a number": "{metrics_expiration: 0, series_expiration: 0}",
    "the collector's defaults": (
        "{aggregation_cardinality_limit: 0, calls_dimensions: [], enable_metrics_sampling_method: "
        "false, events: {enabled: false}, exclude_dimensions: [], exemplars: {enabled: false, "
        "max_per_data_point: 5}, include_instrumentation_scope: [], metrics_expiration: 0s, "
        "resource_metrics_key_attributes: [], histogram: {disable: false, dimensions: []}}"
    ),
    "no, says the environment": '{enable_metrics_sampling_method: "${OFF}"}',
    "resource attributes": "{add_resource_attributes: true}",
    "resource attributes by the collector's default": "{add_resource_attributes: false}",
}


@pytest.mark.parametrize("body", IDLE.values(), ids=IDLE)
def test_what_holds_anyway_may_be_said(body: str) -> None:
    assert _read(body) == SpanMetricsConfig()


@pytest.mark.parametrize(
    "body",
    [
        "{events: {enabled: false, dimensons: []}}",
        "{exemplars: {enabeld: false}}",
        "{exemplars: false}",
        "{exclude_dimensions: 0}",
        "{metrics_expiration: never}",
        "{aggregation_cardinality_limit: false}",
    ],
)
def test_what_is_said_must_be_said_right(body: str) -> None:
    assert len(_problems(body)) == 1
