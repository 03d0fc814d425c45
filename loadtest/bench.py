"""What a span costs: one worker on one core drains a load whose truth is known.

The whole job: kept traces and decisions by ten policies, RED with two dimensions and the service
graph, flushed every second, and what definitions ask for, if there are any. Outputs are checked
against the truth before any figure is told. CPU time counts, not wall time.
"""

import asyncio
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tailrace_loadtest.counting import counted
from tailrace_loadtest.kafka import produce
from tailrace_loadtest.load import Load
from tailrace_loadtest.matches import RollupReader, check_matches, expected, wait_for_matches
from tailrace_loadtest.outputs import check_outputs, wait_for_sums
from tailrace_loadtest.processes import (
    Process,
    Samples,
    broker,
    children,
    cpu_seconds,
    free_port,
    peak_rss_bytes,
    total,
    wait_until,
)
from tailrace_loadtest.report import Report
from tailrace_loadtest.sampling import Sampling
from tailrace_loadtest.truth import Truth
from tailrace_loadtest.watched import Population, sections, watched
from tailrace_loadtest.workers import ROLLUPS, create_topic, is_settled, sums_sections, write_config

PARTITIONS = 8
DIMENSIONS = ("service.version", "host.name")
"""Of resources, so that the series are those of the truth; they are looked for in spans first."""
_DRAIN_S = 900.0
_SUMS_S = 120.0
_ASK_EVERY_S = 2.0
"""An answer takes the worker some 20 ms."""
_PARTS = {
    ("spans", "decode"): "decode OTLP to columns",
    ("spans", "sampling"): "sampling: buffers, policies, outputs",
    ("spans", "red"): "RED: series, sums, rollups",
    ("spans", "service_graph"): "service graph: pairs, sums, rollups",
    ("spans", "matches"): "matches: filters, counts, rollups",
    ("spans", "inform"): "definitions: compiled, told",
    ("spans", "idle"): "what is due at the end of the log",
    ("spans", "checkpoint"): "checkpoint: snapshot and local store",
    ("rollups", "decode"): "stage 2: decode rollups",
    ("rollups", "metrics"): "stage 2: series, OTLP metrics, edges",
    ("rollups", "alerts"): "stage 2: windows, alerts",
    ("rollups", "inform"): "stage 2: definitions",
    ("rollups", "idle"): "stage 2: what is due at the end of the log",
    ("rollups", "checkpoint"): "stage 2: checkpoint",
}
"""By stage and part."""
_SUMS = [
    ("spans", "red"),
    ("spans", "service_graph"),
    ("rollups", "decode"),
    ("rollups", "metrics"),
    ("rollups", "checkpoint"),
]
"""The parts that RED and edges are, above decoding spans."""


class Wrong(Exception):
    """The outputs differ from the truth, so no figure means anything."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What was measured. CPU in seconds of user and system time."""

    spans: int
    records: int
    definitions: int
    matches: RollupReader
    cpu: float
    parts: dict[tuple[str, str], float]
    peak_rss: int
    decision_bytes: float
    broker_cpu: float
    report: Report

    def __str__(self) -> str:
        def row(what: str, seconds: float) -> str:
            return f"  {what:<48}{seconds / self.spans * 1e6:>8.2f}"

        rest = self.cpu - sum(self.parts.values())
        return "\n".join(
            [
                f"{self.spans:,} spans in {self.records:,} records, one worker on one core of "
                f"{os.cpu_count()}; outputs checked: {self.report}",
                f"{self.definitions:,} definitions, in which a span is an event "
                f"{self.matches.events / self.spans:.2f} times and matches "
                f"{self.matches.matches / self.spans:.2f} times; "
                f"{self.matches.rows / self.spans:.2f} sums of matches a span",
                "CPU µs a span",
                *(row(text, self.parts.get(part, 0.0)) for part, text in _PARTS.items()),
                row("Kafka clients, transport, the rest", rest),
                row("all", self.cpu),
                row("of which RED and edges", sum(self.parts.get(part, 0.0) for part in _SUMS)),
                f"spans a CPU second: {self.spans / self.cpu:>12,.0f}",
                f"peak RSS:           {self.peak_rss / 1e6:>12,.0f} MB",
                f"on disk:            {self.decision_bytes:>12.1f} bytes a remembered decision",
                f"broker, apart:      {self.broker_cpu / self.spans * 1e6:>12.2f} µs a span",
            ]
        )


def bench(load: Load, definitions: int = 0) -> Figures:
    """Measure; raises Wrong if what came out is not what had to."""
    with tempfile.TemporaryDirectory(prefix="tailrace-bench-") as temporary:
        return asyncio.run(_bench(load, definitions, Path(temporary)))


async def _bench(load: Load, definitions: int, directory: Path) -> Figures:
    truth, asked = Truth(load), watched(definitions)
    right = expected(asked, Population.of(load)) if asked else {}
    with broker(directory, core=0) as (bootstrap, broker_process):
        await create_topic(bootstrap, "otlp_spans", PARTITIONS)
        await produce(counted(truth), bootstrap, "otlp_spans")
        pids = [broker_process.pid, *children(broker_process.pid)]
        broker_before = sum(map(cpu_seconds, pids))
        port = free_port()
        config = write_config(
            directory,
            load.decision_wait_s,
            Sampling(),
            {**sums_sections(load, dimensions=DIMENSIONS), **sections(asked)},
            idle_policies=True,
        )
        worker = Process(
            ["worker", "-c", str(config), "--bootstrap", bootstrap,
             "--data", str(directory / "worker"), "--web-port", str(port)],
            directory / "worker.log", (os.cpu_count() or 1) - 1,
        )  # fmt: skip
        try:
            worker.wait_for("ready ")
            before = cpu_seconds(worker.pid)
            await asyncio.to_thread(
                wait_until, [port], lambda found: is_settled(found, truth), _DRAIN_S, _ASK_EVERY_S
            )
            await wait_for_sums(bootstrap, truth, _SUMS_S)
            matches = await wait_for_matches(bootstrap, ROLLUPS, right, _SUMS_S)
            samples = await asyncio.to_thread(
                wait_until, [port], lambda found: has_rows(found, matches.rows), _SUMS_S
            )
            cpu = cpu_seconds(worker.pid) - before
            peak = peak_rss_bytes(worker.pid)
            broker_cpu = sum(map(cpu_seconds, pids)) - broker_before
        finally:
            worker.stop()
        report = await check_outputs(bootstrap, truth, timeout_s=600, dimensions=DIMENSIONS)
        check_matches(report, right, matches)
    if not report.is_right:
        raise Wrong(str(report))
    parts = {
        (stage, part): total(samples, "tailrace_task_cpu_seconds_total", stage=stage, part=part)
        for stage, part in _PARTS
    }
    spans, records = truth.totals["spans"], truth.totals["records"]
    decisions, size = (
        total(samples, f"tailrace_{name}") for name in ("decisions_stored", "decision_bytes")
    )
    return Figures(
        spans, records, definitions, matches, cpu, parts, peak, size / decisions, broker_cpu, report
    )


def has_rows(samples: Samples, rows: int) -> bool:
    """Whether stage 2 has committed so many sums of matches."""
    return total(samples, "tailrace_match_rows_total") >= rows
