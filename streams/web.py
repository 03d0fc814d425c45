"""What a worker answers over HTTP: health, readiness, metrics and the API.

With a token everything needs it but `/healthz` and `/readyz`. Without one reads are answered on
loopback only, and nothing can be written.
"""

from __future__ import annotations

import errno
import hmac
import ipaddress
from collections.abc import Awaitable, Callable
from http import HTTPStatus

import structlog
from aiohttp import web
from aiohttp.typedefs import Middleware

from tailrace.schemas.config.worker import WebConfig
from tailrace.schemas.errors import EnvironmentFailed
from tailrace.streams.api import handlers
from tailrace.streams.api.errors import Refused
from tailrace.streams.api.worker_state import WorkerState
from tailrace.streams.engine import Engine
from tailrace.streams.metrics import CONTENT_TYPE, Metrics
from tailrace.streams.series_page import series_page

log = structlog.get_logger()

_OPEN = ("/healthz", "/readyz")
_READS = ("GET", "HEAD")
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


async def serve(
    config: WebConfig, engine: Engine, metrics: Metrics, state: WorkerState
) -> web.AppRunner:
    """Start the server; the caller cleans the returned runner up."""
    runner = web.AppRunner(application(config, engine, metrics, state), access_log=None)
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


def application(
    config: WebConfig, engine: Engine, metrics: Metrics, state: WorkerState
) -> web.Application:
    """Return all that is served; who may ask is decided before anything else."""
    app = web.Application(
        middlewares=[handlers.say_errors, _guard(config)], client_max_size=handlers.LARGEST_BODY
    )
    app.add_routes(
        [
            web.get("/healthz", _healthz(engine)),
            web.get("/readyz", _readyz(engine)),
            web.get("/metrics", _metrics(metrics)),
            web.get("/metrics/series", series_page(engine)),
        ]
    )
    handlers.add_routes(app, state)
    return app


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
        refused = _unguarded(request) if token is None else _unknown(request, token)
        if refused is None:
            return await handler(request)
        if handlers.is_asked(request):
            raise refused
        text = f"{refused}\n"
        if refused.status == HTTPStatus.UNAUTHORIZED:
            raise web.HTTPUnauthorized(text=text, headers={"WWW-Authenticate": "Bearer"})
        raise web.HTTPForbidden(text=text)

    return guard


def _unknown(request: web.Request, token: str) -> Refused | None:
    """Return why *request* is not answered where there is a token."""
    given = request.headers.get("Authorization", "")
    if hmac.compare_digest(given.encode(errors="surrogateescape"), f"Bearer {token}".encode()):
        return None
    return Refused(
        HTTPStatus.UNAUTHORIZED,
        "The token is missing or wrong.",
        "Send the header Authorization: Bearer with web.token of the worker's config.",
    )


def _unguarded(request: web.Request) -> Refused | None:
    """Return why *request* is not answered where there is no token."""
    if request.method not in _READS:
        return Refused(
            HTTPStatus.FORBIDDEN,
            "Without web.token nothing can be written.",
            "Set web.token in the worker's config, and send it as Authorization: Bearer.",
        )
    if not _is_loopback(request.remote) or not _is_meant(request):
        return Refused(
            HTTPStatus.FORBIDDEN,
            "Without web.token reads are for loopback only.",
            "Ask 127.0.0.1 or localhost on the worker's own machine; or set web.token.",
        )
    return None


def _is_loopback(address: str | None) -> bool:
    if address is None:
        return False
    found = ipaddress.ip_address(address)
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return (mapped or found).is_loopback


def _is_meant(request: web.Request) -> bool:
    """Return whether who asks the API asked for this machine.

    A page of somebody else's may let its own name mean 127.0.0.1, and read with a user's browser
    what only that user can reach.
    """
    if not handlers.is_asked(request):
        return True
    try:
        host = request.url.host or ""
    except ValueError:
        return False  # it is no name at all
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost"
    return True


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
