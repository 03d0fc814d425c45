"""`tailrace cardinality` on a real Kafka: what the last flushes wrote, all partitions of it."""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
import time
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import NewTopic

from tailrace.schemas.config import WorkerConfig
from tailrace.schemas.errors import EnvironmentFailed
from tailrace.streams.broker import EmbeddedBroker
from tailrace.streams.cardinality import read_cardinality
from tests import kafka_topics
from tests.agents.metrics.test_cardinality import written
from tests.streams.kafka_job import admin

_numbers = itertools.count(1)


def config_on(broker: EmbeddedBroker) -> WorkerConfig:
    topic = f"metrics{next(_numbers)}"
    said = {"kafka": {"bootstrap_servers": broker.bootstrap}, "output": {"metrics": topic}}
    return WorkerConfig.model_validate(said)


async def send(
    broker: EmbeddedBroker, config: WorkerConfig, records: list[tuple[int, bytes, int]]
) -> None:
    """Write (partition, value, age in seconds) into the topic of metrics."""
    topic, now_ms = config.output.metrics, int(time.time() * 1000)
    async with admin(broker.bootstrap) as client:
        await kafka_topics.create(client, NewTopic(topic, 3, 1))
    producer = AIOKafkaProducer(bootstrap_servers=broker.bootstrap)
    await producer.start()
    try:
        for partition, value, age_s in records:
            await producer.send_and_wait(
                topic, value, partition=partition, timestamp_ms=now_ms - age_s * 1000
            )
    finally:
        await producer.stop()


async def command(*arguments: str) -> str:
    """What the command says; a process of its own, for it sets up how processes log."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tailrace", *arguments, stdout=asyncio.subprocess.PIPE
    )
    said, _ = await process.communicate()
    assert process.returncode == 0
    return said.decode()


async def test_series_of_all_partitions_are_read_but_for_those_of_long_ago(
    broker: EmbeddedBroker,
) -> None:
    config = config_on(broker)
    await send(
        broker,
        config,
        [
            (0, written({"x": "gone"}), 3600),
            (0, written({"x": "1"}), 60),
            (1, written({"x": "2"}), 1),
            (1, b"no metrics", 1),
        ],
    )
    found, unreadable = await read_cardinality(config)
    [report] = found.reports(top=5)
    assert dict(report.labels[0].top) == {"1": 1, "2": 1}
    assert (report.series, unreadable) == (2, 1)


async def test_a_topic_that_is_not_there_is_told(broker: EmbeddedBroker) -> None:
    with pytest.raises(EnvironmentFailed, match="is not there"):
        await read_cardinality(config_on(broker))


async def test_the_command_says_which_label_is_to_blame(
    broker: EmbeddedBroker, tmp_path: Path
) -> None:
    config = config_on(broker)
    users = [{"user": f"[/u{each}]"} for each in range(30)]
    await send(broker, config, [(0, written(*users, service="[/x] web"), 1)])
    path = tmp_path / "tailrace.json"
    path.write_text(json.dumps({"output": {"metrics": config.output.metrics}}))
    arguments = ["cardinality", "-c", str(path), "--bootstrap", broker.bootstrap]
    said = await command(*arguments, "--top", "1")
    assert "calls: 30 series; most of [/x] web 30" in said
    assert "user" in said
    [metric] = json.loads(await command(*arguments, "--json"))
    assert metric["labels"][0]["label"] == "user"
    assert metric["labels"][0]["series_without"] == 1
