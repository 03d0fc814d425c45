"""The Faust app: group membership, agents and signals; everything else of Faust is off."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import faust
import structlog
from aiokafka.errors import KafkaError
from aiokafka.structs import TopicPartition
from faust.tables.manager import TableManager

from tailrace.streams.engine import Engine
from tailrace.streams.transport import ConsumerSettings, Transport

log = structlog.get_logger()

AgentBuilder = Callable[[faust.App, Any, Callable[..., Any]], Any]


@dataclass(frozen=True, slots=True)
class GroupSettings:
    """How this worker takes part in the consumer group. Times in seconds."""

    app: str
    bootstrap_servers: Sequence[str]
    instance_id: str | None
    session_timeout_s: float = 10.0


class BatchSchema(faust.Schema):  # type: ignore[misc]  # Faust is untyped
    """Passes the transport's batch on as the event's value."""

    def compile(self, app: Any, **kwargs: Any) -> Any:
        """Return the decoder of a topic's messages."""

        async def decode(message: Any, *, propagate: bool = False) -> Any:
            return app.create_event(None, message.value, {}, message)

        return decode


class NoTables(TableManager):  # type: ignore[misc]  # Faust is untyped
    """Does not wait a second at every start for tables that agents may still make."""

    async def on_start(self) -> None:
        """Let rebalances go on at once."""
        await self._update_channels()
        await self.recovery.start()


def build_app(group: GroupSettings, kafka: Mapping[str, Any], data_dir: Path) -> faust.App:
    """Return a Faust app without tables, web server or commits of its own."""
    data_dir.mkdir(parents=True, exist_ok=True)
    app = faust.App(
        group.app,
        broker=";".join(f"tailrace://{server}" for server in group.bootstrap_servers),
        datadir=str(data_dir / "faust"),
        autodiscover=False,
        web_enabled=False,
        table_standby_replicas=0,
        TableManager=NoTables,
        topic_allow_declare=False,
        topic_disable_leader=True,
        stream_wait_empty=False,
        stream_recovery_delay=0.0,
        stream_buffer_maxsize=16,
        broker_client_id=kafka.get("client_id", group.app),
        broker_commit_interval=3600.0,
        broker_session_timeout=group.session_timeout_s,
        broker_heartbeat_interval=min(3.0, group.session_timeout_s / 3),
        broker_request_timeout=60.0,
        broker_rebalance_timeout=60.0,
        broker_max_poll_interval=600.0,
        consumer_group_instance_id=group.instance_id,
        producer_linger=0,
    )
    app.transport.settings = ConsumerSettings(kafka)
    return app


def connect(app: faust.App, engine: Engine) -> None:
    """Let rebalances assign and revoke the engine's tasks."""
    transport: Transport = app.transport
    transport.positions = engine.positions

    async def take(sender: Any, **kwargs: Any) -> None:
        engine.consumer = app.consumer
        assigned = {TopicPartition(tp.topic, tp.partition) for tp in app.consumer.assignment()}
        await engine.assign(assigned)

    async def give_back(sender: Any, revoked: Any, **kwargs: Any) -> None:
        await engine.revoke()

    # Faust keeps weak references to plain functions.
    app.on_rebalance_complete.connect(take, weak=False)
    app.on_partitions_revoked.connect(give_back, weak=False)


async def run(app: faust.App, engine: Engine, stop: asyncio.Event) -> None:
    """Run until *stop* is set; raise what ended the engine or the app before that."""
    asyncio.get_running_loop().set_exception_handler(_report)
    engine.start()
    starting: asyncio.Future[Any] = asyncio.ensure_future(app.start())
    endings: list[asyncio.Future[Any]] = [asyncio.ensure_future(stop.wait()), engine.ended]
    try:
        await asyncio.wait([starting, *endings], return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            starting.result()
            endings.append(asyncio.ensure_future(app.wait_until_stopped()))
            await asyncio.wait(endings, return_when=asyncio.FIRST_COMPLETED)
    finally:
        starting.cancel()
        stop_s = 2 * engine.settings.revoke_timeout_s
        for step in (engine.stop(), app.stop()):
            try:
                await asyncio.wait_for(step, stop_s)
            except TimeoutError:
                log.warning("stopping takes too long; what is not committed is done again later")
    if engine.ended.done():
        engine.ended.result()
    if app.crash_reason is not None:
        raise app.crash_reason


def _report(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Report what nobody awaited; but aiokafka awaits not all that a failed batch sets."""
    is_future = str(context.get("message", "")).startswith("Future exception")
    if not (is_future and isinstance(context.get("exception"), KafkaError)):
        loop.default_exception_handler(context)
