"""The topic of definitions as every worker holds it: read to its end, then followed.

A record that cannot be read, of a newer version or of another program, changes nothing: the last
good version of that definition stays, and the record is counted and logged.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer
from aiokafka.structs import TopicPartition

from tailrace.schemas.definitions.definition import Definition, DefinitionKey, Definitions
from tailrace.schemas.definitions.documents import from_json, from_key
from tailrace.schemas.errors import ConfigError
from tailrace.streams.log_end import read_to_end
from tailrace.streams.patience import may_pass

log = structlog.get_logger()

_POLL_MS = 500
_POLL_RECORDS = 500
"""So many are read before others may run; one takes about 0.1 ms."""
_RETRY_S = 1.0


@dataclass(frozen=True, slots=True)
class Unread:
    """A record that could not be read: its key, its version, and why."""

    key: bytes
    version: int
    reason: str


class LocalDefinitions:
    """What the records of the topic say, in their order, beside what the config says.

    A definition that is in both is that of the topic.
    """

    def __init__(self, configured: Definitions | None = None) -> None:
        self.position = 0
        """The offset behind the last record."""
        self.bad_records = 0
        self.unread: dict[bytes, Unread] = {}
        """The newest records of their keys, where these could not be read."""
        self._configured = dict((configured or Definitions()).by_key)
        self._stored: dict[DefinitionKey, Definition[Any]] = {}
        self._last: Definitions | None = None

    def clear(self) -> None:
        """Forget what the topic said."""
        self.position = 0
        self.unread.clear()
        self._stored.clear()

    def take(self, key: bytes | None, value: bytes | None, offset: int) -> bool:
        """Take one record; return whether it changed any definition."""
        self.position = offset + 1
        key = key or b""
        try:
            if value is None:
                self.unread.pop(key, None)
                return self._stored.pop(from_key(key), None) is not None
            definition = from_json(key, value, offset + 1)
        except (ConfigError, ValueError) as error:
            self.bad_records += 1
            self.unread[key] = Unread(key, offset + 1, str(error).replace("\n", "; "))
            return False
        self.unread.pop(key, None)
        if definition.key in self._configured and definition.key not in self._stored:
            log.info("the topic's definition is taken, not the config's", key=definition.key)
        self._stored[definition.key] = definition
        return True

    def configure(self, definition: Definition[Any]) -> None:
        """Take *definition* as one of the config's; it stands instead of an older one."""
        self._configured[definition.key] = definition

    @property
    def shadowed(self) -> int:
        """How many definitions of the config are not seen, because the topic has them too."""
        return len(self._configured.keys() & self._stored.keys())

    def get(self, key: DefinitionKey) -> Definition[Any] | None:
        """Return what the topic says of *key*."""
        return self._stored.get(key)

    def snapshot(self) -> Definitions:
        """Return all definitions as they are now."""
        merged = {**self._configured, **self._stored}
        self._last = Definitions.of_all(merged.values(), self.position, self._last)
        return self._last


class Follower:
    """Holds the definitions of *topic*, and those of the config, from `start` to `stop`.

    *on_change* is called with all definitions whenever some have changed. While no broker
    answers, what is known stays.
    """

    def __init__(
        self,
        kafka: Mapping[str, Any],
        topic: str,
        configured: Definitions | None = None,
        on_change: Callable[[Definitions], None] | None = None,
    ) -> None:
        self.definitions = configured or Definitions()
        """All of them, as of now; a new object after every change."""
        self.task: asyncio.Task[None] | None = None
        """What follows; it ends only by `stop`, or by a defect."""
        self._kafka = kafka
        self._partition = TopicPartition(topic, 0)
        self._local = LocalDefinitions(configured)
        self._on_change = on_change
        self._consumer: AIOKafkaConsumer | None = None

    @property
    def bad_records(self) -> int:
        """How many records could not be read."""
        return self._local.bad_records

    @property
    def shadowed(self) -> int:
        """How many definitions of the config give way to those of the topic."""
        return self._local.shadowed

    def configure(self, definition: Definition[Any]) -> None:
        """Let *definition* be one of the config's from now on."""
        self._local.configure(definition)
        self._tell()

    def _tell(self) -> None:
        self.definitions = self._local.snapshot()
        if self._on_change is not None:
            self._on_change(self.definitions)

    async def start(self) -> None:
        """Read the topic to its end, then follow it; EnvironmentFailed if it cannot be read."""
        await self.read()
        self.task = asyncio.create_task(self._follow())

    async def read(self) -> LocalDefinitions:
        """Read the topic to its end, and return what it said."""
        self._local.position = await read_to_end(
            self._connect, self._partition, self._take, self._disconnect
        )
        self.definitions = self._local.snapshot()
        return self._local

    async def stop(self) -> None:
        """Let the topic go; the definitions stay as they are."""
        if self.task is not None:
            self.task.cancel()
            with suppress(asyncio.CancelledError):
                await self.task
        await self._disconnect()

    async def _follow(self) -> None:
        while True:
            try:
                consumer = self._consumer or await self._connect()
                if await self._take(consumer):
                    self._tell()
            except Exception as error:
                if not may_pass(error):
                    log.exception("definitions are followed no longer")
                    raise
                log.warning("definitions cannot be read; those known stay", error=repr(error))
                await self._disconnect()
                await asyncio.sleep(_RETRY_S)

    async def _take(self, consumer: AIOKafkaConsumer) -> bool:
        batches = await consumer.getmany(
            self._partition, timeout_ms=_POLL_MS, max_records=_POLL_RECORDS
        )
        changes = [self._take_record(record) for record in _all(batches.values())]
        return any(changes)

    def _take_record(self, record: Any) -> bool:
        if record.offset < self._local.position:
            log.warning("the topic of definitions was made anew", topic=self._partition.topic)
            self._local.clear()
        before = self._local.bad_records
        is_change = self._local.take(record.key, record.value, record.offset)
        if self._local.bad_records > before:
            reason = self._local.unread[record.key or b""].reason
            log.warning(
                "a definition cannot be read; its last good version stays",
                key=(record.key or b"").decode(errors="replace"), offset=record.offset,
                reason=reason,
            )  # fmt: skip
        return is_change

    async def _connect(self) -> AIOKafkaConsumer:
        consumer = AIOKafkaConsumer(
            enable_auto_commit=False, auto_offset_reset="earliest", **self._kafka
        )
        self._consumer = consumer
        await consumer.start()
        consumer.assign([self._partition])
        consumer.seek(self._partition, self._local.position)
        return consumer

    async def _disconnect(self) -> None:
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            with suppress(Exception):  # it is given up
                await asyncio.wait_for(consumer.stop(), timeout=5)


def _all(batches: Iterable[Iterable[Any]]) -> Iterable[Any]:
    return (record for batch in batches for record in batch)
