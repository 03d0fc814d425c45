"""Formulas over edges of the service graph count what it counted, in the second of the interval."""

from __future__ import annotations

import numpy as np
import pytest

from tailrace.agents.matches.edge_series import ClosedEdges, EdgeCounts
from tailrace.schemas.definitions import Definition
from tailrace.schemas.definitions.alert import AlertSpec
from tailrace.schemas.definitions.conditions import Condition
from tailrace.schemas.definitions.definition import ALERT, DefinitionKey
from tailrace.schemas.definitions.filters import Matcher
from tailrace.schemas.definitions.signals import Signal, signals
from tailrace.schemas.matches import decode_group
from tailrace.schemas.series import CLIENT, CLIENT_FAILED, EdgeSeries, edge_layout
from tailrace.schemas.sums import Layout, Rollup, observed

LAYOUT = edge_layout((100,))


def counted(
    series: dict[str, object], group_by: tuple[str, ...] = (), tenant: str = "default"
) -> Signal:
    """Return the signal of a formula over *series* alone."""
    spec = AlertSpec.model_validate(
        {"formula": "a", "series": {"a": series}, "when": "> 1", "group_by": list(group_by)}
    )
    return signals(Definition(DefinitionKey(ALERT, tenant, "x"), {}, {}, spec))["a"]


def interval(*edges: tuple[str, str, int, int], end: int = 6000, layout: Layout = LAYOUT) -> Rollup:
    """Return an interval of a second with *edges*: client, server, requests good and failed."""
    keys = [EdgeSeries("default", client, server, "").key() for client, server, *_ in edges]
    rows = layout.empty(len(edges))
    for row, (_, _, good, failed) in enumerate(edges):
        for name, count in ((CLIENT, good), (CLIENT_FAILED, failed)):
            groups = np.zeros(count, np.int64)
            rows[row] += observed(layout, name, groups, 1, np.full(count, 50))[0]
    return Rollup(layout, end - 1000, end, keys, rows)


EDGES = interval(("a", "b", 3, 2), ("a", "c", 4, 0), ("d", "b", 1, 1))


@pytest.mark.parametrize(
    ("said", "count"),
    [
        pytest.param({}, 11, id="all requests without conditions"),
        pytest.param({"client": "a"}, 9, id="of a client"),
        pytest.param({"client": "a", "server": "b"}, 5, id="of one edge"),
        pytest.param({"server": ["b", "c"], "failed": True}, 3, id="that failed"),
        pytest.param({"server": "b", "failed": False}, 4, id="that did not fail"),
        pytest.param({"server": {"regex": "b|x"}}, 7, id="of servers by an expression"),
        pytest.param({"server": {"ne": "b"}}, 4, id="of other servers"),
    ],
)
def test_a_formula_counts(said: dict[str, object], count: int) -> None:
    found = list(EdgeCounts([counted({"edges": said})]).of(EDGES))
    assert sum(number for _, number in found) == count


def test_a_formula_counts_edges_with_exponential_histograms() -> None:
    edges = interval(("a", "b", 3, 2), layout=edge_layout((), 4))
    ((_, number),) = EdgeCounts([counted({"edges": {}})]).of(edges)
    assert number == 5


def test_edges_of_another_tenant_are_not_there() -> None:
    keys = [EdgeSeries(tenant, "a", "b", "").key() for tenant in ("acme", "default", "beta")]
    rows = LAYOUT.empty(3)
    for row, count in enumerate((2, 3, 4)):
        rows[row] = observed(LAYOUT, CLIENT, np.zeros(count, np.int64), 1, np.full(count, 50))[0]
    edges = Rollup(LAYOUT, 5000, 6000, keys, rows)
    asked = [counted({"edges": {"client": "a"}}, tenant=tenant) for tenant in ("acme", "default")]
    found = {key.signal: number for key, number in EdgeCounts(asked).of(edges)}
    assert found == {asked[0].id: 2, asked[1].id: 3}


def test_groups_are_by_the_service_that_is_called() -> None:
    signal = counted({"edges": {"client": "a"}}, ("service",))
    found = EdgeCounts([signal]).of(EDGES)
    assert {decode_group(key.group)[0]: number for key, number in found} == {"b": 5, "c": 4}


def test_an_interval_waits_until_it_is_over_and_is_told_once() -> None:
    closed = ClosedEdges()
    closed.take(interval(("a", "b", 1, 0), end=6000))
    closed.take(interval(("a", "b", 2, 0), end=7000))
    assert [each.end for each in closed.upto(6999)] == [6000]
    assert [each.end for each in closed.upto(7000)] == [7000]
    assert closed.upto(9000) == []


@pytest.mark.parametrize(
    ("said", "text", "holds"),
    [
        ({"eq": "a"}, "a", True),
        ({"eq": "a"}, "", False),
        ({"exists": True}, "", False),
        ({"exists": False}, "", True),
        ({"not_in": ["a", "b"]}, "c", True),
        ({"not_regex": "a.*"}, "ab", False),
        ({"regex": "a"}, "ab", False),
        ({"gt": 5}, "6", True),
        ({"gt": 5}, "a", False),
        ({"lte": 5}, "", False),
    ],
)
def test_a_matcher_of_text(said: dict[str, object], text: str, holds: bool) -> None:
    assert Condition(Matcher.model_validate(said)).holds(text or None) is holds
