"""The topics that a worker needs: made, or asked for, and never changed."""

from __future__ import annotations

import asyncio
import itertools
import socket
import time
from typing import Any

import pytest
from aiokafka.admin import NewTopic
from structlog.testing import capture_logs

from tailrace.schemas.config import WorkerConfig
from tailrace.schemas.errors import ConfigError, EnvironmentFailed
from tailrace.streams.broker import EmbeddedBroker
from tailrace.streams.ledger import CHANGELOG_MESSAGE_BYTES, REQUEST_BYTES
from tailrace.streams.provisioning import NEW_INPUT_PARTITIONS, Cluster, provision
from tests.streams.kafka_job import admin

_numbers = itertools.count(1)


class House:
    """A config with topic names of its own, on a broker."""

    def __init__(self, broker: EmbeddedBroker, inputs: tuple[str, ...] = ("in",)) -> None:
        self.bootstrap = broker.bootstrap
        self.app = f"house{next(_numbers)}"
        self.inputs = [self.name(each) for each in inputs]

    def name(self, stem: str) -> str:
        return f"{self.app}{'-' if stem.endswith('changelog') else '.'}{stem}"

    def config(self, *, create_topics: bool = True) -> WorkerConfig:
        return WorkerConfig.model_validate(
            {
                "app": self.app,
                "kafka": {"bootstrap_servers": self.bootstrap, "create_topics": create_topics},
                "input": {"topics": self.inputs},
                "output": {
                    each: self.name(each) for each in ("sampled", "decisions", "dead_letters")
                },
            }
        )

    async def provision(self, *, create_topics: bool = True) -> Cluster:
        kafka = {"bootstrap_servers": self.bootstrap}
        return await provision(self.config(create_topics=create_topics), kafka)

    async def create(self, stem: str, partitions: int, **config: str) -> None:
        async with admin(self.bootstrap) as client:
            topic = NewTopic(self.name(stem), partitions, 1, topic_configs=config)
            made = await client.create_topics([topic])
        assert not made.topic_errors[0][1], made
        await self.has({stem: partitions})

    async def has(self, expected: dict[str, int]) -> None:
        """Wait until the broker tells of the topics *expected*; it does so a moment later."""
        for _ in range(200):
            if expected.items() <= (await self.topics()).items():
                return
            await asyncio.sleep(0.05)
        raise AssertionError(f"{await self.topics()} instead of {expected}")

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
    assert cluster.partitions == 3
    assert 0 < cluster.record_bytes < REQUEST_BYTES
    await house.has(
        {"in": 3, "sampled": 3, "decisions": 3, "dead_letters": 1, "spans-changelog": 3}
    )
    created = said(logs, "created topic")
    changelog = created[house.name("spans-changelog")]
    assert set(created) == {
        house.name("sampled"), house.name("decisions"), house.name("dead_letters"),
        house.name("spans-changelog"),
    }  # fmt: skip
    assert changelog["cleanup.policy"] == "compact"
    assert changelog["max.message.bytes"] == str(CHANGELOG_MESSAGE_BYTES)
    assert changelog["partitions"] == 3


async def test_a_second_worker_changes_nothing_and_sees_the_same(broker: EmbeddedBroker) -> None:
    house = House(broker)
    first = await house.provision()
    assert first.partitions == NEW_INPUT_PARTITIONS
    await house.has(
        {"in": 8, "sampled": 8, "decisions": 8, "dead_letters": 1, "spans-changelog": 8}
    )
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
    decisions, letters, changelog = (problem.message for problem in refused.value.problems)
    assert f"topic {house.name('decisions')} is missing; create it with 3 part" in decisions
    assert f"topic {house.name('dead_letters')} is missing; create it with 1 part" in letters
    assert f"topic {house.app}-spans-changelog is missing; create it with 3 part" in changelog
    assert "cleanup.policy=compact" in changelog
    assert f"max.message.bytes={CHANGELOG_MESSAGE_BYTES}" in changelog
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


async def test_a_missing_input_gets_as_many_partitions_as_the_other(
    broker: EmbeddedBroker,
) -> None:
    house = House(broker, ("one", "two"))
    await house.create("one", 3)
    assert (await house.provision()).partitions == 3
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
