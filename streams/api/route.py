"""A route of the API: who answers it, and what is said of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

from tailrace.streams.api.questions import TENANT, TENANT_IN_HEADER, Parameter, Question
from tailrace.streams.api.worker_state import WorkerState

PREFIX: Final = "/api/v1"

Answering: TypeAlias = Callable[[WorkerState, Question], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Route:
    """`path`: below the prefix. `answers`: the type of what `answer` returns.

    `takes`: the model of the object in the body, if it has one; `has_documents`: it has documents
    of definitions. `refusals`: the statuses of errors beside those of every route.
    """

    method: Literal["GET", "PUT", "POST", "DELETE"]
    path: str
    summary: str
    answer: Answering
    answers: Any
    parameters: tuple[Parameter, ...] = ()
    takes: type | None = None
    has_documents: bool = False
    is_of_tenants: bool = True
    status: int = 200
    refusals: tuple[int, ...] = ()

    @property
    def whole_path(self) -> str:
        """The path as it is asked for."""
        return PREFIX + self.path

    @property
    def is_write(self) -> bool:
        """True if it changes something: then it needs the token."""
        return self.method != "GET"

    @property
    def has_body(self) -> bool:
        """True if something is sent."""
        return self.has_documents or self.takes is not None

    @property
    def all_parameters(self) -> tuple[Parameter, ...]:
        """Those of its own, and whose answer it is."""
        return (*self.parameters, *((TENANT, TENANT_IN_HEADER) if self.is_of_tenants else ()))
