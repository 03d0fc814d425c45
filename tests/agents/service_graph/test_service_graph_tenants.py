"""Calls of tenants: each tenant has the graph that it would have alone."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tailrace.agents.service_graph.settings import ServiceGraphSettings
from tailrace.schemas.config.tenancy import TenancyConfig
from tests.agents.service_graph.graph_task import builder, counted
from tests.agents.service_graph.naive_graph import Counted
from tests.agents.service_graph.traffic import (
    CLIENT,
    DEFAULTS,
    END_MS,
    IDS,
    SERVER,
    Sent,
    Span,
    rows,
    settings_drawn,
    traffic,
)
from tests.streams import deaths
from tests.streams.deaths import EVENTS, by_topic

KEY = "tenant.id"
BY_KEY = TenancyConfig(resource_attribute=KEY)
DEATHS = ["", "checkpoint", "new disk"]


def of(span: Span, tenant: str) -> Span:
    return span.but(resource={**span.resource, KEY: tenant})


def graph(drawn: ServiceGraphSettings, sent: list[Sent]) -> Counted:
    build = builder(drawn, tenancy=BY_KEY)
    return counted(deaths.uninterrupted(build, rows(sent), END_MS))


@st.composite
def owned(draw: st.DrawFn) -> list[Sent]:
    """Traffic whose spans are of two tenants, or of nobody in particular."""
    tenants = st.sampled_from(["default", "acme", "acme", "beta"])
    return [
        each
        if each.spans is None
        else replace(each, spans=tuple(of(span, draw(tenants)) for span in each.spans))
        for each in draw(traffic)
    ]


def only(tenant: str, sent: list[Sent]) -> list[Sent]:
    return [
        each
        if each.spans is None
        else replace(each, spans=tuple(span for span in each.spans if span.resource[KEY] == tenant))
        for each in sent
    ]


@settings(max_examples=300, deadline=None)
@given(settings_drawn, owned())
def test_a_tenant_has_the_edges_that_it_would_have_alone(
    drawn: ServiceGraphSettings, sent: list[Sent]
) -> None:
    drawn = replace(drawn, max_items=None)  # room is the one thing that tenants share
    found = graph(drawn, sent)
    for tenant in ("default", "acme", "beta"):
        mine = {key: count for key, count in found.items() if key[1][0] == tenant}
        assert mine == graph(drawn, only(tenant, sent))


@settings(max_examples=200, deadline=None)
@given(owned(), st.lists(EVENTS, max_size=12))
def test_tenants_stay_apart_whenever_a_worker_dies(sent: list[Sent], events: list[object]) -> None:
    build = builder(DEFAULTS, tenancy=BY_KEY)
    log = deaths.interrupted(build, rows(sent), events, END_MS)
    assert by_topic(log.committed) == deaths.uninterrupted(build, rows(sent), END_MS)


def test_the_sides_of_two_tenants_do_not_meet() -> None:
    client = Span(CLIENT, "api", IDS[0], attributes={"peer.service": "cart"})
    server = Span(SERVER, "cart", IDS[1], parent=IDS[0])
    met = graph(DEFAULTS, [Sent(0, (of(client, "acme"), of(server, "acme")))])
    assert {key[1] for key in met} == {("acme", "api", "cart", "", ())}
    apart = graph(DEFAULTS, [Sent(0, (of(client, "acme"), of(server, "beta")))])
    assert {key[1] for key in apart} == {("acme", "api", "cart", "virtual_node", ())}


def of_nobody(span_id: bytes, tenant: str) -> bytes:
    """The word that once told *tenant*'s keys apart, applied to *span_id*: anybody can do that."""
    word = hashlib.blake2b(tenant.encode(), digest_size=8).digest()
    return bytes(a ^ b for a, b in zip(span_id, word[::-1], strict=True))


@pytest.mark.parametrize(
    ("victim", "spy", "span_id"),
    [
        pytest.param("acme", "beta", IDS[0], id="the span ID of the other tenant's client"),
        pytest.param(
            "acme",
            "beta",
            of_nobody(of_nobody(IDS[0], "acme"), "beta"),
            id="a span ID made for the other tenant's key",
        ),
        pytest.param("default", "beta", of_nobody(IDS[0], "beta"), id="one made for no tenant's"),
        pytest.param("acme", "default", of_nobody(IDS[0], "acme"), id="one made by no tenant"),
    ],
)
@pytest.mark.parametrize("has_limit", [False, True])
def test_no_span_id_takes_the_server_of_another_tenant(
    victim: str, spy: str, span_id: bytes, has_limit: bool
) -> None:
    drawn = replace(DEFAULTS, max_items=2 if has_limit else None)
    sent = [
        Sent(0, (of(Span(CLIENT, "spy", span_id, attributes={"peer.service": "x"}), spy),)),
        Sent(1, (of(Span(CLIENT, "api", IDS[0]), victim),)),
        Sent(2, (of(Span(SERVER, "cart", IDS[1], parent=IDS[0]), victim),)),
    ]
    build = builder(drawn, tenancy=BY_KEY)
    expected = {(victim, "api", "cart", "", ()), (spy, "spy", "x", "virtual_node", ())}
    for log in (
        deaths.uninterrupted(build, rows(sent), END_MS),
        by_topic(deaths.interrupted(build, rows(sent), DEATHS, END_MS).committed),
    ):
        assert {key[1] for key in counted(log)} == expected
