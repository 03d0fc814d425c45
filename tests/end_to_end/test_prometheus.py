"""A real Prometheus answers with the truth of the load, whoever was killed meanwhile."""

from __future__ import annotations

import asyncio
import itertools
import random
import re
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from tailrace_loadtest.histograms import BOUNDS_NS
from tailrace_loadtest.kafka import read
from tailrace_loadtest.kill import kill
from tailrace_loadtest.truth import Truth
from tailrace_loadtest.workers import SAMPLED
from tests.end_to_end.exposition import Samples, expected
from tests.end_to_end.prometheus import Prometheus, prometheus_binary, running
from tests.patience import PATIENCE_S

__all__ = ["prometheus_binary"]

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

SPANS, SECONDS = 150_000, 35.0
VERSIONS = {"one": "prometheus.WriteRequest", "two": "io.prometheus.write.v2.Request"}
DEAD_LETTERS = "tailrace.dead_letters"
RED, GRAPH = "traces_span_metrics", "traces_service_graph_request"
TOLD_APART = {
    "service_name", "span_name", "span_kind", "status_code", "le", "client", "server",
    "connection_type", "failed",
}  # fmt: skip
MS = 1_000_000
REFUSED = re.compile(
    r'err="out of order sample" series="(?P<series>(?:\\.|[^"\\])*)" timestamp=(?P<at>\d+)'
)
"""As Prometheus logs it."""
SCRAPE = {
    "metrics_path": "/metrics/series",
    "honor_labels": True,
    "scrape_interval": "5s",
    "scrape_timeout": "5s",
    # Which worker tells of a series says nothing about it.
    "relabel_configs": [
        {"target_label": "instance", "replacement": "tailrace"},
        {"target_label": "via", "replacement": "scrape"},
    ],
}
"""Each worker tells of its own series."""


@pytest.fixture
def prometheus(prometheus_binary: Path, tmp_path: Path) -> Iterator[Prometheus]:
    with running(prometheus_binary, tmp_path / "prometheus") as there:
        yield there


def sections(prometheus: Prometheus) -> dict[str, object]:
    return {
        "span_metrics": {"metrics_flush_interval": "1s", "exemplars": {"enabled": True}},
        "remote_write": [
            {
                "url": prometheus.write_url,
                "name": name,
                "protobuf_message": message,
                "external_labels": {"via": name},
                "queue_config": {"max_samples_per_send": 500},
            }
            for name, message in VERSIONS.items()
        ],
    }


def test_promql_tells_the_truth_of_the_load_through_kills_and_rebalances(
    prometheus: Prometheus, prometheus_binary: Path, tmp_path: Path
) -> None:
    seed = random.SystemRandom().randrange(1 << 20)
    sys.stdout.write(f"seed {seed}\n")

    def look(bootstrap: str, truth: Truth, ports: list[int]) -> None:
        for via in VERSIONS:
            at_s = arrives(prometheus, via, truth)
            resets_are_none(prometheus, via, at_s)
            quantiles_are_within_their_buckets(prometheus, via, truth, at_s)
        found = asyncio.run(read(bootstrap, [DEAD_LETTERS, SAMPLED]))
        assert found[DEAD_LETTERS] == []
        kept = {record.key.decode() for record in found[SAMPLED] if record.key}
        for via in VERSIONS:
            traces = exemplary_traces(prometheus, via)
            assert traces
            assert traces <= kept
        scraping = running(
            prometheus_binary,
            tmp_path / "scraping",
            [f"127.0.0.1:{port}" for port in ports],
            SCRAPE,
        )
        with scraping as other:
            at_s = arrives(other, "scrape", truth)
            quantiles_are_within_their_buckets(other, "scrape", truth, at_s)
            assert exemplary_traces(other, "scrape") <= kept

    outcome = kill(SPANS, SECONDS, seed, tmp_path, sections=sections(prometheus), look=look)
    sys.stdout.write(f"{outcome}\n")
    assert outcome.is_right
    assert outcome.kills >= 5
    errors = [line for line in prometheus.log.read_text().splitlines() if "level=ERROR" in line]
    # A worker that takes over does not know what another one has sent and not yet committed.
    wrong = [line for line in errors if "exemplar" not in line]
    assert not [line for line in wrong if not was_there(prometheus, line)]


def was_there(prometheus: Prometheus, line: str) -> bool:
    """Whether *line* is of a sample that is out of order because it has come before."""
    found = REFUSED.search(line)
    if found is None:
        return False
    series, at_s = found["series"].replace('\\"', '"'), int(found["at"]) / 1000
    return at_s in prometheus.query(f"timestamp({series})", at_s).values()


def arrives(prometheus: Prometheus, via: str, truth: Truth) -> float:
    """Totals, buckets, sums and edges are those of the load, soon; return when they were (s)."""
    wanted = expected(truth)
    deadline = time.monotonic() + PATIENCE_S
    at_s = time.time()
    while (differences := [*compared(vector(prometheus, via, at_s), wanted)]) and (
        time.monotonic() < deadline
    ):
        time.sleep(0.5)
        at_s = time.time()
    assert not differences, differences[:5]
    return at_s


def vector(prometheus: Prometheus, via: str, at_s: float) -> Samples:
    """All series of ours, by what a load tells apart, as they were then."""
    names = f"({RED}|{GRAPH})_.*"
    found: Samples = {}
    for labels, value in prometheus.query(f'{{__name__=~"{names}",via="{via}"}}', at_s).items():
        told = dict(labels)
        if "le" in told:
            told["le"] = repr(float(told["le"]))
        key = told["__name__"], frozenset(pair for pair in told.items() if pair[0] in TOLD_APART)
        assert key not in found
        found[key] = value
    return found


def compared(found: Samples, wanted: Samples) -> Iterable[str]:
    for key in found.keys() | wanted.keys():
        one, other = found.get(key), wanted.get(key)
        is_equal = one is not None and other is not None and one == pytest.approx(other, rel=1e-12)
        if not is_equal:
            yield f"{key}: {one}, not {other}"


def resets_are_none(prometheus: Prometheus, via: str, at_s: float) -> None:
    names = {name for name, _ in vector(prometheus, via, at_s)}
    assert len(names) > 8
    for name in names:
        assert prometheus.number(f'sum(resets({name}{{via="{via}"}}[1h]))', at_s) == 0, name


def exemplary_traces(prometheus: Prometheus, via: str) -> set[str]:
    """The traces that exemplars of durations lead to."""
    now_s = time.time()
    found = prometheus.ask(
        "query_exemplars", query=f'{RED}_duration_milliseconds_bucket{{via="{via}"}}',
        start=now_s - 3600, end=now_s + 60,
    )  # fmt: skip
    return {each["labels"]["trace_id"] for series in found for each in series["exemplars"]}


def quantiles_are_within_their_buckets(
    prometheus: Prometheus, via: str, truth: Truth, at_s: float
) -> None:
    name = f"{RED}_duration_milliseconds_bucket"
    found = prometheus.query(
        f'histogram_quantile(0.95, sum by (le, service_name) ({name}{{via="{via}"}}))', at_s
    )
    told = {dict(labels)["service_name"]: value for labels, value in found.items()}
    for service, (low, high) in buckets_of_the_95th(truth).items():
        assert low <= told[service] <= high, service


def buckets_of_the_95th(truth: Truth) -> dict[str, tuple[float, float]]:
    counts: dict[str, list[int]] = {}
    for series, histogram in truth.red.items():
        known = counts.setdefault(series.service, [0] * (len(BOUNDS_NS) + 1))
        for bucket, count in enumerate(histogram.buckets):
            known[bucket] += count
    edges = [0.0, *(bound / MS for bound in BOUNDS_NS), BOUNDS_NS[-1] / MS]
    found = {}
    for service, buckets in counts.items():
        rank = 0.95 * sum(buckets)
        place = next(
            bucket for bucket, below in enumerate(itertools.accumulate(buckets)) if below >= rank
        )
        found[service] = edges[place], edges[place + 1]
    return found
