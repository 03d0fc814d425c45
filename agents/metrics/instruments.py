"""What the series of each family are called outside: names, units and attributes.

As the collector's span_metrics and service_graph connectors emit them, but for
`collector.instance.id`: a series has one writer here, so nothing tells writers apart.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tailrace.schemas.durations import MILLISECOND, SECOND
from tailrace.schemas.series import (
    CLIENT,
    CLIENT_FAILED,
    DURATION,
    SERVER,
    SERVER_FAILED,
    EdgeSeries,
    RedSeries,
    encoded_attributes,
)
from tailrace.schemas.strings import AttributeValue
from tailrace.schemas.sums import Layout

UNITS = {"ms": MILLISECOND, "s": SECOND}
"""Nanoseconds of each unit."""


@dataclass(frozen=True, slots=True)
class Instrument:
    """A metric. `histograms`: for each stream of a row, the columns it is made of, or None.

    Without a `unit` it is a monotonic sum, of counts; with one it is a histogram.
    """

    name: str
    unit: str
    histograms: tuple[str | None, ...]

    @property
    def is_histogram(self) -> bool:
        """True if it tells durations; else it tells how many."""
        return bool(self.unit)


@dataclass(frozen=True, slots=True)
class Family:
    """What the rows of one layout become. `streams`: the histograms that count each stream.

    `resource` of a key, and `attributes` of a key and the number of a stream, are OTLP `Resource`
    messages: lists of attributes.
    """

    layout: Layout
    scope: str
    streams: tuple[str, ...]
    instruments: tuple[Instrument, ...]
    resource: Callable[[bytes], bytes]
    attributes: Callable[[bytes, int], bytes]


def red_family(layout: Layout, namespace: str, unit: str) -> Family:
    """RED: calls and durations by resource and dimensions."""
    prefix = f"{namespace}." if namespace else ""
    return Family(
        layout,
        "spanmetricsconnector",
        (DURATION,),
        (
            Instrument(f"{prefix}calls", "", (DURATION,)),
            Instrument(f"{prefix}duration", unit, (DURATION,)),
        ),
        lambda key: RedSeries.of_key(key).resource,
        lambda key, stream: RedSeries.of_key(key).dimensions,
    )


def edge_family(layout: Layout) -> Family:
    """The service graph: calls, failed calls and durations by edge."""
    prefix = "traces_service_graph_request_"
    return Family(
        layout,
        "traces_service_graph",
        (CLIENT, CLIENT_FAILED),
        (
            Instrument(f"{prefix}total", "", (CLIENT, CLIENT_FAILED)),
            Instrument(f"{prefix}failed_total", "", (None, CLIENT_FAILED)),
            Instrument(f"{prefix}server", "s", (SERVER, SERVER_FAILED)),
            Instrument(f"{prefix}client", "s", (CLIENT, CLIENT_FAILED)),
        ),
        lambda key: b"",
        _edge_attributes,
    )


def _edge_attributes(key: bytes, stream: int) -> bytes:
    edge = EdgeSeries.of_key(key)
    attributes: dict[str, AttributeValue] = {
        "client": edge.client,
        "server": edge.server,
        "connection_type": edge.connection_type,
        "failed": bool(stream),
        **dict(edge.dimensions),
    }
    return encoded_attributes(list(attributes.items()))
