"""The topic of definitions on a real Kafka: written once, followed, never lost by a bad record."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.structs import TopicPartition
from structlog.testing import capture_logs

from tailrace.schemas.config import WorkerConfig
from tailrace.schemas.definitions import Definition, Definitions, files
from tailrace.schemas.definitions.definition import DefinitionKey
from tailrace.schemas.definitions.documents import to_json, to_key
from tailrace.schemas.errors import ConfigError, EnvironmentFailed
from tailrace.streams.broker import EmbeddedBroker
from tailrace.streams.definitions import Follower, LocalDefinitions
from tailrace.streams.definitions_topic import DEFINITION_BYTES, Change, DefinitionsTopic
from tests import kafka_topics
from tests.patience import PATIENCE_S
from tests.streams.kafka_job import admin

_numbers = itertools.count(1)


def alert(name: str, above: int = 5, **metadata: str) -> Definition[Any]:
    """An alert that is told apart by its threshold."""
    said = {"name": name, **metadata}
    (found,) = files.read(
        f"{{apiVersion: tailrace/v1, kind: Alert, metadata: {said}, "
        f"spec: {{where: {{}}, when: '> {above}'}}}}",
        "test",
    ).definitions
    return found


def key(name: str) -> DefinitionKey:
    return DefinitionKey("Alert", "default", name)


def topic_on(broker: EmbeddedBroker, *, create_topics: bool = True) -> DefinitionsTopic:
    """The topic of an app of its own; it is not there yet."""
    kafka = {"bootstrap_servers": broker.bootstrap, "create_topics": create_topics}
    said = {"app": f"defined{next(_numbers)}", "kafka": kafka}
    return DefinitionsTopic(WorkerConfig.model_validate(said))


class Followed:
    """A follower, and what it was told."""

    def __init__(
        self, broker: EmbeddedBroker, topic: DefinitionsTopic, configured: Definitions | None = None
    ) -> None:
        self.told: list[Definitions] = []
        self.follower = Follower(
            {"bootstrap_servers": broker.bootstrap}, topic.name, configured, self.told.append
        )

    def thresholds(self) -> dict[str, str]:
        """What is known now: threshold by name."""
        return thresholds(self.follower.definitions)

    async def until(self, is_true: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not is_true():
            assert time.monotonic() < deadline, self.follower.definitions
            await asyncio.sleep(0.02)


def thresholds(definitions: Definitions) -> dict[str, str]:
    return {each.name: each.spec.when[""] for each in definitions.by_key.values()}


@pytest.fixture
async def follow(broker: EmbeddedBroker) -> AsyncIterator[Callable[..., Any]]:
    """Starts followers; they end with the test."""
    started: list[Followed] = []

    async def start(
        topic: DefinitionsTopic, configured: Definitions | None = None, on: Any = None
    ) -> Followed:
        started.append(Followed(on or broker, topic, configured))
        await started[-1].follower.start()
        return started[-1]

    yield start
    for each in started:
        await each.follower.stop()


async def send(broker: EmbeddedBroker, topic: str, rows: list[tuple[bytes, bytes | None]]) -> None:
    """Write records that `apply` would not."""
    async with AIOKafkaProducer(bootstrap_servers=broker.bootstrap) as producer:
        for each, value in rows:
            await producer.send_and_wait(topic, value, each, partition=0)


async def test_only_what_is_new_is_written_and_versions_are_those_of_the_records(
    broker: EmbeddedBroker,
) -> None:
    topic = topic_on(broker)
    assert (await topic.read()).snapshot() == Definitions()
    assert await topic.apply([alert("b"), alert("a")]) == [
        Change(key("b"), "created", 1),
        Change(key("a"), "created", 2),
    ]
    assert await topic.apply([alert("a"), alert("b", 7), alert("c")]) == [
        Change(key("a"), "unchanged", 2),
        Change(key("b"), "changed", 3),
        Change(key("c"), "created", 4),
    ]
    assert await topic.delete(key("a")) == Change(key("a"), "deleted", 5)
    assert await topic.delete(key("a")) is None
    stored = (await topic.read()).snapshot()
    assert stored.version == 5
    assert thresholds(stored) == {"b": "> 7", "c": "> 5"}
    assert [each.version for each in stored.by_key.values()] == [3, 4]


async def test_the_topic_is_created_compacted_with_one_partition(broker: EmbeddedBroker) -> None:
    topic = topic_on(broker)
    with capture_logs() as logs:
        await topic.apply([alert("a")])
        await topic.apply([alert("b")])
    assert [entry["topic"] for entry in logs if entry["event"] == "created topic"] == [topic.name]
    async with admin(broker.bootstrap) as client:
        (described,) = [t for t in await client.describe_topics() if t["topic"] == topic.name]
        resource = ConfigResource(ConfigResourceType.TOPIC, topic.name)
        (response,) = await client.describe_configs([resource])
    assert len(described["partitions"]) == 1
    entries = {entry[0]: entry[1] for entry in response.resources[0][-1]}
    assert entries["cleanup.policy"] == "compact"


async def test_where_creation_is_forbidden_the_topic_is_asked_for(broker: EmbeddedBroker) -> None:
    topic = topic_on(broker, create_topics=False)
    with pytest.raises(ConfigError, match=r"create it with 1 partition, cleanup\.policy=compact"):
        await topic.apply([alert("a")])


async def test_a_dry_run_writes_nothing_not_even_the_topic(broker: EmbeddedBroker) -> None:
    topic = topic_on(broker)
    assert await topic.apply([alert("a")], is_dry_run=True) == [Change(key("a"), "created", 0)]
    async with admin(broker.bootstrap) as client:
        assert topic.name not in await client.list_topics()


async def test_of_a_file_with_one_that_is_too_long_none_is_written(broker: EmbeddedBroker) -> None:
    topic = topic_on(broker)
    long = alert("long")
    long = Definition(long.key, long.labels, {"text": "x" * DEFINITION_BYTES}, long.spec)
    with pytest.raises(ConfigError, match=r'Alert "long" has 52\d{4} bytes as JSON'):
        await topic.apply([alert("a"), long])
    assert (await topic.read()).snapshot() == Definitions()


async def test_a_follower_knows_everything_at_its_start_and_every_change_after_it(
    broker: EmbeddedBroker, follow: Callable[..., Any]
) -> None:
    topic = topic_on(broker)
    await topic.apply([alert("a"), alert("b")])
    followed = await follow(topic)
    assert followed.thresholds() == {"a": "> 5", "b": "> 5"}
    first = followed.follower.definitions
    assert first.version == 2
    await topic.apply([alert("a", 9), alert("c")])
    await followed.until(lambda: followed.follower.definitions.version == 4)
    assert followed.thresholds() == {"a": "> 9", "b": "> 5", "c": "> 5"}
    assert thresholds(first) == {"a": "> 5", "b": "> 5"}
    await topic.delete(key("b"))
    await followed.until(lambda: followed.follower.definitions.version == 5)
    assert followed.thresholds() == {"a": "> 9", "c": "> 5"}
    assert followed.told[-1] is followed.follower.definitions
    again = await follow(topic)
    assert again.follower.definitions == followed.follower.definitions


async def test_a_record_that_cannot_be_read_leaves_the_last_good_version(
    broker: EmbeddedBroker, follow: Callable[..., Any]
) -> None:
    topic = topic_on(broker)
    await topic.apply([alert("a"), alert("b")])
    followed = await follow(topic)
    newer = to_json(alert("a", 9)).replace(b"tailrace/v1", b"tailrace/v2")
    with capture_logs() as logs:
        bad = [(to_key(key("a")), newer), (b"", b"{}"), (b"\xff", None), (b"[]", b"\x00")]
        await send(broker, topic.name, bad)
        await topic.apply([alert("b", 7)])
        await followed.until(lambda: followed.thresholds() == {"a": "> 5", "b": "> 7"})
    assert followed.follower.bad_records == 4
    assert {entry["offset"] for entry in logs if "cannot be read" in entry["event"]} == {2, 3, 4, 5}
    assert followed.follower.task is not None
    assert not followed.follower.task.done()
    assert (await topic.read()).unread.keys() == {to_key(key("a")), b"", b"\xff", b"[]"}
    # What cannot be read can be replaced, by the same as before too, and deleted.
    assert await topic.apply([alert("a")]) == [Change(key("a"), "changed", 8)]
    await send(broker, topic.name, [(to_key(key("c")), b"?")])
    assert await topic.delete(key("c")) == Change(key("c"), "deleted", 10)


async def test_the_topic_wins_over_the_config_until_it_says_nothing_any_more(
    broker: EmbeddedBroker, follow: Callable[..., Any]
) -> None:
    topic = topic_on(broker)
    await topic.apply([alert("a", 9)])
    configured = Definitions.of_all([alert("a", 1), alert("b", 1)])
    followed = await follow(topic, configured)
    assert followed.thresholds() == {"a": "> 9", "b": "> 1"}
    assert followed.follower.shadowed == 1
    await topic.delete(key("a"))
    await followed.until(lambda: followed.thresholds() == {"a": "> 1", "b": "> 1"})
    assert followed.follower.shadowed == 0


@pytest.mark.slow
async def test_a_compacted_topic_is_read_to_its_end_with_the_same_versions(
    broker: EmbeddedBroker, follow: Callable[..., Any]
) -> None:
    topic = topic_on(broker)
    eager = {
        "cleanup.policy": "compact", "segment.ms": "100", "min.cleanable.dirty.ratio": "0.001",
        "delete.retention.ms": "0", "max.compaction.lag.ms": "100",
    }  # fmt: skip
    async with admin(broker.bootstrap) as client:
        await kafka_topics.create(client, NewTopic(topic.name, 1, 1, topic_configs=eager))
    for above in range(6):
        await topic.apply([alert("a", above), alert("b", above)])
        await asyncio.sleep(0.15)
    await topic.delete(key("b"))
    await asyncio.sleep(0.15)
    await topic.apply([alert("c")])
    deadline = time.monotonic() + PATIENCE_S
    while (offsets := await kept(broker, topic.name))[0] != 10:  # others end segments, and clean
        assert time.monotonic() < deadline, offsets
        await asyncio.sleep(0.5)
    followed = await follow(topic)
    assert followed.thresholds() == {"a": "> 5", "c": "> 5"}
    assert followed.follower.definitions.version == 14
    assert followed.follower.definitions.by_key[key("a")].version == 11


async def kept(broker: EmbeddedBroker, topic: str) -> list[int]:
    """The offsets of all records that are there."""
    partition = TopicPartition(topic, 0)
    async with AIOKafkaConsumer(bootstrap_servers=broker.bootstrap) as consumer:
        consumer.assign([partition])
        await consumer.seek_to_beginning(partition)
        end = (await consumer.end_offsets([partition]))[partition]
        offsets: list[int] = []
        while await consumer.position(partition) < end:
            batches = await consumer.getmany(partition, timeout_ms=200)
            offsets += [record.offset for record in batches.get(partition, ())]
    return offsets


async def test_a_topic_that_was_made_anew_is_followed_from_its_start(
    broker: EmbeddedBroker, follow: Callable[..., Any]
) -> None:
    topic = topic_on(broker)
    await topic.apply([alert("a"), alert("b"), alert("c")])
    followed = await follow(topic)
    async with admin(broker.bootstrap) as client:
        await client.delete_topics([topic.name])
        while topic.name in await client.list_topics():  # noqa: ASYNC110  # the broker's
            await asyncio.sleep(0.05)
    assert set(followed.thresholds()) == {"a", "b", "c"}
    await topic.apply([alert("d")])
    await followed.until(lambda: set(followed.thresholds()) == {"d"})
    assert followed.follower.definitions.version == 1


async def test_while_the_broker_is_away_what_is_known_stays_and_is_followed_again_after(
    disposable_broker: EmbeddedBroker, follow: Callable[..., Any]
) -> None:
    topic = topic_on(disposable_broker)
    await topic.apply([alert("a")])
    followed = await follow(topic, on=disposable_broker)
    await asyncio.to_thread(disposable_broker.kill)
    await asyncio.sleep(2)
    assert followed.thresholds() == {"a": "> 5"}
    with pytest.raises(EnvironmentFailed, match="no Kafka broker answers"):
        await topic.apply([alert("b")])
    await asyncio.to_thread(disposable_broker.start)
    await topic.apply([alert("b")])
    await followed.until(lambda: followed.thresholds() == {"a": "> 5", "b": "> 5"})


async def test_a_topic_that_is_not_there_cannot_be_followed(broker: EmbeddedBroker) -> None:
    follower = Follower(
        {"bootstrap_servers": broker.bootstrap, "request_timeout_ms": 2000}, "no-such-topic"
    )
    with pytest.raises(EnvironmentFailed, match="topic no-such-topic cannot be read"):
        await follower.start()


def test_a_deletion_of_nothing_is_no_change() -> None:
    local = LocalDefinitions()
    assert not local.take(to_key(key("a")), None, 0)
    assert local.take(to_key(key("a")), to_json(alert("a")), 1)
    assert local.take(to_key(key("a")), None, 2)
    assert local.snapshot() == Definitions(3)
