"""One worker process, from its config to its end."""

from __future__ import annotations

import asyncio
import gc
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import structlog
from aiokafka.errors import KafkaError
from pydantic import ValidationError

from tailrace.agents.notifier.sender import Sender
from tailrace.agents.sampling.splits import SplitTraces
from tailrace.schemas import topics
from tailrace.schemas.config import WorkerConfig
from tailrace.schemas.config.definitions import configured
from tailrace.schemas.config.worker import (
    NOTIFIER,
    SAMPLING,
    Capability,
    KafkaConfig,
    Selection,
)
from tailrace.schemas.durations import MILLISECOND, SECOND
from tailrace.schemas.errors import ConfigError, EnvironmentFailed, Problem
from tailrace.streams import identity, membership, topology, web
from tailrace.streams.api import worker_state
from tailrace.streams.app import GroupSettings, build_app, connect, run
from tailrace.streams.callers import Callers
from tailrace.streams.control import ControlLog
from tailrace.streams.definitions import Follower
from tailrace.streams.engine import Engine, EngineSettings
from tailrace.streams.exports.exports import Exports
from tailrace.streams.identity import Identity
from tailrace.streams.metric_kinds import Around
from tailrace.streams.metrics import Metrics
from tailrace.streams.notifications import surroundings
from tailrace.streams.policies_file import PoliciesFile
from tailrace.streams.provisioning import provision
from tailrace.streams.runner import FATAL
from tailrace.streams.task import TaskId
from tailrace.streams.watchdog import Stalled

log = structlog.get_logger()

_TELL_EVERY_S = 60.0


async def work(config: WorkerConfig) -> None:
    """Run a worker until SIGTERM or SIGINT; then commit what is done, and return or raise."""
    stop, interrupted, ready = asyncio.Event(), asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    loop.add_signal_handler(signal.SIGINT, interrupted.set)
    background = [asyncio.create_task(_first(interrupted, stop))]
    place = identity.claim(config.data_dir, config.app)
    kafka: Mapping[str, Any] = {
        "bootstrap_servers": list(config.kafka.bootstrap_servers),
        "client_id": membership.client_id(config),
    }
    cluster = await provision(config, kafka)
    await membership.refuse_mixed(config, kafka)
    follower = await _followed(config, kafka)
    policies = _policies_file(config, follower)
    sender = Sender(surroundings(config))
    callers = Callers(kafka, config.output.edges)
    if NOTIFIER in config.capabilities:
        callers.start()
    control = await _control(config, kafka)
    whole = topology.build(config, cluster, sender, lambda: callers.calls, control.held)
    data_dir = place.directory / cluster.id / config.app
    engine = Engine(
        _settings(config, data_dir), whole.stages, kafka,
        on_ready=lambda ids: _say_ready(ids, ready), message_bytes=cluster.message_bytes,
        definitions=lambda: follower.definitions,
    )  # fmt: skip
    assert follower.task is not None
    follower.task.add_done_callback(partial(_follow_no_longer, engine))
    app = build_app(_group(config, place), kafka, data_dir)
    topology.add_agents(app, config, engine)
    connect(app, engine)
    background.append(asyncio.create_task(_tell_splits(whole.spans.splits)))
    background.append(asyncio.create_task(_look_around(ready, engine, config, kafka)))
    exports = Exports(config, cluster, kafka, engine.fail)
    metrics = Metrics(Around(engine, whole.spans, follower, sender, policies, exports.figures))
    state = worker_state.of_worker(config, cluster, engine, follower, sender)
    server = await web.serve(config.web, engine, metrics, state)
    _calm_collector()
    try:
        with _for_people():
            await exports.start()
            if whole.stages:
                await run(app, engine, stop)
            else:
                await _only_send(exports, engine, stop)
    finally:
        await server.cleanup()
        await exports.stop()
        await sender.close()
        await callers.stop()
        await control.stop()
        if policies is not None:
            await policies.stop()
        await follower.stop()
        for task in background:
            task.cancel()
    if interrupted.is_set():
        raise KeyboardInterrupt


@contextmanager
def _for_people() -> Iterator[None]:
    """Let what no second try mends end the worker, with words for whoever runs it."""
    try:
        yield
    except (*FATAL, Stalled) as error:
        raise EnvironmentFailed(str(error), "") from error
    except KafkaError as error:
        raise EnvironmentFailed(
            f"Kafka failed: {type(error).__name__}: {error}",
            "See whether the brokers answer, then start the worker again; nothing is lost.",
        ) from error


async def _followed(config: WorkerConfig, kafka: Mapping[str, Any]) -> Follower:
    """Return what holds all definitions from now on: the config's, and the topic's to its end."""
    own = configured(config.alerts, config.slos, config.notify)
    follower = Follower(kafka, topics.definitions(config.app), own)
    await follower.start()
    return follower


async def _control(config: WorkerConfig, kafka: Mapping[str, Any]) -> ControlLog:
    """Return what holds the control log from now on, if there is anybody to tell."""
    lookback_ms = config.tail_sampling.keep_linked // MILLISECOND
    found = ControlLog(kafka, topics.control(config.app), lookback_ms)
    if SAMPLING in config.capabilities:
        await found.start()
    return found


def _policies_file(config: WorkerConfig, follower: Follower) -> PoliciesFile | None:
    """Return what follows the file of sampling policies, if the config names one."""
    path = config.tail_sampling.policies_file
    if path is None or SAMPLING not in config.capabilities:
        return None
    found = PoliciesFile(path, follower.configure, config.tail_sampling)
    found.start()
    return found


async def _only_send(exports: Exports, engine: Engine, stop: asyncio.Event) -> None:
    """Send to receivers until *stop* is set; there is no stage to run."""
    names = await _unless(asyncio.create_task(exports.assigned()), engine, stop)
    if names is not None:
        engine.is_ready = True
        sys.stdout.write(f"ready {' '.join(names) or '(no partition: others have them all)'}\n")
        sys.stdout.flush()
        await _unless(asyncio.create_task(stop.wait()), engine, stop)


async def _unless(step: asyncio.Task[Any], engine: Engine, stop: asyncio.Event) -> Any:
    """Return what *step* does, or None if *stop* is set; raise what ended the engine before."""
    stopped = asyncio.create_task(stop.wait())
    done, _ = await asyncio.wait([step, stopped, engine.ended], return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    if engine.ended in done:
        engine.ended.result()
    if step in done:
        return step.result()
    step.cancel()
    return None


def _group(config: WorkerConfig, place: Identity) -> GroupSettings:
    return GroupSettings(
        config.app,
        config.kafka.bootstrap_servers,
        config.kafka.group_instance_id or place.instance_id,
        config.kafka.session_timeout / SECOND,
    )


def _follow_no_longer(engine: Engine, task: asyncio.Task[None]) -> None:
    """End the worker rather than let it go by definitions that nobody changes any more."""
    if not task.cancelled():
        engine.fail(task.exception() or RuntimeError("definitions are followed no longer"))


async def _first(event: asyncio.Event, then: asyncio.Event) -> None:
    await event.wait()
    then.set()


async def _look_around(
    ready: asyncio.Event, engine: Engine, config: WorkerConfig, kafka: Mapping[str, Any]
) -> None:
    """End the worker if one of another set of capabilities joined at the same moment."""
    await ready.wait()
    try:
        await membership.refuse_mixed(config, kafka)
    except ConfigError as error:
        engine.fail(error)
    except EnvironmentFailed:
        log.debug("nobody says who else is in the group")


async def _tell_splits(splits: SplitTraces) -> None:
    """Log it when traces came in two partitions."""
    told = 0
    while True:
        await asyncio.sleep(_TELL_EVERY_S)
        if splits.count > told:
            log.warning(
                "traces came in two partitions; each part is decided where it came. Let all "
                "producers hash the trace ID the same way",
                traces=splits.count - told,
            )
            told = splits.count


def overridden(
    config: WorkerConfig,
    bootstrap: str | None,
    data: Path | None,
    web_port: int | None,
    only: str | None = None,
) -> WorkerConfig:
    """Return *config* with what the command line says instead."""
    updates: dict[str, object] = {}
    if bootstrap is not None:
        servers = {"bootstrap_servers": _servers(bootstrap)}
        updates["kafka"] = config.kafka.model_copy(update=servers)
    if data is not None:
        updates["data_dir"] = data
    if web_port is not None:
        updates["web"] = config.web.model_copy(update={"port": web_port})
    if only is not None:
        updates["only"] = _capabilities(only)
    changed = config.model_copy(update=updates)
    if not changed.capabilities:
        problem = f"is {', '.join(changed.only)}, which the config turns off; nothing would run"
        raise ConfigError([Problem("--only", problem)])
    return changed


def _capabilities(only: str) -> tuple[Capability, ...]:
    try:
        return Selection.model_validate({"only": only.replace(" ", "")}).only
    except ValidationError as error:
        raise ConfigError(Problem("--only", each["msg"]) for each in error.errors()) from None


def _servers(bootstrap: str) -> tuple[str, ...]:
    try:
        return KafkaConfig.model_validate({"bootstrap_servers": bootstrap}).bootstrap_servers
    except ValidationError as error:
        raise ConfigError(Problem("--bootstrap", each["msg"]) for each in error.errors()) from None


def _settings(config: WorkerConfig, data_dir: Path) -> EngineSettings:
    engine = config.engine
    return EngineSettings(
        app=config.app,
        data_dir=data_dir,
        checkpoint_interval_s=engine.checkpoint_interval / SECOND,
        checkpoint_bytes=engine.checkpoint_bytes,
        grace_s=engine.grace / SECOND,
        stall_timeout_s=engine.stall_timeout / SECOND,
    )


def _say_ready(ids: list[TaskId], ready: asyncio.Event) -> None:
    ready.set()
    names = " ".join(map(str, ids)) or "(no partition: others have them all)"
    sys.stdout.write(f"ready {names}\n")
    sys.stdout.flush()


def _calm_collector() -> None:
    """Long-lived state is mostly acyclic: collect it seldom."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 50, 100)
