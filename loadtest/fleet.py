"""The fleet: twelve services of a shop, what they do, and which calls a journey makes."""

from dataclasses import dataclass, replace
from enum import IntEnum
from itertools import product

from tailrace_loadtest.encoding import AttributeValue, Number


class Kind(IntEnum):
    """Span kinds as OTLP numbers them."""

    INTERNAL = 1
    SERVER = 2
    CLIENT = 3
    PRODUCER = 4
    CONSUMER = 5


@dataclass(frozen=True, slots=True)
class Operation:
    """What a service does under one span name; `self_ms` is its median without its children."""

    service: str
    name: str
    kind: Kind
    self_ms: float
    attributes: tuple[tuple[str, AttributeValue], ...]
    database: str | None = None
    """`db.name`, for a client span that has no server span."""
    peer: str | None = None
    """`peer.service`, for one that calls somebody else's server."""
    is_status_ok: bool = False
    """Sets the status OK when it does not fail, rather than leaving it unset."""


@dataclass(frozen=True, slots=True)
class Step:
    """An operation and what it calls, in order; it happens with `probability`."""

    operation: Operation
    children: tuple["Step", ...] = ()
    probability: float = 1.0


SERVICES = (
    "gateway",
    "storefront",
    "catalog",
    "search",
    "recommendations",
    "cart",
    "checkout",
    "payment",
    "inventory",
    "shipping",
    "notifications",
    "accounts",
)
PODS = 4
"""Of each service."""


def server(service: str, method: str, route: str, self_ms: float, *children: Step) -> Step:
    """*service* answers *method* *route*."""
    path = route.replace("{id}", "{d8}")
    attributes: tuple[tuple[str, AttributeValue], ...] = (
        ("http.request.method", method),
        ("http.route", route),
        ("url.path", path),
        ("url.scheme", "http"),
        ("http.response.status_code", 200),
        ("http.response.body.size", Number(2)),
        ("network.protocol.version", "1.1"),
        ("client.address", "10.{1|2|3}{d1}.2{d1}.1{d2}"),
        ("server.port", 8080),
        ("enduser.id", "u-{d7}"),
        ("enduser.tier", "{free|gold|team}"),
        ("user_agent.original", "shop/{4|5}.{d1} ({iOS|web|Mac})"),
    )
    return Step(Operation(service, f"{method} {route}", Kind.SERVER, self_ms, attributes), children)


def call(caller: str, callee: Step) -> Step:
    """*caller* calls what the server *callee* answers."""
    name = callee.operation.name
    method, route = name.split(" ")
    path = route.replace("{id}", "{d8}")
    attributes: tuple[tuple[str, AttributeValue], ...] = (
        ("http.request.method", method),
        ("url.full", f"http://{callee.operation.service}:8080{path}"),
        ("url.template", route),
        ("server.address", callee.operation.service),
        ("server.port", 8080),
        ("http.response.status_code", 200),
        ("http.response.body.size", Number(2)),
        ("network.protocol.version", "1.1"),
        ("network.peer.address", "10.{4|5}{d1}.1.1{d2}"),
        ("http.resend_count", 0),
        ("thread.id", Number(2)),
    )
    return Step(
        Operation(caller, name, Kind.CLIENT, 1.0, attributes), (callee,), callee.probability
    )


def external(service: str, method: str, url: str, self_ms: float, peer: str | None = None) -> Step:
    """*service* calls a server of somebody else, which sends no spans; *peer* if it says whose."""
    attributes: tuple[tuple[str, AttributeValue], ...] = (
        ("http.request.method", method),
        ("url.full", f"{url}/{{d8}}"),
        ("server.address", url.split("/")[2]),
        ("server.port", 443),
        ("http.response.status_code", 200),
        ("http.response.body.size", Number(2)),
        ("network.protocol.version", "2"),
        ("network.peer.address", "203.0.113.1{d2}"),
        ("http.resend_count", 0),
        ("tls.protocol.version", "1.3"),
        ("thread.id", Number(2)),
    )
    if peer is not None:
        attributes += (("peer.service", peer),)
    return Step(Operation(service, method, Kind.CLIENT, self_ms, attributes, peer=peer))


def database(service: str, system: str, name: str, statement: str, self_ms: float) -> Step:
    """*service* asks its database *name*; the statement starts with the verb and the table."""
    verb, target = statement.split(" ")[:2]
    table = target.split(":")[0]
    attributes: tuple[tuple[str, AttributeValue], ...] = (
        ("db.system", system),
        ("db.name", name),
        ("db.operation.name", verb),
        ("db.collection.name", table),
        ("db.query.text", statement),
        ("db.user", f"{service}-rw"),
        ("server.address", f"{name}-db-{{0|1|2}}"),
        ("server.port", 5432 if system == "postgresql" else 6379),
        ("network.transport", "tcp"),
        ("db.response.returned_rows", Number(2)),
        ("db.pool.name", "main"),
        ("thread.id", Number(2)),
    )
    operation = Operation(service, f"{verb} {name}.{table}", Kind.CLIENT, self_ms, attributes, name)
    return Step(operation)


def publish(service: str, topic: str, *consumers: Step) -> Step:
    """*service* sends to *topic*, and *consumers* handle it later."""
    attributes = (*_messaging(topic, "send"), ("messaging.client.id", f"{service}-producer-{{d1}}"))
    return Step(
        Operation(service, f"send {topic}", Kind.PRODUCER, 2.0, attributes), tuple(consumers)
    )


def consume(service: str, topic: str, self_ms: float, *children: Step) -> Step:
    """*service* handles a message of *topic*."""
    attributes = (*_messaging(topic, "process"), ("messaging.consumer.group.name", service))
    operation = Operation(service, f"process {topic}", Kind.CONSUMER, self_ms, attributes)
    return Step(replace(operation, is_status_ok=True), children)


def internal(service: str, name: str, self_ms: float, *children: Step) -> Step:
    """*service* does something on its own."""
    function = name.title().replace(" ", "")
    attributes: tuple[tuple[str, AttributeValue], ...] = (
        ("code.function.name", f"shop.{service}.{function}"),
        ("code.file.path", f"/app/{service}/main.go"),
        ("code.line.number", 1024),
        ("thread.id", Number(2)),
        ("thread.name", "worker-{d2}"),
        ("app.order.id", "ord-{d10}"),
        ("app.currency", "{EUR|USD|GBP}"),
        ("app.amount.cents", Number(2)),
        ("app.region", "{eu-west|us-east|us-west}"),
        ("app.cache.state", "{warm|cold}"),
        ("feature_flag.key", "price-engine"),
        ("feature_flag.variant", "{a|b}"),
    )
    operation = Operation(service, name, Kind.INTERNAL, self_ms, attributes, is_status_ok=True)
    return Step(operation, children)


def maybe(probability: float, step: Step) -> Step:
    """*step* happens with *probability*."""
    return replace(step, probability=probability)


def variants(step: Step) -> list[tuple[float, Step]]:
    """Every course that *step* can take, with its probability; these sum to 1."""
    courses: list[list[tuple[float, Step | None]]] = []
    for child in step.children:
        taken: list[tuple[float, Step | None]] = [
            (share * child.probability, course) for share, course in variants(child)
        ]
        courses.append(taken if child.probability == 1 else [*taken, (1 - child.probability, None)])
    found = []
    for combination in product(*courses):
        share = 1.0
        for each, _ in combination:
            share *= each
        children = tuple(course for _, course in combination if course is not None)
        found.append((share, Step(step.operation, children)))
    return found


def _messaging(topic: str, verb: str) -> tuple[tuple[str, AttributeValue], ...]:
    return (
        ("messaging.system", "kafka"),
        ("messaging.operation.name", verb),
        ("messaging.destination.name", topic),
        ("messaging.destination.partition.id", "{d1}"),
        ("messaging.kafka.offset", Number(4)),
        ("messaging.message.id", "{x24}"),
        ("messaging.message.body.size", Number(2)),
        ("messaging.kafka.message.key", "ord-{d8}"),
        ("server.address", "kafka-{0|1|2}"),
        ("server.port", 9092),
    )
