"""Who calls whom, for inhibition along the service graph: the edges topic, followed.

A plain consumer without a group; what it finds is told to the tasks as an input, which they keep.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any, Final

import orjson
import structlog
from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from aiokafka.structs import TopicPartition

from tailrace.streams import provisioning

log = structlog.get_logger()

Calls = Mapping[str, Mapping[str, frozenset[str]]]
"""By tenant, who calls whom: client to servers."""

REMEMBERED_MS: Final = 3_600_000
"""An edge that had no request for so long is none any more."""
_POLL_MS = 1000
_RETRY_S = 5.0


class KnownEdges:
    """The edges of the last hour of stream time, by what records say of them."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, str, str], int] = {}
        self._newest = 0

    def take(self, value: bytes | None, at_ms: int) -> None:
        """Take a record of the edges topic; what is none is left aside."""
        try:
            edge = orjson.loads(value or b"")
            key = edge["tenant"], edge["client"], edge["server"]
        except (orjson.JSONDecodeError, KeyError, TypeError):
            return
        self._seen[key] = max(at_ms, self._seen.get(key, 0))
        self._newest = max(self._newest, at_ms)

    def calls(self) -> Calls:
        """Return who calls whom."""
        oldest = self._newest - REMEMBERED_MS
        self._seen = {key: at for key, at in self._seen.items() if at >= oldest}
        found: dict[str, dict[str, set[str]]] = {}
        for tenant, client, server in self._seen:
            found.setdefault(tenant, {}).setdefault(client, set()).add(server)
        return {
            tenant: {client: frozenset(servers) for client, servers in graph.items()}
            for tenant, graph in found.items()
        }


class Callers:
    """Follows *topic*; `calls` is a new object whenever something has changed."""

    def __init__(self, kafka: Mapping[str, Any], topic: str) -> None:
        self.calls: Calls = {}
        self._kafka = kafka
        self._topic = topic
        self._edges = KnownEdges()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to follow."""
        self._task = asyncio.create_task(self._follow())

    async def stop(self) -> None:
        """Let the topic go."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def _follow(self) -> None:
        while True:
            try:
                await self._read()
            except (KafkaError, OSError) as error:
                log.warning("edges cannot be read; those known stay", error=repr(error))
            except Exception:
                log.exception("edges are followed no longer; those known stay")
                return
            await asyncio.sleep(_RETRY_S)

    async def _read(self) -> None:
        partitions = await self._partitions()
        if not partitions:
            return  # nobody writes edges yet
        consumer = AIOKafkaConsumer(
            enable_auto_commit=False, isolation_level="read_committed", **self._kafka
        )
        await consumer.start()
        try:
            consumer.assign(partitions)
            await self._begin(consumer, partitions)
            while True:
                batches = await consumer.getmany(timeout_ms=_POLL_MS)
                self._take(record for batch in batches.values() for record in batch)
        finally:
            await consumer.stop()

    async def _partitions(self) -> list[TopicPartition]:
        admin = AIOKafkaAdminClient(**self._kafka)
        await admin.start()
        try:
            count = (await provisioning.partitions(admin)).get(self._topic, 0)
        finally:
            await admin.close()
        return [TopicPartition(self._topic, number) for number in range(count)]

    async def _begin(
        self, consumer: AIOKafkaConsumer, partitions: Iterable[TopicPartition]
    ) -> None:
        """Read on where the last hour of the topic began."""
        ends = await consumer.end_offsets(list(partitions))
        since = time.time_ns() // 1_000_000 - REMEMBERED_MS
        stamps = await consumer.offsets_for_times(dict.fromkeys(partitions, since))
        for each in partitions:
            found = stamps.get(each)
            consumer.seek(each, ends[each] if found is None else found.offset)

    def _take(self, records: Iterable[Any]) -> None:
        for record in records:
            self._edges.take(record.value, record.timestamp)
        calls = self._edges.calls()
        if calls != self.calls:
            self.calls = calls
