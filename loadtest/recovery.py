"""How long after a death there is work again: same data, lost data, and another worker instead.

A figure is from the start of the process, or from the kill, to the line `ready`. Every time the
spans that were pending before must be pending after.
"""

import asyncio
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tailrace_loadtest.counting import counted
from tailrace_loadtest.kafka import produce
from tailrace_loadtest.load import Load
from tailrace_loadtest.processes import Samples, broker, total, wait_until
from tailrace_loadtest.sampling import Sampling
from tailrace_loadtest.truth import Truth
from tailrace_loadtest.workers import (
    PARTITIONS,
    SPANS,
    Worker,
    create_topic,
    ports,
    write_config,
)

SESSION_TIMEOUT_S = 10.0
"""The default of `kafka.session_timeout`."""
_WAIT_S = 3600.0
_READ_S = 120.0
_LAST_TASK = f"spans-{PARTITIONS - 1}"


class Lost(Exception):
    """Something else was pending after a death than before it."""


@dataclass(frozen=True, slots=True)
class Figures:
    """Seconds of each repetition; failover counts from the kill, the others from the start."""

    pending: int
    same_data: list[float]
    lost_data: list[float]
    failover: list[float]

    def __str__(self) -> str:
        rows = [
            ("its data on disk, static membership", self.same_data, 5.0),
            ("its data lost: state from the changelog", self.lost_data, 15.0),
            ("another worker takes over, from the kill", self.failover, SESSION_TIMEOUT_S + 5),
        ]
        return "\n".join(
            [
                f"kill -9 with {self.pending:,} spans pending in {PARTITIONS} partitions: seconds "
                f"to ready (session timeout {SESSION_TIMEOUT_S:g} s)",
                *(
                    f"  {text:<42}{' '.join(f'{each:6.2f}' for each in seconds)}"
                    f"   {'within' if max(seconds) <= limit else 'OVER'} {limit:g} s"
                    for text, seconds, limit in rows
                ),
            ]
        )


def recovery(spans: int, repetitions: int) -> Figures:
    """Measure each way *repetitions* times; raises Lost if a span is missing afterwards."""
    load = Load(spans=spans, start_ms=int(time.time() * 1000) - 20_000, decision_wait_s=_WAIT_S)
    truth = Truth(load)
    with _cluster() as (bootstrap, workers):
        asyncio.run(_send(bootstrap, truth))
        run = _Run(workers, truth.totals["spans"])
        run.begin()
        same_data = [run.restart() for _ in range(repetitions)]
        lost_data = [run.restart(lose_data=True) for _ in range(repetitions)]
        failover = [run.fail_over() for _ in range(repetitions)]
    return Figures(run.pending, same_data, lost_data, failover)


async def _send(bootstrap: str, truth: Truth) -> None:
    await create_topic(bootstrap)
    await produce(counted(truth), bootstrap, SPANS)


@contextmanager
def _cluster() -> Iterator[tuple[str, list[Worker]]]:
    with tempfile.TemporaryDirectory(prefix="tailrace-recovery-") as temporary:
        directory = Path(temporary)
        config = write_config(directory, _WAIT_S, Sampling())
        with broker(directory) as (bootstrap, _):
            workers = [
                Worker(name, directory, bootstrap, config) for name in ("worker-1", "worker-2")
            ]
            try:
                yield bootstrap, workers
            finally:
                for worker in workers:
                    worker.kill()


@dataclass(slots=True)
class _Run:
    """Two workers of which one has all, until they fail over."""

    workers: list[Worker]
    pending: int

    def begin(self) -> None:
        self.workers[0].start()
        self._check(self.workers[:1])

    def restart(self, *, lose_data: bool = False) -> float:
        """Kill and start the one that has all."""
        worker = self.workers[0]
        worker.kill()
        if lose_data:
            worker.lose_data()
        started = time.monotonic()
        worker.start().wait_for("ready ", _LAST_TASK)
        seconds = time.monotonic() - started
        self._check([worker])
        return seconds

    def fail_over(self) -> float:
        """Let both have a half; kill the second, and wait until the first has all."""
        first, second = self.workers
        second.start().wait_for("ready ", _LAST_TASK)
        self._check(self.workers)
        told = len(first.process.output)
        second.kill()
        killed = time.monotonic()
        first.process.wait_for("ready ", "spans-0 ", _LAST_TASK, after=told)
        seconds = time.monotonic() - killed
        self._check([first])
        return seconds

    def _check(self, workers: list[Worker]) -> None:
        """Everything that was sent is read, committed, and pending."""
        samples = wait_until(ports(workers), self._has_all, _READ_S)
        pending = total(samples, "tailrace_spans_pending", stage="spans")
        if pending != self.pending:
            raise Lost(f"{pending:,.0f} spans are pending, not {self.pending:,}")

    def _has_all(self, samples: Samples) -> bool:
        tasks = sum(
            name == "tailrace_spans_pending" and ("stage", "spans") in labels
            for name, labels in samples
        )
        decoded = total(samples, "tailrace_spans_decoded_total", stage="spans")
        return tasks == PARTITIONS and decoded >= self.pending
