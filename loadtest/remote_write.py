"""What a sample costs on its way to a receiver: one worker on one core that does nothing else.

Every sample that came is read and compared with the truth before any figure is told.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import orjson
from aiohttp import web
from aiokafka import AIOKafkaProducer
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from tailrace_loadtest.bench import Wrong
from tailrace_loadtest.processes import (
    Process,
    broker,
    cpu_seconds,
    free_port,
    peak_rss_bytes,
    total,
    wait_until,
)
from tailrace_loadtest.workers import METRICS, create_topic
from tailrace_loadtest.written_samples import Labels, read_delivery

PARTITIONS: Final = 8
BOUNDS_MS: Final = tuple(float(2**power) for power in range(16))
A_STREAM: Final = len(BOUNDS_MS) + 4
"""Samples of one series of calls and durations: a counter, and a histogram with its +Inf."""
FORMATS: Final = {"1.0": "prometheus.WriteRequest", "2.0": "io.prometheus.write.v2.Request"}
_DRAIN_S: Final = 300.0
_STEP_MS: Final = 1000
_MS: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Flushes:
    """So many flushes of so many streams. The number of calls grows at each of them."""

    count: int
    streams: int
    start_ms: int

    @property
    def samples(self) -> int:
        """How many arrive."""
        return self.count * self.streams * A_STREAM

    def at(self, flush: int) -> int:
        """The time of *flush*, in ms."""
        return self.start_ms + (flush + 1) * _STEP_MS

    def calls(self, stream: int, flush: int) -> int:
        """How many there have been."""
        return (flush + 1) * (stream % 100 + 17)

    def record(self, partition: int, flush: int) -> bytes:
        """The streams of *partition*, as an export request."""
        request = ExportMetricsServiceRequest()
        block = request.resource_metrics.add()
        _say(block.resource.attributes, {"service.name": f"service-{partition}"})
        scope = block.scope_metrics.add()
        scope.scope.name = "spanmetricsconnector"
        calls = scope.metrics.add(name="traces.span.metrics.calls").sum
        calls.aggregation_temporality, calls.is_monotonic = 2, True
        durations = scope.metrics.add(name="traces.span.metrics.duration", unit="ms").histogram
        durations.aggregation_temporality = 2
        times = {
            "time_unix_nano": self.at(flush) * _MS,
            "start_time_unix_nano": self.start_ms * _MS,
        }
        for stream in range(partition, self.streams, PARTITIONS):
            attributes = {
                "service.name": f"service-{partition}",
                "span.name": f"GET /resource/{stream}",
                "span.kind": "SPAN_KIND_SERVER",
                "status.code": "STATUS_CODE_UNSET",
            }
            number = self.calls(stream, flush)
            point = calls.data_points.add(as_int=number, **times)
            _say(point.attributes, attributes)
            buckets = [number // 17] * 16 + [number - number // 17 * 16]
            histogram = durations.data_points.add(
                count=number, sum=number * 1.5, bucket_counts=buckets, explicit_bounds=BOUNDS_MS,
                **times,
            )  # fmt: skip
            _say(histogram.attributes, attributes)
        encoded: bytes = request.SerializeToString()
        return encoded

    def expected(self, labels: dict[str, str], at: int) -> float:
        """The value of the series *labels* at *at*."""
        stream = int(labels["span_name"].rpartition("/")[2])
        number = self.calls(stream, (at - self.start_ms) // _STEP_MS - 1)
        name = labels["__name__"]
        if name.endswith("_sum"):
            return number * 1.5
        if name.endswith("_bucket") and labels["le"] != "+Inf":
            return number // 17 * (BOUNDS_MS.index(float(labels["le"])) + 1)
        return number


def _say(target: object, attributes: dict[str, str]) -> None:
    for key, value in attributes.items():
        target.add(key=key).value.string_value = value  # type: ignore[attr-defined]  # protobuf's


@dataclass(slots=True)
class Store:
    """A receiver that keeps what it is sent."""

    url: str = ""
    requests: list[tuple[dict[str, str], bytes]] = field(default_factory=list)

    def check(self, flushes: Flushes) -> None:
        """Raise Wrong unless all that had to come came, and nothing else."""
        seen: set[tuple[Labels, int]] = set()
        for headers, body in self.requests:
            for sample in read_delivery(headers, body).samples:
                wanted = flushes.expected(dict(sample.labels), sample.at)
                if sample.value != wanted:
                    raise Wrong(f"{sample} came, not {wanted}")
                seen.add((sample.labels, sample.at))
        if len(seen) != flushes.samples:
            raise Wrong(f"{len(seen)} samples came, not {flushes.samples}")


@asynccontextmanager
async def storing() -> AsyncIterator[Store]:
    """A store that listens on this machine."""
    store = Store()

    async def handle(request: web.Request) -> web.Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        store.requests.append((headers, await request.read()))
        written = {"X-Prometheus-Remote-Write-Samples-Written": "0"}
        return web.Response(status=204, headers=written)

    application = web.Application(client_max_size=64 << 20)
    application.router.add_post("/write", handle)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    store.url = f"http://127.0.0.1:{runner.addresses[0][1]}/write"
    try:
        yield store
    finally:
        await runner.cleanup()


@dataclass(frozen=True, slots=True)
class Cost:
    """What one format costs."""

    version: str
    samples: int
    requests: int
    bytes: int
    cpu: float
    peak_rss: int

    def __str__(self) -> str:
        return (
            f"remote write {self.version}: {self.samples / self.cpu:>9,.0f} samples a CPU second, "
            f"{self.cpu / self.samples * 1e6:.2f} µs a sample; {self.samples:,} samples in "
            f"{self.requests:,} requests, {self.bytes / self.samples:.1f} bytes a sample; peak RSS "
            f"{self.peak_rss / 1e6:,.0f} MB"
        )


def remote_write(flushes: Flushes) -> Iterator[Cost]:
    """Measure each format; raises Wrong."""
    for version, message in FORMATS.items():
        with tempfile.TemporaryDirectory(prefix="tailrace-write-") as temporary:
            yield asyncio.run(_measured(flushes, version, message, Path(temporary)))


async def _measured(flushes: Flushes, version: str, message: str, directory: Path) -> Cost:
    async with storing() as store:
        with broker(directory, core=0) as (bootstrap, _):
            await create_topic(bootstrap, METRICS, PARTITIONS)
            config = directory / "config.json"
            receiver = {"url": store.url, "name": "store", "protobuf_message": message}
            config.write_bytes(orjson.dumps({"remote_write": [receiver]}))
            port = free_port()
            worker = Process(
                ["worker", "-c", str(config), "--bootstrap", bootstrap, "--only", "remote_write",
                 "--data", str(directory / "worker"), "--web-port", str(port)],
                directory / "worker.log", (os.cpu_count() or 1) - 1,
            )  # fmt: skip
            try:
                await asyncio.to_thread(worker.wait_for, "ready ")
                before = cpu_seconds(worker.pid)
                await _write(bootstrap, flushes)
                await asyncio.to_thread(
                    wait_until,
                    [port],
                    lambda found: total(found, "tailrace_export_samples_total") >= flushes.samples,
                    _DRAIN_S,
                )
                cpu, peak = cpu_seconds(worker.pid) - before, peak_rss_bytes(worker.pid)
            finally:
                worker.stop()
        store.check(flushes)
        sizes = sum(len(body) for _, body in store.requests)
        return Cost(version, flushes.samples, len(store.requests), sizes, cpu, peak)


async def _write(bootstrap: str, flushes: Flushes) -> None:
    async with AIOKafkaProducer(
        bootstrap_servers=bootstrap, max_request_size=64 << 20, compression_type="zstd"
    ) as producer:
        for flush in range(flushes.count):
            sent = [
                await producer.send(
                    METRICS, flushes.record(partition, flush), partition=partition,
                    timestamp_ms=flushes.at(flush),
                    headers=[("tailrace.flush", f"red {flushes.at(flush)} 1/1".encode())],
                )
                for partition in range(PARTITIONS)
            ]  # fmt: skip
            await asyncio.gather(*sent)
