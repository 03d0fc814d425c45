"""Tasks with nothing but a service graph, and what they counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from tailrace.agents.service_graph import agent
from tailrace.agents.service_graph.logic import ServiceGraphLogic
from tailrace.agents.service_graph.settings import ServiceGraphSettings
from tailrace.schemas.config.tenancy import TenancyConfig
from tailrace.schemas.half_edges import are_link_halves
from tailrace.schemas.otlp.decoder import Decoder
from tailrace.schemas.records import DeadLetter, Output, Record
from tailrace.schemas.series import EDGES, UNPAIRED, EdgeSeries, UnpairedSeries, edge_place
from tailrace.schemas.spans import SpanBatch
from tailrace.schemas.sums import decode, histogram
from tailrace.schemas.tenants import SpanTenants
from tailrace.schemas.watermarks import Watermark, read_watermark
from tailrace.streams.task import Task, TaskId
from tailrace.tables.interval_sums import RollupTopic
from tailrace.tables.store import PartitionStore
from tests.agents.service_graph.naive_graph import Counted
from tests.agents.service_graph.traffic import END_MS, INTERVAL_MS, Sent, rows
from tests.streams import deaths
from tests.streams.deaths import Build

ROLLUPS = RollupTopic("rollups", 3, 100_000, INTERVAL_MS)


class Codec:
    """Decodes; who refuses what is not asked here."""

    def __init__(
        self, settings: ServiceGraphSettings, interned_limit_bytes: int, tenancy: TenancyConfig
    ) -> None:
        self._tenants = SpanTenants(tenancy)
        self._decoder = Decoder(
            settings.columns,
            settings.client_columns,
            ids=True,
            trace_state=True,
            links=True,
            interned_limit_bytes=interned_limit_bytes,
        )

    def decode(self, records: Sequence[Record]) -> tuple[SpanBatch, Sequence[DeadLetter]]:
        batch = self._decoder.decode([record.value for record in records])
        batch.tenant = self._tenants.of(batch, records)
        return batch, ()


def no_letter(*_: object) -> tuple[str, Output]:
    raise AssertionError("nothing is refused")


def builder(
    settings: ServiceGraphSettings,
    interned_limit_bytes: int = 32 << 20,
    tenancy: TenancyConfig = TenancyConfig(),  # noqa: B008 (it never changes)
) -> Build:
    """Builds tasks as a new process would, with nothing shared between two."""

    def build(store: PartitionStore) -> Task[SpanBatch]:
        logic = ServiceGraphLogic(settings, store, ROLLUPS, "service_graph-0")
        codec = Codec(settings, interned_limit_bytes, tenancy)
        return Task(TaskId("spans", 0), store, codec, {agent.NAME: logic}, no_letter)

    return build


def counted(sent: deaths.Sent) -> Counted:
    """What the rollups of *sent* hold; nothing that is 0."""
    found: Counted = Counter()
    for output in sent.get(ROLLUPS.name, []):
        if not output.value or are_link_halves(output.value):
            continue
        rollup = decode(output.value)
        if rollup.layout.family != EDGES:
            continue
        assert rollup.end - rollup.start == INTERVAL_MS
        for key, row in zip(rollup.keys, rollup.rows, strict=True):
            edge = tuple(EdgeSeries.of_key(key))
            assert output.partition == edge_place(key) % ROLLUPS.partitions
            for name in rollup.layout.histograms:
                seen = histogram(rollup.layout, row, name)
                found[rollup.start, edge, f"{name} sum"] += seen.sum_ns
                for bucket, count in enumerate(seen.buckets):
                    found[rollup.start, edge, f"{name} bucket {bucket}"] += count
    return +found


def unpaired(sent: deaths.Sent) -> Counter[tuple[int, tuple[str, ...]]]:
    """Which spans lack a side, by the rollups of *sent*: the interval's start, and the series."""
    found: Counter[tuple[int, tuple[str, ...]]] = Counter()
    for output in sent.get(ROLLUPS.name, []):
        if output.value and not are_link_halves(output.value):
            rollup = decode(output.value)
            if rollup.layout.family == UNPAIRED:
                for key, row in zip(rollup.keys, rollup.rows.tolist(), strict=True):
                    found[rollup.start, tuple(UnpairedSeries.of_key(key))] += sum(row)
    return found


def watermarks(sent: Mapping[str, Sequence[Output]]) -> list[list[Watermark]]:
    """For each partition of the rollup topic, what it was told."""
    return [
        [
            read_watermark(value)
            for output in sent.get(ROLLUPS.name, [])
            for _, value in output.headers
            if output.partition == partition
        ]
        for partition in range(ROLLUPS.partitions)
    ]


class Edge(NamedTuple):
    """An edge and its calls: how many, how many failed, how long they took (ns)."""

    client: str
    server: str
    kind: str = ""
    dimensions: tuple[tuple[str, str], ...] = ()
    calls: int = 1
    failed: int = 0
    client_ns: int = 0
    server_ns: int = 0


def edges(sent: Sequence[Sent], given: ServiceGraphSettings) -> list[Edge]:
    """What is counted of *sent*, when time goes on until all has expired."""
    found: dict[tuple[Any, ...], Edge] = {}
    for (_, key, what), amount in counted(
        deaths.uninterrupted(builder(given), rows(sent), END_MS)
    ).items():
        edge = found.setdefault(key, Edge(key[1], key[2], key[3], key[4], calls=0))
        histogram, measure = what.split(" ", 1)
        side = histogram.removesuffix("_failed")
        if measure == "sum":
            amounts = edge._asdict()
            found[key] = edge._replace(**{f"{side}_ns": amounts[f"{side}_ns"] + amount})
        elif side == "client":
            failed = edge.failed + amount * histogram.endswith("_failed")
            found[key] = edge._replace(calls=edge.calls + amount, failed=failed)
    return sorted(found.values())
