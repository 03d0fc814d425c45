"""Workers die at every stage of an alert's life: one page, one resolve."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import pytest

from tailrace.streams.broker import EmbeddedBroker
from tailrace_loadtest.kafka import read
from tailrace_loadtest.report import Written
from tailrace_loadtest.webhook import FIRING, RESOLVED, keys_by_alert, listening
from tests.conftest import FreshTopic
from tests.end_to_end.incidents import (
    ERRORS,
    LINK,
    PARTITIONS,
    HeldWebhook,
    Shop,
    Workers,
    alert,
    counted_at,
    notified_at,
    until,
)
from tests.patience import PATIENCE_S

CONFIGURED, APPLIED = "configured", "applied"


@dataclass(frozen=True)
class Stage:
    """When in the life of a service's alert the worker dies that has it in its hands.

    `early`: so many errors are sent before that, the others while it is away. `held`: the call
    that is not answered until the worker is dead. `is_known`: it has committed all calls by then.
    `ahead`: the service fails so many stages before, as the end of an alert is slow to come.
    """

    service: str
    comes: Callable[[Shop, str], bool]
    early: int = ERRORS
    kills: str = "rollups"
    held: str = ""
    is_known: bool = False
    ahead: int = 0

    @property
    def definition(self) -> str:
        return APPLIED if SERVICES.index(self.service) % 2 else CONFIGURED

    @property
    def partition(self) -> int:
        if self.kills == "rollups":
            return counted_at(self.definition, self.service)
        return notified_at()


def told(status: str) -> Callable[[Shop, str], bool]:
    return lambda shop, service: shop.webhook.has_told(service, status)


def written(status: str) -> Callable[[Shop, str], bool]:
    return lambda shop, service: shop.has_event(service, status)


STAGES = (
    Stage("before", lambda shop, service: len(shop.errors[service]) == 3, early=3),
    Stage("pending", written("pending")),
    Stage("written", written("firing")),
    Stage("called", told(FIRING), kills="notifications", held=FIRING),
    Stage("firing", told(FIRING)),
    Stage("told", told(FIRING), kills="notifications", is_known=True),
    Stage("joined", told(FIRING), kills=""),
    Stage("resolving", written("resolved"), ahead=2),
    Stage("called-off", told(RESOLVED), kills="notifications", held=RESOLVED, ahead=2),
    Stage("after", told(RESOLVED), kills="notifications", is_known=True, ahead=2),
)
SERVICES = [stage.service for stage in STAGES]
HELD = {stage.service for stage in STAGES if stage.held}


def config(app: str, spans: str, webhook: HeldWebhook) -> dict[str, Any]:
    outputs = ("sampled", "decisions", "metrics", "edges", "alerts", "dead_letters")
    nothing = {"type": "probabilistic", "probabilistic": {"sampling_percentage": 0}}
    return {
        "app": app,
        "input": {"topics": [spans]},
        "output": {name: f"{app}.{name}" for name in outputs},
        "kafka": {"session_timeout": "6s"},
        "engine": {"checkpoint_interval": "200ms"},
        "tail_sampling": {"decision_wait": "2s", "policies": [{"name": "none", **nothing}]},
        "alerts": [alert(CONFIGURED, SERVICES[::2])],
        "notify": {
            "allow_targets": ["127.0.0.1"],
            "contact_points": [
                {
                    "name": "hook",
                    "webhook": {"url": webhook.url},
                    "rate_limit": 6_000,
                    "timeout": f"{PATIENCE_S:g}s",  # what is held is not tried again
                },
            ],
            "policies": [{"name": "each", "route": {"receiver": "hook", "group_by": ["..."]}}],
        },
    }


def document() -> dict[str, Any]:
    spec = alert(APPLIED, SERVICES[1::2])
    metadata = {key: spec.pop(key) for key in ("name", "labels")}
    return {
        "apiVersion": "tailrace/v1", "kind": "Alert", "metadata": metadata, "spec": spec,
    }  # fmt: skip


async def live(shop: Shop, workers: Workers) -> None:
    """Let every service fail, and kill at its stage."""
    for _ in range(2):
        await workers.join()
    await workers.ready()
    await workers.apply(document())
    for stage in STAGES:
        if stage.held:
            shop.webhook.held[stage.service, stage.held] = asyncio.Event()
    async with shop.open():
        await until("spans in every partition", workers.are_awake)
        failing: list[asyncio.Task[None]] = []
        for number, stage in enumerate(STAGES):
            failing += (
                asyncio.create_task(shop.fail(each.service, each.early))
                for at, each in enumerate(STAGES)
                if at - each.ahead == number
            )
            await pass_through(stage, shop, workers)
        await asyncio.gather(*failing)
        for service in SERVICES:
            await until(f"the end of {service}", partial(told(RESOLVED), shop, service))
        await asyncio.sleep(3)  # for what is too much
    for worker in workers.running:
        worker.kill()


async def pass_through(stage: Stage, shop: Shop, workers: Workers) -> None:
    """Kill when *stage* comes."""
    await until(stage.service, partial(stage.comes, shop, stage.service))
    await workers.ready()  # from the death before; no span is counted sooner
    if stage.is_known:
        await until("what was delivered", lambda: workers.knows(len(told_of(shop))))
        shop.settled.append((time.time(), len(shop.webhook.calls)))
    if stage.kills:
        await workers.kill(stage.kills, stage.partition, f"at {stage.service}")
    else:
        workers.note(f"a worker joins at {stage.service}")
        await workers.join()
    if stage.held:
        shop.webhook.held[stage.service, stage.held].set()
    await shop.fail(stage.service, ERRORS - stage.early)


@pytest.mark.slow
def test_whoever_dies_at_whatever_stage_of_an_alert_there_is_one_page_and_one_resolve(
    broker: EmbeddedBroker, fresh_topic: FreshTopic, tmp_path: Path
) -> None:
    spans = fresh_topic("spans", PARTITIONS)
    app = spans.removesuffix(".spans")
    webhook = HeldWebhook()
    file = tmp_path / f"{app}.json"
    shop = Shop(broker.bootstrap, spans, f"{app}.alerts", webhook)
    workers = Workers(tmp_path, broker.bootstrap, file)

    async def run() -> dict[str, list[Written]]:
        async with listening(webhook):
            file.write_bytes(orjson.dumps(config(app, spans, webhook)))
            await live(shop, workers)
        return await read(broker.bootstrap, [f"{app}.sampled", f"{app}.dead_letters"])

    try:
        outputs = asyncio.run(run())
    finally:
        for worker in workers.running:
            worker.kill()
    assert sorted(shop.events) == sorted(SERVICES)
    for stage in STAGES:
        check_events(stage, shop.events[stage.service])
    check_calls(shop, workers)
    check_traces(shop, outputs[f"{app}.sampled"])
    assert outputs[f"{app}.dead_letters"] == []


def check_events(stage: Stage, events: list[dict[str, Any]]) -> None:
    """One alert, told pending, firing and resolved in that order, with every error counted once."""
    assert len({event["id"] for event in events}) == 1
    statuses = [event["status"] for event in events]
    assert statuses[0] == "pending"
    assert statuses[-1] == "resolved"
    assert list(dict.fromkeys(statuses)) == ["pending", "firing", "resolved"]
    assert statuses.count("resolved") == 1
    times = [event["evaluated_at"] for event in events]
    assert times == sorted(set(times)), "an evaluation was told twice"
    (fired, *_) = (event for event in events if event["status"] == "firing")
    assert fired["value"] == fired["threshold"] == ERRORS
    assert (fired["definition_version"] > 0) == (stage.definition == APPLIED)


def told_of(shop: Shop) -> dict[tuple[str, str], set[str]]:
    """The keys of all calls by alert and status."""
    return keys_by_alert(shop.webhook.calls)


def keys(shop: Shop) -> dict[tuple[str, str], set[str]]:
    """The keys of all calls by service and status."""
    found = told_of(shop)
    services = {events[0]["id"]: service for service, events in shop.events.items()}
    return {(services[alert], status): found[alert, status] for alert, status in found}


def check_calls(shop: Shop, workers: Workers) -> None:
    """One page and one resolve by key; repeated only as often as the notifier changed hands.

    Not if that was only after it was known for good: a call that comes later all the same is of
    somebody who had lost the partition before, and did not know it yet.
    """
    found, moves = keys(shop), workers.takeovers("notifications", notified_at())
    assert set(found) == {
        (service, status) for service in SERVICES for status in (FIRING, RESOLVED)
    }
    assert all(len(each) == 1 for each in found.values()), "somebody was told under two keys"
    for stage in STAGES:
        for status in (FIRING, RESOLVED):
            (key,) = found[stage.service, status]
            times = [call.at for call in shop.webhook.calls if call.key == key]
            began = begins(shop.events[stage.service], status)
            if status == stage.held:
                assert len(times) >= 2, "the worker died inside the call"
            assert len(times) <= 1 + within(moves, began, times[-1]), (stage, status, times, moves)
            for known_at, count in shop.settled:
                settled, later = shop.webhook.calls[:count], shop.webhook.calls[count:]
                if all(key in {call.key for call in calls} for calls in (settled, later)):
                    assert within(moves, began, known_at), (stage, status, times, moves)


def begins(events: list[dict[str, Any]], status: str) -> float:
    """When it was first so."""
    (first, *_) = (event for event in events if event["status"] == status)
    return datetime.fromisoformat(first["evaluated_at"]).timestamp()


def within(times: list[float], after: float, before: float) -> int:
    """How many of *times* there are between."""
    return sum(after < at < before for at in times)


def check_traces(shop: Shop, sampled: list[Written]) -> None:
    """Every failed trace was kept for its alert, and nothing else; links lead to them."""
    failed = [trace_id for traces in shop.errors.values() for trace_id in traces]
    assert sorted((each.key or b"").decode() for each in sampled) == sorted(failed)
    assert {dict(each.headers)["tailrace.policy"] for each in sampled} == {b"alert"}
    for service, events in shop.events.items():
        (fired, *_) = (event for event in events if event["status"] == "firing")
        assert linked(fired["spans"]) == shop.errors[service]
    for call in shop.webhook.calls:
        for each in call.told:
            # A page that comes when all is over has only what the end of the alert has.
            assert linked(each.spans) <= shop.errors[each.labels["service"]]


def linked(spans: list[dict[str, Any]]) -> set[str]:
    """The traces that *spans* lead to, none of which was dropped."""
    for span in spans:
        assert span["url"] == LINK + span["trace_id"]
        assert span["sampled"] is not False
    return {span["trace_id"] for span in spans}
