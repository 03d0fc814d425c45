"""The routes as aiohttp serves them: requests become questions, and what is returned JSON."""

from __future__ import annotations

from dataclasses import replace
from http import HTTPStatus
from typing import Any, Final

import orjson
from aiohttp import web
from aiohttp.typedefs import Handler

from tailrace.streams.api.errors import Refused, refused_by
from tailrace.streams.api.questions import TENANT_HEADER, Question, read
from tailrace.streams.api.route import Route
from tailrace.streams.api.routes import ROUTES
from tailrace.streams.api.worker_state import WorkerState

LARGEST_BODY: Final = 1 << 20
"""Bytes; so much a server is to accept."""
_API: Final = "/api"


def add_routes(app: web.Application, state: WorkerState) -> None:
    """Let *app* answer the routes of the API from *state*."""
    for route in ROUTES:
        app.router.add_route(route.method, route.whole_path, _handler(route, state))


def is_asked(request: web.Request) -> bool:
    """Return whether *request* is to the API, be there such a route or not."""
    return request.path == _API or request.path.startswith(f"{_API}/")


@web.middleware
async def say_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer every error of the API as JSON, with what can be done about it."""
    if not is_asked(request):
        return await handler(request)
    try:
        return await handler(request)
    except Exception as error:
        refused = refused_by(error)
        headers = (
            {"WWW-Authenticate": "Bearer"} if refused.status == HTTPStatus.UNAUTHORIZED else {}
        )
        if isinstance(error, web.HTTPMethodNotAllowed):
            headers["Allow"] = error.headers["Allow"]
        return _json(refused.answer, refused.status, headers)


def _handler(route: Route, state: WorkerState) -> Handler:
    async def answer(request: web.Request) -> web.StreamResponse:
        question = await _question(request, route)
        return _json(await route.answer(state, question), route.status)

    return answer


async def _question(request: web.Request, route: Route) -> Question:
    header = request.headers.getall(TENANT_HEADER, [])
    if len(header) > 1:
        raise Refused(
            HTTPStatus.BAD_REQUEST, f"The header {TENANT_HEADER} stands twice.", "Keep one."
        )
    asked = read(
        dict(request.match_info),
        [*request.query.items()],
        header[0] if header else None,
        route.all_parameters,
    )
    if not route.has_body:
        return asked
    return replace(asked, body=await request.read())


def _json(answer: Any, status: int, headers: dict[str, str] | None = None) -> web.Response:
    return web.Response(
        body=orjson.dumps(answer),
        status=status,
        content_type="application/json",
        headers={"Cache-Control": "no-store", **(headers or {})},
    )
