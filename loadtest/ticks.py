"""Time goes on in every partition without a span, as it does where others still send."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiokafka import AIOKafkaProducer

from tailrace.schemas.otlp.json import encode_json
from tailrace_loadtest.workers import Input

_EVERY_S = 0.5
_NOTHING = b""
"""A request of no spans, as protobuf."""


@dataclass(slots=True)
class Ticks:
    """What was sent so far."""

    records: int = 0


@asynccontextmanager
async def ticking(bootstrap: str, given: Input) -> AsyncIterator[Ticks]:
    """Send messages without spans to all partitions of *given* once or more; then all are there.

    With these and a grace that nothing exceeds, time is that of records alone: however long a
    load, a broker or a worker is held up, nothing that is still to come is late for it.
    """
    ticks, is_over = Ticks(), asyncio.Event()
    ticking = asyncio.create_task(_tick(bootstrap, given, ticks, is_over))
    try:
        yield ticks
    finally:
        is_over.set()
        await ticking


async def _tick(bootstrap: str, given: Input, ticks: Ticks, is_over: asyncio.Event) -> None:
    value = encode_json(_NOTHING) if given.routes.is_json else _NOTHING
    async with AIOKafkaProducer(bootstrap_servers=bootstrap, enable_idempotence=True) as producer:
        while True:
            now_ms = int(time.time() * 1000)
            sent = [
                await producer.send(topic, value, partition=partition, timestamp_ms=now_ms)
                for topic, partitions in given.partitions.items()
                for partition in range(partitions)
            ]
            await asyncio.gather(*sent)
            ticks.records += len(sent)
            if is_over.is_set():
                return
            await asyncio.sleep(_EVERY_S)
