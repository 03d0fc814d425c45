"""Topics that every worker reads to their end before it goes by them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError, KafkaTimeoutError
from aiokafka.structs import TopicPartition

from tailrace.schemas.errors import EnvironmentFailed

_PATIENCE_POLLS: Final = 60


async def read_to_end(
    connect: Callable[[], Awaitable[AIOKafkaConsumer]],
    partition: TopicPartition,
    take: Callable[[AIOKafkaConsumer], Awaitable[Any]],
    give_up: Callable[[], Awaitable[None]],
) -> int:
    """Let *take* have what stands up to the end of now, and return that position.

    The position reaches the end also where marks of transactions stand, which nobody delivers.
    EnvironmentFailed, after *give_up*, if the topic cannot be read.
    """
    try:
        consumer = await connect()
        end = (await consumer.end_offsets([partition]))[partition]
        patience = _PATIENCE_POLLS
        while (position := await consumer.position(partition)) < end:
            await take(consumer)
            moved = await consumer.position(partition) > position
            patience = _PATIENCE_POLLS if moved else patience - 1
            if not patience:
                raise KafkaTimeoutError(f"it stands at {position} of {end}")
        return int(position)
    except (KafkaError, OSError) as error:
        await give_up()
        raise EnvironmentFailed(
            f"topic {partition.topic} cannot be read: {error}",
            "See that the brokers answer, and that this client may read it.",
        ) from error
