"""A job for engine tests: counts records by key, and sends each new count.

Run as a program it is one worker: `python counting_job.py JSON`, the JSON of a `JobSettings`.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson
import structlog

from tailrace.schemas.records import Arrivals, DeadLetter, Outbox, Output, Record, Totals
from tailrace.streams.app import BatchSchema, GroupSettings, build_app, connect, run
from tailrace.streams.engine import Engine, EngineSettings, Stage
from tailrace.streams.task import Task, TaskId
from tailrace.tables.store import PartitionStore
from tests.patience import PATIENCE_S

KEYS = Sequence[bytes]


class KeyCodec:
    """Decodes a record to its key; a record without a key is bad."""

    def decode(self, records: Sequence[Record]) -> tuple[KEYS, Sequence[DeadLetter]]:
        letters = [
            DeadLetter(index, "no_key", record.value or b"", whole=True)
            for index, record in enumerate(records)
            if record.key is None
        ]
        return [record.key or b"" for record in records], letters


class Counter:
    """Counts each key; a count is sent as `key=count`, and again when it has rested for 1 s."""

    REST_MS = 1000

    def __init__(self, store: PartitionStore, topic: str) -> None:
        self._store = store
        self._topic = topic
        self._due: dict[bytes, int] = {}

    def restore(self, now: int) -> None:
        for key, value in self._store.scan(b"d"):
            self._due[key[1:]] = int(value)

    def process(self, arrivals: Arrivals[KEYS], outbox: Outbox, totals: Totals) -> None:
        for key, now in zip(arrivals.decoded, arrivals.times, strict=True):
            self.advance(now, outbox, totals)
            if key:
                count = int(self._store.get(b"c" + key) or b"0") + 1
                self._store.put(b"c" + key, b"%d" % count)
                self._store.put(b"d" + key, b"%d" % (now + self.REST_MS))
                self._due[key] = now + self.REST_MS
                totals.add("counted", 1)
                outbox.send(self._topic, Output(key, b"%d" % count, now))

    def advance(self, now: int, outbox: Outbox, totals: Totals) -> None:
        for due, key in sorted((due, key) for key, due in self._due.items() if due < now):
            del self._due[key]
            self._store.delete(b"d" + key)
            count = self._store.get(b"c" + key) or b"0"
            outbox.send(self._topic, Output(key, b"rest " + count, due))

    def before_checkpoint(self) -> None:
        pass

    def close(self) -> None:
        pass

    def problems(self, totals: Totals) -> Sequence[str]:
        counted = sum(int(value) for _, value in self._store.scan(b"c"))
        if counted != totals.counts.get("counted", 0):
            return [f"{counted} in the table, {totals.counts.get('counted', 0)} counted"]
        return []


class Fuse(Counter):
    """Raises in the middle of a scan when it sees the key `fuse`, while the file *fuse* exists.

    A fuse that says `once` is gone after that.
    """

    def __init__(self, store: PartitionStore, topic: str, fuse: Path) -> None:
        super().__init__(store, topic)
        self._fuse = fuse

    def process(self, arrivals: Arrivals[KEYS], outbox: Outbox, totals: Totals) -> None:
        super().process(arrivals, outbox, totals)
        if b"fuse" in arrivals.decoded and self._fuse.exists():
            if self._fuse.read_text() == "once":
                self._fuse.unlink()
            rows = self._store.scan(b"c")
            raise RuntimeError(f"the fuse has blown at {next(rows)}")


def build_task(
    id: TaskId, store: PartitionStore, out: str, dead: str = "dead", fuse: Path | None = None
) -> Task[KEYS]:
    def dead_letter(
        topic: str, partition: int, record: Record, letter: DeadLetter
    ) -> tuple[str, Output]:
        return dead, Output(record.key, letter.value, record.timestamp)

    counter = Fuse(store, out, fuse) if fuse else Counter(store, out)
    return Task(id, store, KeyCodec(), {"count": counter}, dead_letter)


@dataclass(frozen=True)
class JobSettings:
    """One worker. Times in seconds; none is over where a machine is only slow."""

    bootstrap: str
    app: str
    topic: str
    out: str
    dead: str
    data: str
    instance: str | None = None
    fuse: str | None = None
    session_timeout_s: float = 60.0
    checkpoint_interval_s: float = 0.3
    grace_s: float = 0.3
    stall_timeout_s: float = PATIENCE_S
    revoke_timeout_s: float = 10.0


def say(word: str, **facts: object) -> None:
    """Write one line to the log: a word and JSON."""
    sys.stderr.write(f"{word} {orjson.dumps(facts).decode()}\n")


async def work(job: JobSettings) -> None:
    """Run one worker until SIGTERM."""
    kafka = {"bootstrap_servers": job.bootstrap}
    settings = EngineSettings(
        app=job.app,
        data_dir=Path(job.data),
        checkpoint_interval_s=job.checkpoint_interval_s,
        grace_s=job.grace_s,
        stall_timeout_s=job.stall_timeout_s,
        revoke_timeout_s=job.revoke_timeout_s,
    )
    fuse = Path(job.fuse) if job.fuse else None
    stage = Stage(
        "keys", (job.topic,), lambda id, store: build_task(id, store, job.out, job.dead, fuse)
    )

    def say_ready(ids: Sequence[TaskId]) -> None:
        runners = [engine.runners[each] for each in ids]
        say(
            "ready",
            positions={str(each.id): each.task.positions[job.topic] for each in runners},
            restore_s=max((round(each.restore_seconds, 3) for each in runners), default=0),
        )

    engine = Engine(settings, [stage], kafka, on_ready=say_ready)
    group = GroupSettings(job.app, [job.bootstrap], job.instance, job.session_timeout_s)
    app = build_app(group, kafka, Path(job.data))

    async def count(stream):  # type: ignore[no-untyped-def]  # a Faust agent
        async for event in stream.noack().events():
            batch = event.value
            try:
                await engine.deliver("count", batch)
                say("seen", partition=batch.partition, end=batch.end)
            finally:
                event.ack()

    app.agent(app.topic(job.topic, schema=BatchSchema()), name="count")(count)
    connect(app, engine)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    say("heeds")  # from here on it ends in order
    await run(app, engine, stop)


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    plain = structlog.dev.ConsoleRenderer(
        colors=False, exception_formatter=structlog.dev.plain_traceback
    )
    structlog.configure(
        processors=[structlog.processors.add_log_level, plain],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    asyncio.run(work(JobSettings(**orjson.loads(sys.argv[1]))))
