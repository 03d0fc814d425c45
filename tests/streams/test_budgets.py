"""Budgets are the cluster's: through the tasks that the worker runs, told of each other late."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tailrace.schemas.config import parse
from tests.otlp import Span, message
from tests.streams.sampling_cluster import BEGIN_MS, SamplingCluster

RATE, BURST = 40, 60
LIMITED = parse(f"""
only: [sampling]
tail_sampling:
  decision_wait: 1s
  stamp: false
  policies:
    - name: some
      type: rate_limiting
      rate_limiting: {{spans_per_second: {RATE}, burst_capacity: {BURST}}}
""")
SHARED = parse(f"""
only: [sampling]
tail_sampling:
  decision_wait: 1s
  stamp: false
  policies:
    - name: some
      type: composite
      composite:
        max_total_spans_per_second: {RATE}
        policy_order: [all]
        composite_sub_policy: [{{name: all, type: always_sample}}]
        rate_allocation: [{{policy: all, percent: 100}}]
""")
FAIR = parse(f"""
only: [sampling]
tenancy: {{resource_attribute: team}}
tail_sampling:
  decision_wait: 1s
  stamp: false
  policies: [{{name: all, type: always_sample}}]
  tenant_budgets: {{spans_per_second: {RATE}, burst_capacity: {BURST}, weights: {{a: 3}}}}
""")
PARTITIONS = 3
TEAMS = ("a", "b")


def traces(number: int, second: int, count: int) -> list[bytes]:
    """So many traces of a span each, in one message."""
    ids = [(number << 64 | second << 32 | each).to_bytes(16, "big") for each in range(1, count + 1)]
    spans = [Span(each, resource={"team": TEAMS[row % 2]}) for row, each in enumerate(ids)]
    return [message(*spans)] if ids else []


def kept_by_second(cluster: SamplingCluster) -> Counter[int]:
    kept: Counter[int] = Counter()
    for partition in cluster.partitions:
        for each in partition.decisions:
            if each.decision == "sampled":
                kept[(each.at - BEGIN_MS) // 1000] += each.spans
    return kept


def assert_within_budget(cluster: SamplingCluster, burst: int) -> None:
    """In no stretch of stream time more than its seconds' rate, and the burst once."""
    kept = kept_by_second(cluster)
    seconds = range(min(kept, default=0), max(kept, default=0) + 1)
    over = accumulate((kept[each] - RATE for each in seconds), lambda sum, now: max(0, sum) + now)
    assert max(over, default=0) <= burst


def run(cluster: SamplingCluster, seconds: int, skew: Sequence[int]) -> None:
    for second in range(seconds):
        for number, count in enumerate(skew):
            cluster.partitions[number].read(BEGIN_MS + second * 1000, traces(number, second, count))
        cluster.pass_on()


@pytest.mark.parametrize(
    ("config", "burst"),
    [
        pytest.param(LIMITED, BURST, id="a rate limit"),
        pytest.param(SHARED, 2, id="a composite"),
        pytest.param(FAIR, BURST, id="one of all tenants"),
    ],
)
def test_a_hot_partition_comes_to_have_most_of_the_budget(config: Any, burst: int) -> None:
    cluster = SamplingCluster(config, PARTITIONS)
    run(cluster, 60, [150, 4, 0])
    assert_within_budget(cluster, burst)
    kept = kept_by_second(cluster)
    at_first, at_last = (sum(kept[each] for each in range(at, at + 10)) for at in (3, 48))
    # Before, a third of the rate in the hot one; then nearly all that the quiet ones do not need.
    assert at_first < 10 * RATE * 2 // 3
    assert at_last > 10 * RATE * 9 // 10
    assert cluster.partitions[0].counts["allocations"] >= 2


HISTORIES = st.lists(
    st.one_of(
        st.tuples(
            st.just("read"), st.integers(0, PARTITIONS - 1), st.sampled_from([0, 1, 1, 2, 7, 31]),
            st.sampled_from([0, 5, 50, 90]),
        ),
        st.tuples(st.just("hear"), st.integers(0, PARTITIONS - 1)),
        st.tuples(st.just("commit"), st.integers(0, PARTITIONS - 1)),
        st.tuples(st.just("restart"), st.integers(0, PARTITIONS - 1)),
        st.tuples(st.just("all"), st.integers(1, 15), st.permutations([90, 20, 0])),
    ),
    max_size=25,
)  # fmt: skip


KINDS = [(LIMITED, BURST), (SHARED, PARTITIONS), (FAIR, BURST + PARTITIONS * len(TEAMS))]


@settings(max_examples=60, deadline=None)
@given(HISTORIES, st.sampled_from(KINDS))
def test_whatever_happens_the_partitions_together_keep_to_the_budget(
    history: list[tuple[Any, ...]], kind: tuple[Any, int]
) -> None:
    """Each partition has a time of its own; a composite's budget may round up a span each, and a
    tenant's bucket may owe one.
    """
    config, burst = kind
    cluster = SamplingCluster(config, PARTITIONS)
    clocks = [0] * PARTITIONS
    for step in history:
        match step:
            case "read", number, seconds, count:
                clocks[number] += seconds
                rows = traces(number, clocks[number], count)
                cluster.partitions[number].read(BEGIN_MS + clocks[number] * 1000, rows)
            case "hear", number:
                cluster.partitions[number].hear(cluster.held)
            case "commit", number:
                cluster.commit(number)
            case "restart", number:
                cluster.partitions[number].restart()
            case "all", seconds, skew:
                for _ in range(seconds):
                    now = max(clocks) + 1
                    clocks = [now] * PARTITIONS
                    for number, count in enumerate(skew):
                        rows = traces(number, now, count)
                        cluster.partitions[number].read(BEGIN_MS + now * 1000, rows)
                    cluster.pass_on()
    cluster.advance(BEGIN_MS + (max(clocks) + 5) * 1000)
    cluster.pass_on()
    assert_within_budget(cluster, burst)


@pytest.mark.parametrize("config", [LIMITED, FAIR], ids=["a rate limit", "one of all tenants"])
def test_a_restart_from_a_checkpoint_changes_no_decision(config: Any) -> None:
    whole, cut = SamplingCluster(config, 2), SamplingCluster(config, 2)
    for second in range(40):
        for cluster in (whole, cut):
            for number, count in enumerate((90, 7)):
                rows = traces(number, second, count)
                cluster.partitions[number].read(BEGIN_MS + second * 1000 + 400, rows)
            cluster.pass_on()
        cut.commit(second % 2)
        cut.partitions[second % 2].restart()
    for one, other in zip(whole.partitions, cut.partitions, strict=True):
        assert one.decisions == other.decisions
    assert whole.partitions[0].counts["allocations"] > 1
