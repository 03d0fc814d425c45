"""Who may be in one consumer group: workers that run the same capabilities, and no others.

The group's protocol is eager and gives every member a part of every topic; a worker that lacks a
capability would take partitions whose work it does not do. So each member says in its client ID
what it runs, and one that runs something else is refused when it joins.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import GroupCoordinatorNotAvailableError

from tailrace.schemas.config import WorkerConfig
from tailrace.schemas.config.worker import CAPABILITIES, OTLP_HTTP, REMOTE_WRITE
from tailrace.schemas.errors import ConfigError, Problem

_EVERYTHING = "all"
_APART = {REMOTE_WRITE, OTLP_HTTP}
"""What needs no stage: each receiver has a group of its own, in which all do the same."""


def client_id(config: WorkerConfig) -> str:
    """Return the client ID of a worker: its app, and what it runs."""
    return f"{_prefix(config)}{_set(config)}"


async def refuse_mixed(config: WorkerConfig, kafka: Mapping[str, Any]) -> None:
    """Raise ConfigError if the group has a member that runs other capabilities than *config*.

    A worker that only sends to receivers joins no group in which it matters.
    """
    if config.capabilities <= _APART:
        return
    admin = AIOKafkaAdminClient(request_timeout_ms=10_000, **kafka)
    await admin.start()
    try:
        responses = await admin.describe_consumer_groups([config.app])
    except GroupCoordinatorNotAvailableError:
        return  # on a new cluster no group was ever joined
    finally:
        await admin.close()
    others = {
        member["client_id"].removeprefix(_prefix(config))
        for response in responses
        for group in response.to_object()["groups"]
        for member in group["members"]
        if member["client_id"].startswith(_prefix(config))
    } - {_set(config)}
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


def _prefix(config: WorkerConfig) -> str:
    return f"tailrace-{config.app}-"


def _set(config: WorkerConfig) -> str:
    wanted = (set(config.only) or set(CAPABILITIES)) - _APART
    return _EVERYTHING if wanted == set(CAPABILITIES) - _APART else ",".join(sorted(wanted))
