"""The topic of definitions as users change it: only what is new is written."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from tailrace.schemas import topics
from tailrace.schemas.config import WorkerConfig
from tailrace.schemas.config.wording import show
from tailrace.schemas.definitions.definition import Definition, DefinitionKey
from tailrace.schemas.definitions.documents import to_json, to_key
from tailrace.schemas.definitions.tail_sampling import refuse_unfit
from tailrace.schemas.errors import ConfigError, EnvironmentFailed, Problem
from tailrace.streams.definitions import Follower, LocalDefinitions
from tailrace.streams.provisioning import (
    ADMIN_TIMEOUT_MS,
    DEFINITIONS,
    Wanted,
    administration,
    create,
    partitions,
    replication_factor,
)

DEFINITION_BYTES: Final = 512 << 10
"""The longest document that is written, as JSON."""

Action = Literal["created", "changed", "unchanged", "deleted"]


class Change(NamedTuple):
    """What became of a definition. `version`: 0 where it would be written, but was not."""

    key: DefinitionKey
    action: Action
    version: int


class DefinitionsTopic:
    """The topic of *config*'s app; it is created when the first definition is applied."""

    def __init__(self, config: WorkerConfig) -> None:
        self.name = topics.definitions(config.app)
        self._config = config
        self._kafka: Mapping[str, Any] = {
            "bootstrap_servers": list(config.kafka.bootstrap_servers),
            "client_id": f"tailrace-{config.app}-definitions",
            "request_timeout_ms": ADMIN_TIMEOUT_MS,
        }

    async def read(self) -> LocalDefinitions:
        """Return what the topic says; nothing if it is not there."""
        async with administration(self._config, self._connection) as admin:
            is_there = self.name in await partitions(admin)
        if not is_there:
            return LocalDefinitions()
        follower = Follower(self._kafka, self.name)
        try:
            return await follower.read()
        finally:
            await follower.stop()

    async def apply(
        self,
        definitions: Sequence[Definition[Any]],
        local: LocalDefinitions | None = None,
        *,
        is_dry_run: bool = False,
    ) -> list[Change]:
        """Make the topic say *definitions*, beside what else it says; return what that changed.

        *local*: what it says, if that is known. With *is_dry_run* nothing is written. ConfigError,
        before anything is written, if one is too long, or cannot stand in this app.
        """
        _refuse_long(definitions)
        refuse_unfit(definitions, self._config.tail_sampling)
        local = local or await self.read()
        planned = [Change(each.key, *_planned(each, local)) for each in definitions]
        rows = [
            (to_key(each.key), to_json(each))
            for each, change in zip(definitions, planned, strict=True)
            if change.action != "unchanged"
        ]
        if is_dry_run or not rows:
            return planned
        await self._create()
        versions = iter(await self._write(rows))
        return [
            change if change.action == "unchanged" else change._replace(version=next(versions))
            for change in planned
        ]

    async def delete(self, key: DefinitionKey) -> Change | None:
        """Delete the definition *key*; None if it is not there."""
        local = await self.read()
        if local.get(key) is None and to_key(key) not in local.unread:
            return None
        (version,) = await self._write([(to_key(key), None)])
        return Change(key, "deleted", version)

    @property
    def _connection(self) -> dict[str, Any]:
        return {key: each for key, each in self._kafka.items() if key != "request_timeout_ms"}

    async def _create(self) -> None:
        wanted = Wanted(self.name, 1, DEFINITIONS)
        async with administration(self._config, self._connection) as admin:
            if self.name in await partitions(admin):
                return
            if not self._config.kafka.create_topics:
                settings = "".join(f", {key}={value}" for key, value in wanted.config.items())
                problem = (
                    f"is false, and topic {self.name} is missing; create it with 1 partition"
                    f"{settings}"
                )
                raise ConfigError([Problem("kafka.create_topics", problem)])
            cluster = await admin.describe_cluster()
            await create(admin, wanted, replication_factor(self._config, len(cluster["brokers"])))

    async def _write(self, rows: Sequence[tuple[bytes, bytes | None]]) -> list[int]:
        """Write *rows* in their order; return their versions."""
        producer = AIOKafkaProducer(
            enable_idempotence=True, acks="all", compression_type="zstd", **self._kafka
        )
        try:
            async with producer:
                sent = [
                    await producer.send(self.name, value, key, partition=0) for key, value in rows
                ]
                return [each.offset + 1 for each in await asyncio.gather(*sent)]
        except (KafkaError, OSError) as error:
            raise EnvironmentFailed(
                f"topic {self.name} cannot be written: {error}",
                "Do the same again once the brokers answer; what was written counts as unchanged.",
            ) from error


def _planned(definition: Definition[Any], local: LocalDefinitions) -> tuple[Action, int]:
    stored = local.get(definition.key)
    is_read = to_key(definition.key) not in local.unread
    if stored is not None and is_read and to_json(stored) == to_json(definition):
        return "unchanged", stored.version
    return ("created" if stored is None and is_read else "changed"), 0


def _refuse_long(definitions: Sequence[Definition[Any]]) -> None:
    problems = [
        Problem(
            f"{each.key.kind} {show(each.name)}",
            f"has {length} bytes as JSON; at most {DEFINITION_BYTES} can be kept",
        )
        for each in definitions
        if (length := len(to_json(each))) > DEFINITION_BYTES
    ]
    if problems:
        raise ConfigError(problems)
