"""When what a consumer knows of a log's end was true.

aiokafka notes the time at which it reads a fetch's answer. A process that was stopped meanwhile, as
machines pause, reads an answer from before that: the end that it tells is old, and records that
were sent since would meet a time that has passed them. So a fetch is true of when it was asked for.
"""

from __future__ import annotations

import time
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.structs import TopicPartition


class FetchTimes:
    """Follows the fetches of *consumer*, from before it starts."""

    def __init__(self, consumer: AIOKafkaConsumer) -> None:
        self._asked: dict[TopicPartition, int] = {}
        client = consumer._client
        send = client.send

        async def timed(node_id: Any, request: Any, **more: Any) -> Any:
            asked = time.time_ns() // 1_000_000
            answer = await send(node_id, request, **more)
            if isinstance(request, FetchRequest):
                for topic, partitions in request.topics:
                    for partition, *_ in partitions:
                        self._asked[TopicPartition(topic, partition)] = asked
            return answer

        client.send = timed

    def end_reached(self, tp: TopicPartition, state: Any) -> tuple[int, int] | None:
        """The log's end, and a time (ms, wall clock) at which nothing stood behind it.

        *state*: aiokafka's of *tp*. None if the last fetch found more, or there was none.
        """
        if state.timestamp is None or tp not in self._asked or not state.has_valid_position:
            return None
        end = state.lso if state.lso is not None else state.highwater
        return (end, min(state.timestamp, self._asked[tp])) if state.position >= end else None
