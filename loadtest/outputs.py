"""Waits until everything has come out that a load must bring about, and checks all of it."""

import time
from collections.abc import Sequence

from tailrace_loadtest.check import check
from tailrace_loadtest.edge_check import EdgeRecords
from tailrace_loadtest.kafka import follow, read
from tailrace_loadtest.metric_check import CALLS, REQUESTS
from tailrace_loadtest.points import CumulativeSeries
from tailrace_loadtest.report import Report, Written
from tailrace_loadtest.truth import Truth
from tailrace_loadtest.workers import Topics

_TOPICS = Topics()


async def wait_for_sums(
    bootstrap: str, truth: Truth, timeout_s: float, topics: Topics = _TOPICS
) -> None:
    """Return once metrics and edges count as much as *truth*, or when the time is up."""
    deadline = time.monotonic() + timeout_s
    series, records, ignored = CumulativeSeries(), EdgeRecords(), Report()
    spans, calls = truth.totals["spans"], truth.edge_calls.total()

    def take(topic: str, written: Written) -> None:
        (series if topic == topics.metrics else records).read([written], ignored)

    def is_over() -> bool:
        has_red = series.count(CALLS) >= spans
        has_graph = min(series.count(REQUESTS), records.calls) >= calls
        return (has_red and has_graph) or time.monotonic() > deadline

    await follow(bootstrap, [topics.metrics, topics.edges], take, is_over)


async def check_outputs(
    bootstrap: str,
    truth: Truth,
    topics: Topics = _TOPICS,
    *,
    slack_ms: int | None = None,
    timeout_s: float = 240.0,
    dimensions: Sequence[str] = (),
) -> Report:
    """Compare all that is in the output topics by now with *truth*."""
    written = await read(bootstrap, topics, timeout_s=timeout_s)
    return check(
        truth,
        *(written[topic] for topic in topics),
        decided_at_slack_ms=slack_ms,
        dimensions=dimensions,
    )
