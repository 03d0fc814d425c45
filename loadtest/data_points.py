"""What it costs to write so many data points a second: CPU and memory of one worker.

A steady load of spans whose names go round, so that each has its series; a flush writes the counter
and the histogram of every series. A reader counts the points, and compares the calls of the last
flush with the spans that were sent.
"""

import asyncio
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tailrace_loadtest.kafka import follow, produce
from tailrace_loadtest.load import Record
from tailrace_loadtest.processes import (
    Process,
    broker,
    cpu_seconds,
    free_port,
    rss_bytes,
    total,
    wait_until,
)
from tailrace_loadtest.report import Written
from tailrace_loadtest.workers import METRICS, SPANS, create_topic

FLUSH_S = 10
SPANS_A_SECOND = 2_000
SPANS_A_MESSAGE = 50
SERVICES = 20
POINTS_A_SERIES = 2
_WARM_S = 2 * FLUSH_S
_PARTITIONS = 8
_DRAIN_S = 120.0


@dataclass(frozen=True, slots=True)
class Row:
    """What was measured at one rate. `points_a_second`: of OTLP, read back."""

    wanted: int
    series: int
    seconds: float
    points_a_second: float
    cpu: float
    rss: int
    first_rss: int

    def __str__(self) -> str:
        return (
            f"{self.wanted:>9,}{self.series:>9,}{self.seconds:>9,.0f}{self.points_a_second:>11,.0f}"
            f"{self.cpu:>8.1%}{self.first_rss / 1e6:>10,.0f}{self.rss / 1e6:>9,.0f}"
        )


HEAD = "   wanted   series  seconds   points/s     CPU  RSS MB at  at end"


@dataclass(slots=True)
class PointReader:
    """Points by when they were flushed (ns), the calls that they tell, and when they were read (s).

    The zeros with which series begin are of no flush.
    """

    points: dict[int, int] = field(default_factory=dict)
    calls: dict[int, int] = field(default_factory=dict)
    read_at: dict[int, float] = field(default_factory=dict)
    is_over: bool = False

    def add(self, topic: str, record: Written) -> None:
        request: Any = ExportMetricsServiceRequest.FromString(record.value or b"")
        for block in request.resource_metrics:
            for scope in block.scope_metrics:
                for metric in scope.metrics:
                    self._count(metric)

    def _count(self, metric: Any) -> None:
        is_counter = metric.WhichOneof("data") == "sum"
        points = metric.sum.data_points if is_counter else metric.histogram.data_points
        now = time.time()
        for point in points:
            at = point.time_unix_nano
            if at == point.start_time_unix_nano:
                continue
            self.points[at] = self.points.get(at, 0) + 1
            self.read_at[at] = now
            if is_counter:
                self.calls[at] = self.calls.get(at, 0) + point.as_int


def data_points(rates: Sequence[int], seconds: float) -> Iterator[Row]:
    """Measure at each of *rates*, for *seconds* each; AssertionError if what comes out is wrong."""
    for rate in rates:
        with tempfile.TemporaryDirectory(prefix="tailrace-points-") as temporary:
            yield asyncio.run(_measured(rate, seconds, Path(temporary)))


def records(series: int, seconds: float, start_ms: int) -> Iterator[Record]:
    """Yield messages at an even pace from *start_ms* on, each of one service's spans."""
    messages = int(SPANS_A_SECOND * seconds / SPANS_A_MESSAGE)
    for number in range(messages):
        at_ms = start_ms + number * SPANS_A_MESSAGE * 1000 // SPANS_A_SECOND
        trace_id = (number + 1).to_bytes(16, "big")
        value = message(number, series, at_ms, number)
        yield Record(trace_id.hex().encode(), value, at_ms, number)


def message(turns: int, series: int, at_ms: int, number: int, services: int = SERVICES) -> bytes:
    """Return message *number*: after *turns* others the next service's spans, of its next names."""
    of_service = series // services
    turn, service = divmod(turns, services)
    request: Any = ExportTraceServiceRequest()
    block = request.resource_spans.add()
    block.resource.attributes.add(key="service.name").value.string_value = f"service-{service}"
    spans = block.scope_spans.add().spans
    for place in range(SPANS_A_MESSAGE):
        name = (turn * SPANS_A_MESSAGE + place) % of_service
        spans.add(
            trace_id=(number + 1).to_bytes(16, "big"),
            span_id=(number * SPANS_A_MESSAGE + place + 1).to_bytes(8, "big"),
            name=f"GET /items/{name}/details",
            kind=2,
            start_time_unix_nano=at_ms * 1_000_000 - 1_000_000 * (1 + name % 300),
            end_time_unix_nano=at_ms * 1_000_000,
        )
    value: bytes = request.SerializeToString()
    return value


async def _measured(rate: int, seconds: float, directory: Path) -> Row:
    series = rate * FLUSH_S // POINTS_A_SERIES // SERVICES * SERVICES
    warm_s = _WARM_S + series / SPANS_A_SECOND  # every name has had its turn
    config = directory / "config.json"
    section = {"metrics_flush_interval": f"{FLUSH_S}s"}
    config.write_bytes(orjson.dumps({"only": ["red"], "span_metrics": section}))
    reader = PointReader()
    with broker(directory, core=0) as (bootstrap, _):
        await create_topic(bootstrap, SPANS, _PARTITIONS)
        port = free_port()
        worker = Process(
            ["worker", "-c", str(config), "--bootstrap", bootstrap,
             "--data", str(directory / "worker"), "--web-port", str(port)],
            directory / "worker.log", (os.cpu_count() or 1) - 1,
        )  # fmt: skip
        try:
            worker.wait_for("ready ")
            reading = asyncio.create_task(
                follow(bootstrap, [METRICS], reader.add, lambda: reader.is_over)
            )
            start_ms = time.time_ns() // 1_000_000
            sent = records(series, warm_s + seconds, start_ms)
            sending = asyncio.create_task(produce(sent, bootstrap, SPANS, speed=1.0))
            await asyncio.sleep(warm_s)
            first_cpu, first_rss = cpu_seconds(worker.pid), rss_bytes(worker.pid)
            began = time.monotonic()
            await asyncio.sleep(seconds)
            cpu = (cpu_seconds(worker.pid) - first_cpu) / (time.monotonic() - began)
            rss = rss_bytes(worker.pid)
            produced = await sending
            spans = produced.records * SPANS_A_MESSAGE
            await asyncio.to_thread(
                wait_until, [port],
                lambda found: total(found, "tailrace_red_spans_total") >= spans, _DRAIN_S,
            )  # fmt: skip
            await _flushed(reader, spans)
            reader.is_over = True
            await reading
        finally:
            worker.stop()
    return Row(rate, series, seconds, _rate(reader, series), cpu, rss, first_rss)


async def _flushed(reader: PointReader, spans: int) -> None:
    """Wait for the flush that tells of all *spans*."""
    ends_at = time.monotonic() + _DRAIN_S
    while time.monotonic() < ends_at:
        if reader.calls and reader.calls[max(reader.calls)] == spans:
            return
        await asyncio.sleep(0.5)
    told = reader.calls.get(max(reader.calls, default=0), 0)
    raise AssertionError(f"the last flush tells {told:,} calls; {spans:,} spans were sent")


def _rate(reader: PointReader, series: int) -> float:
    """Return the points of a flush in which every series is, per second."""
    whole = [count for count in reader.points.values() if count == POINTS_A_SERIES * series]
    if not whole:
        raise AssertionError(
            f"no flush has {series:,} series; the largest had "
            f"{max(reader.points.values(), default=0):,} points"
        )
    return whole[0] / FLUSH_S
