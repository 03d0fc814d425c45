"""A real Alertmanager shows an alert, groups it, tells of it, and ends it."""

from __future__ import annotations

import asyncio
import subprocess
import time
import warnings
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator

from tailrace.schemas.notifications import Delivered
from tailrace_loadtest.processes import free_port
from tests.agents.notifier.receivers import (
    Receiver,
    alert,
    always,
    delivered,
    notification,
    point,
    receiver,
)
from tests.agents.notifier.test_channels_http import WEBHOOK
from tests.end_to_end.servers import ALERTMANAGER
from tests.patience import PATIENCE_S

pytestmark = pytest.mark.slow

TIMEOUT = f"{PATIENCE_S:g}s"

CONFIG = """
route:
  receiver: hook
  group_by: [alertname, service]
  group_wait: 1s
  group_interval: 1s
  repeat_interval: 1h
receivers:
  - name: hook
    webhook_configs:
      - url: {url}
        send_resolved: true
"""


@pytest.fixture(scope="module")
def server() -> Path:
    """The server, or a skip that nobody overlooks."""
    there = ALERTMANAGER.found()
    if there is None:
        warnings.warn(ALERTMANAGER.missing, stacklevel=1)
        pytest.skip(ALERTMANAGER.missing)
    return there


@dataclass
class Running:
    """An Alertmanager, and what it told its own receiver."""

    url: str
    hook: Receiver

    async def alerts(self) -> list[dict[str, Any]]:
        return await self._get("/api/v2/alerts")

    async def groups(self) -> list[dict[str, Any]]:
        return await self._get("/api/v2/alerts/groups")

    async def _get(self, path: str) -> list[dict[str, Any]]:
        async with httpx.AsyncClient(trust_env=False, timeout=PATIENCE_S) as client:
            found: list[dict[str, Any]] = (await client.get(f"{self.url}{path}")).json()
            return found

    async def shows(self, what: Callable[[list[dict[str, Any]]], bool]) -> list[dict[str, Any]]:
        """Its alerts, once *what* holds of them."""
        return await eventually(self.alerts, what)

    async def tells(self, status: str, name: str) -> dict[str, Any]:
        """What it told its receiver, once that is of *status* and *name*."""

        async def told() -> list[dict[str, Any]]:
            return [
                each.json
                for each in self.hook.received
                if each.json["status"] == status and each.json["groupLabels"]["alertname"] == name
            ]

        return (await eventually(told, bool))[0]


async def eventually(ask: Any, holds: Any) -> Any:
    """What *ask* answers, once *holds* holds of it."""
    deadline = time.monotonic() + PATIENCE_S
    while not holds(answer := await ask()):
        assert time.monotonic() < deadline, answer
        await asyncio.sleep(0.05)
    return answer


@pytest.fixture
async def alertmanager(server: Path, tmp_path: Path) -> AsyncIterator[Running]:
    """One that is ready, with nothing in it."""
    async with receiver(always(200)) as hook:
        config = tmp_path / "alertmanager.yml"
        config.write_text(CONFIG.format(url=f"{hook.url}/hook"))
        with started(server, config, tmp_path) as url:
            running = Running(url, hook)

            async def is_ready() -> bool:
                async with httpx.AsyncClient(trust_env=False) as client:
                    try:
                        return (await client.get(f"{url}/-/ready")).is_success
                    except httpx.TransportError:
                        return False

            await eventually(is_ready, bool)
            yield running


class started:  # noqa: N801  # reads as what is done
    """The process, at a free port, until the end."""

    def __init__(self, server: Path, config: Path, directory: Path) -> None:
        address = f"127.0.0.1:{free_port()}"
        self._url = f"http://{address}"
        self._log = (directory / "alertmanager.log").open("wb")
        self._process = subprocess.Popen(
            [
                server,
                f"--config.file={config}",
                f"--storage.path={directory / 'storage'}",
                f"--web.listen-address={address}",
                "--cluster.listen-address=",
            ],
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )

    def __enter__(self) -> str:
        return self._url

    def __exit__(self, *error: object) -> None:
        self._process.terminate()
        self._process.wait(PATIENCE_S)
        self._log.close()


async def test_an_alert_shows_in_its_group_and_ends(alertmanager: Running) -> None:
    now_ms = time.time_ns() // 1_000_000
    target = point(alertmanager={"url": alertmanager.url}, timeout=TIMEOUT)
    firing = alert(began=now_ms - 120_000)
    other = alert("Slow", severity="warning", began=now_ms - 120_000, service="cart")
    both = notification(firing, other)
    assert await delivered(target, both, wall_ms=lambda: now_ms) == Delivered()

    shown = await alertmanager.shows(lambda alerts: len(alerts) == 2)
    mine = next(each for each in shown if each["labels"]["alertname"] == "CheckoutErrors")
    assert mine["status"]["state"] == "active"
    assert mine["labels"]["service_version"] == "1.2"
    assert mine["labels"]["severity"] == "critical"
    assert f"{1:032x} {1:016x} checkout POST /orders 1.234s" in mine["annotations"]["spans"]
    assert mine["generatorURL"] == "https://dashboards.example/d/1"
    groups = await alertmanager.groups()
    assert sorted(tuple(sorted(each["labels"].items())) for each in groups) == [
        (("alertname", "CheckoutErrors"), ("service", "checkout")),
        (("alertname", "Slow"), ("service", "cart")),
    ]
    told = await alertmanager.tells("firing", "CheckoutErrors")
    # What Alertmanager itself says to a webhook is what we say to one, but for our own key.
    Draft202012Validator(WEBHOOK).validate({**told, "tailrace": {}})

    over = replace(firing, status="resolved", ends_at=now_ms)
    ended = notification(over, id="n2")
    assert await delivered(target, ended, wall_ms=lambda: now_ms) == Delivered()
    left = await alertmanager.shows(lambda alerts: len(alerts) == 1)
    assert left[0]["labels"]["alertname"] == "Slow"
    told = await alertmanager.tells("resolved", "CheckoutErrors")
    assert told["alerts"][0]["status"] == "resolved"


async def test_telling_again_holds_an_alert_and_makes_no_second_one(alertmanager: Running) -> None:
    now_ms = time.time_ns() // 1_000_000
    target = point(alertmanager={"url": alertmanager.url, "expires": "1h"}, timeout=TIMEOUT)
    firing = notification(alert(began=now_ms - 120_000))
    assert await delivered(target, firing, wall_ms=lambda: now_ms) == Delivered()
    [once] = await alertmanager.shows(lambda alerts: len(alerts) == 1)
    again = await delivered(target, firing, wall_ms=lambda: now_ms + 60_000)
    assert again == Delivered()
    [twice] = await alertmanager.shows(lambda alerts: alerts[0]["endsAt"] != once["endsAt"])
    assert once["fingerprint"] == twice["fingerprint"]
    assert once["startsAt"] == twice["startsAt"]
