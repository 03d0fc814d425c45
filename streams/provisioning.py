"""Topics that the worker needs: looked up, created where missing, and never changed otherwise."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import structlog
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.admin.new_partitions import NewPartitions
from aiokafka.errors import KafkaError, KafkaTimeoutError, TopicAlreadyExistsError, for_code

from tailrace.schemas import topics
from tailrace.schemas.config import WorkerConfig
from tailrace.schemas.config.worker import ALERTS, SAMPLING, SERVICE_GRAPH
from tailrace.schemas.control import MAX_BYTES
from tailrace.schemas.errors import ConfigError, EnvironmentFailed, Problem
from tailrace.streams.cluster import Cluster
from tailrace.streams.ledger import CHANGELOG_MESSAGE_BYTES, REQUEST_BYTES
from tailrace.streams.stages import (
    NOTIFICATIONS,
    ROLLUPS,
    SPANS,
    has_metrics,
    has_receivers,
    metric_stages,
    stage_topics,
)
from tailrace.tables.trace_buffers import SEGMENT_BYTES

log = structlog.get_logger()

NEW_INPUT_PARTITIONS = 8
ADMIN_TIMEOUT_MS = 30_000
"""A broker that stands still for a moment, or is busy, is there all the same."""
_MAX_REPLICATION = 3
_DESCRIBE_TRIES = 150
_DESCRIBE_RETRY_S = 0.2
_RECORD_OVERHEAD_BYTES = 4096
_LEAST_MESSAGE_BYTES = 16 << 10
_LEAST_ROLLUP_BYTES = 64 << 10
"""The largest series, and what is around it."""


_LARGE = {"max.message.bytes": str(CHANGELOG_MESSAGE_BYTES)}
_PASSING = {
    "cleanup.policy": "delete",
    "retention.ms": "86400000",
    # Stream time may be that of last year, when topics are replayed; retention must not be.
    "message.timestamp.type": "LogAppendTime",
}
_CHANGELOG = _LARGE | {
    "cleanup.policy": "compact",
    # The active segment is never compacted: a small one keeps restoring short.
    "segment.bytes": str(CHANGELOG_MESSAGE_BYTES),
    # A store that is older than half of it may miss deletions, and is restored whole.
    "delete.retention.ms": "86400000",
}
DEFINITIONS = {
    "cleanup.policy": "compact",
    # The active segment is never compacted: a small one keeps reading to the end short.
    "segment.bytes": str(16 << 20),
    "min.cleanable.dirty.ratio": "0.1",
}
"""Settings of the topic of definitions."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A topic as it must be; `config` is set if it has to be created.

    `least_bytes`: how large records may be that go through an internal one; 0: as those of the
    input.
    """

    name: str
    partitions: int
    config: Mapping[str, str] = field(default_factory=dict)
    least_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Plan:
    """Every topic by what it is for."""

    inputs: list[Wanted]
    metrics: list[Wanted]
    internal: list[Wanted]
    outputs: list[Wanted]
    changelogs: list[Wanted]
    definitions: Wanted
    dead_letters: Wanted

    @property
    def topics(self) -> list[Wanted]:
        """All of them."""
        passing = [*self.inputs, *self.metrics, *self.internal, *self.outputs]
        return [*passing, self.definitions, self.dead_letters, *self.changelogs]


async def provision(config: WorkerConfig, kafka: Mapping[str, Any]) -> Cluster:
    """Make sure that every topic is there; return what the cluster is like.

    EnvironmentFailed if no broker answers; ConfigError if the topics do not fit together, or are
    missing where creating them is forbidden.
    """
    async with administration(config, kafka) as admin:
        return await _provision(admin, config)


@asynccontextmanager
async def administration(
    config: WorkerConfig, kafka: Mapping[str, Any]
) -> AsyncIterator[AIOKafkaAdminClient]:
    """A client that creates and describes topics; EnvironmentFailed if no broker answers it."""
    servers = ", ".join(config.kafka.bootstrap_servers)
    admin = AIOKafkaAdminClient(request_timeout_ms=ADMIN_TIMEOUT_MS, **kafka)
    try:
        await admin.start()
    except (KafkaError, OSError) as error:
        raise EnvironmentFailed(
            f"no Kafka broker answers at {servers}: {error}",
            "See that a broker runs there and that kafka.bootstrap_servers (or --bootstrap) names "
            "it; `tailrace broker` starts one for development.",
        ) from error
    try:
        yield admin
    except KafkaError as error:
        raise EnvironmentFailed(
            f"the Kafka broker at {servers} refused a request about topics: {error}",
            "See the broker's log, and that this client may describe and create topics.",
        ) from error
    finally:
        await admin.close()


async def _provision(admin: AIOKafkaAdminClient, config: WorkerConfig) -> Cluster:
    cluster = await admin.describe_cluster()
    replication = replication_factor(config, len(cluster["brokers"]))
    there = await partitions(admin)
    plan = planned(config, there)
    missing = [topic for topic in plan.topics if topic.name not in there]
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
        await create(admin, topic, replication)
    if missing:  # somebody may have been faster, with other numbers
        there = await partitions(admin)
        plan = planned(config, there)
    for changelog in plan.changelogs:
        if there.get(changelog.name, changelog.partitions) < changelog.partitions:
            log.info("adding partitions", topic=changelog.name, partitions=changelog.partitions)
            wanted = NewPartitions(total_count=changelog.partitions)
            await admin.create_partitions({changelog.name: wanted})
    limits = await _message_bytes(admin, [topic.name for topic in plan.topics])
    _check_limits(limits, plan)
    room = {
        topic.name: min(limits[topic.name], REQUEST_BYTES) - _RECORD_OVERHEAD_BYTES
        for topic in plan.topics
    }
    return Cluster(
        cluster["cluster_id"],
        {topic.name: there.get(topic.name, topic.partitions) for topic in plan.topics},
        min((room[topic.name] for topic in plan.outputs), default=REQUEST_BYTES),
        limits[plan.dead_letters.name] - _RECORD_OVERHEAD_BYTES,
        room.get(topics.rollups(config.app), 0),
        limits,
    )


def planned(config: WorkerConfig, there: Mapping[str, int]) -> Plan:
    """Return what *config* needs, given how many partitions the topics that are *there* have."""
    stages, enabled = stage_topics(config), config.capabilities
    inputs = _inputs(config, there) if SPANS in stages else []
    spans = max((topic.partitions for topic in inputs), default=0)
    metrics = [
        Wanted(topic, there.get(topic, NEW_INPUT_PARTITIONS))
        for topic in metric_stages(config).values()
    ]
    internal, outputs = [], []
    if inputs and not config.input.keyed_by_trace_id:
        name = topics.rekeyed_spans(config.app)
        spans = there.get(name, spans)
        internal.append(Wanted(name, spans, _PASSING | _LARGE))
    if SAMPLING in enabled:
        kept = [config.output.sampled, *(each.topic for each in config.tail_sampling.routes)]
        outputs += [Wanted(name, spans) for name in dict.fromkeys(kept)]
        outputs.append(Wanted(config.output.decisions, spans))
        control = topics.control(config.app)
        internal.append(Wanted(control, topics.CONTROL_PARTITIONS, _PASSING, MAX_BYTES))
    rollups = there.get(topics.rollups(config.app), topics.ROLLUP_PARTITIONS)
    if ROLLUPS in stages:
        name = topics.rollups(config.app)
        internal.append(Wanted(name, rollups, _PASSING, _LEAST_ROLLUP_BYTES))
    if has_metrics(config):
        outputs.append(Wanted(config.output.metrics, rollups))
    elif has_receivers(config):
        metrics.append(Wanted(config.output.metrics, there.get(config.output.metrics, rollups)))
    if SERVICE_GRAPH in enabled:
        outputs.append(Wanted(config.output.edges, rollups))
    if ALERTS in enabled or NOTIFICATIONS in stages:
        alerts = there.get(config.output.alerts, rollups)
        outputs.append(Wanted(config.output.alerts, alerts))
    counts = {topic.name: topic.partitions for topic in (*inputs, *metrics, *internal, *outputs)}
    changelogs = [
        Wanted(topics.changelog(config.app, stage), counts[read[0]], _CHANGELOG)
        for stage, read in stages.items()
    ]
    _refuse_new_partitions(config, counts, there)
    dead_letters = Wanted(config.output.dead_letters, topics.DEAD_LETTER_PARTITIONS, _LARGE)
    definitions = Wanted(topics.definitions(config.app), 1, DEFINITIONS)
    return Plan(inputs, metrics, internal, outputs, changelogs, definitions, dead_letters)


def _refuse_new_partitions(
    config: WorkerConfig, counts: Mapping[str, int], there: Mapping[str, int]
) -> None:
    """A series, or a tenant's alerts, belong to one partition: their number must stay."""
    problems = []
    for stage, topic, why in (
        (ROLLUPS, topics.rollups(config.app), "series would move and have two writers"),
        (NOTIFICATIONS, config.output.alerts, "alerts would move, and their ends be told nobody"),
    ):
        before = there.get(topics.changelog(config.app, stage))
        if before is not None and topic in counts and counts[topic] != before:
            said = f"has {counts[topic]} partitions and had {before}; {why}"
            problems.append(Problem(f"topic {topic}", f"{said}. Give the config another app"))
    if problems:
        raise ConfigError(problems)


def _check_limits(limits: Mapping[str, int], plan: Plan) -> None:
    """Refuse topics in which what must be written cannot be."""
    written = [*plan.internal, *plan.outputs, plan.dead_letters]
    least = {topic.name: _LEAST_MESSAGE_BYTES for topic in written}
    least |= {topic.name: 2 * SEGMENT_BYTES for topic in plan.changelogs}
    largest = max((limits[topic.name] for topic in plan.inputs), default=0)
    least |= {topic.name: topic.least_bytes or largest for topic in plan.internal}
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


def _inputs(config: WorkerConfig, there: Mapping[str, int]) -> list[Wanted]:
    counts = {name: there[name] for name in config.input.topics if name in there}
    if config.input.keyed_by_trace_id and len(set(counts.values())) > 1:
        text = ", ".join(f"{name} has {count}" for name, count in counts.items())
        raise ConfigError(
            [
                Problem(
                    "input.topics",
                    f"must have the same number of partitions, because partition N of all of "
                    f"them is one task; {text}. With keyed_by_trace_id: false they need not",
                )
            ]
        )
    usual = max(counts.values(), default=NEW_INPUT_PARTITIONS)
    return [Wanted(name, counts.get(name, usual)) for name in config.input.topics]


def replication_factor(config: WorkerConfig, brokers: int) -> int:
    """Of topics that are created where there are so many brokers."""
    return config.kafka.replication_factor or min(_MAX_REPLICATION, brokers)


async def partitions(admin: AIOKafkaAdminClient) -> dict[str, int]:
    """Return how many partitions each topic has."""
    described = await admin.describe_topics()
    return {topic["topic"]: len(topic["partitions"]) for topic in described}


async def create(admin: AIOKafkaAdminClient, topic: Wanted, replication: int) -> None:
    """Create *topic* and say so, unless somebody else was faster."""
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
