"""What the API answers when it does not do what it was asked to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

import structlog
from aiohttp import web

from tailrace.schemas.errors import ConfigError, EnvironmentFailed, Problem

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class ProblemView:
    """One thing wrong: `path` is where, and with `message` it is a sentence."""

    path: str
    message: str


@dataclass(frozen=True, slots=True)
class ErrorView:
    """What went wrong, what can be done, and every single problem that was found."""

    message: str
    remedy: str
    problems: list[ProblemView]


@dataclass(frozen=True, slots=True)
class ErrorAnswer:
    """The body of every answer that is an error."""

    error: ErrorView


class Refused(Exception):
    """The question is not answered; *status* is that of HTTP, *remedy* what the asker can do."""

    def __init__(
        self, status: int, message: str, remedy: str = "", problems: Iterable[Problem] = ()
    ) -> None:
        self.status = status
        self.message = message
        self.remedy = remedy
        self.problems = problem_views(problems)
        super().__init__(f"{message}\n{remedy}".rstrip())

    @property
    def answer(self) -> ErrorAnswer:
        """The body."""
        return ErrorAnswer(ErrorView(self.message, self.remedy, self.problems))


def problem_views(problems: Iterable[Problem]) -> list[ProblemView]:
    """Return *problems* as they are shown."""
    return [ProblemView(each.path, each.message) for each in problems]


def refused_by(error: Exception) -> Refused:
    """Return what is answered when *error* was raised; of a defect only that it is one."""
    if isinstance(error, Refused):
        return error
    if isinstance(error, ConfigError):
        return invalid(error.problems)
    if isinstance(error, EnvironmentFailed):
        message = str(error).partition("\n")[0]
        return Refused(HTTPStatus.SERVICE_UNAVAILABLE, message, error.remedy)
    if isinstance(error, web.HTTPException):
        return Refused(error.status, *_SAID.get(error.status, (error.reason, "")))
    log.error("a question could not be answered", exc_info=error)
    return Refused(
        HTTPStatus.INTERNAL_SERVER_ERROR,
        "The worker could not answer: this is a defect.",
        "Its log says more; please report it.",
    )


def invalid(problems: Iterable[Problem]) -> Refused:
    """Return the refusal of what can be read, but is not right."""
    return Refused(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "What was sent is not right; nothing was changed.",
        "Correct every problem, and send it again.",
        problems,
    )


def malformed(*problems: Problem) -> Refused:
    """Return the refusal of what cannot be read."""
    return Refused(
        HTTPStatus.BAD_REQUEST,
        "What was sent cannot be read; nothing was changed.",
        "Correct every problem, and send it again.",
        problems,
    )


_SAID: Final[Mapping[int, tuple[str, str]]] = {
    HTTPStatus.NOT_FOUND: ("There is no such route.", "GET /api/v1/openapi.json lists them."),
    HTTPStatus.METHOD_NOT_ALLOWED: (
        "The route has no such method.",
        "GET /api/v1/openapi.json lists the routes with their methods.",
    ),
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: (
        "What was sent is longer than 1 MiB.",
        "Send it in parts.",
    ),
}
