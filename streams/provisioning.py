"""Topics that the worker needs: looked up, created where missing, and never changed otherwise."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import structlog
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.admin.new_partitions import NewPartitions
from aiokafka.errors import KafkaError, KafkaTimeoutError, TopicAlreadyExistsError, for_code

from tailrace.schemas import topics
from tailrace.schemas.config import WorkerConfig
from tailrace.schemas.errors import ConfigError, EnvironmentFailed, Problem
from tailrace.streams.ledger import CHANGELOG_MESSAGE_BYTES, REQUEST_BYTES
from tailrace.streams.spans import STAGE
from tailrace.tables.trace_buffers import SEGMENT_BYTES

log = structlog.get_logger()

NEW_INPUT_PARTITIONS = 8
_MAX_REPLICATION = 3
_DESCRIBE_TRIES = 50
_DESCRIBE_RETRY_S = 0.2
_RECORD_OVERHEAD_BYTES = 4096
_LEAST_MESSAGE_BYTES = 16 << 10


@dataclass(frozen=True, slots=True)
class Cluster:
    """What the worker knows of Kafka before it starts."""

    id: str
    partitions: int
    record_bytes: int
    """How large a record of the output topics may be."""
    dead_letter_bytes: int
    message_bytes: Mapping[str, int]
    """`max.message.bytes` of each topic."""


@dataclass(frozen=True, slots=True)
class _Wanted:
    name: str
    partitions: int
    config: Mapping[str, str] = field(default_factory=dict)


async def provision(config: WorkerConfig, kafka: Mapping[str, Any]) -> Cluster:
    """Make sure that every topic is there; return what the cluster is like.

    EnvironmentFailed if no broker answers; ConfigError if the topics do not fit together, or are
    missing where creating them is forbidden.
    """
    servers = ", ".join(config.kafka.bootstrap_servers)
    admin = AIOKafkaAdminClient(request_timeout_ms=10_000, **kafka)
    try:
        await admin.start()
    except (KafkaError, OSError) as error:
        raise EnvironmentFailed(
            f"no Kafka broker answers at {servers}: {error}",
            "See that a broker runs there and that kafka.bootstrap_servers (or --bootstrap) names "
            "it; `tailrace broker` starts one for development.",
        ) from error
    try:
        return await _provision(admin, config)
    except KafkaError as error:
        raise EnvironmentFailed(
            f"the Kafka broker at {servers} refused a request about topics: {error}",
            "See the broker's log, and that this client may describe and create topics.",
        ) from error
    finally:
        await admin.close()


async def _provision(admin: AIOKafkaAdminClient, config: WorkerConfig) -> Cluster:
    cluster = await admin.describe_cluster()
    replication = config.kafka.replication_factor or min(_MAX_REPLICATION, len(cluster["brokers"]))
    there = await _partitions(admin)
    partitions = _input_partitions(config, there)
    inputs = [_Wanted(name, partitions) for name in config.input.topics]
    outputs = [
        _Wanted(config.output.sampled, partitions),
        _Wanted(config.output.decisions, partitions),
    ]
    dead_letters = _Wanted(
        config.output.dead_letters,
        topics.DEAD_LETTER_PARTITIONS,
        {"max.message.bytes": str(CHANGELOG_MESSAGE_BYTES)},
    )
    changelog = _Wanted(
        topics.changelog(config.app, STAGE),
        partitions,
        {
            "cleanup.policy": "compact",
            "max.message.bytes": str(CHANGELOG_MESSAGE_BYTES),
            # The active segment is never compacted: a small one keeps restoring short.
            "segment.bytes": str(CHANGELOG_MESSAGE_BYTES),
            # A store that is older than half of it may miss deletions, and is restored whole.
            "delete.retention.ms": "86400000",
        },
    )
    wanted = [*inputs, *outputs, dead_letters, changelog]
    missing = [topic for topic in wanted if topic.name not in there]
    if missing and not config.kafka.create_topics:
        raise ConfigError(
            Problem(
                "kafka.create_topics",
                f"is false, and topic {topic.name} is missing; create it with {topic.partitions} "
                f"partitions" + "".join(f", {key}={value}" for key, value in topic.config.items()),
            )
            for topic in missing
        )
    for topic in missing:
        await _create(admin, topic, replication)
    if there.get(changelog.name, partitions) < partitions:
        log.info("adding partitions", topic=changelog.name, partitions=partitions)
        await admin.create_partitions({changelog.name: NewPartitions(total_count=partitions)})
    limits = await _message_bytes(admin, [topic.name for topic in wanted])
    _check_limits(limits, [topic.name for topic in [*outputs, dead_letters]], changelog.name)
    smallest = min(limits[topic.name] for topic in outputs)
    return Cluster(
        cluster["cluster_id"],
        partitions,
        min(smallest, REQUEST_BYTES) - _RECORD_OVERHEAD_BYTES,
        limits[dead_letters.name] - _RECORD_OVERHEAD_BYTES,
        limits,
    )


def _check_limits(limits: Mapping[str, int], written: Sequence[str], changelog: str) -> None:
    """Refuse topics in which what must be written cannot be."""
    least = dict.fromkeys(written, _LEAST_MESSAGE_BYTES)
    least[changelog] = 2 * SEGMENT_BYTES
    problems = [
        Problem(
            f"topic {name}",
            f"has max.message.bytes={limits[name]}; it must be {bytes_} or more",
        )
        for name, bytes_ in least.items()
        if limits[name] < bytes_
    ]
    if problems:
        raise ConfigError(problems)


def _input_partitions(config: WorkerConfig, there: Mapping[str, int]) -> int:
    counts = {name: there[name] for name in config.input.topics if name in there}
    if len(set(counts.values())) > 1:
        text = ", ".join(f"{name} has {count}" for name, count in counts.items())
        raise ConfigError(
            [
                Problem(
                    "input.topics",
                    f"must have the same number of partitions, because partition N of all of "
                    f"them is one task; {text}",
                )
            ]
        )
    return next(iter(counts.values()), NEW_INPUT_PARTITIONS)


async def _partitions(admin: AIOKafkaAdminClient) -> dict[str, int]:
    described = await admin.describe_topics()
    return {topic["topic"]: len(topic["partitions"]) for topic in described}


async def _create(admin: AIOKafkaAdminClient, topic: _Wanted, replication: int) -> None:
    new = NewTopic(topic.name, topic.partitions, replication, topic_configs=dict(topic.config))
    response = await admin.create_topics([new])
    for name, code, message, *_ in response.topic_errors:
        error = for_code(code)
        if error is TopicAlreadyExistsError:
            continue  # another worker was faster
        if code:
            raise error(f"{name}: {message}")
        log.info("created topic", topic=name, partitions=topic.partitions, **topic.config)


async def _message_bytes(admin: AIOKafkaAdminClient, names: Sequence[str]) -> dict[str, int]:
    """Return `max.message.bytes` of each topic; one made just now may need a moment to show."""
    limits: dict[str, int] = {}
    for _ in range(_DESCRIBE_TRIES):
        wanted = [name for name in names if name not in limits]
        resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in wanted]
        for response in await admin.describe_configs(resources):
            for code, _, _, name, entries in response.resources:
                if not code:
                    values = {entry[0]: entry[1] for entry in entries}
                    limits[name] = int(values["max.message.bytes"])
        if len(limits) == len(names):
            return limits
        await asyncio.sleep(_DESCRIBE_RETRY_S)
    raise KafkaTimeoutError(f"the brokers do not describe {sorted(set(names) - set(limits))}")
