"""What metric_labels hides is in no metric and in no edge."""

from __future__ import annotations

from pathlib import Path

from tailrace.agents.metrics.learned import ANY, LEARNT_AT
from tailrace.schemas.config import parse
from tailrace.streams.simulate import simulate
from tests.otlp import MS, Span, message
from tests.streams.test_simulate import as_frames, lines

BEGIN = 1_700_000_000_000 * MS
CLIENT, SERVER = 3, 2
CONFIG = """
span_metrics: {dimensions: [{name: enduser.id}, {name: http.route}, {name: session.id}]}
service_graph: {dimensions: [enduser.id, session.id], virtual_node_peer_attributes: [peer.service]}
metric_labels:
  drop: [enduser.*]
  hash: [session.id, peer.service, host.name]
  templates: [{attribute: http.route, ids: true}]
"""
SECRETS = ("ann@example.org", "session-7", "secret-peer", "secret-host")


def written(tmp_path: Path) -> tuple[str, list[dict[str, object]]]:
    """The metrics as text, and the edges."""
    attributes = {"enduser.id": "ann@example.org", "session.id": "session-7"}
    attributes |= {"http.route": "/users/17/cart", "peer.service": "secret-peer"}
    spans = [
        Span(b"A" * 16, b"c" * 8, "web", "call", BEGIN, BEGIN + MS, kind=CLIENT,
             attributes=attributes, resource={"host.name": "secret-host"}),
        Span(b"A" * 16, b"d" * 8, "api", "GET", BEGIN, BEGIN + MS, b"c" * 8, kind=SERVER,
             attributes=attributes),
        Span(b"B" * 16, b"e" * 8, "web", "call", BEGIN, BEGIN + MS, kind=CLIENT,
             attributes=attributes),
    ]  # fmt: skip
    file = as_frames(tmp_path / "spans.pb", [message(*spans)])
    simulate(parse(CONFIG), [file], "at-once", tmp_path / "out")
    edges = lines(tmp_path / "out" / "edges.jsonl")
    return (tmp_path / "out" / "metrics.prom").read_text(), edges


def test_hidden_values_are_in_no_metric_and_no_edge(tmp_path: Path) -> None:
    metrics, edges = written(tmp_path)
    assert 'http_route="/users/{id}/cart"' in metrics
    for secret in SECRETS:
        assert secret not in metrics
        assert secret not in str(edges)


def test_what_is_hashed_tells_series_apart_and_what_is_dropped_does_not(tmp_path: Path) -> None:
    metrics, edges = written(tmp_path)
    assert 'session_id="' in metrics
    assert "enduser" not in metrics
    [pair] = [each for each in edges if each["server"] == "api"]
    dimensions = pair["dimensions"]
    assert isinstance(dimensions, dict)
    hashed = dimensions["client_session.id"]
    assert hashed == dimensions["server_session.id"] != ""
    assert not dimensions.get("client_enduser.id")


def test_a_hidden_peer_names_no_node(tmp_path: Path) -> None:
    _, edges = written(tmp_path)
    assert {each["server"] for each in edges} == {"api", "unknown"}


def test_limits_hold_for_edges_by_their_labels_and_by_the_attributes_of_both_sides(
    tmp_path: Path,
) -> None:
    spans = [
        Span(bytes([number]) * 16, b"c" * 8, "web", "call", BEGIN, BEGIN + MS, kind=CLIENT,
             attributes={"peer.service": f"host-{number}", "shop": f"shop-{number}"})
        for number in range(1, 5)
    ]  # fmt: skip
    config = """
    service_graph: {dimensions: [shop], virtual_node_peer_attributes: [peer.service]}
    metric_labels: {limits: {labels: {server: 3, shop: 2}}}
    """
    file = as_frames(tmp_path / "spans.pb", [message(span) for span in spans])
    simulate(parse(config), [file], "at-once", tmp_path / "out")
    edges = lines(tmp_path / "out" / "edges.jsonl")
    shown = sorted((str(each["server"]), str(each["dimensions"])) for each in edges)
    assert len({server for server, _ in shown} - {"(other)"}) == 3
    assert len({shops for _, shops in shown if "(other)" not in shops}) == 2
    assert sum(int(str(each["calls"])) for each in edges) == 4
    assert {each["connection_type"] for each in edges} == {"virtual_node"}


def test_paths_are_learned_of_edges_too(tmp_path: Path) -> None:
    spans = [
        Span(bytes([number]) * 16, b"c" * 8, "web", "call", BEGIN, BEGIN + MS, kind=CLIENT,
             attributes={"url.path": f"/users/{number}/cart"})
        for number in range(1, LEARNT_AT + 4)
    ]  # fmt: skip
    config = "{service_graph: {dimensions: [url.path]}, metric_labels: {learn: [url.path]}}"
    file = as_frames(tmp_path / "spans.pb", [message(span) for span in spans])
    simulate(parse(config), [file], "at-once", tmp_path / "out")
    edges = lines(tmp_path / "out" / "edges.jsonl")
    assert len(edges) == LEARNT_AT + 1
    assert [each["calls"] for each in edges if f"/users/{ANY}/cart" in str(each)] == [3]
