"""What the series of each family are called by Tempo's metrics-generator.

Grafana's service graph and its table of span metrics ask for these names. Where Tempo and the
collector's connectors differ: durations are seconds in a metric that does not say so, labels of
spans are named with underscores, and an edge is one series, its failed calls included.
"""

from __future__ import annotations

from tailrace.agents.metrics.instruments import (
    Family,
    Instrument,
    edge_attributes,
    span_family,
)
from tailrace.schemas.durations import SECOND
from tailrace.schemas.series import (
    CALLS,
    CLIENT,
    CLIENT_FAILED,
    DURATION,
    EVENTS,
    SERVER,
    SERVER_FAILED,
    UNPAIRED,
    UnpairedSeries,
    decoded_attributes,
    encoded_attributes,
)
from tailrace.schemas.sums import Layout

SPANS = "traces_spanmetrics_"
_EDGES = "traces_service_graph_request_"
_NAMES = {
    "service.name": "service",
    "span.name": "span_name",
    "span.kind": "span_kind",
    "status.code": "status_code",
}


def red_family(layout: Layout, prefix: str = SPANS, *, has_calls: bool = True) -> Family:
    """RED: durations by resource and dimensions, and calls if they have the same dimensions."""
    calls = Instrument(f"{prefix}calls_total", ((DURATION,),))
    latency = Instrument(f"{prefix}latency", ((DURATION,),), "", SECOND)
    return span_family(layout, [calls, latency] if has_calls else [latency], SECOND, _labels)


def calls_family(layout: Layout, prefix: str = SPANS) -> Family:
    """Calls by resource and dimensions of their own."""
    calls = Instrument(f"{prefix}calls_total", ((CALLS,),))
    return span_family(layout, [calls], SECOND, _labels)


def events_family(layout: Layout, prefix: str = SPANS) -> Family:
    """Events of spans, which Tempo does not count."""
    events = Instrument(f"{prefix}events_total", ((EVENTS,),))
    return span_family(layout, [events], SECOND, _labels)


def edge_family(layout: Layout, *, has_tenants: bool = False) -> Family:
    """The service graph: calls, failed calls and durations by edge."""
    client, server = (CLIENT, CLIENT_FAILED), (SERVER, SERVER_FAILED)
    return Family(
        layout,
        "traces_service_graph",
        (CLIENT, CLIENT_FAILED),
        ((0, 1), (1,)),
        (
            Instrument(f"{_EDGES}total", (client, ())),
            Instrument(f"{_EDGES}failed_total", ((), (CLIENT_FAILED,))),
            Instrument(f"{_EDGES}server_seconds", (server, ()), "s", SECOND),
            Instrument(f"{_EDGES}client_seconds", (client, ()), "s", SECOND),
        ),
        lambda key: b"",
        lambda key, stream: encoded_attributes(list(edge_attributes(key, has_tenants).items())),
        SECOND,
    )


def unpaired_family(layout: Layout, *, has_tenants: bool = False) -> Family:
    """Spans that lack the other side of their call: an edge of which one side is empty."""
    return Family(
        layout,
        "traces_service_graph",
        (UNPAIRED,),
        ((0,),),
        (Instrument("traces_service_graph_unpaired_spans_total", ((UNPAIRED,),)),),
        lambda key: b"",
        lambda key, stream: _unpaired_attributes(key, has_tenants),
        SECOND,
    )


def _unpaired_attributes(key: bytes, has_tenants: bool) -> bytes:
    series = UnpairedSeries.of_key(key)
    sides = {CLIENT: "", SERVER: ""}
    sides[CLIENT if series.missing == SERVER else SERVER] = series.service
    tenant = [("tenant", series.tenant)] if has_tenants else []
    others = [("connection_type", series.connection_type), ("reason", series.reason)]
    return encoded_attributes([*tenant, *sides.items(), *others])


def _labels(dimensions: bytes) -> bytes:
    """Return *dimensions* under Tempo's names; a user's own of such a name gives way."""
    labels = [
        (_NAMES.get(name) or (f"__{name}" if name in _NAMES.values() else name), value)
        for name, value in decoded_attributes(dimensions)
    ]
    return encoded_attributes(labels)
