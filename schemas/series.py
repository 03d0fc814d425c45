"""Keys of series: one canonical text of bytes for what a series is about.

Equal keys are one series, whoever made them; so keys never depend on the order of a resource's
attributes. They are hashed to partitions and kept in changelogs: a change of format is a change
of `sums`' version.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Final, NamedTuple

import orjson
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue, KeyValueList
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from tailrace.schemas import compact_json
from tailrace.schemas.durations import SECOND
from tailrace.schemas.otlp.attributes import plain_value
from tailrace.schemas.strings import AttributeValue, text_of
from tailrace.schemas.sums import Layout

RED = "red"
CALLS = "calls"
EVENTS = "events"
EDGES = "edges"
UNPAIRED = "unpaired"

DURATION = "duration"
CLIENT, SERVER = "client", "server"
CLIENT_FAILED, SERVER_FAILED = "client_failed", "server_failed"

SERVICE = "service.name"
NAMESPACE = "service.namespace"
TENANT = "tenant"
OVERFLOW = "otel.metric.overflow"
VIRTUAL_NODE = "virtual_node"
"""Both a type of connection and the label of edges that says which side is one."""
OTHER: Final = "(other)"
"""The value of a label that has as many as it may have."""

Attributes = Sequence[tuple[str, AttributeValue]]


def red_layout(bounds: Sequence[int], max_size: int = 0, unit_ns: int = 0) -> Layout:
    """Spans of one resource and one set of dimensions: how many, how long (bounds in ns).

    With a *max_size* the histogram is exponential, in a unit of *unit_ns*.
    """
    return Layout(RED, (DURATION,), tuple(bounds), (), max_size, unit_ns)


def calls_layout() -> Layout:
    """Spans by the labels of calls, where these are others than those of durations: how many."""
    return Layout(CALLS, (), (), (CALLS,))


def events_layout() -> Layout:
    """Events of spans by the labels of events: how many."""
    return Layout(EVENTS, (), (), (EVENTS,))


def edge_layout(bounds: Sequence[int], max_size: int = 0) -> Layout:
    """Calls of an edge as its client and its server saw them; those that failed apart.

    With a *max_size* the histograms are exponential, in seconds.
    """
    names = (CLIENT, SERVER, CLIENT_FAILED, SERVER_FAILED)
    return Layout(EDGES, names, tuple(bounds), (), max_size, SECOND if max_size else 0)


def unpaired_layout() -> Layout:
    """Spans of which the other side of their call did not come: how many."""
    return Layout(UNPAIRED, (), (), (UNPAIRED,))


class RedSeries(NamedTuple):
    """What a RED series is about: the encoded resource, and the encoded dimensions.

    Both are OTLP `Resource` messages: a list of attributes.
    """

    resource: bytes
    dimensions: bytes

    def key(self) -> bytes:
        """Return its key."""
        return len(self.resource).to_bytes(4, "big") + self.resource + self.dimensions

    @property
    def overflow_key(self) -> bytes:
        """The key of the series that stands for others of its resource and tenant."""
        tenant = [pair for pair in decoded_attributes(self.dimensions) if pair[0] == TENANT]
        return RedSeries(self.resource, encoded_attributes([*tenant, (OVERFLOW, True)])).key()

    @classmethod
    def of_key(cls, key: bytes) -> RedSeries:
        """Return the series of *key*."""
        end = end_of_resource(key)
        return cls(key[4:end], key[end:])


def end_of_resource(key: bytes) -> int:
    """Return how much of the key of a RED series it shares with all others of its resource."""
    return 4 + int.from_bytes(key[:4], "big")


def service_place(key: bytes) -> int:
    """Return the hash that decides the partition of the RED series *key*.

    It is of the tenant, and of the resource's namespace and service: who writes one series of a
    service writes them all.
    """
    series = RedSeries.of_key(key)
    tenant: AttributeValue = ""
    if _TENANT in series.dimensions:
        tenant = dict(decoded_attributes(series.dimensions)).get(TENANT, "")
    return _place(text_of(tenant), series.resource)


_TENANT: Final = TENANT.encode()


@lru_cache(maxsize=1024)
def _place(tenant: str, resource: bytes) -> int:
    attributes = dict(reversed(decoded_attributes(resource)))
    service = [text_of(attributes.get(name, "")) for name in (NAMESPACE, SERVICE)]
    return zlib.crc32(compact_json.dumps([tenant, *service]))


class EdgeSeries(NamedTuple):
    """What an edge is about; `dimensions` as (name, text) in the order of the config."""

    tenant: str
    client: str
    server: str
    connection_type: str
    dimensions: tuple[tuple[str, str], ...] = ()

    def key(self) -> bytes:
        """Return its key."""
        return compact_json.dumps(tuple(self))

    @classmethod
    def of_key(cls, key: bytes) -> EdgeSeries:
        """Return the edge of *key*."""
        tenant, client, server, connection_type, dimensions = orjson.loads(key)
        return cls(tenant, client, server, connection_type, tuple(map(tuple, dimensions)))

    @property
    def overflow_key(self) -> bytes:
        """The key of the edge that stands for others of its client: to a node of its own."""
        return EdgeSeries(self.tenant, self.client, OTHER, "", _STANDS_FOR_OTHERS).key()

    @property
    def is_overflow(self) -> bool:
        """True if it stands for others."""
        return self.dimensions == _STANDS_FOR_OTHERS


_STANDS_FOR_OTHERS: Final = ((OVERFLOW, "true"),)


def edge_place(key: bytes) -> int:
    """Return the hash that decides the partition of the edge *key*.

    It is of the tenant and of the client: who writes one edge of a client writes them all.
    """
    return zlib.crc32(compact_json.dumps(EdgeSeries.of_key(key)[:2]))


class UnpairedSeries(NamedTuple):
    """Spans of which the other side of their call did not come.

    `missing` is the side that did not, CLIENT or SERVER; `reason` is why nobody waits for it.
    """

    tenant: str
    service: str
    missing: str
    connection_type: str
    reason: str

    def key(self) -> bytes:
        """Return its key."""
        return compact_json.dumps(tuple(self))

    @classmethod
    def of_key(cls, key: bytes) -> UnpairedSeries:
        """Return the series of *key*."""
        return cls(*orjson.loads(key))


def encoded_resource(attributes: Mapping[str, AttributeValue]) -> bytes:
    """Return *attributes* as an OTLP `Resource`, in the order of their keys."""
    return encoded_attributes(sorted(attributes.items()))


def encoded_attributes(attributes: Attributes) -> bytes:
    """Return *attributes* as an OTLP `Resource`, in their order."""
    return b"".join(
        _of_text(key, value)
        if isinstance(value, str) and len(value) <= _SHORT
        else _encoded_attribute(key, value)
        for key, value in attributes
    )


_SHORT: Final = 256
"""Texts of so many characters are encoded once, for the few that most labels have."""


@lru_cache(maxsize=16384)
def _of_text(key: str, text: str) -> bytes:
    return _encoded_attribute(key, text)


def _encoded_attribute(key: str, value: AttributeValue) -> bytes:
    # Messages of one attribute each, one after the other, are the message of all of them.
    pair = KeyValue(key=key, value=_any_value(value))
    encoded: bytes = Resource(attributes=[pair]).SerializeToString(deterministic=True)
    return encoded


def decoded_attributes(encoded: bytes) -> list[tuple[str, AttributeValue]]:
    """Return what `encoded_attributes` was given."""
    pairs = Resource.FromString(encoded).attributes
    return [(pair.key, plain_value(pair.value)) for pair in pairs]


def _any_value(value: AttributeValue) -> AnyValue:
    match value:
        case None:
            return AnyValue()
        case bool():
            return AnyValue(bool_value=value)
        case int():
            return AnyValue(int_value=value)
        case float():
            return AnyValue(double_value=value)
        case str():
            return AnyValue(string_value=value)
        case bytes():
            return AnyValue(bytes_value=value)
        case list():
            return AnyValue(array_value=ArrayValue(values=map(_any_value, value)))
        case _:
            pairs = [KeyValue(key=key, value=_any_value(item)) for key, item in value.items()]
            return AnyValue(kvlist_value=KeyValueList(values=sorted(pairs, key=_key)))


def _key(pair: KeyValue) -> str:
    key: str = pair.key
    return key
