"""Who may be in one consumer group: workers that run the same capabilities, and no others.

The group's protocol is eager and gives every member a part of every topic; a worker that lacks a
capability would take partitions whose work it does not do. So each member says in its client ID
what it runs, and one that runs something else is refused when it joins.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import GroupCoordinatorNotAvailableError, KafkaError

from tailrace.schemas.config import WorkerConfig
from tailrace.schemas.config.worker import CAPABILITIES, OTLP_HTTP, REMOTE_WRITE
from tailrace.schemas.errors import ConfigError, EnvironmentFailed, Problem
from tailrace.streams.provisioning import ADMIN_TIMEOUT_MS

_RETRY_S = 0.5
_EVERYTHING = "all"
_APART = {REMOTE_WRITE, OTLP_HTTP}
"""What needs no stage: each receiver has a group of its own, in which all do the same."""


def client_id(config: WorkerConfig) -> str:
    """Return the client ID of a worker: its app, and what it runs."""
    return f"{_prefix(config)}{_set(config)}"


async def refuse_mixed(config: WorkerConfig, kafka: Mapping[str, Any]) -> None:
    """Raise ConfigError if the group has a member that runs other capabilities than *config*.

    EnvironmentFailed if no broker says who is in it, for so long as one may need to come back. A
    worker that only sends to receivers joins no group in which it matters.
    """
    if config.capabilities <= _APART:
        return
    ends_at = time.monotonic() + ADMIN_TIMEOUT_MS / 1000
    while True:
        try:
            others = await _others(config, kafka)
            break
        except (KafkaError, OSError) as error:
            if time.monotonic() >= ends_at:
                raise EnvironmentFailed(
                    f"no Kafka broker says who is in group {config.app}: {error}",
                    "See that the brokers answer, and that this client may describe groups.",
                ) from error
            await asyncio.sleep(_RETRY_S)
    if others:
        raise ConfigError(
            [
                Problem(
                    "only",
                    f"is {_set(config)}, but workers of app {config.app} run "
                    f"{' and '.join(sorted(others))}; give this config another app, or let all "
                    f"workers of the app run the same",
                )
            ]
        )


async def _others(config: WorkerConfig, kafka: Mapping[str, Any]) -> set[str]:
    """What members of the group run that is not what *config* says."""
    admin = AIOKafkaAdminClient(request_timeout_ms=ADMIN_TIMEOUT_MS, **kafka)
    await admin.start()
    try:
        responses = await admin.describe_consumer_groups([config.app])
    except GroupCoordinatorNotAvailableError:
        return set()  # on a new cluster no group was ever joined
    finally:
        await admin.close()
    return {
        member["client_id"].removeprefix(_prefix(config))
        for response in responses
        for group in response.to_object()["groups"]
        for member in group["members"]
        if member["client_id"].startswith(_prefix(config))
    } - {_set(config)}


def _prefix(config: WorkerConfig) -> str:
    return f"tailrace-{config.app}-"


def _set(config: WorkerConfig) -> str:
    wanted = (set(config.only) or set(CAPABILITIES)) - _APART
    return _EVERYTHING if wanted == set(CAPABILITIES) - _APART else ",".join(sorted(wanted))
