"""What very many series cost one worker: checkpoints, flushes, memory, and starting again.

A worker first has few series; then all of them appear within seconds; then it goes on; then it is
killed, and killed again with its files gone. After each of these the last flush tells every span
that was sent, and every series.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import orjson

from tailrace_loadtest.bench import Wrong
from tailrace_loadtest.checkpoint_times import HEAD as TIMES
from tailrace_loadtest.checkpoint_times import INTERVAL_S, CheckpointTimes, checkpoint_times
from tailrace_loadtest.data_points import (
    FLUSH_S,
    POINTS_A_SERIES,
    SERVICES,
    SPANS_A_MESSAGE,
    PointReader,
    message,
)
from tailrace_loadtest.kafka import follow, produce
from tailrace_loadtest.load import Record
from tailrace_loadtest.processes import (
    Process,
    broker,
    cpu_seconds,
    free_port,
    peak_rss_bytes,
    rss_bytes,
    scrape,
)
from tailrace_loadtest.workers import METRICS, SPANS, create_topic

FEW: Final = 1_000
FIRST_SPANS_A_SECOND: Final = 20_000
_PARTITIONS: Final = 8
_FLUSHES: Final = 2
"""Whole ones, before anything is said to be steady."""
_WAIT_S: Final = 300.0


@dataclass(slots=True)
class NameLoad:
    """Spans at an even pace, whose names go round; all of them once, and fast, when they grow."""

    spans_a_second: int
    series: int
    at_ms: float
    services: int = SERVICES
    spans: int = 0
    is_over: bool = False
    _turns: int = 0
    """Messages since the names grew."""

    def grow(self, series: int) -> None:
        """Have so many names from now on; each has a turn at once."""
        self.series, self._turns = series, 0

    @property
    def is_first_pass(self) -> bool:
        """True until every name has had its turn."""
        return self._turns * SPANS_A_MESSAGE < self.series

    def records(self) -> Iterator[Record]:
        """Yield messages until it is over."""
        while not self.is_over:
            rate = FIRST_SPANS_A_SECOND if self.is_first_pass else self.spans_a_second
            self.at_ms += SPANS_A_MESSAGE * 1000 / max(rate, self.spans_a_second)
            number, at_ms = self.spans // SPANS_A_MESSAGE, int(self.at_ms)
            value = message(self._turns, self.series, at_ms, number, self.services)
            self.spans += SPANS_A_MESSAGE
            self._turns += 1
            yield Record((number + 1).to_bytes(16, "big").hex().encode(), value, at_ms, number)


@dataclass(frozen=True, slots=True)
class Phase:
    """What was measured. `read_after`: of its flushes, until all of one could be read (s)."""

    name: str
    times: CheckpointTimes
    flushes: int
    read_after: float
    cpu: float
    seconds: float
    rss: int
    peak_rss: int

    def __str__(self) -> str:
        return (
            f"{self.name:<32}{self.times}{self.flushes:>9}{self.read_after:>14.1f}"
            f"{self.cpu / self.seconds:>8.1%}{self.rss / 1e6:>9,.0f}{self.peak_rss / 1e6:>7,.0f}"
        )


_HEAD: Final = f"{'':<32}{TIMES}  flushes  read after s     CPU   RSS MB   peak"


@dataclass(frozen=True, slots=True)
class Figures:
    """Phases in their order: few, new, steady, and after each death."""

    series: int
    points_a_second: float
    phases: list[Phase]
    ready: list[float]

    def __str__(self) -> str:
        few, _, steady, *_ = self.phases
        more = self.series - FEW
        flush = (steady.cpu / steady.seconds - few.cpu / few.seconds) * FLUSH_S
        count = sum(phase.times.count for phase in self.phases)
        over = sum(phase.times.over for phase in self.phases)
        return "\n".join(
            [
                f"{self.series:,} series in one worker on one core of {os.cpu_count()}, flushed "
                f"every {FLUSH_S} s: {self.points_a_second:,.0f} data points a second",
                _HEAD,
                *map(str, self.phases),
                f"ready after kill -9: {self.ready[0]:.1f} s; from the changelog alone: "
                f"{self.ready[1]:.1f} s",
                f"a flush: {flush:.2f} CPU seconds, {flush / more * 1e6:.1f} µs a series",
                f"a series: {(steady.rss - few.rss) / more:,.0f} bytes of RSS, "
                f"{(steady.peak_rss - few.peak_rss) / more:,.0f} at the peak",
                f"checkpoints, steady: p99 at most {steady.times.p99:g} s, longest at most "
                f"{steady.times.longest:g} s of an interval of {INTERVAL_S:g} s; "
                f"{over:,} of all {count:,} took longer than that",
            ]
        )


def series(count: int, seconds: float, spans_a_second: int, services: int) -> Figures:
    """Measure with *count* series, for *seconds* when steady; raises Wrong."""
    few = FEW // services * services
    load = NameLoad(spans_a_second, few, time.time() * 1000, services)
    if (cores := os.cpu_count() or 1) > 1:
        os.sched_setaffinity(0, range(cores - 1))  # the last one is the worker's
    with tempfile.TemporaryDirectory(prefix="tailrace-series-") as temporary:
        return asyncio.run(_measured(count // services * services, seconds, load, Path(temporary)))


async def _measured(count: int, seconds: float, load: NameLoad, directory: Path) -> Figures:
    with broker(directory, core=0) as (bootstrap, _):
        await create_topic(bootstrap, SPANS, _PARTITIONS)
        run = _Run(directory, bootstrap, load)
        try:
            await run.start()
            reading = asyncio.create_task(
                follow(bootstrap, [METRICS], run.reader.add, lambda: run.is_over)
            )
            load.at_ms = time.time() * 1000
            sending = asyncio.create_task(produce(load.records(), bootstrap, SPANS, speed=1.0))
            few = load.series
            await run.flushed(few, _FLUSHES)
            phases = [await run.phase(f"{few:,} series", lambda: asyncio.sleep(seconds / 2))]
            load.grow(count)
            phases.append(
                await run.phase(
                    f"{count:,}, from all new", lambda: run.flushed(count, 1 + _FLUSHES)
                )
            )
            phases.append(await run.phase(f"{count:,}, steady", lambda: asyncio.sleep(seconds)))
            ready = []
            for name, is_lost in (("after kill -9", False), ("after kill -9, files gone", True)):
                run.worker.kill()
                if is_lost:
                    shutil.rmtree(run.data)
                ready.append(await run.start())
                phases.append(
                    await run.phase(name, lambda: run.flushed(count, _FLUSHES), is_new=True)
                )
            load.is_over = True
            await sending
            await run.told(load.spans, count)
            run.is_over = True
            await reading
        finally:
            run.worker.stop()
    return Figures(count, count * POINTS_A_SERIES / FLUSH_S, phases, ready)


@dataclass(slots=True)
class _Run:
    """A worker, what it is sent, and what is read of it."""

    directory: Path
    bootstrap: str
    load: NameLoad
    reader: PointReader = field(default_factory=PointReader)
    is_over: bool = False
    _worker: Process | None = None
    _port: int = 0

    @property
    def worker(self) -> Process:
        """The process that runs now."""
        assert self._worker is not None
        return self._worker

    @property
    def data(self) -> Path:
        """Where its files are."""
        return self.directory / "worker"

    async def start(self) -> float:
        """Start a worker; return after how long it was ready (s)."""
        config = self.directory / "config.json"
        # Named, so that nobody waits for its old self when its files are gone.
        kafka = {"group_instance_id": "worker"}
        section = {"metrics_flush_interval": f"{FLUSH_S}s"}
        config.write_bytes(orjson.dumps({"only": ["red"], "span_metrics": section, "kafka": kafka}))
        self._port = free_port()
        started = time.monotonic()
        self._worker = Process(
            ["worker", "-c", str(config), "--bootstrap", self.bootstrap,
             "--data", str(self.data), "--web-port", str(self._port)],
            self.directory / "worker.log", (os.cpu_count() or 1) - 1,
        )  # fmt: skip
        await asyncio.to_thread(self._worker.wait_for, "ready ")
        return time.monotonic() - started

    async def phase(
        self, name: str, while_: Callable[[], Awaitable[None]], *, is_new: bool = False
    ) -> Phase:
        """Measure *while_*; all that the process has done if it *is_new*."""
        pid, began, seen = self.worker.pid, time.monotonic(), set(self.reader.points)
        before = {} if is_new else await asyncio.to_thread(scrape, self._port)
        cpu = 0.0 if is_new else cpu_seconds(pid)
        if is_new:
            began = self.worker.started_at
        await while_()
        cpu, seconds = cpu_seconds(pid) - cpu, time.monotonic() - began
        after = await asyncio.to_thread(scrape, self._port)
        flushed = [at for at in self.reader.points if at not in seen]
        late = [self.reader.read_at[at] - at / 1e9 for at in flushed]
        times = checkpoint_times(before, after)
        rss, peak = rss_bytes(pid), peak_rss_bytes(pid)
        return Phase(name, times, len(flushed), max(late, default=0.0), cpu, seconds, rss, peak)

    async def flushed(self, series: int, count: int) -> None:
        """Return when *count* more flushes have all *series*."""
        seen = set(self._whole(series))
        await self._until(
            lambda: len(seen ^ set(self._whole(series))) >= count,
            f"{count} flushes of {series:,} series",
        )

    async def told(self, spans: int, series: int) -> None:
        """Return when a flush of all *series* tells all *spans*."""
        calls = self.reader.calls
        await self._until(
            lambda: any(calls[at] == spans for at in self._whole(series)),
            f"a flush that tells {spans:,} calls",
        )

    def _whole(self, series: int) -> list[int]:
        points = series * POINTS_A_SERIES
        return [at for at, count in self.reader.points.items() if count == points]

    async def _until(self, done: Callable[[], bool], what: str) -> None:
        ends_at = time.monotonic() + _WAIT_S
        while not done():
            if time.monotonic() > ends_at:
                at = max(self.reader.points, default=0)
                raise Wrong(
                    f"there were not {what} within {_WAIT_S:g} s; the last flush has "
                    f"{self.reader.points.get(at, 0):,} points and {self.reader.calls.get(at, 0):,}"
                    f" calls"
                )
            await asyncio.sleep(0.1)
