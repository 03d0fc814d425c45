"""Topics on a real Kafka: there once they are made."""

from __future__ import annotations

import asyncio
import time

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import TopicAlreadyExistsError, for_code

from tests.patience import PATIENCE_S


async def create(admin: AIOKafkaAdminClient, *topics: NewTopic) -> None:
    """Make *topics*; all are known to clients on return.

    A broker that stood still for a while counts as gone to its controller: until it is back,
    there is none to put a topic on.
    """
    deadline = time.monotonic() + PATIENCE_S
    missing = list(topics)
    while missing:
        made = await admin.create_topics(missing)
        refused = [
            f"{name}: {message}"
            for name, code, message, *_ in made.topic_errors
            if code and for_code(code) is not TopicAlreadyExistsError
        ]
        there = await admin.list_topics()
        missing = [each for each in missing if each.name not in there]
        if missing:
            names = [each.name for each in missing]
            assert time.monotonic() < deadline, f"{names} are not there: {refused}"
            await asyncio.sleep(0.05)
