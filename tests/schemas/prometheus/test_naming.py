"""What things are called in Prometheus."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.schemas.prometheus.naming import (
    Kind,
    go_text,
    label_name,
    labels,
    metric_name,
    target,
    target_info,
    unit_name,
)


@pytest.mark.parametrize(
    ("name", "unit", "kind", "expected", "in_utf8"),
    [
        (
            "traces.span.metrics.calls", "", "counter",
            "traces_span_metrics_calls_total", "traces.span.metrics.calls_total",
        ),
        ("calls", "", "counter", "calls_total", "calls_total"),
        (
            "traces_service_graph_request_total", "", "counter",
            "traces_service_graph_request_total", "traces_service_graph_request_total",
        ),
        ("total.calls", "", "counter", "calls_total", "total.calls_total"),
        ("calls.total", "", "counter", "calls_total", "calls_total"),
        ("subtotal", "", "counter", "subtotal_total", "subtotal_total"),
        (
            "traces.span.metrics.duration", "ms", "histogram",
            "traces_span_metrics_duration_milliseconds",
            "traces.span.metrics.duration_milliseconds",
        ),
        ("duration.seconds", "s", "histogram", "duration_seconds", "duration.seconds"),
        ("my--app..duration", "s", "histogram", "my_app_duration_seconds",
         "my--app..duration_seconds"),
        ("1st.duration", "ms", "histogram", "_1st_duration_milliseconds",
         "1st.duration_milliseconds"),
        ("share", "1", "gauge", "share_ratio", "share_ratio"),
        ("hits", "1", "counter", "hits_total", "hits_total"),
        ("hits", "{hit}", "counter", "hits_total", "hits_total"),
        ("speed", "m/s", "gauge", "speed_meters_per_second", "speed_meters_per_second"),
        ("rate", "{hit}/s", "gauge", "rate_per_second", "rate_per_second"),
        ("io", "By/s", "counter", "io_bytes_per_second_total", "io_bytes_per_second_total"),
        ("load", "", "gauge", "load", "load"),
        ("odd", "fizz.buzz", "gauge", "odd_fizz_buzz", "odd_fizz.buzz"),
        ("balance", "", "up_down_counter", "balance", "balance"),
    ],
)  # fmt: skip
def test_metrics_have_their_unit_and_what_their_kind_ends_with(
    name: str, unit: str, kind: Kind, expected: str, in_utf8: str
) -> None:
    assert metric_name(name, unit, kind) == expected
    assert metric_name(name, unit, kind, utf8=True) == in_utf8


def test_a_metric_of_which_nothing_can_be_a_name_is_refused() -> None:
    with pytest.raises(ValueError, match=r"'\.\.' has no character"):
        metric_name("..", "s", "histogram")


@given(
    st.text(string.ascii_letters + "._-%ö1", min_size=1).filter(
        lambda name: any(c.isascii() and c.isalnum() for c in name)
    ),
    st.sampled_from(["", "ms", "s", "1", "{call}", "By/s", "x y"]),
    st.sampled_from(["counter", "gauge", "histogram"]),
)
def test_names_are_of_the_characters_that_every_version_of_prometheus_takes(
    name: str, unit: str, kind: Kind
) -> None:
    found = metric_name(name, unit, kind)
    assert set(found) <= {*string.ascii_letters, *string.digits, *":_"}
    assert not found[0].isdigit()
    assert found.endswith("_total") or kind != "counter"
    if unit in ("", "ms", "s", "1"):
        assert metric_name(found, unit, kind) == found  # suffixes of one word are there once


@pytest.mark.parametrize(
    ("unit", "expected"),
    [("ms", "milliseconds"), ("", ""), ("{call}", ""), ("By/s", "bytes_per_second"), ("1", "")],
)
def test_units_are_words(unit: str, expected: str) -> None:
    assert unit_name(unit) == expected


@pytest.mark.parametrize(
    ("key", "expected", "in_utf8"),
    [
        ("http.request.method", "http_request_method", "http.request.method"),
        ("a--b", "a__b", "a--b"),
        ("0x", "key_0x", "0x"),
        ("_x", "_x", "_x"),
        ("größe", "gr__e", "größe"),
        ("", "key", "key"),
        ("..", "key__", ".."),
        ("__name__", "key__name__", "key__name__"),
        ("__", "key__", "key__"),
        ("le", "exported_le", "exported_le"),
        ("job", "exported_job", "exported_job"),
        ("otel.scope.name", "exported_otel_scope_name", "otel.scope.name"),
        ("otel_scope_name", "exported_otel_scope_name", "exported_otel_scope_name"),
    ],
)
def test_labels_are_never_named_as_what_others_set(key: str, expected: str, in_utf8: str) -> None:
    assert label_name(key) == expected
    assert label_name(key, utf8=True) == in_utf8


def test_attributes_that_get_one_name_share_a_label() -> None:
    attributes = [("b-c", True), ("f", 2.0), ("b.c", "x")]
    scope = [
        ("otel_scope_name", "s"),
        ("otel_scope_schema_url", ""),
        ("otel_scope_version", ""),
    ]
    assert labels(attributes, "s", {"job": "api"}) == (
        ("b_c", "true;x"),
        ("f", "2"),
        ("job", "api"),
        *scope,
    )
    assert labels(attributes, "s", {}, utf8=True) == (
        ("b-c", "true"),
        ("b.c", "x"),
        ("f", "2"),
        *scope,
    )


def test_a_target_is_known_by_its_job_and_instance() -> None:
    resource = {"service.name": "api", "service.instance.id": 7, "host.name": "web-1"}
    assert target(resource) == {"job": "api", "instance": "7"}
    assert target_info(resource) == (("host_name", "web-1"), ("instance", "7"), ("job", "api"))
    in_namespace = {**resource, "service.namespace": "shop"}
    assert target(in_namespace) == {"job": "shop/api", "instance": "7"}
    assert target_info(in_namespace, utf8=True) == (
        ("host.name", "web-1"),
        ("instance", "7"),
        ("job", "shop/api"),
    )


@pytest.mark.parametrize("resource", [{"service.name": "api"}, {"service.instance.id": "x"}])
def test_what_has_no_job_or_no_instance_is_told_nothing_of(resource: dict[str, str]) -> None:
    assert target_info(resource) is None


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (2.0, "2"),
        (0.0, "0"),
        (1.4, "1.4"),
        (0.002, "0.002"),
        (1e-05, "1e-05"),
        (999999.5, "999999.5"),
        (1e6, "1e+06"),
        (1234567.0, "1.234567e+06"),
        (1.5e22, "1.5e+22"),
    ],
)
def test_bounds_are_written_as_go_writes_numbers(value: float, expected: str) -> None:
    assert go_text(value) == expected
