"""Keys of series, and who writes them."""

from collections import defaultdict
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from tailrace.schemas.series import (
    EdgeSeries,
    RedSeries,
    decoded_attributes,
    edge_place,
    encoded_attributes,
    encoded_resource,
    service_place,
)

_NAMES = st.sampled_from(["", "a", "b"])


def key_of(resource: dict[str, Any], labels: dict[str, Any]) -> bytes:
    return RedSeries(encoded_resource(resource), encoded_attributes([*labels.items()])).key()


@given(st.lists(st.tuples(_NAMES, _NAMES, _NAMES, st.integers(0, 5)), min_size=1))
def test_all_series_of_a_service_are_in_one_place(
    services: list[tuple[str, str, str, int]],
) -> None:
    places = defaultdict(set)
    for tenant, namespace, service, number in services:
        resource = {"service.name": service, "service.namespace": namespace, "pod": number}
        key = key_of(resource, {"span.name": str(number), "tenant": tenant})
        places[tenant, namespace, service].add(service_place(key))
    assert all(len(found) == 1 for found in places.values())


def test_services_tenants_and_namespaces_are_spread() -> None:
    found = {
        service_place(key_of({"service.name": s, "service.namespace": n}, {"tenant": t}))
        for s in "abc"
        for n in "abc"
        for t in "abc"
    }
    assert len(found) == 27


@pytest.mark.parametrize(
    ("resource", "labels"),
    [
        pytest.param({}, {"service.name": "a"}, id="no service in the resource"),
        pytest.param({"pod": 1}, {}, id="nothing that says whose it is"),
    ],
)
def test_a_series_of_no_service_has_a_place(resource: Any, labels: Any) -> None:
    assert service_place(key_of(resource, labels)) == service_place(key_of({}, {}))


def test_a_service_that_is_no_text_has_the_place_of_its_text() -> None:
    places = {service_place(key_of({"service.name": name}, {})) for name in (1, "1", 1.0)}
    assert len(places) == 1


def test_what_overflows_stays_with_its_resource_and_tenant() -> None:
    resource = {"service.name": "shop", "pod": "p"}
    key = key_of(resource, {"service.name": "shop", "span.name": "GET", "tenant": "acme"})
    overflow = RedSeries.of_key(RedSeries.of_key(key).overflow_key)
    assert overflow.resource == encoded_resource(resource)
    assert decoded_attributes(overflow.dimensions) == [
        ("tenant", "acme"),
        ("otel.metric.overflow", True),
    ]
    assert service_place(overflow.key()) == service_place(key)
    assert RedSeries.of_key(overflow.overflow_key) == overflow


@given(st.lists(st.tuples(_NAMES, _NAMES, st.integers(0, 5)), min_size=1))
def test_all_edges_of_a_client_are_in_one_place(edges: list[tuple[str, str, int]]) -> None:
    places = defaultdict(set)
    for tenant, client, number in edges:
        of_zone = (("client_zone", str(number)),)
        edge = EdgeSeries(tenant, client, f"s{number}", "", of_zone * (number % 2))
        places[tenant, client] |= {edge_place(edge.key()), edge_place(edge.overflow_key)}
    assert all(len(found) == 1 for found in places.values())


def test_edges_stay_where_they_were_placed() -> None:
    edges = [EdgeSeries(tenant, client, "db", "") for tenant in ("default", "é") for client in "ab"]
    assert [edge_place(edge.key()) for edge in edges] == [
        3373230366,
        3410614087,
        2540741238,
        2503351343,
    ]


def test_an_edge_that_stands_for_others_is_known_as_such() -> None:
    edge = EdgeSeries("acme", "web", "db", "database", (("client_zone", "a"), ("virtual_node", "")))
    overflow = EdgeSeries.of_key(edge.overflow_key)
    assert (overflow.tenant, overflow.client, overflow.server) == ("acme", "web", "(other)")
    assert (overflow.is_overflow, edge.is_overflow) == (True, False)
    assert overflow.overflow_key == edge.overflow_key


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False)
    | st.text(max_size=300) | st.binary(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
)  # fmt: skip


@given(st.lists(st.tuples(st.text(max_size=4), _VALUES), max_size=5))
def test_attributes_are_encoded_as_protobuf_does_it(attributes: list[tuple[str, Any]]) -> None:
    encoded = encoded_attributes(attributes)
    assert Resource.FromString(encoded).SerializeToString(deterministic=True) == encoded
    decoded = decoded_attributes(encoded)
    assert [(key, repr(value)) for key, value in decoded] == [
        (key, repr(_in_order(value))) for key, value in attributes
    ]


def _in_order(value: Any) -> Any:
    """*value* with its maps in the order of their keys, as they are written."""
    if isinstance(value, dict):
        return {key: _in_order(value[key]) for key in sorted(value)}
    return [_in_order(each) for each in value] if isinstance(value, list) else value
