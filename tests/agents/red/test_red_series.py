"""Which series a span is of."""

from __future__ import annotations

from typing import Any

import pytest

from tailrace.agents.red.dimensions import LabelSet
from tailrace.agents.red.series import KEY_BYTES
from tailrace.agents.red.settings import RedSettings
from tailrace.schemas.series import RedSeries, decoded_attributes
from tailrace.schemas.spans import AttributeColumn
from tailrace.schemas.strings import AttributeValue
from tailrace.schemas.sums import counted
from tests.agents.red.counting import API, Labels, batch_of, keys_of, rollups_of
from tests.agents.red.traffic import BOUNDS_NS, HUGE, TWO_DIMENSIONS, Span, names


def series_of(span: Span, *dimensions: tuple[str, str | None]) -> tuple[Labels, Labels] | None:
    """The resource and the labels of *span*; None if it is not counted."""
    keys = keys_of(span, settings=RedSettings(LabelSet(dimensions), BOUNDS_NS, names))
    if not keys:
        return None
    series = RedSeries.of_key(keys[0])
    return decoded_attributes(series.resource), decoded_attributes(series.dimensions)


def labels_of(span: Span, *dimensions: tuple[str, str | None]) -> Labels:
    found = series_of(span, *dimensions)
    assert found is not None
    return found[1]


def test_a_series_is_named_as_the_collector_names_it() -> None:
    assert labels_of(Span(API, "GET /", kind=2, status=2)) == [
        ("service.name", "api"),
        ("span.name", "GET /"),
        ("span.kind", "SPAN_KIND_SERVER"),
        ("status.code", "STATUS_CODE_ERROR"),
    ]


@pytest.mark.parametrize(
    ("of_span", "of_resource", "default", "value"),
    [
        pytest.param({"tier": "span"}, {"tier": "resource"}, "default", "span", id="span first"),
        pytest.param({}, {"tier": "resource"}, "default", "resource", id="then resource"),
        pytest.param({}, {}, "default", "default", id="then default"),
        pytest.param({}, {}, "", "", id="a default may be empty"),
        pytest.param({"tier": ""}, {"tier": "resource"}, None, "", id="an empty text is a value"),
        pytest.param(
            {"tier": None}, {"tier": "resource"}, "default", "", id="nothing is an empty text"
        ),
        pytest.param({"tier": 2}, {}, None, 2, id="a whole number stays one"),
        pytest.param({"tier": 2.5}, {}, None, 2.5, id="a double stays one"),
        pytest.param({"tier": 2.0}, {}, None, 2, id="but not if its text is a whole number's"),
        pytest.param({"tier": "200"}, {}, None, 200, id="the text of a number is the number"),
        pytest.param({"tier": "007"}, {}, None, "007", id="if that is written so"),
        pytest.param({"tier": "true"}, {}, None, True, id="and that of a boolean the boolean"),
        pytest.param({}, {"tier": True}, None, True, id="a boolean stays one"),
    ],
)
def test_a_dimension_is_of_span_or_resource_or_default(
    of_span: dict[str, Any], of_resource: dict[str, Any], default: str | None, value: AttributeValue
) -> None:
    span = Span({**API, **of_resource}, attributes=of_span)
    (_, *labels) = labels_of(span, ("tier", default))[3:]
    assert labels == [("tier", value)]
    assert type(labels[0][1]) is type(value)


def test_a_dimension_that_is_nowhere_has_no_label() -> None:
    assert labels_of(Span(API), ("tier", None)) == labels_of(Span(API))


@pytest.mark.parametrize(
    ("of_span", "of_resource", "value"),
    [
        pytest.param({"http.method": "old"}, {}, "old", id="by its old name"),
        pytest.param(
            {"http.method": "old", "http.request.method": "new"}, {}, "new", id="as configured"
        ),
        pytest.param(
            {"http.method": "old"}, {"http.request.method": "r"}, "old", id="on the span first"
        ),
        pytest.param({}, {"http.method": "r"}, "r", id="on the resource by its old name"),
    ],
)
def test_old_and_new_names_are_one_dimension_under_the_configured_name(
    of_span: dict[str, Any], of_resource: dict[str, Any], value: str
) -> None:
    span = Span({**API, **of_resource}, attributes=of_span)
    assert labels_of(span, ("http.request.method", "none"))[4:] == [("http.request.method", value)]


def test_columns_are_asked_for_once_and_on_spans_only() -> None:
    dimensions = (("http.method", None), ("http.request.method", "x"))
    assert RedSettings(LabelSet(dimensions), (), names).columns == (
        AttributeColumn("span", "http.method"),
        AttributeColumn("span", "http.request.method"),
    )


def test_labels_are_in_the_order_of_the_config() -> None:
    span = Span(API, attributes={"b": "x", "a": "y"})
    assert labels_of(span, ("b", None), ("a", None))[4:] == [("b", "x"), ("a", "y")]


def test_the_resource_is_all_its_attributes_in_any_order() -> None:
    one, two = {**API, "pod": "p", "cpus": 4}, {"cpus": 4, "pod": "p", **API}
    settings = RedSettings(LabelSet(), BOUNDS_NS)
    assert len(keys_of(Span(one), Span(two), settings=settings)) == 1
    assert series_of(Span(one)) == (sorted(one.items()), labels_of(Span(one)))


def test_values_that_only_look_alike_are_apart() -> None:
    spans = [Span({**API, "pod": value}) for value in (1, 1.0, True, "1")]
    assert len(keys_of(*spans, settings=RedSettings(LabelSet(), BOUNDS_NS))) == 4


@pytest.mark.parametrize(
    ("resource", "is_counted"),
    [
        pytest.param(API, True, id="a service"),
        pytest.param({"service.name": ""}, True, id="a service without a name"),
        pytest.param({"pod": "p"}, False, id="no service"),
        pytest.param({}, False, id="nothing"),
    ],
)
def test_a_resource_without_a_service_is_not_counted(
    resource: dict[str, Any], is_counted: bool
) -> None:
    assert (series_of(Span(resource)) is not None) is is_counted


@pytest.mark.parametrize(
    ("span", "resource"),
    [
        pytest.param(Span(API, HUGE), API, id="by its name: all of the resource is kept"),
        pytest.param(Span({**API, "pod": HUGE}), API, id="by its resource: the service is kept"),
        pytest.param(Span({"service.name": HUGE}), {}, id="by its service: nothing is kept"),
    ],
)
def test_what_is_too_large_overflows(span: Span, resource: dict[str, Any]) -> None:
    assert series_of(span) == (sorted(resource.items()), [("otel.metric.overflow", True)])


def test_a_key_of_just_the_limit_is_a_series_of_its_own() -> None:
    settings = RedSettings(LabelSet(), BOUNDS_NS)
    (key,) = keys_of(Span(API, "n" * 16_000), settings=settings)
    fits = "n" * (16_000 + KEY_BYTES - len(key))
    assert [len(key) for key in keys_of(Span(API, fits), settings=settings)] == [KEY_BYTES]
    assert len(keys_of(Span(API, fits + "n"), settings=settings)[0]) < 200


def test_a_span_counts_when_it_came_however_old_it_is() -> None:
    times = ((1, 2), (1_700_000_000 * 10**9, 1_700_000_001 * 10**9), (2**62, 2**62))
    spans = [Span(start=start, end=end) for start, end in times]
    [rollup] = rollups_of(TWO_DIMENSIONS, batch_of(TWO_DIMENSIONS, *spans))
    assert (rollup.start, rollup.end) == (0, 1000)
    assert counted(rollup.layout, rollup.rows, "duration").tolist() == [3]
