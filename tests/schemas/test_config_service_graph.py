"""`service_graph`: every key of the connector is accepted as it stands or refused with a reason."""

import pytest

from tailrace.schemas.config import ServiceGraphConfig, load, parse
from tailrace.schemas.config.service_graph import LOOP_KEYS
from tailrace.schemas.durations import MILLISECOND, MINUTE, SECOND
from tailrace.schemas.errors import ConfigError


def _read(body: str) -> ServiceGraphConfig:
    config = parse(f"service_graph: {body}", "test.yaml", {})
    assert config.warnings == ()
    return config.service_graph


def _problems(body: str) -> list[str]:
    with pytest.raises(ConfigError) as error:
        _read(body)
    return [str(problem).removeprefix("service_graph.") for problem in error.value.problems]


KEYS = {
    "latency_histogram_buckets", "exponential_histogram_max_size", "dimensions", "store",
    "cache_loop", "store_expiration_loop", "virtual_node_peer_attributes",
    "virtual_node_extra_label", "metrics_flush_interval", "database_name_attributes",
    "metrics_timestamp_offset",
}  # fmt: skip
"""Of the connector's `Config`."""


def test_every_key_of_the_connector_is_known() -> None:
    model = ServiceGraphConfig
    ours = {"enabled", "links", "series_expiration"}
    assert {*model.model_fields, *model.refusals} == KEYS | ours
    assert {*type(model().store).model_fields} == {"max_items", "ttl"}


def test_without_a_section_the_defaults_are_the_connectors() -> None:
    config = load(None).service_graph
    assert config == _read("{}")
    assert config.enabled
    assert config.store.ttl == 2 * SECOND
    assert config.metrics_flush_interval == 60 * SECOND
    assert config.dimensions == ()
    assert config.virtual_node_peer_attributes == ("peer.service", "db.name", "db.system")
    assert config.database_name_attributes == ("db.name",)
    assert not config.virtual_node_extra_label
    assert config.max_size == config.metrics_timestamp_offset == 0
    assert [bound / MILLISECOND for bound in config.bounds_ns] == [
        2, 4, 6, 8, 10, 50, 100, 200, 400, 800, 1000, 1400, 2000, 5000, 10_000, 15_000,
    ]  # fmt: skip


def test_the_default_loses_nothing_unlike_the_connectors() -> None:
    assert load(None).service_graph.store.max_items is None
    assert _read("{store: {ttl: 5s}}").store.max_items is None


def test_a_series_is_given_up_after_as_long_as_the_connector_keeps_it() -> None:
    assert load(None).service_graph.series_expiration == 15 * MINUTE
    assert _read("{series_expiration: 0}").series_expiration == 0


def test_consumers_are_looked_for_by_links_unless_that_is_turned_off() -> None:
    links = load(None).service_graph.links
    assert (links.enabled, links.wait, links.max_items) == (True, 30 * SECOND, None)
    assert not _read("{links: {enabled: false}}").links.enabled


def test_exponential_histograms_have_no_bounds() -> None:
    config = _read("{exponential_histogram_max_size: 160}")
    assert (config.max_size, config.bounds_ns) == (160, ())


@pytest.mark.parametrize(("asked", "counts_as"), [(1, 2), (100_000, 16_384)])
def test_a_number_of_buckets_that_no_histogram_has_is_moved_as_the_connector_does(
    asked: int, counts_as: int
) -> None:
    text = f"service_graph: {{exponential_histogram_max_size: {asked}}}"
    config = parse(text, "test.yaml", {})
    assert config.service_graph.max_size == counts_as
    assert [str(each) for each in config.warnings] == [
        f"service_graph.exponential_histogram_max_size is {asked}, which counts as {counts_as}, as "
        f"in the collector"
    ]


def test_no_peer_attributes_are_no_virtual_nodes() -> None:
    assert _read("{virtual_node_peer_attributes: []}").virtual_node_peer_attributes == ()


def test_no_database_attributes_are_the_default() -> None:
    assert _read("{database_name_attributes: []}").database_name_attributes == ("db.name",)


def test_no_buckets_are_only_inf() -> None:
    assert _read("{latency_histogram_buckets: []}").bounds_ns == ()


def test_names_keep_their_order() -> None:
    peers = _read("{virtual_node_peer_attributes: [b, a, c]}").virtual_node_peer_attributes
    assert peers == ("b", "a", "c")


WRONG: dict[str, tuple[str, str]] = {
    "buckets in nanoseconds": (
        "{latency_histogram_buckets: [1]}",
        "latency_histogram_buckets[0] is 1 without a unit; say the unit, as in 1s or 1ms",
    ),
    "buckets that are not sorted": (
        "{latency_histogram_buckets: [1s, 100ms]}",
        "latency_histogram_buckets[1] is 100ms and stands after 1s; sort the bounds, or counts "
        "go to the wrong buckets",
    ),
    "no time to pair": ("{store: {ttl: 0s}}", "store.ttl is 0s; it must be 1ms or more"),
    "no room to pair": (
        "{store: {max_items: 0}}",
        "store.max_items is 0; it must be 1 or more",
    ),
    "a flush after every batch": (
        "{metrics_flush_interval: 0}",
        "metrics_flush_interval is 0s; metrics are flushed at fixed times here, so it must be "
        "more than 0s",
    ),
    "a dimension twice": (
        "{dimensions: [a, b, a]}",
        'dimensions[2] is "a", as is the one at 0; keep one',
    ),
    "a dimension without a name": (
        "{dimensions: ['']}",
        "dimensions[0] is empty; name an attribute",
    ),
    "a dimension as span_metrics has them": (
        "{dimensions: [{name: a}]}",
        "dimensions[0] is a mapping; it must be text",
    ),
    "both kinds of buckets": (
        "{latency_histogram_buckets: [1s], exponential_histogram_max_size: 160}",
        "exponential_histogram_max_size is 160, and latency_histogram_buckets has bounds; an "
        "exponential histogram has none: keep one of both",
    ),
    "fewer buckets than none": (
        "{exponential_histogram_max_size: -1}",
        "exponential_histogram_max_size is -1; it must be 0 or more",
    ),
    "points of the future": (
        "{metrics_timestamp_offset: -1s}",
        "metrics_timestamp_offset is -1s; it must be 0s or more",
    ),
    "an offset finer than times are": (
        "{metrics_timestamp_offset: 1500us}",
        "metrics_timestamp_offset is 1.5ms; it must be whole milliseconds",
    ),
    "no time to join": ("{links: {wait: 0s}}", "links.wait is 0s; it must be 1ms or more"),
    "no room to join": (
        "{links: {max_items: 0}}",
        "links.max_items is 0; it must be 1 or more",
    ),
    "a store that is a duration": (
        "{store: 5s}",
        'store is "5s"; it must be a mapping of keys to values',
    ),
    "a misspelt key": (
        "{latency_histogram_bucket: []}",
        "latency_histogram_bucket is not a known key; did you mean latency_histogram_buckets?",
    ),
}


@pytest.mark.parametrize("case", WRONG.values(), ids=WRONG)
def test_refused(case: tuple[str, str]) -> None:
    body, problem = case
    assert _problems(body) == [problem]


@pytest.mark.parametrize("key", LOOP_KEYS)
def test_a_key_that_says_how_often_to_sweep_is_refused_with_its_reason(key: str) -> None:
    assert _problems(f"{{{key}: 1m}}") == [f"{key} {LOOP_KEYS[key]}"]


@pytest.mark.parametrize(
    "body",
    [
        "{exponential_histogram_max_size: 0}",
        "{metrics_timestamp_offset: 0s}",
        "{virtual_node_extra_label: false}",
        "{store: , dimensions: , latency_histogram_buckets: }",
    ],
)
def test_what_holds_anyway_may_be_said(body: str) -> None:
    assert _read(body) == ServiceGraphConfig()


@pytest.mark.parametrize("wait", ["10s", "60s"])
def test_links_that_give_up_before_a_producer_is_told_of_are_warned_of(wait: str) -> None:
    body = f"{{store: {{ttl: 60s}}, links: {{wait: {wait}}}}}"
    [warning] = parse(f"service_graph: {body}", "test.yaml", {}).warnings
    spelled = {"10s": "10s", "60s": "1m"}[wait]
    assert str(warning) == (
        f"service_graph.links.wait is {spelled}, no longer than store.ttl, 1m: a producer that "
        f"finds nobody in its trace is told of after store.ttl, when links that came with it "
        f"have given up; make it longer"
    )


@pytest.mark.parametrize(
    "body",
    [
        pytest.param("{store: {ttl: 60s}, links: {wait: 61s}}", id="they wait longer"),
        pytest.param("{store: {ttl: 60s}, links: {enabled: false}}", id="there are no links"),
        pytest.param("{store: {ttl: 60s}, enabled: false}", id="there is no graph"),
    ],
)
def test_links_that_wait_for_long_enough_are_not_warned_of(body: str) -> None:
    _read(body)
