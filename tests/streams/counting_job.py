"""A job for engine tests: counts records by key, and sends each new count.

Run as a program it is one worker: `python counting_job.py BOOTSTRAP TOPIC OUT DATA [INSTANCE]`.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from tailrace.schemas.records import Arrivals, DeadLetter, Outbox, Output, Record, Totals
from tailrace.streams.app import GroupSettings, build_app, connect, run
from tailrace.streams.engine import Engine, EngineSettings, Stage
from tailrace.streams.task import Task, TaskId
from tailrace.tables.store import PartitionStore

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

    def restore(self) -> None:
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

    def problems(self, totals: Totals) -> Sequence[str]:
        counted = sum(int(value) for _, value in self._store.scan(b"c"))
        if counted != totals.counts.get("counted", 0):
            return [f"{counted} in the table, {totals.counts.get('counted', 0)} counted"]
        return []


def dead_letter(
    topic: str, partition: int, record: Record, letter: DeadLetter
) -> tuple[str, Output]:
    return "dead", Output(record.key, letter.value, record.timestamp)


def build_task(id: TaskId, store: PartitionStore, out: str) -> Task[KEYS]:
    return Task(id, store, KeyCodec(), {"count": Counter(store, out)}, dead_letter)


async def work(bootstrap: str, topic: str, out: str, data: str, instance: str | None) -> None:
    kafka = {"bootstrap_servers": bootstrap}
    settings = EngineSettings(app=f"app-{topic}", data_dir=Path(data), checkpoint_interval_s=0.3)
    stage = Stage("keys", (topic,), lambda id, store: build_task(id, store, out))
    engine = Engine(
        settings, [stage], kafka,
        on_ready=lambda ids: sys.stderr.write("ready\n"),
    )  # fmt: skip
    group = GroupSettings(f"app-{topic}", [bootstrap], instance, session_timeout_s=6.0)
    app = build_app(group, kafka, Path(data))

    async def count(stream):  # type: ignore[no-untyped-def]  # a Faust agent
        async for event in stream.noack().events():
            try:
                await engine.deliver("count", event.value)
            finally:
                event.ack()

    from tailrace.streams.app import BatchSchema

    app.agent(app.topic(topic, schema=BatchSchema()), name="count")(count)
    connect(app, engine)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await run(app, engine, stop)


if __name__ == "__main__":
    import logging

    import structlog

    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    plain = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    structlog.configure(processors=[structlog.processors.add_log_level, plain])
    asyncio.run(work(*sys.argv[1:5], sys.argv[5] if len(sys.argv) > 5 else None))
