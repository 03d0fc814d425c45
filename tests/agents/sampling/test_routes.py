"""Which topic a trace goes to."""

from __future__ import annotations

import pytest

from tailrace.agents.sampling.routes import Routes
from tailrace.schemas.config.routes import RouteConfig
from tailrace.tables.decisions import Outcome

ROUTES = [
    RouteConfig(topic="errors", policies=("errors", "health")),
    RouteConfig(topic="rare", policies=("rest",), kept="certainly"),
    RouteConfig(topic="sure", kept="certainly"),
    RouteConfig(topic="share", kept="by_chance"),
]


@pytest.mark.parametrize(
    ("outcome", "topic"),
    [
        pytest.param(Outcome("sampled", "errors", 0.1), "errors", id="by who kept it"),
        pytest.param(Outcome("sampled", "rest", 1.0), "rare", id="by who, and for certain"),
        pytest.param(Outcome("sampled", "slow", 1.0), "sure", id="kept for certain"),
        pytest.param(Outcome("sampled", "rest", 0.1), "share", id="kept by chance"),
        pytest.param(Outcome("sampled", "limit", None), "share", id="of a chance nobody knows"),
        pytest.param(Outcome("not_sampled", None, None), "all", id="not kept, in a dry run"),
        pytest.param(Outcome("dropped", "health", None), "all", id="dropped, in a dry run"),
    ],
)
def test_a_trace_goes_to_the_first_route_that_takes_it(outcome: Outcome, topic: str) -> None:
    routes = Routes(ROUTES, "all")
    assert [routes.topic(outcome) for _ in range(2)] == [topic, topic]
    assert routes.topics == ("errors", "rare", "sure", "share", "all")
