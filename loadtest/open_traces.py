"""What open traces cost: memory, and whether a span costs more when a million of them wait.

One worker that only samples, by ten policies, with a wait so long that no trace is decided.
"""

import asyncio
import os
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tailrace_loadtest.kafka import produce
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
from tailrace_loadtest.sampling import Sampling
from tailrace_loadtest.workers import SPANS, create_topic, policies

SPANS_A_TRACE = 4
FEW = 10_000
MEASURED = 50_000
"""Traces over which the cost is measured: after the first few, and at the end."""
_ODD = 0x9E3779B97F4A7C15F39CC0605CEDC835
_TRACE, _SPAN = b"\xaa" * 16, b"\xbb" * 8
_PARTITIONS = 8
_DRAIN_S = 1800.0
_ASK_EVERY_S = 1.0


@dataclass(frozen=True, slots=True)
class Figures:
    """CPU µs a span with few and with many traces open; memory in bytes."""

    traces: int
    few_us: float
    many_us: float
    empty_rss: int
    rss: int

    def __str__(self) -> str:
        each = (self.rss - self.empty_rss) / self.traces
        return "\n".join(
            [
                f"{self.traces:,} traces of {SPANS_A_TRACE} spans open in one worker",
                f"CPU µs a span with {FEW:,} to {FEW + MEASURED:,} open: {self.few_us:.2f}",
                f"CPU µs a span with {self.traces - MEASURED:,} to {self.traces:,} open: "
                f"{self.many_us:.2f} ({self.many_us / self.few_us - 1:+.0%})",
                f"RSS: {self.rss / 1e6:,.0f} MB, {each:,.0f} bytes a trace above an empty worker",
            ]
        )


def open_traces(traces: int) -> Figures:
    """Measure with *traces* open at the end."""
    with tempfile.TemporaryDirectory(prefix="tailrace-open-") as temporary:
        return asyncio.run(_measured(traces, Path(temporary)))


def records(first: int, end: int) -> Iterator[Record]:
    """Yield a message for each trace from number *first* to *end*, at the time of now."""
    template = _template()
    trace_at, span_at = _places(template, _TRACE), _places(template, _SPAN)
    now_ms = time.time_ns() // 1_000_000
    for number in range(first, end):
        trace_id = ((number + 1) * _ODD % (1 << 128)).to_bytes(16, "big")
        value = bytearray(template)
        for at in trace_at:
            value[at : at + 16] = trace_id
        for place, at in enumerate(span_at):
            value[at : at + 8] = (number * SPANS_A_TRACE + place + 1).to_bytes(8, "big")
        yield Record(trace_id.hex().encode(), bytes(value), now_ms, number)


def _template() -> bytes:
    request = ExportTraceServiceRequest()
    block = request.resource_spans.add()
    block.resource.attributes.add(key="service.name").value.string_value = "shop"
    scope = block.scope_spans.add()
    scope.scope.name = "http"
    for number in range(SPANS_A_TRACE):
        span: Any = scope.spans.add(trace_id=_TRACE, span_id=_SPAN, name="GET /cart", kind=2)
        if number:
            span.parent_span_id = b"parent##"
        span.start_time_unix_nano = time.time_ns()
        span.end_time_unix_nano = span.start_time_unix_nano + 5_000_000
        span.attributes.add(key="http.route").value.string_value = "/cart"
        span.attributes.add(key="http.response.status_code").value.int_value = 200
    encoded: bytes = request.SerializeToString()
    return encoded


def _places(template: bytes, hole: bytes) -> list[int]:
    found, at = [], template.find(hole)
    while at >= 0:
        found.append(at)
        at = template.find(hole, at + len(hole))
    return found


async def _measured(traces: int, directory: Path) -> Figures:
    config = directory / "config.json"
    section = {"decision_wait": "24h", "policies": policies(Sampling(), idle=True)}
    config.write_bytes(orjson.dumps({"only": ["sampling"], "tail_sampling": section}))
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
            empty = rss_bytes(worker.pid)

            async def fed(first: int, end: int) -> float:
                """Feed traces, and return the CPU seconds that they took."""
                before = cpu_seconds(worker.pid)
                await produce(records(first, end), bootstrap, SPANS)
                await asyncio.to_thread(
                    wait_until, [port],
                    lambda found: total(found, "tailrace_traces_open") >= end,
                    _DRAIN_S, _ASK_EVERY_S,
                )  # fmt: skip
                return cpu_seconds(worker.pid) - before

            await fed(0, FEW)
            few = await fed(FEW, FEW + MEASURED)
            await fed(FEW + MEASURED, traces - MEASURED)
            many = await fed(traces - MEASURED, traces)
            rss = rss_bytes(worker.pid)
        finally:
            worker.stop()
    spans = MEASURED * SPANS_A_TRACE
    return Figures(traces, few / spans * 1e6, many / spans * 1e6, empty, rss)
