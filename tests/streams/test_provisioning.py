"""The topics that a worker needs: made, or asked for, and never changed."""

from __future__ import annotations

import asyncio
import itertools
import socket
import time
from typing import Any

import pytest
from aiokafka.admin import NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.admin.new_partitions import NewPartitions
from structlog.testing import capture_logs

from tailrace.schemas import topics
from tailrace.schemas.config import WorkerConfig
from tailrace.schemas.errors import ConfigError, EnvironmentFailed
from tailrace.streams.broker import EmbeddedBroker
from tailrace.streams.cluster import Cluster
from tailrace.streams.ledger import CHANGELOG_MESSAGE_BYTES, REQUEST_BYTES
from tailrace.streams.provisioning import NEW_INPUT_PARTITIONS, provision
from tests import kafka_topics
from tests.patience import PATIENCE_S
from tests.streams.kafka_job import admin

OUTPUTS, SUMS = ("sampled", "decisions"), ("metrics", "edges", "alerts")
INTERNAL = ("rollups", "spans", "definitions", "control")
_numbers = itertools.count(1)


class House:
    """A config with topic names of its own, on a broker."""

    def __init__(self, broker: EmbeddedBroker, inputs: tuple[str, ...] = ("in",)) -> None:
        self.bootstrap = broker.bootstrap
        self.app = f"house{next(_numbers)}"
        self.inputs = [self.name(each) for each in inputs]

    def name(self, stem: str) -> str:
        is_internal = stem.endswith("changelog") or stem in INTERNAL
        return f"{self.app}{'-' if is_internal else '.'}{stem}"

    def config(self, *, create_topics: bool = True, is_keyed: bool = True) -> WorkerConfig:
        return WorkerConfig.model_validate(
            {
                "app": self.app,
                "kafka": {"bootstrap_servers": self.bootstrap, "create_topics": create_topics},
                "input": {"topics": self.inputs, "keyed_by_trace_id": is_keyed},
                "output": {each: self.name(each) for each in (*OUTPUTS, *SUMS, "dead_letters")},
            }
        )

    async def provision(self, *, create_topics: bool = True, is_keyed: bool = True) -> Cluster:
        kafka = {"bootstrap_servers": self.bootstrap}
        config = self.config(create_topics=create_topics, is_keyed=is_keyed)
        return await provision(config, kafka)

    of_rollups = ("rollups", *SUMS, "rollups-changelog", "notifications-changelog")

    def everything(self, inputs: int) -> dict[str, int]:
        """What a keyed input with so many partitions needs."""
        return {
            "in": inputs,
            **dict.fromkeys([*OUTPUTS, "spans-changelog"], inputs),
            **dict.fromkeys(self.of_rollups, topics.ROLLUP_PARTITIONS),
            "definitions": 1,
            "control": 1,
            "dead_letters": 1,
        }

    async def create(self, stem: str, partitions: int, **config: str) -> None:
        async with admin(self.bootstrap) as client:
            topic = NewTopic(self.name(stem), partitions, 1, topic_configs=config)
            await kafka_topics.create(client, topic)
        await self.has({stem: partitions})

    async def has(self, expected: dict[str, int]) -> None:
        """Wait until the broker tells of the topics *expected*; it does so a moment later."""
        deadline = time.monotonic() + PATIENCE_S
        while not expected.items() <= (found := await self.topics()).items():
            assert time.monotonic() < deadline, f"{found} instead of {expected}"
            await asyncio.sleep(0.05)

    async def config_of(self, stem: str) -> dict[str, str]:
        """Return how the topic *stem* is configured."""
        async with admin(self.bootstrap) as client:
            resource = ConfigResource(ConfigResourceType.TOPIC, self.name(stem))
            (response,) = await client.describe_configs([resource])
        ((*_, entries),) = response.resources
        return {entry[0]: entry[1] for entry in entries}

    async def topics(self) -> dict[str, int]:
        """Return every topic of this house by stem, with its number of partitions."""
        async with admin(self.bootstrap) as client:
            described = await client.describe_topics()
        return {
            each["topic"].removeprefix(self.app)[1:]: len(each["partitions"])
            for each in described
            if each["topic"].startswith((f"{self.app}.", f"{self.app}-"))
        }


def said(logs: list[Any], event: str) -> dict[str, dict[str, Any]]:
    return {entry["topic"]: entry for entry in logs if entry["event"] == event}


async def test_what_is_missing_is_created_and_said(broker: EmbeddedBroker) -> None:
    house = House(broker)
    await house.create("in", 3)
    with capture_logs() as logs:
        cluster = await house.provision()
    everything = house.everything(3)
    assert cluster.partitions == {house.name(stem): n for stem, n in everything.items()}
    assert 0 < cluster.record_bytes < REQUEST_BYTES
    assert 0 < cluster.rollup_bytes < REQUEST_BYTES
    await house.has(everything)
    created = said(logs, "created topic")
    assert set(created) == set(map(house.name, everything)) - {house.name("in")}
    for stem, partitions in (("spans-changelog", 3), ("rollups-changelog", 8)):
        changelog = created[house.name(stem)]
        assert changelog["cleanup.policy"] == "compact"
        assert changelog["max.message.bytes"] == str(CHANGELOG_MESSAGE_BYTES)
        assert changelog["partitions"] == partitions
    definitions = created[house.name("definitions")]
    assert (definitions["partitions"], definitions["cleanup.policy"]) == (1, "compact")


async def test_what_passes_between_stages_is_kept_for_a_day_by_the_brokers_clock(
    broker: EmbeddedBroker,
) -> None:
    house = House(broker)
    await house.provision(is_keyed=False)
    for stem in ("rollups", "spans", "control"):
        config = await house.config_of(stem)
        assert config["cleanup.policy"] == "delete"
        assert config["retention.ms"] == str(24 * 3600 * 1000)
        assert config["message.timestamp.type"] == "LogAppendTime"


async def test_a_second_worker_changes_nothing_and_sees_the_same(broker: EmbeddedBroker) -> None:
    house = House(broker)
    first = await house.provision()
    assert first.partitions[house.name("in")] == NEW_INPUT_PARTITIONS
    await house.has(house.everything(NEW_INPUT_PARTITIONS))
    with capture_logs() as logs:
        assert await house.provision(create_topics=False) == first
    assert logs == []


async def test_where_creation_is_forbidden_every_missing_topic_is_listed(
    broker: EmbeddedBroker,
) -> None:
    house = House(broker)
    await house.create("in", 3)
    await house.create("sampled", 3)
    with pytest.raises(ConfigError) as refused:
        await house.provision(create_topics=False)
    assert {problem.path for problem in refused.value.problems} == {"kafka.create_topics"}
    missing = house.everything(3).keys() - {"in", "sampled"}
    assert len(refused.value.problems) == len(missing)
    asked = {
        stem: problem.message
        for problem in refused.value.problems
        for stem in missing
        if f"topic {house.name(stem)} is missing; create it with " in problem.message
    }
    assert asked.keys() == missing
    assert asked["decisions"].endswith("create it with 3 partitions")
    assert asked["dead_letters"].startswith("is false, and topic")
    assert "create it with 1 partitions" in asked["dead_letters"]
    assert "create it with 8 partitions" in asked["rollups"]
    assert "message.timestamp.type=LogAppendTime" in asked["rollups"]
    assert "create it with 1 partitions, cleanup.policy=compact" in asked["definitions"]
    assert asked["alerts"].endswith("create it with 8 partitions")
    assert "create it with 3 partitions" in asked["spans-changelog"]
    assert "cleanup.policy=compact" in asked["rollups-changelog"]
    assert f"max.message.bytes={CHANGELOG_MESSAGE_BYTES}" in asked["rollups-changelog"]
    assert await house.topics() == {"in": 3, "sampled": 3}


async def test_inputs_with_different_numbers_of_partitions_are_refused(
    broker: EmbeddedBroker,
) -> None:
    house = House(broker, ("one", "two"))
    await house.create("one", 3)
    await house.create("two", 4)
    with pytest.raises(ConfigError) as refused:
        await house.provision()
    message = str(refused.value)
    assert message.startswith("input.topics must have the same number of partitions")
    assert f"{house.name('one')} has 3, {house.name('two')} has 4" in message
    assert await house.topics() == {"one": 3, "two": 4}


async def test_inputs_that_are_rekeyed_may_differ_in_their_numbers_of_partitions(
    broker: EmbeddedBroker,
) -> None:
    house = House(broker, ("one", "two"))
    await house.create("one", 3)
    await house.create("two", 5)
    cluster = await house.provision(is_keyed=False)
    everything = {
        **house.everything(5),
        "one": 3,
        "two": 5,
        "spans": 5,
        f"rekey-{house.name('one')}-changelog": 3,
        f"rekey-{house.name('two')}-changelog": 5,
    }
    del everything["in"]
    await house.has(everything)
    assert cluster.partitions == {house.name(stem): n for stem, n in everything.items()}


async def test_rollups_with_another_number_of_partitions_are_refused_with_the_remedy(
    broker: EmbeddedBroker,
) -> None:
    house = House(broker)
    await house.provision()
    await house.has(house.everything(NEW_INPUT_PARTITIONS))
    async with admin(house.bootstrap) as client:
        wanted = NewPartitions(total_count=topics.ROLLUP_PARTITIONS + 1)
        await client.create_partitions({house.name("rollups"): wanted})
    await house.has({"rollups": 9})
    with pytest.raises(ConfigError) as refused:
        await house.provision()
    (problem,) = refused.value.problems
    assert problem.path == f"topic {house.name('rollups')}"
    assert "has 9 partitions and had 8" in problem.message
    assert problem.message.endswith("Give the config another app")
    await house.has({"rollups-changelog": 8})


async def test_a_missing_input_gets_as_many_partitions_as_the_other(
    broker: EmbeddedBroker,
) -> None:
    house = House(broker, ("one", "two"))
    await house.create("one", 3)
    assert (await house.provision()).partitions[house.name("two")] == 3
    await house.has({"two": 3})


async def test_a_changelog_grows_with_its_input(broker: EmbeddedBroker) -> None:
    house = House(broker)
    await house.create("in", 5)
    await house.create("spans-changelog", 2, **{"max.message.bytes": "4000000"})
    await house.provision()
    await house.has({"spans-changelog": 5})


async def test_records_stay_below_the_smallest_limit_of_the_output_topics(
    broker: EmbeddedBroker,
) -> None:
    house = House(broker)
    await house.create("decisions", 8, **{"max.message.bytes": "50000"})
    assert (await house.provision()).record_bytes < 50_000


async def test_a_changelog_that_cannot_hold_a_segment_is_refused(broker: EmbeddedBroker) -> None:
    house = House(broker)
    await house.create("spans-changelog", 8)
    with pytest.raises(ConfigError, match=r"has max\.message\.bytes=1048588; it must be 2097152"):
        await house.provision()


async def test_a_broker_that_does_not_answer_is_named_with_the_remedy(
    broker: EmbeddedBroker,
) -> None:
    house = House(broker)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        house.bootstrap = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(EnvironmentFailed, match="no Kafka broker answers at") as failed:
            await house.provision()
    assert house.bootstrap in str(failed.value)
    assert "--bootstrap" in failed.value.remedy


async def test_a_broker_that_accepts_and_says_nothing_is_given_up(
    broker: EmbeddedBroker, record_property: Any
) -> None:
    house = House(broker)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        house.bootstrap = f"127.0.0.1:{silent.getsockname()[1]}"
        started = time.monotonic()
        with pytest.raises(EnvironmentFailed, match="no Kafka broker answers at"):
            await house.provision()
        record_property("given_up_after_s", time.monotonic() - started)
