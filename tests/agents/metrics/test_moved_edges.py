"""Edges that moved to the partition of their client: nothing is lost, and each has one writer."""

from __future__ import annotations

import zlib
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import replace

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from tailrace.agents.metrics.settings import MetricsSettings
from tailrace.schemas.records import Output
from tailrace.schemas.series import EdgeSeries, edge_place
from tailrace.schemas.sums import Rollup, decode
from tailrace.tables.interval_sums import RollupTopic
from tests.agents.metrics.flushes import (
    EDGE_LAYOUT,
    EDGES,
    EDGES_MS,
    INTERVAL_MS,
    METRICS,
    SETTINGS,
    Identity,
    calls,
    edge_key,
    metrics_of,
    rollup,
)
from tests.agents.metrics.owners import Row, Worker

BEFORE = replace(SETTINGS, red=None)
"""Of one partition, which takes everything that comes, as every partition once did."""
TOPIC = RollupTopic("rollups", 3, 1000, INTERVAL_MS)
PARTITIONS = range(TOPIC.partitions)
KEYS = [edge_key(client, server) for client in ("api", "cart", "web") for server in "abcd"]
BEGIN_MS = 1_700_000_000_000 // EDGES_MS * EDGES_MS
END_MS = BEGIN_MS + 100 * EDGES_MS


def after(partition: int) -> MetricsSettings:
    return replace(BEFORE, partition=partition, rollups=TOPIC)


def once(key: bytes) -> int:
    """Where edges were placed before."""
    return zlib.crc32(key) % TOPIC.partitions


def now(key: bytes) -> int:
    return edge_place(key) % TOPIC.partitions


class Cluster:
    """The partitions, and what comes to them."""

    def __init__(self) -> None:
        self.workers = [Worker(BEFORE) for _ in PARTITIONS]
        self.sent: Counter[bytes] = Counter()
        self._forwarded = [0 for _ in PARTITIONS]

    def send(self, at: int, interval: int, keys: Iterable[bytes], *, is_old: bool) -> None:
        """Count one call of each of *keys* in *interval*, at stream time *at*."""
        by_place = defaultdict(dict)
        for key in keys:
            by_place[once(key) if is_old else now(key)][key] = calls([1], [1])
            self.sent[key] += 1
        for place, series in by_place.items():
            self.workers[place].feed(
                Row(BEGIN_MS + at, rollup(EDGE_LAYOUT, BEGIN_MS + interval * INTERVAL_MS, series))
            )

    def upgrade(self, partition: int, *, dies: bool) -> None:
        """Let a worker that knows better have *partition*; perhaps it *dies* once, very soon."""
        worker = self.workers[partition]
        worker.checkpoint()
        time = self._time_of(worker)
        for _ in range(1 + dies):
            worker.begin(after(partition))
            worker.advance(time)
        worker.checkpoint()

    def forward(self) -> int:
        """Let what was sent on arrive; return how many records that were."""
        count = 0
        for number, worker in enumerate(self.workers):
            worker.checkpoint()
            outputs = worker.sent.get(TOPIC.name, [])
            for output in outputs[self._forwarded[number] :]:
                count += 1
                assert output.partition is not None
                assert output.headers == ()
                there = self.workers[output.partition]
                there.feed(Row(self._time_of(there), _decoded(output, output.partition)))
            self._forwarded[number] = len(outputs)
        return count

    @staticmethod
    def _time_of(worker: Worker) -> int:
        return worker.now or BEGIN_MS

    def end(self) -> None:
        for worker in self.workers:
            worker.feed(Row(END_MS, None))
            worker.checkpoint()
            assert worker.logic.problems(worker.totals) == []


def _decoded(output: Output, partition: int) -> Rollup:
    stray = decode(output.value)
    assert len(output.value) <= TOPIC.record_bytes
    assert {now(key) for key in stray.keys} == {partition}
    return stray


def told(workers: Iterable[Worker]) -> tuple[Counter[bytes], Counter[bytes]]:
    """The calls of each edge: by records of edges, and by series, each as it was last told."""
    records: Counter[bytes] = Counter()
    last: dict[tuple[int, Identity, int], int] = {}
    for number, worker in enumerate(workers):
        for output in worker.sent.get(EDGES, []):
            said = orjson.loads(output.value)
            records[edge_key(said["client"], said["server"])] += said["calls"]
        for point in metrics_of(worker.sent.get(METRICS, [])):
            if point.series.metric == "traces_service_graph_request_total":
                assert isinstance(point.value, int)
                last[number, point.series, point.start] = point.value
    series: Counter[bytes] = Counter()
    for (_, identity, _), value in last.items():
        named = dict(identity.attributes)
        series[edge_key(named["client"], named["server"])] += value
    return records, +series


SENDINGS = st.lists(
    st.tuples(
        st.integers(0, 3 * EDGES_MS), st.integers(-2, 8), st.sets(st.sampled_from(KEYS), min_size=1)
    ),
    max_size=6,
)
UPGRADES = st.permutations(list(PARTITIONS))


@settings(max_examples=100, deadline=None)
@given(
    SENDINGS,
    st.lists(st.tuples(SENDINGS, st.booleans(), st.booleans()), min_size=3, max_size=3),
    UPGRADES,
    SENDINGS,
)
def test_no_call_is_lost_or_told_twice_while_workers_of_before_and_after_send(
    before: list[tuple[int, int, set[bytes]]],
    between: list[tuple[list[tuple[int, int, set[bytes]]], bool, bool]],
    order: list[int],
    later: list[tuple[int, int, set[bytes]]],
) -> None:
    cluster, at = Cluster(), 0
    for step, interval, keys in before:
        at += step
        cluster.send(at, interval, keys, is_old=True)
    for partition, (sendings, is_old, dies) in zip(order, between, strict=True):
        cluster.upgrade(partition, dies=dies)
        for step, interval, keys in sendings:
            at += step
            cluster.send(at, interval, keys, is_old=is_old)
        cluster.forward()
    for step, interval, keys in later:
        at += step
        cluster.send(at, interval, keys, is_old=True)  # what was under way
    cluster.forward()
    assert cluster.forward() == 0
    cluster.end()
    assert told(cluster.workers) == (cluster.sent, cluster.sent)
    for number, worker in enumerate(cluster.workers):
        [(_, _, table), *_] = worker.logic.parts
        assert {now(key) for key in table.keys if key} <= {number}


def test_an_edge_that_moved_is_told_by_its_new_writer_alone_from_the_next_flush_on() -> None:
    key = next(key for key in KEYS if once(key) != now(key))
    cluster = Cluster()
    cluster.send(0, 0, [key], is_old=True)
    cluster.send(EDGES_MS, 2, [key], is_old=True)
    old, new = cluster.workers[once(key)], cluster.workers[now(key)]
    old.checkpoint()
    said = len(old.sent[METRICS])
    for partition in PARTITIONS:
        cluster.upgrade(partition, dies=False)
    assert cluster.forward() == 1
    cluster.end()
    assert len(old.sent[METRICS]) == said
    server = EdgeSeries.of_key(key).server
    assert [
        (point.value, dict(point.series.attributes)["server"])
        for point in metrics_of(new.sent[METRICS])
        if point.series.metric == "traces_service_graph_request_total"
    ] == [(0, server), (1, server), (1, server)]
