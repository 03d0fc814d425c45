"""Scenarios at random: one section each, with a load of its own."""

from __future__ import annotations

from random import Random

from tailrace_loadtest.compare_metrics import bodies, traffic
from tailrace_loadtest.compare_metrics.scenario import Scenario

_PLAIN_SHARE = 0.4
"""Of scenarios: those whose spans have no oddity, so that nothing explains a difference."""


def scenarios(random: Random, count: int, traces: int) -> list[Scenario]:
    """Return *count* of them, in turn of each section."""
    return [_scenario(random, number, traces) for number in range(count)]


def _scenario(random: Random, number: int, traces: int) -> Scenario:
    if number % 2:
        config = {"service_graph": bodies.service_graph(random)}
    else:
        config = {"span_metrics": bodies.span_metrics(random)}
    oddities = random.sample(traffic.ODDITIES, random.choice((1, 2, 3, 8)))
    if random.random() < _PLAIN_SHARE:
        oddities = []
    lasts_s = random.choice((1, 20, 90, 200))
    # Of series that come within one second, a limit here may admit others.
    has_limit = "aggregation_cardinality_limit" in config.get("span_metrics", {})
    load = traffic.load(random, traces, lasts_s, oddities, one_a_second=has_limit)
    latest = max(at for at, _ in load.messages)
    arrivals = load.arrivals()
    (name,) = config
    # Long enough for two flushes after the last side of a call has waited for the other.
    return Scenario(f"{number}-{name}", config, arrivals, latest + 135.0, is_exposed=False)
