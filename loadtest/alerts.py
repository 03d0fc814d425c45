"""How long after the span that makes an alert fire its event can be read, and somebody is told.

One worker with default intervals under a load in real time, definitions on that load, and beside
them services that fail one after the other: each a group of one alert, due with its third failed
span. Some fail once too little, and must stay silent.
"""

from __future__ import annotations

import asyncio
import os
import random
import tempfile
import time
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from aiokafka import AIOKafkaProducer

from tailrace_loadtest.counting import counted
from tailrace_loadtest.encoding import attribute, scalar
from tailrace_loadtest.encoding import field as encoded
from tailrace_loadtest.kafka import Produced, follow, produce
from tailrace_loadtest.load import Load, Record
from tailrace_loadtest.processes import broker
from tailrace_loadtest.report import Report, Written
from tailrace_loadtest.sampling import Sampling
from tailrace_loadtest.truth import Truth
from tailrace_loadtest.watched import sections, watched
from tailrace_loadtest.webhook import FIRING, Webhook, keys_by_alert, listening
from tailrace_loadtest.workers import ALERTS, SPANS, Worker, create_topic, write_config

TARGET_S, GOAL_S = 4.0, 2.0
_THRESHOLD = 3
_EVERY_S = 0.25
"""So often does a service fail."""
_SILENT = 10
"""One service of so many fails once too little."""
_NAME = "failures"
_PREFIX = "failing-"
_WARM_S = 4.0
_AFTER_S = 12.0
_SERVER, _ERROR = 2, 2


class Fault(StrEnum):
    """What can be wrong with alerts."""

    MISSING = "a service that nobody was alerted of"
    FOREIGN = "an alert that had no reason"
    TWICE = "an alert that fired twice, or was told under two keys"


@dataclass(slots=True)
class Measured:
    """Times on one clock, s, by service."""

    due: dict[str, float] = field(default_factory=dict)
    """Before the span was sent that makes it fire."""
    readable: dict[str, float] = field(default_factory=dict)
    fired: dict[str, set[str]] = field(default_factory=dict)
    """Ids of events."""
    told: dict[str, float] = field(default_factory=dict)
    is_over: bool = False

    def see(self, _: str, written: Written) -> None:
        """Note a record of the alerts topic."""
        event = orjson.loads(written.value or b"{}")
        if event["name"] != _NAME or event["status"] != "firing":
            return
        service = event["labels"]["service"]
        self.readable.setdefault(service, time.time())
        self.fired.setdefault(service, set()).add(event["id"])

    def hear(self, webhook: Webhook) -> None:
        """Note who was told of first when."""
        for call in webhook.calls:
            for alert in call.told:
                if alert.labels["alertname"] == _NAME and alert.status == FIRING:
                    self.told.setdefault(alert.labels["service"], call.at)

    def since_due(self, at: dict[str, float]) -> list[float]:
        """How long after each service was due something happened *at* those times."""
        return [at[service] - due for service, due in self.due.items() if service in at]

    def check(self, webhook: Webhook) -> Report:
        """What differs from one alert for each service that failed often enough."""
        report = Report()
        for service in self.due:
            if service not in self.readable or service not in self.told:
                report.add(Fault.MISSING, service)
        for service in self.readable.keys() - self.due.keys():
            report.add(Fault.FOREIGN, service)
        for service, ids in self.fired.items():
            if len(ids) > 1:
                report.add(Fault.TWICE, f"{service}: {sorted(ids)}")
        for alert, keys in keys_by_alert(webhook.calls).items():
            if len(keys) > 1:
                report.add(Fault.TWICE, f"{alert}: {sorted(keys)}")
        return report


@dataclass(frozen=True, slots=True)
class Figures:
    """Seconds from the span's arrival in Kafka, one a service."""

    rate: float
    seconds: float
    definitions: int
    report: Report
    readable: list[float]
    told: list[float]
    most_behind_s: float
    busy: tuple[float, float, float]
    """The machine's load average."""

    def __str__(self) -> str:
        p99 = np.quantile(self.readable, 0.99)
        wrong = "; ".join(f"{count} x {fault}" for fault, count in self.report.faults.items())
        return "\n".join(
            [
                f"{self.rate:,.0f} spans/s for {self.seconds:g} s, {self.definitions:,} "
                f"definitions, sent at most {self.most_behind_s:.2f} s late; alerts: "
                f"{wrong or 'all as they should be'}; load average "
                + ", ".join(f"{each:.1f}" for each in self.busy),
                "seconds from arrival in Kafka to    alerts    p50    p99    max",
                f"  the event can be read       {_row(self.readable)}",
                f"  the webhook is called       {_row(self.told)}",
                f"target: p99 of the first at most {TARGET_S:g} s: "
                + ("met" if p99 <= TARGET_S else "MISSED")
                + f"; goal {GOAL_S:g} s: "
                + ("met" if p99 <= GOAL_S else "missed"),
            ]
        )


def _row(seconds: list[float]) -> str:
    p50, p99 = np.quantile(seconds, [0.5, 0.99])
    return f"{len(seconds):>12,}{p50:>7.2f}{p99:>7.2f}{max(seconds):>7.2f}"


def latency(rate: int, seconds: float, definitions: int) -> Figures:
    """Measure at *rate* spans/s with so many *definitions* on the load."""
    load = Load(spans=int(rate * seconds), seconds=seconds, decision_wait_s=5.0)
    with tempfile.TemporaryDirectory(prefix="tailrace-alerts-") as temporary:
        return asyncio.run(_latency(load, definitions, Path(temporary)))


async def _latency(load: Load, definitions: int, directory: Path) -> Figures:
    records = list(counted(Truth(load)))  # made before, so that this process only sends and reads
    measured = Measured()
    with broker(directory) as (bootstrap, _):
        await create_topic(bootstrap)
        async with listening(Webhook()) as webhook:
            config = write_config(
                directory, load.decision_wait_s, Sampling(), _sections(webhook, definitions)
            )
            worker = Worker("worker", directory, bootstrap, config)
            try:
                await asyncio.to_thread(worker.start().wait_for, "ready ")
                produced = await _measure(measured, load, records, bootstrap)
            finally:
                worker.kill()
            measured.hear(webhook)
            report = measured.check(webhook)
    return Figures(
        load.spans / load.seconds,
        load.seconds,
        definitions,
        report,
        measured.since_due(measured.readable),
        measured.since_due(measured.told),
        produced.most_behind_s,
        os.getloadavg(),
    )


async def _measure(
    measured: Measured, load: Load, records: list[Record], bootstrap: str
) -> Produced:
    following = asyncio.create_task(
        follow(bootstrap, [ALERTS], measured.see, lambda: measured.is_over)
    )
    later_ms = int(time.time() * 1000) + 1_000 - load.start_ms
    moved = (record._replace(timestamp_ms=record.timestamp_ms + later_ms) for record in records)
    failing = asyncio.create_task(_fail(measured, load.seconds - 5, bootstrap))
    produced = await produce(moved, bootstrap, SPANS, speed=1.0)
    await failing
    await asyncio.sleep(_AFTER_S)
    measured.is_over = True
    await following
    return produced


async def _fail(measured: Measured, seconds: float, bootstrap: str) -> None:
    """Let one service after the other fail, each at a time of its own."""
    rng = random.Random(1)
    async with (
        AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", linger_ms=0) as producer,
        asyncio.TaskGroup() as group,
    ):
        await asyncio.sleep(_WARM_S)
        ends_at, number = time.time() + seconds - _WARM_S, 0
        while time.time() < ends_at:
            await asyncio.sleep(rng.uniform(0.5, 1.5) * _EVERY_S)
            group.create_task(_fail_once(producer, number, measured, rng))
            number += 1


async def _fail_once(producer: Any, number: int, measured: Measured, rng: random.Random) -> None:
    service = f"{_PREFIX}{number}"
    for _ in range(_THRESHOLD - 1):
        await producer.send_and_wait(SPANS, *_failed(service))
        await asyncio.sleep(rng.uniform(0.1, 0.8))
    if number % _SILENT == _SILENT - 1:
        return
    value, key = _failed(service)
    measured.due[service] = time.time()
    await producer.send_and_wait(SPANS, value, key)


def _failed(service: str) -> tuple[bytes, bytes]:
    """A message of one span that failed just now, and its key."""
    trace_id, now = os.urandom(16), time.time_ns()
    span = encoded(1, trace_id) + encoded(2, os.urandom(8)) + encoded(5, b"serve")
    span += scalar(6, _SERVER)
    status = encoded(15, scalar(3, _ERROR)).data
    times = b"".join(
        bytes([number << 3 | 1]) + at.to_bytes(8, "little")
        for number, at in ((7, now - 30_000_000), (8, now))
    )
    resource = encoded(1, attribute(1, "service.name", service)).data
    scope = encoded(2, encoded(2, span.data + times + status)).data
    return encoded(1, resource + scope).data, trace_id.hex().encode()


def _sections(webhook: Webhook, definitions: int) -> dict[str, Any]:
    asked = sections(watched(definitions))
    alert = {
        "name": _NAME,
        "labels": {"owner": "shop"},
        "where": {"service": {"regex": f"{_PREFIX}.*"}, "status": "error"},
        "group_by": ["service"],
        "when": f">= {_THRESHOLD}",
        "within": "10s",
    }
    route = {"receiver": "hook", "group_by": ["..."], "match": {"alertname": _NAME}}
    return {
        **asked,
        "alerts": [*asked["alerts"], alert],
        "notify": {
            "allow_targets": ["127.0.0.1"],
            "contact_points": [
                {"name": "hook", "webhook": {"url": webhook.url}, "rate_limit": 6_000},
            ],
            "policies": [{"name": "each", "route": route}],
        },
    }
