"""Calls that links bring together: who is called by whom, when, and what is said of the others."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import orjson
import pytest

from tailrace.agents.service_graph.link_join import LinkSettings
from tailrace.agents.service_graph.settings import ServiceGraphSettings
from tailrace.schemas.config import parse
from tailrace.streams.simulate import simulate
from tailrace_loadtest.files import length_prefixed
from tests.agents.service_graph.graph_task import counted, unpaired
from tests.agents.service_graph.link_task import joined, logs, spans_builder, told, totals
from tests.agents.service_graph.traffic import (
    CLIENT,
    CONSUMER,
    DEFAULTS,
    END_MS,
    ERROR,
    IDS,
    MS,
    PRODUCER,
    SERVER,
    TRACES,
    Sent,
    Span,
    message,
    rows,
)
from tests.streams import deaths
from tests.streams.interleavings import rested

HERE, THERE = TRACES
SENT = Span(PRODUCER, "shop", IDS[0], ns=3 * MS, trace_id=HERE)
TAKEN = Span(CONSUMER, "mail", IDS[1], ns=2 * MS, trace_id=THERE, links=((HERE, IDS[0]),))
BILLED = TAKEN.but(service="bill", span_id=IDS[2])
JOIN = LinkSettings(30_000, None, replace(DEFAULTS, has_links=True))

Calls = dict[tuple[str, str, str], int]


def stages(
    *sent: Sent, there: tuple[Sent, ...] = (), join: LinkSettings = JOIN
) -> tuple[deaths.Sent, deaths.Sent]:
    """What is written by partitions of spans to which *sent* and *there* come, and by joins."""
    writers = told(join.graph, [sent, there])
    first = {"rollups": [output for each in writers for _, output in each.committed]}
    return first, joined(join, logs(writers, [0, 1]))


def calls(of: deaths.Sent) -> Calls:
    """How many calls of each edge *of* counts."""
    found: Counter[tuple[str, str, str]] = Counter()
    for (_, edge, what), amount in counted(of).items():
        if what.startswith("client") and " bucket " in what:
            found[edge[1], edge[2], edge[3]] += amount
    return dict(found)


def lacking(of: deaths.Sent) -> dict[tuple[str, ...], int]:
    """Service, missing side and reason of spans that lack a side."""
    found: Counter[tuple[str, ...]] = Counter()
    for (_, (_, service, missing, _, reason)), amount in unpaired(of).items():
        found[service, missing, reason] += amount
    return dict(found)


def both(*sent: Span, **others: object) -> Calls:
    """How many calls there are of each edge of *sent*, wherever they were found."""
    one, other = stages(*(Sent(100, (span,)) for span in sent), **others)  # type: ignore[arg-type]
    return dict(Counter(calls(one)) + Counter(calls(other)))


@pytest.mark.parametrize(
    ("sent", "found"),
    [
        pytest.param([SENT, TAKEN], {("shop", "mail"): 1}, id="a consumer that links to it"),
        pytest.param([TAKEN, SENT], {("shop", "mail"): 1}, id="which comes before it"),
        pytest.param(
            [SENT, TAKEN, BILLED], {("shop", "mail"): 1, ("shop", "bill"): 1}, id="two of them"
        ),
        pytest.param(
            [SENT, SENT.but(span_id=IDS[2]), TAKEN.but(links=((HERE, IDS[0]), (HERE, IDS[2])))],
            {("shop", "mail"): 2},
            id="one that links to two producers",
        ),
        pytest.param(
            [SENT, TAKEN.but(links=((HERE, IDS[0]),) * 3)],
            {("shop", "mail"): 1},
            id="one that links to it again and again",
        ),
        pytest.param(
            [SENT, TAKEN.but(trace_id=HERE, parent=IDS[0])],
            {("shop", "mail"): 1},
            id="one that is its child and links to it",
        ),
        pytest.param(
            [SENT, BILLED.but(trace_id=HERE, parent=IDS[0], links=()), TAKEN],
            {("shop", "mail"): 1, ("shop", "bill"): 1},
            id="one that is its child, and another that links to it",
        ),
        pytest.param(
            [SENT, TAKEN.but(trace_id=HERE, parent=IDS[2])],
            {("shop", "mail"): 1},
            id="one of its trace that is not its child",
        ),
        pytest.param([SENT, SENT, TAKEN], {("shop", "mail"): 1}, id="a producer that comes twice"),
        pytest.param([SENT, TAKEN, TAKEN], {("shop", "mail"): 2}, id="a consumer that comes twice"),
    ],
)
def test_a_producer_is_called_by(sent: list[Span], found: dict[tuple[str, str], int]) -> None:
    assert both(*sent) == {(*edge, "messaging_system"): count for edge, count in found.items()}


def test_a_call_has_the_durations_of_both_and_failed_if_one_did() -> None:
    _, found = stages(Sent(0, (SENT,)), there=(Sent(5000, (TAKEN.but(status=ERROR),)),))
    sums = {what: amount for (_, _, what), amount in counted(found).items() if "sum" in what}
    assert sums == {"client_failed sum": 3 * MS, "server_failed sum": 2 * MS}


def test_a_call_counts_for_as_many_as_the_rarer_of_its_sides() -> None:
    assert both(SENT.but(state="ot=th:8"), TAKEN.but(state="ot=th:fff")) == {
        ("shop", "mail", "messaging_system"): 4096
    }


def test_dimensions_are_of_both_sides() -> None:
    graph = replace(JOIN.graph, dimensions=("tier",), labels_virtual_nodes=True)
    sent = SENT.but(attributes={"tier": "a"}), TAKEN.but(resource={"tier": "b"})
    _, found = stages(*(Sent(0, (span,)) for span in sent), join=replace(JOIN, graph=graph))
    assert {edge[4] for _, edge, _ in counted(found)} == {
        (("client_tier", "a"), ("server_tier", "b"), ("virtual_node", ""))
    }


@pytest.mark.parametrize(("apart_ms", "meets"), [(30_000, True), (31_000, False)])
def test_a_link_and_its_producer_wait_for_each_other_from_interval_to_interval(
    apart_ms: int, meets: bool
) -> None:
    # A producer is told of when it has waited for a consumer of its own trace.
    told_after = DEFAULTS.ttl_ms
    for sent in ([SENT, TAKEN], [TAKEN, SENT]):
        first, second = sent
        shift = told_after if first is SENT else -told_after
        found = stages(Sent(0, (first,)), there=(Sent(apart_ms + shift, (second,)),))
        assert (("shop", "mail", "messaging_system") in calls(found[1])) is meets


def test_a_producer_whom_nobody_links_to_calls_its_peer_once_it_has_waited() -> None:
    one, other = stages(Sent(0, (SENT.but(attributes={"peer.service": "kafka"}),)))
    assert calls(one) == {}
    assert calls(other) == {("shop", "kafka", "virtual_node"): 1}
    assert lacking(other) == {("shop", "server", "virtual_node"): 1}


def test_a_producer_with_a_consumer_of_its_own_trace_calls_nobody_else() -> None:
    one, other = stages(Sent(0, (SENT, TAKEN.but(trace_id=HERE, parent=IDS[0], links=()))))
    assert calls(one) == {("shop", "mail", "messaging_system"): 1}
    assert (calls(other), lacking(other)) == ({}, {})


def test_a_consumer_that_links_to_others_is_called_by_no_user() -> None:
    one, other = stages(Sent(0, (TAKEN,)))
    assert (calls(one), lacking(one)) == ({}, {})
    assert calls(other) == {}
    assert lacking(other) == {("mail", "client", "link_expired"): 1}


def test_who_has_no_room_is_told_of_and_met_by_nobody() -> None:
    crowded = replace(JOIN, max_items=1)
    sent = [SENT.but(span_id=bytes([number]) * 8) for number in range(1, 40)]
    _, found = stages(Sent(0, tuple(sent)), join=crowded)
    reasons = lacking(found)
    assert reasons["shop", "server", "link_store_full"] > 30
    assert sum(reasons.values()) == 39


def test_a_consumer_that_links_to_others_is_told_of_by_these_alone_where_it_has_no_room() -> None:
    crowded = replace(JOIN, graph=replace(JOIN.graph, max_items=1))
    spans = (
        Span(CLIENT, "caller", IDS[1]),
        TAKEN.but(parent=IDS[2]),
        TAKEN.but(parent=IDS[2], links=()),
    )
    one, other = stages(Sent(0, spans), join=crowded)
    assert lacking(one) == {
        ("caller", "server", "virtual_node"): 1,
        ("mail", "client", "store_full"): 1,
    }
    assert lacking(other) == {("mail", "client", "link_expired"): 1}


def test_links_to_spans_of_another_tenant_lead_nowhere() -> None:
    acme, beta = ({"tenant.id": name} for name in ("acme", "beta"))
    assert ("shop", "mail", "messaging_system") not in both(
        SENT.but(resource=acme), TAKEN.but(resource=beta)
    )
    _, found = stages(Sent(0, (SENT.but(resource=acme), TAKEN.but(resource=acme))))
    assert {edge[:3] for _, edge, _ in counted(found)} == {("acme", "shop", "mail")}


def test_others_than_producers_and_consumers_are_met_by_no_link() -> None:
    assert both(SENT.but(kind=CLIENT), TAKEN.but(kind=SERVER)) == {
        ("shop", "unknown", "virtual_node"): 1,
        ("user", "mail", "virtual_node"): 1,
    }


def test_what_comes_after_its_time_counts_with_the_first_interval_that_has_not_passed() -> None:
    join = replace(JOIN, wait_ms=1000)
    sent = rows([Sent(0, ()), Sent(6000, (TAKEN,))])
    resting = rested(spans_builder(join.graph, 0), sent, [5000], END_MS)
    (_, done) = told(join.graph, [[], [Sent(0, (SENT,))]])
    partitions = []
    for own, others in zip(logs([resting], [0]), logs([done], [0]), strict=True):
        idle = next(n for n, row in enumerate(own, 1) if row.headers[0][1].endswith(b"idle"))
        log = [
            *own[:idle],
            *others,
            *own[idle:],
        ]  # both are idle, and time goes on, before the rest
        partitions.append([replace(row, offset=number) for number, row in enumerate(log)])
    assert totals(join, partitions)["half_edges_late"] == 1
    assert lacking(joined(join, partitions)) == {
        ("shop", "server", "virtual_node"): 1,
        ("mail", "client", "link_expired"): 1,
    }


def test_what_is_told_does_not_depend_on_when_somebody_looked() -> None:
    ids = [bytes([number]) * 8 for number in range(1, 9)]
    taken = [TAKEN.but(trace_id=HERE, parent=each, links=()) for each in reversed(ids)]
    sent = [tuple(SENT.but(span_id=each) for each in ids), *((each,) for each in taken)]
    records = rows([Sent(10, spans) for spans in sent])
    build, every = spans_builder(JOIN.graph, 0), list(range(len(records)))
    whole = deaths.uninterrupted(build, records, END_MS)
    assert deaths.cut(build, records, every, every, END_MS) == whole


def test_a_simulation_counts_what_links_bring_together(tmp_path: Path) -> None:
    values = [message([SENT]), message([TAKEN])]
    (tmp_path / "load.pb").write_bytes(b"".join(map(length_prefixed, values)))
    (tmp_path / "arrivals.json").write_bytes(b"[0, 12]")
    config = parse("only: [service_graph]", "test.yaml", {})
    out = tmp_path / "out"
    simulate(config, [tmp_path / "load.pb"], str(tmp_path / "arrivals.json"), out)
    (edge,) = map(orjson.loads, (out / "edges.jsonl").read_bytes().splitlines())
    assert (edge["client"], edge["server"], edge["calls"]) == ("shop", "mail", 1)
    assert 'client="shop",connection_type="messaging_system"' in (out / "metrics.prom").read_text()


GRAPHS: dict[str, ServiceGraphSettings] = {
    "with virtual nodes": JOIN.graph,
    "without": replace(JOIN.graph, peer_attributes=()),
}


@pytest.mark.parametrize("graph", GRAPHS.values(), ids=GRAPHS)
def test_a_span_that_lacks_a_side_says_which_and_why(graph: ServiceGraphSettings) -> None:
    has_nodes = bool(graph.peer_attributes)
    spans = (
        Span(CLIENT, "caller", IDS[0]),
        Span(SERVER, "root", IDS[1]),
        Span(SERVER, "callee", IDS[2], parent=IDS[1]),
        SENT.but(span_id=IDS[2]),
    )
    one, other = stages(Sent(0, spans), join=replace(JOIN, graph=graph))
    drawn, root = ("virtual_node",) * 2 if has_nodes else ("expired", "no_parent")
    assert lacking(one) == {
        ("caller", "server", drawn): 1,
        ("root", "client", root): 1,
        ("callee", "client", "expired"): 1,
    }
    assert lacking(other) == {("shop", "server", drawn): 1}
