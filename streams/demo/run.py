"""Runs the demo: starts everything, shows it, checks what came out, and cleans up."""

from __future__ import annotations

import asyncio
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tailrace.schemas.errors import EnvironmentFailed
from tailrace.streams.broker.embedded import EmbeddedBroker
from tailrace.streams.demo.state import DECISIONS, SAMPLED, Flow
from tailrace.streams.demo.view import Screen, Worker
from tailrace_loadtest.check import check
from tailrace_loadtest.counting import counted
from tailrace_loadtest.kafka import follow, produce
from tailrace_loadtest.load import Load, Record
from tailrace_loadtest.processes import Process, free_port, scrape, total
from tailrace_loadtest.truth import Truth

SPANS_A_SECOND = 3_000
_WITHOUT_END_S = 24 * 3600
_WAIT_S = 3.0
"""The decision_wait of config.yaml."""
_TAIL_S = 15
"""Starting, and from the end of the load to the last decision on a late span."""
_DRAIN_S = 60.0
_SHOW_S = 0.5
_CONFIG = Path(__file__).with_name("config.yaml")


def run_demo(seconds: int | None) -> None:
    """Run for about *seconds* of flow, or until Ctrl-C; raise if what came out was wrong."""
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
        self._load_is_over = asyncio.Event()
        self._ending = False
        self._worker: Process | None = None
        self._before = (time.monotonic(), 0.0)

    async def run(self, seconds: int | None) -> None:
        """Let it flow; then wait until all is decided, and tell how it went."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._load_is_over.set)
        self._start_worker()
        await asyncio.to_thread(self._wait_for_ready)
        flowing = max(seconds - _TAIL_S, seconds // 3) if seconds else _WITHOUT_END_S
        load = Load(
            spans=flowing * SPANS_A_SECOND, seconds=flowing, start_ms=int(time.time() * 1000),
            decision_wait_s=_WAIT_S, late_margin_s=1.0,
        )  # fmt: skip
        truth = Truth(load)
        following = asyncio.create_task(self._follow())
        sending = asyncio.create_task(
            produce(
                self._until_over(counted(truth)), self._bootstrap, "otlp_spans",
                speed=1.0, produced=self._flow.sent,
            )
        )  # fmt: skip
        with self._screen:
            await self._show_while(sending, time.monotonic() + flowing if seconds else None)
            await sending
            drained = await self._drain(truth)
        self._ending = True
        await following
        self._tell(truth, is_drained=drained, is_complete=not self._load_is_over.is_set())

    def _until_over(self, records: Iterator[Record]) -> Iterator[Record]:
        for record in records:
            if self._load_is_over.is_set():
                return
            yield record

    async def _follow(self) -> None:
        await follow(self._bootstrap, [SAMPLED, DECISIONS], self._flow.add, lambda: self._ending)

    async def _show_while(self, sending: asyncio.Task[object], end: float | None) -> None:
        while not sending.done():
            await self._show(end)

    async def _drain(self, truth: Truth) -> bool:
        deadline = time.monotonic() + _DRAIN_S
        self._flow.note = "the load has ended; waiting for the last decisions"
        while time.monotonic() < deadline:
            worker = await self._show(None)
            if worker.spans and not worker.pending and not worker.lag:
                await asyncio.sleep(1.5)  # the last checkpoint, and the reader
                return True
        return False

    async def _show(self, end: float | None) -> Worker:
        if self._worker is not None and not self._worker.is_running:
            self._flow.note = f"the worker was killed; started it again (pid {self._worker.pid})"
            self._start_worker()
            self._flow.note += f" → pid {self._flow.worker_pid}"
        worker = await asyncio.to_thread(self._ask)
        left = None if end is None else end - time.monotonic()
        self._screen.show(self._flow, worker, left)
        await asyncio.sleep(_SHOW_S)
        return worker

    def _start_worker(self) -> None:
        self._worker = Process(
            ["worker", "-c", str(_CONFIG), "--bootstrap", self._bootstrap,
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
            return Worker()
        now, spans = time.monotonic(), total(samples, "tailrace_spans_decoded_total")
        before, self._before = self._before, (now, spans)
        return Worker(
            spans=spans,
            pending=total(samples, "tailrace_spans_pending"),
            open_traces=total(samples, "tailrace_traces_open"),
            lag=total(samples, "tailrace_lag_records"),
            checkpoint_ms=1000 * max(
                (v for (n, _), v in samples.items() if n == "tailrace_last_checkpoint_seconds"),
                default=0.0,
            ),
            spans_a_second=max(0.0, (spans - before[1]) / (now - before[0])),
        )  # fmt: skip

    def _tell(self, truth: Truth, *, is_drained: bool, is_complete: bool) -> None:
        say, flow = self._screen.say, self._flow
        decided, kept = sum(flow.decided.values()), flow.decided["sampled"]
        say("")
        say(f"messages sent     {flow.sent.records:>9,}   ({flow.sent.bytes / 1e6:,.0f} MB)")
        say(f"traces decided    {decided:>9,}   each once; decided twice: {flow.repeated}")
        say(f"traces kept       {kept:>9,}   ({kept / max(1, decided):.1%})")
        for policy, count in flow.kept_by.most_common():
            say(f"  by {policy:<13}{count:>9,}")
        say(f"late spans        {flow.late_spans:>9,}   they followed their trace's decision")
        say(f"worker starts     {flow.worker_starts:>9,}")
        if not is_drained:
            raise EnvironmentFailed(
                "the worker did not process everything in time",
                f"Its log ends with:\n{self._log_end()}",
            )
        if is_complete:
            report = check(truth, flow.outputs[SAMPLED], flow.outputs[DECISIONS])
            if not report.is_right:
                raise RuntimeError(f"what came out differs from what was sent: {report}")
            say("checked against the load: every decision is right, every kept trace is complete.")

    def _log_end(self) -> str:
        return (self._directory / "worker.log").read_text()[-2000:]
