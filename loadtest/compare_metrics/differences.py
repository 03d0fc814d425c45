"""The differences that are meant, each with the words under which docs/migrating.md lists it.

Each is said as a change of the spans: when the connectors get spans that are changed so, they must
write what we write of the spans as they came, exactly. So nothing else is explained by it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, MutableSequence, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace

from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tailrace.schemas.durations import parse
from tailrace.schemas.strings import text_of
from tailrace_loadtest.compare_metrics.came import Came, arrivals_of, spans_of
from tailrace_loadtest.compare_metrics.flushes import plain
from tailrace_loadtest.compare_metrics.halves import (
    clients_once,
    each_root_server,
    each_server,
    weighed,
    without_servers_of_databases,
)
from tailrace_loadtest.compare_metrics.scenario import Config, Scenario

_SERVICE = "service.name"
_NEW_NAMES = {
    "http.method": "http.request.method",
    "db.name": "db.namespace",
    "db.system": "db.system.name",
}
"""Those that loads have."""
RED, GRAPH = "span_metrics", "service_graph"
SHORT_LIVES = "an expiry shorter than from flush to flush"
"""The one cause that changes the config."""


@dataclass(frozen=True)
class Known:
    """A cause, for the section *of* or for both, and what changes by it."""

    cause: str
    listed: str
    """What docs/migrating.md says of it, from the beginning of its entry."""
    of: Collection[str]
    changed: Callable[[Config, Sequence[Came]], list[Came]]


def as_counted_here(scenario: Scenario, without: Collection[str] = ()) -> tuple[Scenario, set[str]]:
    """Return *scenario* with spans changed by all that is known, and the causes that changed it.

    Those *without* are left out.
    """
    spans, causes = spans_of(scenario.arrivals), set()
    config = scenario.config if SHORT_LIVES in without else _told_once(scenario.config)
    if config != scenario.config:
        causes.add(SHORT_LIVES)
    for known in KNOWN:
        if known.cause in without or not scenario.config.keys() & known.of:
            continue
        changed = known.changed(scenario.config, spans)
        if changed != spans:
            causes.add(known.cause)
        spans = changed
    return replace(scenario, config=config, arrivals=arrivals_of(spans)), causes


def _told_once(config: Config) -> Config:
    """A series lives until the flush after that which told of it, at least."""
    body = {**config.get(RED, {})}
    interval = body.get("metrics_flush_interval", "60s")
    for key in ("metrics_expiration", "series_expiration"):
        if key in body and parse(body[key]) < parse(interval):
            body[key] = interval
    return {**config, RED: body} if body else config


def _with_ids(config: Config, spans: Sequence[Came]) -> list[Came]:
    return [each for each in spans if any(each.span.trace_id) and any(each.span.span_id)]


def _with_known_numbers(config: Config, spans: Sequence[Came]) -> list[Came]:
    return [
        _with_span(each, kind=Span.SPAN_KIND_UNSPECIFIED) if each.span.kind > 5 else each
        for each in spans
    ]


def _forwards(config: Config, spans: Sequence[Came]) -> list[Came]:
    return [
        _with_span(each, start_time_unix_nano=each.span.end_time_unix_nano)
        if each.span.start_time_unix_nano > each.span.end_time_unix_nano
        else each
        for each in spans
    ]


def _with_names_as_texts(config: Config, spans: Sequence[Came]) -> list[Came]:
    found = []
    for each in spans:
        resource = deepcopy(each.resource)
        for attribute in resource.attributes:
            if attribute.key == _SERVICE:
                attribute.value.string_value = text_of(plain(attribute.value))
        found.append(replace(each, resource=resource))
    return found


def _with_services(config: Config, spans: Sequence[Came]) -> list[Came]:
    """Without a side whose service has no name, or an empty one."""
    return [
        each
        for each in spans
        if any(
            attribute.key == _SERVICE and plain(attribute.value) != ""
            for attribute in each.resource.attributes
        )
    ]


def _with_names_as_configured(config: Config, spans: Sequence[Came]) -> list[Came]:
    """Attributes stand under the names that are asked for, too."""
    text = repr(config)
    asked = {name for pair in _NEW_NAMES.items() for name in pair if repr(name) in text}
    if GRAPH in config:
        asked |= {"db.name", "db.system"} - _hidden(config)
    found = []
    for each in spans:
        span, resource = deepcopy(each.span), deepcopy(each.resource)
        for old, new in _NEW_NAMES.items():
            for own in (span.attributes, resource.attributes, *(e.attributes for e in span.events)):
                for wanted, other in ((old, new), (new, old)):
                    if wanted in asked:
                        _give_name(own, wanted, other)
        found.append(replace(each, span=span, resource=resource))
    return found


def _hidden(config: Config) -> set[str]:
    """Names that are asked for by default, and not by *config*."""
    body = config[GRAPH]
    has_peers = "virtual_node_peer_attributes" in body
    hidden = {"db.system"} if has_peers else set()
    if body.get("database_name_attributes") and has_peers:
        hidden.add("db.name")
    return hidden


def _give_name(own: MutableSequence[KeyValue], wanted: str, other: str) -> None:
    by_key = {each.key: each for each in own}
    if wanted not in by_key and other in by_key:
        own.append(KeyValue(key=wanted, value=by_key[other].value))


def _with_span(came: Came, **fields: int) -> Came:
    span = deepcopy(came.span)
    for name, value in fields.items():
        setattr(span, name, value)
    return replace(came, span=span)


KNOWN = (
    Known("a span without a valid ID", "**Bad spans**", (RED, GRAPH), _with_ids),
    Known("a kind that is unknown", "**Kinds that are unknown**", (RED,), _with_known_numbers),
    Known("a span that ends before it starts", "**A span that ends", (GRAPH,), _forwards),
    Known("a service name that is no text", "**Services whose name", (RED,), _with_names_as_texts),
    Known("an empty service name", "**An empty `service.name`**", (GRAPH,), _with_services),
    Known(
        "another name of an attribute", "**Old and new names**", (RED, GRAPH),
        _with_names_as_configured,
    ),
    Known(
        "the server of a database", "**Servers of databases.**", (GRAPH,),
        without_servers_of_databases,
    ),
    Known("a client that comes twice", "**Spans that come twice.**", (GRAPH,), clients_once),
    Known("several root servers", "**Several servers.**", (GRAPH,), each_root_server),
    Known("several servers of a client", "**Several servers.**", (GRAPH,), each_server),
    Known("spans that stand for several", "**Sampling thresholds**", (GRAPH,), weighed),
)  # fmt: skip
"""In the order in which they are applied."""

WRITTEN: Mapping[str, str] = {
    "which of the series of one second a limit admits": "**Which series a limit admits**",
    "events that outlive or do not outlive spans": "**Events expire by themselves**",
    "how long an overflow lives": "**The series that stands for the rest**",
    "deltas beyond a limit": "**A limit of deltas**",
    SHORT_LIVES: "**Times of expiry**",
    "a resource that comes back just after it expired": "**Times of expiry**",
    "the first flush of a counter": "**A new series**",
    "the label of the collector": "**No `collector.instance.id`.**",
    "values of labels that are no texts": "**The type of a dimension's value",
    "attributes of resources that do not tell them apart": "**`resource_metrics_key_attributes`**",
    "scopes that are labels": "**Instrumentation scopes**",
    "the last words of what has expired": "**Times of expiry**",
    "a metric that only we write": "**Spans that lack the other side**",
    "producers that wait for links": "**Links.**",
    "the start of a series": "**Restarts.**",
    "which spans are exemplars": "| `exemplars` |",
}
"""What is written differently, with where it is listed: not drawn, or left out when compared."""
