"""Chaos with a known truth: workers die of kill -9, a broker dies too, and every output is checked.

What is decided and counted must not depend on any of it, nor on how fast the machine is. Only the
time of an idle partition could: the grace is longer than anything lasts, and when the load has been
sent, messages without spans let time go on.
"""

import asyncio
import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from tailrace_loadtest.counting import counted
from tailrace_loadtest.kafka import produce
from tailrace_loadtest.load import Load
from tailrace_loadtest.outputs import check_outputs, wait_for_sums
from tailrace_loadtest.processes import (
    Process,
    Samples,
    address,
    free_port,
    start_broker,
    together,
    total,
    wait_until,
)
from tailrace_loadtest.report import Report
from tailrace_loadtest.sampling import Sampling
from tailrace_loadtest.ticks import ticking
from tailrace_loadtest.truth import Truth
from tailrace_loadtest.workers import (
    Input,
    Worker,
    create_topic,
    imbalances,
    is_settled,
    ports,
    sums_sections,
    write_config,
)

_WAIT_S = 5.0
_GRACE = "24h"
"""No partition is ever idle, however long the load is held up: time is that of records."""
_KILLS = 7
_PAUSE_S = (1.0, 4.0)
"""Between one death and the next."""
_REKEYED_PAUSE_S = (4.0, 7.0)
"""The same where spans are re-keyed: until they have come through, none is pending."""
_AWAY_S = (0.0, 2.0)
_LADEN, _REKEYED_LADEN = 5_000, 1_000
"""More spans than these are pending in who dies first, keyed and re-keyed."""
_LADEN_S = 240.0
_DRAIN_S = 240.0
_SUMS_S = 240.0
_LATE_MARGIN_S = 2.0
_AFTER_S = 4.0
"""Longer than what is too much may still come after what is enough."""
_DUE_SLACK_MS = 1_000
"""Records stand in the log at most so much behind later ones."""


Look = Callable[[str, Truth, list[int]], None]


@dataclass(slots=True)
class Outcome:
    """How it went: what was done, what came out of it, and what does not add up."""

    seed: int
    events: list[str] = field(default_factory=list)
    kills: int = 0
    lost_data: int = 0
    broker_restarts: int = 0
    pending: list[int] = field(default_factory=list)
    """Spans that were pending in a worker when it was killed, where it could be asked."""
    ended_by_themselves: list[str] = field(default_factory=list)
    imbalances: list[str] = field(default_factory=list)
    report: Report = field(default_factory=Report)
    seconds: float = 0.0

    @property
    def is_right(self) -> bool:
        """Whether nothing is wrong."""
        return self.report.is_right and not self.imbalances and not self.ended_by_themselves

    def __str__(self) -> str:
        return "\n".join(
            [
                f"seed {self.seed}: {self.kills} workers killed with -9 ({self.lost_data} lost "
                f"their data), broker killed and restarted {self.broker_restarts} time(s), in "
                f"{self.seconds:.0f} s; spans pending at a kill: {self.pending}",
                *(f"  {event}" for event in self.events),
                f"{self.report}",
                f"balance: {'; '.join(self.imbalances) or 'holds'}",
                *(f"ended by itself: {each}" for each in self.ended_by_themselves),
            ]
        )


def kill(
    spans: int,
    seconds: float,
    seed: int,
    directory: Path,
    given: Input | None = None,
    sections: Mapping[str, object] | None = None,
    look: Look | None = None,
) -> Outcome:
    """Send *spans* over *seconds* to two workers that are killed again and again meanwhile.

    *sections*: of their config, beside those that the load needs. *look* is given the broker, the
    truth and the workers' ports when all is done, while they still run.
    """
    chaos = _kill(spans, seconds, seed, directory, given or Input.of(), sections or {}, look)
    return asyncio.run(chaos)


async def _kill(
    spans: int,
    seconds: float,
    seed: int,
    directory: Path,
    given: Input,
    more: Mapping[str, object],
    look: Look | None,
) -> Outcome:
    began = time.monotonic()
    outcome = Outcome(seed)
    load = _load(spans, seconds, seed, given)
    with _cluster(directory, load, given, more) as chaos:
        for topic, partitions in given.partitions.items():
            await create_topic(chaos.bootstrap, topic, partitions)
        for worker in chaos.workers:
            await asyncio.to_thread(worker.start().wait_for, "ready ")
        truth = Truth(replace(load, start_ms=int(time.time() * 1000)))
        sending = asyncio.create_task(
            produce(counted(truth), chaos.bootstrap, given.routes, speed=1.0)
        )
        await asyncio.to_thread(chaos.unleash, random.Random(seed), given, outcome)
        produced = await sending
        async with ticking(chaos.bootstrap, given) as ticks:
            await asyncio.to_thread(_settled, chaos, truth)
            await wait_for_sums(chaos.bootstrap, truth, _SUMS_S)
            await asyncio.sleep(_AFTER_S)
            if look is not None:
                await asyncio.to_thread(look, chaos.bootstrap, truth, ports(chaos.workers))
        sent = produced.records + ticks.records
        outcome.imbalances = await asyncio.to_thread(_imbalances, chaos, truth, sent, given)
        # Of re-keyed spans, time is that of the input partition that is furthest behind.
        slack_ms = _DUE_SLACK_MS if given.is_keyed else None
        outcome.report = await check_outputs(chaos.bootstrap, truth, slack_ms=slack_ms)
    outcome.seconds = time.monotonic() - began
    return outcome


def _load(spans: int, seconds: float, seed: int, given: Input) -> Load:
    """Of re-keyed spans it depends on the partitions that are behind whether they are late."""
    load = Load(seed, spans, seconds, 0, decision_wait_s=_WAIT_S, late_margin_s=_LATE_MARGIN_S)
    return load if given.is_keyed else replace(load, late_share=0)


def _settled(chaos: "_Cluster", truth: Truth) -> Samples:
    """What the workers say once all is decided, or when they had long enough for it."""
    try:
        return wait_until(
            ports(chaos.workers), lambda samples: is_settled(samples, truth), _DRAIN_S
        )
    except TimeoutError:
        return together(ports(chaos.workers))


def _imbalances(chaos: "_Cluster", truth: Truth, sent: int, given: Input) -> list[str]:
    """What does not add up, when the workers had long enough: partitions may still move."""
    found: list[str] = []

    def holds(samples: Samples) -> bool:
        found[:] = imbalances(samples, truth, sent, given)
        return not found

    with suppress(TimeoutError):
        wait_until(ports(chaos.workers), holds, _DRAIN_S)
    return found


@contextmanager
def _cluster(
    directory: Path, load: Load, given: Input, more: Mapping[str, object]
) -> Iterator["_Cluster"]:
    sections = {
        **sums_sections(load),
        "input": given.section,
        "engine": {"grace": _GRACE},
        "kafka": {"session_timeout": "6s"},
        **more,
    }
    config = write_config(directory, _WAIT_S, Sampling(), sections)
    port = free_port()
    cluster = _Cluster(directory, port, start_broker(directory, port))
    try:
        cluster.bootstrap = address(cluster.broker)
        cluster.workers = [
            Worker(name, directory, cluster.bootstrap, config) for name in ("worker-1", "worker-2")
        ]
        yield cluster
    finally:
        for worker in cluster.workers:
            worker.kill()
        cluster.broker.stop()


@dataclass(slots=True)
class _Cluster:
    """A broker and two workers, and what befalls them."""

    directory: Path
    port: int
    broker: Process
    bootstrap: str = ""
    workers: list[Worker] = field(default_factory=list)

    def unleash(self, rng: random.Random, given: Input, outcome: Outcome) -> None:
        """Kill workers one after the other; the broker once in between, with a worker."""
        pause_s = _PAUSE_S if given.is_keyed else _REKEYED_PAUSE_S
        loses_data, broker_dies = rng.sample(range(1, _KILLS), 2)
        began = time.monotonic()
        for number in range(_KILLS):
            time.sleep(rng.uniform(*pause_s))
            worker = rng.choice(self.workers)
            if number == 0:
                self._await_laden(worker, _LADEN if given.is_keyed else _REKEYED_LADEN)
            what = f"{time.monotonic() - began:5.1f} s: {worker.name} killed"
            if number == broker_dies:
                self._kill_broker(rng, worker, outcome)
                what += " while the broker, killed as well, was away"
            else:
                self._end(worker, outcome)
                if number == loses_data:
                    worker.lose_data()
                    outcome.lost_data += 1
                    what += ", its data lost"
                time.sleep(rng.uniform(*_AWAY_S))
            worker.start()
            outcome.events.append(what)
        for worker in self.workers:
            worker.process.wait_for("ready ")

    def _await_laden(self, worker: Worker, spans: int) -> None:
        """Return once more than so many *spans* are pending in *worker*."""
        wait_until([worker.port], lambda samples: _pending(samples) > spans, _LADEN_S)

    def _kill_broker(self, rng: random.Random, worker: Worker, outcome: Outcome) -> None:
        # A worker that has just been started may end because no broker answers. A ready one not.
        for each in self.workers:
            each.process.wait_for("ready ")
        self.broker.kill()
        time.sleep(rng.uniform(1.0, 2.0))
        self._end(worker, outcome)
        time.sleep(rng.uniform(1.0, 2.0))
        self.broker = start_broker(self.directory, self.port)
        address(self.broker)
        outcome.broker_restarts += 1

    def _end(self, worker: Worker, outcome: Outcome) -> None:
        if not worker.process.is_running:
            end = worker.process.output[-2000:]
            outcome.ended_by_themselves.append(f"{worker.name}, which said:\n{end}")
            return
        with suppress(OSError):  # it may be just starting
            outcome.pending.append(_pending(worker.scrape()))
        worker.process.kill()
        outcome.kills += 1


def _pending(samples: Samples) -> int:
    return round(total(samples, "tailrace_spans_pending"))
