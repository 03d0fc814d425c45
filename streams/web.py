"""What a worker answers over HTTP: health, readiness and metrics.

Without a token reads are answered on loopback only; with one they need it. `/healthz` and
`/readyz` never do.
"""

from __future__ import annotations

import errno
import hmac
import ipaddress
from collections.abc import Awaitable, Callable

import structlog
from aiohttp import web
from aiohttp.typedefs import Middleware

from tailrace.schemas.config.worker import WebConfig
from tailrace.schemas.errors import EnvironmentFailed
from tailrace.streams.engine import Engine
from tailrace.streams.metrics import CONTENT_TYPE, Metrics

log = structlog.get_logger()

_OPEN = ("/healthz", "/readyz")
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


async def serve(config: WebConfig, engine: Engine, metrics: Metrics) -> web.AppRunner:
    """Start the server; the caller cleans the returned runner up."""
    app = web.Application(middlewares=[_guard(config)])
    app.add_routes(
        [
            web.get("/healthz", _healthz(engine)),
            web.get("/readyz", _readyz(engine)),
            web.get("/metrics", _metrics(metrics)),
        ]
    )
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await _listen(runner, config)
    except OSError as error:
        await runner.cleanup()
        raise EnvironmentFailed(
            f"the web server cannot listen on {config.host}:{config.port}: {error.strerror}",
            "Choose another port with web.port or --web-port; 0 takes any free one.",
        ) from error
    log.info("web", address=":".join(map(str, runner.addresses[0][:2])))
    return runner


async def _listen(runner: web.AppRunner, config: WebConfig) -> None:
    """Listen on the port of the config; if it is only the default and taken, on any free one."""
    try:
        await web.TCPSite(runner, config.host, config.port).start()
    except OSError as error:
        if error.errno != errno.EADDRINUSE or "port" in config.model_fields_set:
            raise
        await web.TCPSite(runner, config.host, 0).start()


def _guard(config: WebConfig) -> Middleware:
    token = config.token.get_secret_value() if config.token else None

    @web.middleware
    async def guard(request: web.Request, handler: _Handler) -> web.StreamResponse:
        if request.path in _OPEN:
            return await handler(request)
        if token is None:
            if not _is_loopback(request.remote):
                raise web.HTTPForbidden(text="without web.token reads are for loopback only\n")
        elif not hmac.compare_digest(
            request.headers.get("Authorization", "").encode(), f"Bearer {token}".encode()
        ):
            raise web.HTTPUnauthorized(text="send Authorization: Bearer with web.token\n")
        return await handler(request)

    return guard


def _is_loopback(address: str | None) -> bool:
    return address is not None and ipaddress.ip_address(address).is_loopback


def _healthz(engine: Engine) -> _Handler:
    async def healthz(request: web.Request) -> web.Response:
        ended = engine.ended.done()
        return web.Response(text="ending\n" if ended else "ok\n", status=503 if ended else 200)

    return healthz


def _readyz(engine: Engine) -> _Handler:
    async def readyz(request: web.Request) -> web.Response:
        waiting = [str(r.id) for r in engine.runners.values() if not r.running]
        if engine.is_ready and not waiting:
            return web.Response(text="ready\n")
        return web.Response(text=f"not ready {' '.join(waiting)}\n", status=503)

    return readyz


def _metrics(metrics: Metrics) -> _Handler:
    async def exposition(request: web.Request) -> web.Response:
        return web.Response(body=metrics.exposition(), headers={"Content-Type": CONTENT_TYPE})

    return exposition
