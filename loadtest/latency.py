"""How long after its decision is due a kept trace can be read.

One worker with default engine settings, a load in real time, and a read_committed reader. A trace
is due at its `decided_at`. While records come, they move time; at the end of the load the clock
does, behind a grace: those decisions are apart.
"""

import asyncio
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import orjson

from tailrace_loadtest.check import check
from tailrace_loadtest.counting import counted
from tailrace_loadtest.kafka import Produced, follow, produce
from tailrace_loadtest.load import Load, Record
from tailrace_loadtest.processes import Samples, broker, wait_until
from tailrace_loadtest.report import Report, Written
from tailrace_loadtest.sampling import Sampling
from tailrace_loadtest.truth import Truth
from tailrace_loadtest.workers import (
    DECISIONS,
    SAMPLED,
    SPANS,
    Worker,
    create_topic,
    is_settled,
    write_config,
)

WAIT_S = 5.0
TARGET_S = 2.0
_DRAIN_S = 60.0
_AHEAD_MS = 1_000


@dataclass(frozen=True, slots=True)
class Figures:
    """Seconds from due to readable, one a kept trace: while the load ran, and after it."""

    load: Load
    report: Report
    running: list[float]
    ending: list[float]
    most_behind_s: float

    def __str__(self) -> str:
        rate = self.load.spans / self.load.seconds
        return "\n".join(
            [
                f"{rate:,.0f} spans/s for {self.load.seconds:g} s, sent at most "
                f"{self.most_behind_s:.2f} s late; outputs checked: {self.report}",
                "seconds from due to readable        traces    p50    p99    max",
                f"  while records come          {_row(self.running)}",
                f"  at the end of the load      {_row(self.ending)}",
                f"target: p99 of the first at most {TARGET_S:g} s: "
                + ("met" if np.quantile(self.running, 0.99) <= TARGET_S else "MISSED"),
            ]
        )


def _row(seconds: list[float]) -> str:
    if not seconds:
        return f"{0:>12}"
    p50, p99 = np.quantile(seconds, [0.5, 0.99])
    return f"{len(seconds):>12,}{p50:>7.2f}{p99:>7.2f}{max(seconds):>7.2f}"


@dataclass(slots=True)
class _Reader:
    """What came out, and when each kept trace was first seen."""

    outputs: dict[str, list[Written]] = field(default_factory=lambda: {SAMPLED: [], DECISIONS: []})
    seen: dict[bytes, float] = field(default_factory=dict)
    is_over: bool = False

    def add(self, topic: str, record: Written) -> None:
        self.outputs[topic].append(record)
        if topic == SAMPLED:
            self.seen.setdefault(record.key or b"", time.time())

    def latencies(self, end_ms: int) -> tuple[list[float], list[float]]:
        """Of the traces that were due before *end_ms*, and of the others."""
        running: list[float] = []
        ending: list[float] = []
        for record in self.outputs[DECISIONS]:
            decision = orjson.loads(record.value or b"{}")
            if decision["late"] or decision["decision"] != "sampled":
                continue
            due = np.datetime64(decision["decided_at"].removesuffix("Z"), "ms").astype(int)
            latency = self.seen[(record.key or b"")] - int(due) / 1000
            (running if due < end_ms else ending).append(latency)
        return running, ending


def latency(rate: int, seconds: float) -> Figures:
    """Measure at *rate* spans/s; the report says whether what came out was right."""
    load = Load(spans=int(rate * seconds), seconds=seconds, decision_wait_s=WAIT_S)
    with tempfile.TemporaryDirectory(prefix="tailrace-latency-") as temporary:
        return asyncio.run(_latency(load, Path(temporary)))


async def _latency(load: Load, directory: Path) -> Figures:
    truth = Truth(load)
    records = list(counted(truth))  # made before, so that this process only sends and reads
    reader = _Reader()
    with broker(directory) as (bootstrap, _):
        await create_topic(bootstrap)
        config = write_config(directory, load.decision_wait_s, Sampling())
        worker = Worker("worker", directory, bootstrap, config)
        try:
            await asyncio.to_thread(worker.start().wait_for, "ready ")
            following = asyncio.create_task(
                follow(bootstrap, [SAMPLED, DECISIONS], reader.add, lambda: reader.is_over)
            )
            later_ms = int(time.time() * 1000) + _AHEAD_MS - load.start_ms
            produced = await _send(records, later_ms, bootstrap)
            await asyncio.to_thread(_drain, worker, truth)
            await asyncio.sleep(2)  # the reader's last fetch
            reader.is_over = True
            await following
        finally:
            worker.kill()
    report = check(truth, reader.outputs[SAMPLED], reader.outputs[DECISIONS])
    end_ms = load.start_ms + later_ms + round(load.seconds * 1000)
    return Figures(load, report, *reader.latencies(end_ms), produced.most_behind_s)


async def _send(records: list[Record], later_ms: int, bootstrap: str) -> Produced:
    moved = (record._replace(timestamp_ms=record.timestamp_ms + later_ms) for record in records)
    return await produce(moved, bootstrap, SPANS, speed=1.0)


def _drain(worker: Worker, truth: Truth) -> Samples:
    return wait_until([worker.port], lambda samples: is_settled(samples, truth), _DRAIN_S)
