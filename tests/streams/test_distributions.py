"""Distributions of a worker's work: every one is exposed, from the first observation on."""

from __future__ import annotations

from prometheus_client import CollectorRegistry
from prometheus_client.openmetrics.exposition import generate_latest
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from tailrace.streams.distributions import (
    BATCH_CPU_SECONDS,
    CHECKPOINT_SECONDS,
    DISTRIBUTIONS,
    Distributions,
)


def samples(distributions: Distributions) -> dict[str, float]:
    """What a scrape has, as names with labels."""
    registry = CollectorRegistry(auto_describe=False)
    collector: Collector = distributions  # type: ignore[assignment]
    registry.register(collector)
    text = generate_latest(registry).decode()  # type: ignore[no-untyped-call]
    return {
        f"{each.name}{dict(sorted(each.labels.items()))}": each.value
        for family in text_string_to_metric_families(text)
        for each in family.samples
    }


def test_a_histogram_tells_count_sum_and_how_many_were_no_larger() -> None:
    distributions = Distributions()
    for seconds in (0.004, 0.3, 0.3, 100):
        distributions.observe(CHECKPOINT_SECONDS, seconds, "spans")
    found = samples(distributions)
    name = "tailrace_checkpoint_seconds"
    assert found[f"{name}_count{{'stage': 'spans'}}"] == 4
    assert found[f"{name}_sum{{'stage': 'spans'}}"] == 0.004 + 0.3 + 0.3 + 100
    assert found[f"{name}_bucket{{'le': '0.005', 'stage': 'spans'}}"] == 1
    assert found[f"{name}_bucket{{'le': '0.5', 'stage': 'spans'}}"] == 3
    assert found[f"{name}_bucket{{'le': '+Inf', 'stage': 'spans'}}"] == 4


def test_a_summary_tells_count_and_sum() -> None:
    distributions = Distributions()
    distributions.observe(BATCH_CPU_SECONDS, 0.25, "spans", "red")
    distributions.observe(BATCH_CPU_SECONDS, 0.5, "spans", "red")
    found = samples(distributions)
    labels = "{'part': 'red', 'stage': 'spans'}"
    assert found[f"tailrace_batch_cpu_seconds_count{labels}"] == 2
    assert found[f"tailrace_batch_cpu_seconds_sum{labels}"] == 0.75


def test_every_declared_distribution_is_collected() -> None:
    names = {metric.name for metric in Distributions().collect()}
    assert names == {f"tailrace_{each.name}" for each in DISTRIBUTIONS}
