"""Runs the demo: starts everything, shows it, checks what came out, and cleans up."""

from __future__ import annotations

import asyncio
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

from tailrace.schemas.config import load
from tailrace.schemas.durations import SECOND
from tailrace.schemas.errors import EnvironmentFailed
from tailrace.streams.broker.embedded import EmbeddedBroker
from tailrace.streams.demo.state import TOPICS, Evidence, Flow
from tailrace.streams.demo.summary import summary, verdict
from tailrace.streams.demo.view import Screen, Worker
from tailrace_loadtest.counting import counted
from tailrace_loadtest.generator import records
from tailrace_loadtest.kafka import follow, produce
from tailrace_loadtest.load import Load, Record
from tailrace_loadtest.processes import Process, free_port, scrape, total
from tailrace_loadtest.ticks import ticking
from tailrace_loadtest.truth import Truth
from tailrace_loadtest.workers import SPANS, Input

SPANS_A_SECOND = 3_000
_TAIL_S = 11
"""Starting, and from the end of the load to the last flush: the time to live of what stays alone,
a rollup, a flush and a checkpoint."""
_PART_S = 600
"""A load without end is made of parts, since the plan of a load takes memory."""
_DRAIN_S = 240.0
_AFTER_S = 1.5
"""Longer than what is too much may still come after what is enough."""
_SHOW_S = 0.5
CONFIG = Path(__file__).with_name("config.yaml")


def run_demo(seconds: int | None) -> None:
    """Run for about *seconds*, or until Ctrl-C; raise if what came out was wrong."""
    screen = Screen()
    screen.say("starting Kafka …")
    with (
        tempfile.TemporaryDirectory(prefix="tailrace-demo-") as directory,
        EmbeddedBroker(port=0) as broker,
    ):
        screen.say(f"Kafka listens on {broker.bootstrap}; starting a worker …")
        demo = Demo(screen, broker.bootstrap, Path(directory))
        try:
            asyncio.run(demo.run(seconds))
        finally:
            demo.stop_worker()


class Demo:
    """One run: a load that is sent, a worker that may be killed, a reader of what comes out."""

    def __init__(self, screen: Screen, bootstrap: str, directory: Path) -> None:
        self._screen = screen
        self._bootstrap = bootstrap
        self._directory = directory
        self._port = free_port()
        self._flow = Flow()
        self._interrupted = asyncio.Event()
        self._is_drained = False
        self._ending = False
        self._worker: Process | None = None
        self._config = load(CONFIG)
        self._before = (time.monotonic(), 0.0)
        self._began = 0.0

    async def run(self, seconds: int | None) -> None:
        """Let it flow; then wait until all has come out, and tell how it went."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._interrupted.set)
        self._start_worker()
        await asyncio.to_thread(self._wait_for_ready)
        if self._interrupted.is_set():
            raise KeyboardInterrupt
        wait_s = self._config.tail_sampling.decision_wait / SECOND
        following = asyncio.create_task(self._follow())
        if seconds is None:
            await self._show_while(_endless(wait_s), None)
        else:
            flowing = max(seconds - _TAIL_S, seconds // 3)
            truth = Truth(part(1, flowing, _now_ms(), wait_s))
            evidence = self._flow.evidence = Evidence()
            await self._show_while(counted(truth), flowing, lambda: evidence.is_whole(truth))
        self._ending = True
        await following
        self._screen.say(*summary(self._flow))
        if seconds is None:
            self._screen.say("checked only if it ends by itself: DEMO_SECONDS=20 make demo")
        elif self._interrupted.is_set():
            raise KeyboardInterrupt
        else:
            self._judge(evidence, truth)

    async def _show_while(
        self,
        load: Iterator[Record],
        flowing: float | None,
        is_whole: Callable[[], bool] = lambda: True,
    ) -> None:
        """Send *load* and show what it becomes, until all has come out or Ctrl-C."""
        sent = self._flow.sent
        records = self._until_interrupted(load)
        sending = asyncio.create_task(
            produce(records, self._bootstrap, SPANS, speed=1.0, produced=sent)
        )
        self._began = time.monotonic()
        with self._screen:
            while not sending.done():
                await self._show(flowing)
            await sending
            if not self._interrupted.is_set():
                await self._drain(is_whole)
            if self._interrupted.is_set():
                await asyncio.to_thread(self.stop_worker)
                await asyncio.sleep(_AFTER_S)

    def _until_interrupted(self, load: Iterator[Record]) -> Iterator[Record]:
        for record in load:
            if self._interrupted.is_set():
                return
            yield record

    async def _follow(self) -> None:
        await follow(self._bootstrap, TOPICS, self._flow.add, lambda: self._ending)

    async def _drain(self, is_whole: Callable[[], bool]) -> None:
        """Wait until everything is decided and counted, but not for ever.

        Time stands still until what was sent last is shown, and goes on until all is counted.
        """
        deadline = time.monotonic() + _DRAIN_S
        self._flow.note = "the load has ended; waiting for the last decisions, metrics and edges"
        await self._show_until(lambda worker: worker.has_read, deadline)
        screen, shown = self._screen, self._screen.blocks
        await self._show_until(lambda _: screen.is_live or screen.blocks > shown, deadline)
        async with ticking(self._bootstrap, Input.of()):
            await self._show_until(lambda _: is_whole(), deadline)
        self._is_drained = await self._show_until(
            lambda worker: worker.is_idle and is_whole(), deadline
        )
        await asyncio.sleep(_AFTER_S)

    async def _show_until(self, holds: Callable[[Worker], bool], deadline: float) -> bool:
        """Show what flows until it *holds* of the worker; False if it takes too long."""
        while time.monotonic() < deadline and not self._interrupted.is_set():
            if holds(await self._show(None)):
                return True
        return False

    async def _show(self, flowing: float | None) -> Worker:
        has_died = self._worker is not None and not self._worker.is_running
        # A terminal sends Ctrl-C to the worker, too.
        if self._worker is not None and has_died and not self._interrupted.is_set():
            self._flow.note = f"the worker was killed (pid {self._worker.pid}); started it again"
            self._start_worker()
            self._flow.note += f" (pid {self._flow.worker_pid})"
        worker = await asyncio.to_thread(self._ask)
        elapsed = time.monotonic() - self._began
        left = None if flowing is None else flowing - elapsed
        self._screen.show(self._flow, worker, elapsed, left)
        await asyncio.sleep(_SHOW_S)
        return worker

    def _start_worker(self) -> None:
        self._worker = Process(
            ["worker", "-c", str(CONFIG), "--bootstrap", self._bootstrap,
             "--data", str(self._directory / "worker"), "--web-port", str(self._port)],
            self._directory / "worker.log",
        )  # fmt: skip
        self._flow.worker_pid = self._worker.pid
        self._flow.worker_starts += 1

    def _wait_for_ready(self) -> None:
        assert self._worker is not None
        try:
            self._worker.wait_for("ready ")
        except RuntimeError as error:
            if self._interrupted.is_set():
                return
            raise EnvironmentFailed("the demo's worker did not start", str(error)) from error

    def stop_worker(self) -> None:
        """Let the worker commit and end."""
        if self._worker is not None:
            self._worker.stop()

    def _ask(self) -> Worker:
        """Return what the worker says of itself; zeros while it is starting."""
        try:
            samples = scrape(self._port)
        except OSError:
            return Worker(is_up=False)
        now, spans = time.monotonic(), total(samples, "tailrace_spans_decoded_total")
        before, self._before = self._before, (now, spans)
        return Worker(
            spans=spans,
            pending=total(samples, "tailrace_spans_pending"),
            open_traces=total(samples, "tailrace_traces_open"),
            lag=total(samples, "tailrace_lag_records", stage="spans"),
            rollup_lag=total(samples, "tailrace_lag_records", stage="rollups"),
            checkpoint_ms=1000 * max(
                (v for (n, _), v in samples.items() if n == "tailrace_last_checkpoint_seconds"),
                default=0.0,
            ),
            spans_a_second=max(0.0, (spans - before[1]) / (now - before[0])),
        )  # fmt: skip

    def _judge(self, evidence: Evidence, truth: Truth) -> None:
        """Say that what came out is right, or raise."""
        if not self._is_drained:
            raise EnvironmentFailed(
                "the worker did not process everything in time",
                f"Its log ends with:\n{self._log_end()}",
            )
        report = evidence.compare(truth)
        if not report.is_right:
            raise RuntimeError(f"what came out differs from what was sent: {report}")
        self._screen.say(verdict(report, truth))

    def _log_end(self) -> str:
        return (self._directory / "worker.log").read_text()[-2000:]


def part(seed: int, seconds: float, start_ms: int, wait_s: float) -> Load:
    """Return a load without late fragments: those of a trace come within half of the wait.

    So the halves of every call meet within a short time to live.
    """
    spans = round(seconds * SPANS_A_SECOND)
    return Load(seed, spans, seconds, start_ms, decision_wait_s=wait_s, late_share=0.0)


def _endless(wait_s: float) -> Iterator[Record]:
    """Yield loads that follow each other from now on."""
    start_ms = _now_ms()
    for seed in count(1):
        yield from records(part(seed, _PART_S, start_ms, wait_s))
        start_ms += _PART_S * 1000


def _now_ms() -> int:
    return int(time.time() * 1000)
