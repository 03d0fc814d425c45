"""Traces of which it is known what becomes of them, and workers that die while these come.

Time is that of the records alone, so what is decided does not depend on how long the dead are away.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import orjson
from aiokafka import AIOKafkaProducer

from tailrace_loadtest.kafka import read
from tailrace_loadtest.processes import Process, Samples, total, wait_until
from tailrace_loadtest.report import Written
from tailrace_loadtest.stamps import Stamp, read_stamp
from tailrace_loadtest.wire import spans as sent_spans
from tailrace_loadtest.workers import Worker
from tests.end_to_end.sampled_policies import WAIT_MS, config, policies
from tests.otlp import ERROR, MS, Span, message
from tests.patience import PATIENCE_S

PARTITIONS = 4
TRACES = 400
BEGIN_MS = (int(time.time()) - 600) * 1000
"""A broker removes what is years old."""
BETWEEN_MS = 20
"""From the start of one trace to that of the next."""
ON_TIME_MS = 0, 1500, 2800
"""After its start: the fragments of a trace. The second may have the root, the last the error."""
LATE_MS = 6000, 9500
SERVICES = ("bank", "shop", "till", "desk")
CONFIGURED = "0"
"""The version of policies until a new one is applied."""


class Row(NamedTuple):
    at_ms: int
    partition: int
    value: bytes


@dataclass(frozen=True)
class Trace:
    """The trace of that number; what it is goes by that."""

    number: int

    @cached_property
    def trace_id(self) -> bytes:
        return (self.number * 0x9E3779B97F4A7C15F39CC0605CEDC835 % (1 << 128)).to_bytes(16, "big")

    @property
    def service(self) -> str:
        return SERVICES[self.number // PARTITIONS % len(SERVICES)]

    @property
    def has_error(self) -> bool:
        return self.service == "bank" and self.number % 3 == 0

    @property
    def has_root(self) -> bool:
        return self.number % 5 < 2

    @property
    def is_large(self) -> bool:
        return self.service == "bank" and self.number % 7 == 0

    @property
    def reason(self) -> str:
        if self.is_large:
            return "spans"
        return "root" if self.has_root else "wait"

    @property
    def late_ms(self) -> Sequence[int]:
        return LATE_MS[: self.number % 3]

    def rows(self) -> Iterator[Row]:
        """Its fragments, those after its decision too."""
        for at, after_ms in enumerate((*ON_TIME_MS, *self.late_ms)):
            at_ms = BEGIN_MS + self.number * BETWEEN_MS + after_ms
            value = message(*self.spans(at))
            yield Row(at_ms, self.number % PARTITIONS, value)

    def spans(self, fragment: int) -> list[Span]:
        is_root, is_last = self.has_root and fragment == 1, fragment == 2
        return [
            Span(
                self.trace_id,
                (self.number << 8 | fragment << 4 | each + 1).to_bytes(8, "big"),
                self.service,
                f"at {self.number % 7}",
                parent=b"" if is_root else b"elsewher",
                status=ERROR if self.has_error and is_last else 0,
                end=MS * self.number,
            )
            for each in range(3 if self.is_large else 1)
        ]


SENT = {each.trace_id.hex(): each for each in map(Trace, range(1, TRACES + 1))}


def rows() -> list[Row]:
    """All that is sent, by time; at last what lets time run out in every partition."""
    found = sorted(row for trace in SENT.values() for row in trace.rows())
    end_ms = found[-1].at_ms + 2 * WAIT_MS
    for partition in range(PARTITIONS):
        value = message(Span(bytes([255] * 15 + [partition])))
        found.append(Row(end_ms, partition, value))
    return found


class Cluster:
    """Workers of one app on the topic *spans*; who dies comes back."""

    def __init__(self, app: str, spans: str, bootstrap: str, directory: Path) -> None:
        self.app, self.spans, self.bootstrap = app, spans, bootstrap
        self.directory = directory
        self.config = directory / f"{app}.json"
        self.config.write_bytes(orjson.dumps(config(app, spans)))
        self.workers: list[Worker] = []
        self.sent = 0
        self._began = time.monotonic()

    def join(self) -> Worker:
        name = f"{self.app}-{len(self.workers) + 1}"
        worker = Worker(name, self.directory, self.bootstrap, self.config)
        self.workers.append(worker)
        worker.start()
        return worker

    def send(self, rows: Sequence[Row]) -> None:
        asyncio.run(self._send(rows))
        self.sent += len(rows)

    async def _send(self, rows: Sequence[Row]) -> None:
        async with AIOKafkaProducer(bootstrap_servers=self.bootstrap) as producer:
            for row in rows:
                await producer.send(
                    self.spans, row.value, partition=row.partition, timestamp_ms=row.at_ms
                )

    def settle(self, sent: int | None = None) -> Samples:
        """Return what all say once all that was sent is processed, and that is committed."""
        wanted = self.sent if sent is None else sent
        ports = [worker.port for worker in self.workers]
        samples = wait_until(
            ports,
            lambda each: total(each, "tailrace_records_total", stage="spans") == wanted,
            PATIENCE_S,
            0.05,
        )
        self.note(f"{wanted} records are processed")
        return samples

    def apply_anew(self) -> None:
        """Apply the policies that stand as a new version, and wait until it decides everywhere."""
        meta = {"apiVersion": "tailrace/v1", "kind": "TailSampling", "metadata": {"name": "anew"}}
        file = self.directory / "anew.json"
        file.write_bytes(orjson.dumps({**meta, "spec": policies()}))
        given = ["-c", str(self.config), "--bootstrap", self.bootstrap]
        process = Process(["apply", "-f", str(file), *given], self.directory / "apply.log")
        assert process.wait(PATIENCE_S) == 0, process.output
        wait_until([worker.port for worker in self.workers], _is_anew, PATIENCE_S, 0.05)
        self.note("a new version decides")

    def kill(self, worker: Worker, *, loses_data: bool = False) -> None:
        worker.kill()
        if loses_data:
            worker.lose_data()
        self.note(f"{worker.name} killed{', its data lost' if loses_data else ''}")

    def note(self, what: str) -> None:
        sys.stdout.write(f"{time.monotonic() - self._began:6.1f} s: {what}\n")

    def outputs(self) -> Outputs:
        topics = [f"{self.app}.{name}" for name in ("sampled", "decisions", "dead_letters")]
        found = asyncio.run(read(self.bootstrap, topics))
        assert found[topics[2]] == []
        return Outputs(*(found[topic] for topic in topics[:2]))


def _is_anew(samples: Samples) -> bool:
    old = total(samples, "tailrace_policy_version", version=CONFIGURED)
    return not old and total(samples, "tailrace_policy_version") == PARTITIONS


@dataclass(frozen=True)
class Outputs:
    """What came out. `decided`: all records on a trace, in their order."""

    sampled: list[Written]
    decisions: list[Written]

    @cached_property
    def decided(self) -> dict[str, list[dict[str, Any]]]:
        found = defaultdict(list)
        for written in self.decisions:
            decision = orjson.loads(written.value or b"")
            assert written.key == decision["trace_id"].encode()
            found[decision["trace_id"]].append(decision)
        return dict(found)

    def kept(self) -> dict[str, list[tuple[Written, str, Stamp]]]:
        """By trace: each span with its record, its ID and what it says of its decision."""
        found = defaultdict(list)
        for written in self.sampled:
            for span in sent_spans(written.value or b""):
                found[span.trace_id].append((written, span.span_id, read_stamp(span.stamp)))
        return dict(found)

    def passed(self, policy: str) -> list[tuple[int, int]]:
        """When traces were kept by *policy*, by time (ms), and of how many spans each was."""
        firsts = [records[0] for records in self.decided.values()]
        return sorted(
            (milliseconds(each["decided_at"]), each["spans"])
            for each in firsts
            if each["policy"] == policy
        )


def milliseconds(text: str) -> int:
    """An RFC 3339 time as ms after the start."""
    return int(np.datetime64(text.removesuffix("Z"), "ms").astype(int)) - BEGIN_MS
