"""A webhook that somebody is told by: every call is kept, with the time at which it came."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import orjson
from aiohttp import web

FIRING, RESOLVED = "firing", "resolved"


class Told(NamedTuple):
    """One alert in one call."""

    alert: str
    """The id of the event."""
    status: str
    labels: dict[str, str]
    spans: list[dict[str, Any]]


class Call(NamedTuple):
    """A request. Calls with one `key` tell the same."""

    at: float
    key: str
    told: list[Told]


@dataclass
class Webhook:
    """A receiver on this machine. It answers when `hold`, asked with the call, is over."""

    port: int = 0
    calls: list[Call] = field(default_factory=list)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}/"

    async def hold(self, call: Call) -> None:
        """Return when *call* may be answered: at once."""

    async def handle(self, request: web.Request) -> web.Response:
        """Keep what was told."""
        call = Call(time.time(), request.headers["Idempotency-Key"], told(await request.read()))
        self.calls.append(call)
        await self.hold(call)
        return web.Response()


def told(body: bytes) -> list[Told]:
    """The alerts of a call: Alertmanager's format, and what tailrace says besides."""
    payload = orjson.loads(body)
    ours = payload["tailrace"]["alerts"]
    return [
        Told(more["id"], alert["status"], alert["labels"], more["spans"])
        for alert, more in zip(payload["alerts"], ours, strict=True)
    ]


def keys_by_alert(calls: list[Call]) -> dict[tuple[str, str], set[str]]:
    """The keys under which each alert was told in each status: one, if nobody was told twice."""
    found: dict[tuple[str, str], set[str]] = {}
    for call, alert in _each(calls):
        found.setdefault((alert.alert, alert.status), set()).add(call.key)
    return found


def _each(calls: list[Call]) -> Iterator[tuple[Call, Told]]:
    return ((call, alert) for call in calls for alert in call.told)


@asynccontextmanager
async def listening(webhook: Webhook) -> AsyncIterator[Webhook]:
    """Let *webhook* listen on a free port."""
    application = web.Application(client_max_size=64 << 20)
    application.router.add_post("/", webhook.handle)
    runner = web.AppRunner(application, shutdown_timeout=0.1, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", webhook.port).start()
    webhook.port = runner.addresses[0][1]
    try:
        yield webhook
    finally:
        await runner.cleanup()
        await asyncio.sleep(0)
