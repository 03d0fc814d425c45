"""A plain count of records with the official protobuf classes: slow, and independent."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tailrace_loadtest.load import Record

ERROR = 2
INTERNAL, SERVER, CLIENT, PRODUCER, CONSUMER = range(1, 6)


@dataclass(frozen=True, slots=True)
class ReadSpan:
    """A span as the official classes read it; attributes are strings or integers."""

    service: str
    span: Any
    attributes: dict[str, Any]
    timestamp_ms: int


@dataclass(slots=True)
class Recount:
    """Everything of a load, by trace ID in hex."""

    traces: dict[str, list[ReadSpan]] = field(default_factory=lambda: defaultdict(list))

    @classmethod
    def of(cls, records: Iterable[Record]) -> "Recount":
        recount = cls()
        for record in records:
            (block,) = ExportTraceServiceRequest.FromString(record.value).resource_spans
            service = attributes_of(block.resource)["service.name"]
            for scope in block.scope_spans:
                for span in scope.spans:
                    assert record.key == span.trace_id.hex().encode()
                    recount.traces[span.trace_id.hex()].append(
                        ReadSpan(service, span, attributes_of(span), record.timestamp_ms)
                    )
        return recount

    def calls(self) -> Counter[tuple[str, str, int]]:
        return Counter(_series(each) for spans in self.traces.values() for each in spans)

    def errors(self) -> Counter[tuple[str, str, int]]:
        return Counter(
            _series(each)
            for spans in self.traces.values()
            for each in spans
            if each.span.status.code == ERROR
        )

    def edges(self) -> tuple[Counter[tuple[str, str, str]], Counter[tuple[str, str, str]]]:
        """Calls and failures by client, server and connection type."""
        calls: Counter[tuple[str, str, str]] = Counter()
        failures: Counter[tuple[str, str, str]] = Counter()
        for spans in self.traces.values():
            by_id = {each.span.span_id: each for each in spans}
            for each in spans:
                sides = _sides(each, by_id)
                if sides is not None:
                    edge, halves = sides
                    calls[edge] += 1
                    failures[edge] += any(half.span.status.code == ERROR for half in halves)
        return calls, failures


def attributes_of(message: Any) -> dict[str, Any]:
    return {
        each.key: getattr(each.value, each.value.WhichOneof("value")) for each in message.attributes
    }


def _series(each: ReadSpan) -> tuple[str, str, int]:
    return each.service, each.span.name, each.span.kind


def _sides(
    each: ReadSpan, by_id: dict[bytes, ReadSpan]
) -> tuple[tuple[str, str, str], list[ReadSpan]] | None:
    if each.span.kind == CLIENT and "db.name" in each.attributes:
        return (each.service, each.attributes["db.name"], "database"), [each]
    parent = by_id.get(each.span.parent_span_id)
    if parent is None:
        return None
    kinds = parent.span.kind, each.span.kind
    if kinds == (CLIENT, SERVER):
        return (parent.service, each.service, ""), [parent, each]
    if kinds == (PRODUCER, CONSUMER):
        return (parent.service, each.service, "messaging_system"), [parent, each]
    return None
