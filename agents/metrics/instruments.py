"""What the series of each family are called outside: names, units and attributes.

As the collector's span_metrics and service_graph connectors emit them, but for
`collector.instance.id`: a series has one writer here, so nothing tells writers apart. Neither of
them describes its metrics. By Tempo's names: see `tempo`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tailrace.schemas.durations import MILLISECOND, SECOND
from tailrace.schemas.series import (
    CALLS,
    CLIENT,
    CLIENT_FAILED,
    DURATION,
    EVENTS,
    OVERFLOW,
    SERVER,
    SERVER_FAILED,
    UNPAIRED,
    EdgeSeries,
    RedSeries,
    UnpairedSeries,
    encoded_attributes,
    end_of_resource,
)
from tailrace.schemas.strings import AttributeValue
from tailrace.schemas.sums import Layout
from tailrace.tables.series_keys import whole

UNITS = {"ms": MILLISECOND, "s": SECOND}
"""Nanoseconds of each unit."""


@dataclass(frozen=True, slots=True)
class Instrument:
    """A metric. `parts`: for each stream, what of a row it is added up of; empty if it has none.

    A histogram tells durations in units of `unit_ns`; without that it is a monotonic sum and tells
    how many. `unit` is what it says of itself.
    """

    name: str
    parts: tuple[tuple[str, ...], ...]
    unit: str = ""
    unit_ns: int = 0

    @property
    def is_histogram(self) -> bool:
        """True if it tells durations; else it tells how many."""
        return bool(self.unit_ns)


@dataclass(frozen=True, slots=True)
class Family:
    """What the rows of one layout become.

    `counted`: what counts each stream of the table, by which it starts. `streams`: which of those
    each stream outside is made of; it starts with the first of them. `resource` of a key, and
    `attributes` of a key and the number of a stream, are OTLP `Resource` messages: lists of
    attributes. `unit_ns` is that of exemplars. `split`: how much of a key it shares with others.
    `has_attributes_in_keys`: what a key has after that are `attributes`, the same for each stream.
    """

    layout: Layout
    scope: str
    counted: tuple[str, ...]
    streams: tuple[tuple[int, ...], ...]
    instruments: tuple[Instrument, ...]
    resource: Callable[[bytes], bytes]
    attributes: Callable[[bytes, int], bytes]
    unit_ns: int = MILLISECOND
    split: Callable[[bytes], int] = whole
    has_attributes_in_keys: bool = False


def span_family(
    layout: Layout,
    instruments: Sequence[Instrument],
    unit_ns: int,
    labels: Callable[[bytes], bytes] | None = None,
) -> Family:
    """What is told of the spans of one resource and one set of dimensions.

    *labels*: what becomes of the encoded dimensions.
    """
    return Family(
        layout,
        "spanmetricsconnector",
        (*layout.histograms, *layout.counts),
        ((0,),),
        tuple(instruments),
        lambda key: RedSeries.of_key(key).resource,
        lambda key, stream: (
            RedSeries.of_key(key).dimensions
            if labels is None
            else labels(RedSeries.of_key(key).dimensions)
        ),
        unit_ns,
        end_of_resource,
        has_attributes_in_keys=labels is None,
    )


def red_family(layout: Layout, namespace: str, unit: str, *, has_calls: bool = True) -> Family:
    """RED: durations by resource and dimensions, and calls if they have the same dimensions."""
    calls = Instrument(_dotted(namespace, "calls"), ((DURATION,),))
    durations = Instrument(_dotted(namespace, "duration"), ((DURATION,),), unit, UNITS[unit])
    return span_family(layout, [calls, durations] if has_calls else [durations], UNITS[unit])


def calls_family(layout: Layout, namespace: str, unit: str) -> Family:
    """Calls by resource and dimensions of their own."""
    return span_family(layout, [Instrument(_dotted(namespace, "calls"), ((CALLS,),))], UNITS[unit])


def events_family(layout: Layout, namespace: str, unit: str) -> Family:
    """Events of spans by resource and dimensions."""
    events = Instrument(_dotted(namespace, "events"), ((EVENTS,),))
    return span_family(layout, [events], UNITS[unit])


def _dotted(namespace: str, name: str) -> str:
    return f"{namespace}.{name}" if namespace else name


def edge_family(layout: Layout, *, has_tenants: bool = False) -> Family:
    """The service graph: calls, failed calls and durations by edge."""
    prefix = "traces_service_graph_request_"
    return Family(
        layout,
        "traces_service_graph",
        (CLIENT, CLIENT_FAILED),
        ((0,), (1,)),
        (
            Instrument(f"{prefix}total", ((CLIENT,), (CLIENT_FAILED,))),
            Instrument(f"{prefix}failed_total", ((), (CLIENT_FAILED,))),
            Instrument(f"{prefix}server", ((SERVER,), (SERVER_FAILED,)), "s", SECOND),
            Instrument(f"{prefix}client", ((CLIENT,), (CLIENT_FAILED,)), "s", SECOND),
        ),
        lambda key: b"",
        lambda key, stream: encoded_attributes(
            list(edge_attributes(key, has_tenants, failed=bool(stream)).items())
        ),
        SECOND,
    )


def unpaired_family(layout: Layout, *, has_tenants: bool = False) -> Family:
    """Spans of the service graph that lack the other side of their call."""
    unpaired = Instrument("traces_service_graph_unpaired_spans", ((UNPAIRED,),))
    return Family(
        layout,
        "traces_service_graph",
        (UNPAIRED,),
        ((0,),),
        (unpaired,),
        lambda key: b"",
        lambda key, stream: _unpaired_attributes(key, has_tenants),
        SECOND,
    )


def _unpaired_attributes(key: bytes, has_tenants: bool) -> bytes:
    tenant, *others = UnpairedSeries.of_key(key)
    names = ("service", "missing", "connection_type", "reason")
    attributes = list(zip(names, others, strict=True))
    return encoded_attributes([("tenant", tenant), *attributes] if has_tenants else attributes)


def edge_attributes(
    key: bytes, has_tenants: bool, **others: AttributeValue
) -> dict[str, AttributeValue]:
    """Return the attributes of the edge *key*; *others* stand before its dimensions."""
    edge = EdgeSeries.of_key(key)
    tenant: dict[str, AttributeValue] = {"tenant": edge.tenant} if has_tenants else {}
    return {
        **tenant,
        "client": edge.client,
        "server": edge.server,
        "connection_type": edge.connection_type,
        **others,
        **({OVERFLOW: True} if edge.is_overflow else dict(edge.dimensions)),
    }
