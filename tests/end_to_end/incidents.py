"""Incidents of services, told to a webhook by workers that die meanwhile."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
import time
import zlib
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson
from aiokafka import AIOKafkaProducer

from tailrace.schemas.matches import Series, SignalId, encode_group, owner_id, place
from tailrace_loadtest.kafka import follow
from tailrace_loadtest.processes import Process, together, total
from tailrace_loadtest.report import Written
from tailrace_loadtest.webhook import Call, Webhook
from tailrace_loadtest.workers import Worker
from tests.otlp import ERROR, MS, Span, message
from tests.patience import PATIENCE_S

ERRORS = 5
"""Of each incident, all of them within one window."""
BETWEEN_S = 0.1
PARTITIONS = 4
ROLLUP_PARTITIONS = 8
TENANT = "default"
LINK = "https://traces.example/"
TAKEOVER = re.compile(
    r"^(?P<at>\S+) \[info *\] taking over +partitions='?(?P<partitions>[^'\n]*)", re.M
)
"""What a worker logs before it does anything with partitions that it was given."""


def alert(name: str, services: Sequence[str]) -> dict[str, Any]:
    """An alert that fires if all errors of an incident are counted, each once."""
    return {
        "name": name,
        "labels": {"owner": "shop"},
        "where": {"service": list(services), "status": "error"},
        "group_by": ["service"],
        "when": f">= {ERRORS}",
        # Whoever stands still between two errors, or is away when it fires, comes back before the
        # window has passed them. Who comes back to an end pages not.
        "within": "45s",
        "for": "3s",
        "keep_firing_for": "10s",
        "trace_url": LINK + "{trace_id}",
    }


class HeldWebhook(Webhook):
    """Does not answer calls of *held* until they are let go."""

    def __init__(self) -> None:
        super().__init__()
        self.held: dict[tuple[str, str], asyncio.Event] = {}
        """By service and status."""

    async def hold(self, call: Call) -> None:
        """Return once every alert of *call* is let go."""
        for alert in call.told:
            gate = self.held.get((alert.labels["service"], alert.status))
            if gate is not None:
                await gate.wait()

    def has_told(self, service: str, status: str) -> bool:
        """True once somebody was told so of *service*."""
        return any(
            (alert.labels["service"], alert.status) == (service, status)
            for call in self.calls
            for alert in call.told
        )


@dataclass
class Shop:
    """Sends spans in real time, and sees what is told of them."""

    bootstrap: str
    spans: str
    alerts: str
    webhook: HeldWebhook
    producer: Any = None
    errors: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    """Trace IDs of the failed spans of each service."""
    events: dict[str, list[dict[str, Any]]] = field(default_factory=lambda: defaultdict(list))
    """What is committed of each service, in order."""
    settled: list[tuple[float, int]] = field(default_factory=list)
    """When a worker died: how many calls were known for good to be answered."""
    is_over: bool = False

    async def send(self, service: str, status: int = 0) -> None:
        """Send a span that ends now, in a trace of its own."""
        trace_id, now = os.urandom(16), time.time_ns()
        span = Span(trace_id, os.urandom(8), service, "buy", now - 9 * MS, now, status=status)
        if status == ERROR:
            self.errors[service].add(trace_id.hex())
        await self.producer.send(self.spans, message(span), trace_id.hex().encode())

    async def fail(self, service: str, times: int) -> None:
        """Let *service* fail so many times."""
        for _ in range(times):
            await self.send(service, ERROR)
            await asyncio.sleep(BETWEEN_S)

    async def sell(self) -> None:
        """Send spans that nobody is alerted of, so that no partition is idle."""
        while not self.is_over:
            await self.send("till")
            await asyncio.sleep(0.03)

    async def watch(self) -> None:
        """Follow the alerts."""

        def see(_: str, written: Written) -> None:
            event = orjson.loads(written.value or b"")
            self.events[event["labels"]["service"]].append(event)

        await follow(self.bootstrap, [self.alerts], see, lambda: self.is_over)

    def has_event(self, service: str, status: str) -> bool:
        """True once such an event can be read."""
        return any(event["status"] == status for event in self.events[service])

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Sell and watch."""
        async with AIOKafkaProducer(
            bootstrap_servers=self.bootstrap,
            enable_idempotence=True,
            request_timeout_ms=round(PATIENCE_S * 1000),
        ) as producer:
            self.producer = producer
            doing = [asyncio.create_task(each) for each in (self.sell(), self.watch())]
            try:
                yield
            finally:
                self.is_over = True
                await asyncio.gather(*doing)


async def until(what: str, holds: Callable[[], bool]) -> None:
    """Return once it *holds*; AssertionError that says *what* if it takes too long."""
    ends_at = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < ends_at, f"still waiting for {what}"
        await asyncio.sleep(0.01)


@dataclass
class Workers:
    """Workers of one app, each with its data; who has a partition is the one that is killed."""

    directory: Path
    bootstrap: str
    config: Path
    running: list[Worker] = field(default_factory=list)
    _began: float = field(default_factory=time.time)

    async def join(self) -> Worker:
        """Start one more."""
        name = f"{self.config.stem}-{len(self.running) + 1}"
        worker = Worker(name, self.directory, self.bootstrap, self.config)
        self.running.append(worker)
        worker.start()
        return worker

    async def ready(self) -> None:
        """Return once every worker has its partitions."""
        for worker in self.running:
            await asyncio.to_thread(worker.process.wait_for, "ready ")

    async def kill(self, stage: str, partition: int, why: str) -> None:
        """Kill the worker that has the partition, or gets it now, and start it again."""
        found: list[Worker] = []

        def is_there() -> bool:
            found[:] = [each for each in self.running if has(each, stage, partition)]
            return bool(found)

        await until(f"a worker that has {stage}-{partition}", is_there)
        worker = found[0]
        worker.kill()
        self.note(f"{worker.name} with {stage}-{partition} killed {why}")
        await asyncio.to_thread(worker.start)

    def note(self, what: str) -> None:
        """Say what happens now."""
        sys.stdout.write(f"{time.time() - self._began:6.1f} s: {what}\n")

    def takeovers(self, stage: str, partition: int) -> list[float]:
        """When that partition changed hands: of a death, or of a session that was over."""
        wanted = f"{stage}-{partition}"
        return sorted(
            datetime.fromisoformat(found["at"]).timestamp()
            for worker in self.running
            for found in TAKEOVER.finditer(worker.log.read_text())
            if wanted in found["partitions"].split()
        )

    def are_awake(self) -> bool:
        """True once it is committed that every partition of spans has some.

        Time does not wait for a partition that nobody has heard of since it was idle.
        """
        samples = together([worker.port for worker in self.running])
        return all(
            total(samples, "tailrace_records_total", stage="spans", partition=str(partition))
            for partition in range(PARTITIONS)
        )

    def knows(self, calls: int) -> bool:
        """True once it is committed that so many notifications were delivered."""
        samples = together([worker.port for worker in self.running])
        settled = total(samples, "tailrace_notifications_settled_total", fate="delivered")
        return settled == calls

    async def apply(self, document: dict[str, Any]) -> None:
        """Apply a definition as users do."""
        file = self.directory / "applied.json"
        file.write_text(json.dumps(document))
        given = ["-c", str(self.config), "--bootstrap", self.bootstrap]
        process = Process(["apply", "-f", str(file), *given], self.directory / "apply.log")
        assert await asyncio.to_thread(process.wait, PATIENCE_S) == 0, process.output


def has(worker: Worker, stage: str, partition: int) -> bool:
    """True if *worker* has a task of that partition."""
    wanted = {"stage": stage, "partition": str(partition)}.items()
    return any(
        name == "tailrace_records_total" and wanted <= labels
        for name, labels in together([worker.port])
    )


def counted_at(name: str, service: str) -> int:
    """The partition of rollups where the alert *name* of *service* lives."""
    signal = SignalId(owner_id("Alert", TENANT, name), bytes(4))
    return place(Series(signal, encode_group([service])).encode()) % ROLLUP_PARTITIONS


def notified_at() -> int:
    """The partition of alerts from which people are told."""
    return zlib.crc32(TENANT.encode()) % ROLLUP_PARTITIONS
