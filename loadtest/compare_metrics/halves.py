"""How calls are put together here and otherwise in the service graph: as changes of the spans."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from tailrace.schemas.durations import SECOND, parse
from tailrace_loadtest.compare_metrics.came import CLIENTS, SERVERS, Came, trace_ids
from tailrace_loadtest.compare_metrics.scenario import Config
from tailrace_loadtest.compare_metrics.traffic import STATES


def without_servers_of_databases(config: Config, spans: Sequence[Came]) -> list[Came]:
    """A call to a database is its client's alone, whatever says to be its server."""
    names = _database_names(config)
    alone = {each.call for each in spans if each.span.kind in CLIENTS and _has_any(each, names)}
    return [each for each in spans if each.span.kind not in SERVERS or each.call not in alone]


def clients_once(config: Config, spans: Sequence[Came]) -> list[Came]:
    """A client that comes again while it would wait is the same one, but for a database's."""
    names, ttl = _database_names(config), _ttl(config)
    first: dict[tuple[bytes, bytes], float] = {}
    found = []
    for each in spans:
        if each.span.kind in CLIENTS and not _has_any(each, names):
            if each.at - first.get(each.call, -ttl) < ttl:
                continue
            first[each.call] = each.at
        found.append(each)
    return found


def each_root_server(config: Config, spans: Sequence[Came]) -> list[Came]:
    """Every root server of a trace counts: the second is the only one of a trace of its own."""
    seen: set[bytes] = set()
    found = []
    for number, each in enumerate(spans):
        is_root = each.span.kind in SERVERS and not each.span.parent_span_id
        is_another = is_root and each.span.trace_id in seen
        found.append(each.but_in(trace_ids(number)) if is_another else each)
        if is_root:
            seen.add(each.span.trace_id)
    return found


def each_server(config: Config, spans: Sequence[Came]) -> list[Came]:
    """Every server of a client counts, with the client: each pair has a trace of its own."""
    ttl = _ttl(config)
    clients = {each.call: each for each in reversed(spans) if each.span.kind in CLIENTS}
    servers: defaultdict[tuple[bytes, bytes], list[Came]] = defaultdict(list)
    for each in spans:
        client = clients.get(each.call)
        if each.span.kind in SERVERS and client and abs(client.at - each.at) < ttl:
            servers[each.call].append(each)
    moved: dict[int, bytes] = {}
    copies: defaultdict[int, list[bytes]] = defaultdict(list)
    for call, several in servers.items():
        for number, each in enumerate(several[1:], 1):
            trace_id = trace_ids(1_000_000 + 1000 * len(moved) + number)
            moved[id(each)] = trace_id
            copies[id(clients[call])].append(trace_id)
    found = []
    for each in spans:
        found += [each.but_in(trace_id) for trace_id in copies[id(each)]]
        found.append(each.but_in(moved[id(each)]) if id(each) in moved else each)
    return found


def weighed(config: Config, spans: Sequence[Came]) -> list[Came]:
    """A call is as many as the rarer of its sides stands for: so many traces have it."""
    ttl = _ttl(config)
    sides: defaultdict[tuple[bytes, bytes], list[Came]] = defaultdict(list)
    for each in spans:
        if each.span.kind in (*CLIENTS, *SERVERS):
            sides[each.call].append(each)
    weights = {id(each): _weight(each) for both in sides.values() for each in both}
    for both in sides.values():
        for client in (each for each in both if each.span.kind in CLIENTS):
            pair = [each for each in both if abs(each.at - client.at) < ttl]
            most = max(map(_weight, pair))
            weights |= {id(each): most for each in pair}
    numbers = {call: number for number, call in enumerate(sides)}
    found = []
    for each in spans:
        plain = each.but_in(each.span.trace_id)
        plain.span.trace_state = "" if each.span.trace_state in STATES else each.span.trace_state
        found.append(plain)
        for copy in range(1, weights.get(id(each), 1)):
            trace_id = trace_ids(2_000_000_000 + 1000 * numbers[each.call] + copy)
            found.append(plain.but_in(trace_id))
    return found


def _weight(came: Came) -> int:
    return STATES.get(came.span.trace_state, 1)


def _ttl(config: Config) -> float:
    said: str = config["service_graph"].get("store", {}).get("ttl", "2s")
    return parse(said) / SECOND


def _database_names(config: Config) -> Sequence[str]:
    return config["service_graph"].get("database_name_attributes") or ("db.name",)


def _has_any(came: Came, names: Sequence[str]) -> bool:
    keys = {each.key for each in (*came.span.attributes, *came.resource.attributes)}
    return not keys.isdisjoint(names)
