"""A plain count of records with the official protobuf classes: slow, and independent."""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, NamedTuple

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tailrace_loadtest.load import Record

ERROR = 2
BOUNDS_MS = (2, 4, 6, 8, 10, 50, 100, 200, 400, 800, 1000, 1400, 2000, 5000, 10_000, 15_000)
INTERNAL, SERVER, CLIENT, PRODUCER, CONSUMER = range(1, 6)


@dataclass(frozen=True, slots=True)
class ReadSpan:
    """A span as the official classes read it; attributes are strings or integers."""

    service: str
    pod: str
    span: Any
    attributes: dict[str, Any]
    timestamp_ms: int

    @property
    def duration_ns(self) -> int:
        return max(int(self.span.end_time_unix_nano) - int(self.span.start_time_unix_nano), 0)

    @property
    def has_failed(self) -> bool:
        return bool(self.span.status.code == ERROR)


class Call(NamedTuple):
    """A call with the spans of its two sides, if there are such."""

    edge: tuple[str, str, str]
    client: ReadSpan | None
    server: ReadSpan | None

    @property
    def has_failed(self) -> bool:
        return any(side.has_failed for side in (self.client, self.server) if side)

    @property
    def durations_ns(self) -> tuple[int, int]:
        """Of client and server; a side without a span lasts no time, but for databases."""
        client = self.client.duration_ns if self.client else 0
        server = self.server.duration_ns if self.server else 0
        return client, client if self.edge[2] == "database" else server


@dataclass(slots=True)
class Sum:
    """A sum of durations, and how many are in each bucket."""

    total_ns: int = 0
    buckets: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS_MS) + 1))

    def add(self, duration_ns: int) -> None:
        self.total_ns += duration_ns
        # The first bound that is no smaller: bounds are inclusive.
        self.buckets[bisect_left(BOUNDS_MS, Fraction(duration_ns, 1_000_000))] += 1


@dataclass(slots=True)
class Recount:
    """Everything of a load, by trace ID in hex."""

    traces: dict[str, list[ReadSpan]] = field(default_factory=lambda: defaultdict(list))

    @classmethod
    def of(cls, records: Iterable[Record]) -> "Recount":
        recount = cls()
        for record in records:
            (block,) = ExportTraceServiceRequest.FromString(record.value).resource_spans
            resource = attributes_of(block.resource)
            service, pod = resource["service.name"], resource["k8s.pod.name"]
            for scope in block.scope_spans:
                for span in scope.spans:
                    assert record.key == span.trace_id.hex().encode()
                    recount.traces[span.trace_id.hex()].append(
                        ReadSpan(service, pod, span, attributes_of(span), record.timestamp_ms)
                    )
        return recount

    def red(self) -> dict[tuple[str, str, str, int, int], Sum]:
        """Durations by service, pod, name, kind and status."""
        sums: defaultdict[tuple[str, str, str, int, int], Sum] = defaultdict(Sum)
        for each in (each for spans in self.traces.values() for each in spans):
            span = each.span
            key = each.service, each.pod, span.name, span.kind, span.status.code
            sums[key].add(each.duration_ns)
        return dict(sums)

    def graph(self) -> dict[tuple[tuple[str, str, str], bool], tuple[Sum, Sum]]:
        """Durations of clients and servers by edge and failure."""
        sums: defaultdict[tuple[tuple[str, str, str], bool], tuple[Sum, Sum]] = defaultdict(
            lambda: (Sum(), Sum())
        )
        for spans in self.traces.values():
            for call in _calls(spans):
                for total, duration in zip(
                    sums[call.edge, call.has_failed], call.durations_ns, strict=True
                ):
                    total.add(duration)
        return dict(sums)


def attributes_of(message: Any) -> dict[str, Any]:
    return {
        each.key: getattr(each.value, each.value.WhichOneof("value")) for each in message.attributes
    }


def _calls(spans: list[ReadSpan]) -> Iterator[Call]:
    by_id = {each.span.span_id: each for each in spans}
    answered = set()
    for server in spans:
        if server.span.kind not in (SERVER, CONSUMER):
            continue
        client = by_id.get(server.span.parent_span_id)
        if client is not None:
            answered.add(client.span.span_id)
            kinds = client.span.kind, server.span.kind
            kind = {(CLIENT, SERVER): "", (PRODUCER, CONSUMER): "messaging_system"}[kinds]
            yield Call((client.service, server.service, kind), client, server)
        else:
            assert not server.span.parent_span_id
            yield Call(("user", server.service, "virtual_node"), None, server)
    for client in spans:
        if client.span.kind in (CLIENT, PRODUCER) and client.span.span_id not in answered:
            yield Call(_unanswered(client), client, None)


def _unanswered(client: ReadSpan) -> tuple[str, str, str]:
    if "db.name" in client.attributes:
        return client.service, client.attributes["db.name"], "database"
    return client.service, client.attributes.get("peer.service", "unknown"), "virtual_node"
