"""What both write of a scenario, but for all that is known."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import pairwise
from math import ceil

from tailrace.schemas.durations import SECOND, parse
from tailrace_loadtest.compare_metrics.came import spans_of
from tailrace_loadtest.compare_metrics.differences import as_counted_here
from tailrace_loadtest.compare_metrics.flushes import Flush, plain_attributes
from tailrace_loadtest.compare_metrics.scenario import Config, Scenario
from tailrace_loadtest.compare_metrics.series import Difference, Texts, differences, resource_texts


def unknown(
    scenario: Scenario, theirs: Sequence[Flush], ours: Sequence[Flush]
) -> Iterator[Difference]:
    """Yield where *theirs*, of the spans as they are counted here, is not *ours*.

    Not of a resource that came back just after it expired: there it lives on as it was.
    """
    back = _returned(scenario)
    for each in differences(scenario, theirs, ours):
        if each.at < back.get(each.identity.resource, float("inf")):
            yield each


def _returned(scenario: Scenario) -> dict[Texts, float]:
    """Resources with the flush at which they were too old, and had news by the next."""
    changed = as_counted_here(scenario)[0]
    section: Config = changed.config.get("span_metrics", {})
    if "metrics_expiration" not in section:
        return {}
    expiry = parse(section["metrics_expiration"]) / SECOND
    interval = parse(section.get("metrics_flush_interval", "60s")) / SECOND
    times: defaultdict[Texts, set[float]] = defaultdict(set)
    for each in spans_of(changed.arrivals):
        resource = plain_attributes(each.resource.attributes)
        times[resource_texts(resource, scenario.config)].add(each.at)
    found: dict[Texts, float] = {}
    for identity, came in times.items():
        ordered = sorted(came)
        for last, back in pairwise(ordered):
            flush = ceil((last + expiry) / interval) * interval
            if flush < back < flush + interval:
                found.setdefault(identity, flush)
    return found
