"""What is asked of the API: parameters, whose answer it is, and the body."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final, Literal

from pydantic import TypeAdapter, ValidationError

from tailrace.schemas.config.wording import one_of, show
from tailrace.schemas.definitions.definition import DEFAULT_TENANT
from tailrace.schemas.definitions.documents import Tenant
from tailrace.schemas.definitions.kinds import SPECS
from tailrace.schemas.errors import Problem
from tailrace.streams.api.errors import Refused

TENANT_HEADER: Final = "X-Scope-OrgID"
TENANT_PARAMETER: Final = "tenant"
DEFAULT_LIMIT: Final = 1_000
LARGEST_LIMIT: Final = 10_000

_TENANT: TypeAdapter[str] = TypeAdapter(Tenant)


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of a route. `choices`: the values that it may have, if these are few.

    `is_list`: it may have several, with commas between them.
    """

    name: str
    meaning: str
    where: Literal["query", "path", "header"] = "query"
    kind: Literal["string", "integer", "boolean"] = "string"
    choices: tuple[str, ...] = ()
    is_list: bool = False


TENANT: Final = Parameter(TENANT_PARAMETER, "Whose: no other tenant's are seen or touched.")
TENANT_IN_HEADER: Final = Parameter(TENANT_HEADER, "The same as `tenant`.", "header")
KIND: Final = Parameter("kind", "The kind of definition.", choices=tuple(SPECS))
NAME: Final = Parameter("name", "Only of the definition of this name.")
LIMIT: Final = Parameter(
    "limit", f"At most so many, to {LARGEST_LIMIT}; by default {DEFAULT_LIMIT}.", kind="integer"
)


@dataclass(frozen=True, slots=True)
class Question:
    """One request, as far as it matters. `tenant` None: it is about all tenants."""

    path: Mapping[str, str] = field(default_factory=dict)
    parameters: Mapping[str, str] = field(default_factory=dict)
    tenant: str | None = None
    body: bytes = b""

    @property
    def one_tenant(self) -> str:
        """Whose definition is meant where there can be only one."""
        return DEFAULT_TENANT if self.tenant is None else self.tenant

    def is_about(self, tenant: str) -> bool:
        """True if what is of *tenant* may be seen."""
        return self.tenant is None or self.tenant == tenant

    @property
    def kind(self) -> str | None:
        """The kind of definition that is asked for, however it is written."""
        text = self.path.get(KIND.name) or self.parameters.get(KIND.name)
        return None if text is None else chosen(KIND.name, text, KIND.choices)

    @property
    def limit(self) -> int:
        """How many are to be shown at most."""
        text = self.parameters.get(LIMIT.name)
        if text is None:
            return DEFAULT_LIMIT
        if not text.isascii() or not text.isdigit() or not 0 < int(text[:9]) <= LARGEST_LIMIT:
            raise wrong(LIMIT.name, f"is {show(text)}; it must be 1 to {LARGEST_LIMIT}")
        return int(text)

    def is_set(self, name: str) -> bool:
        """Return whether the parameter *name* says true."""
        return chosen(name, self.parameters.get(name, "false"), ("true", "false")) == "true"

    def choices(self, parameter: Parameter) -> frozenset[str]:
        """Return what *parameter* asks for: one or more, with commas; all if it is not there."""
        text = self.parameters.get(parameter.name)
        if text is None:
            return frozenset(parameter.choices)
        return frozenset(
            chosen(parameter.name, each.strip(), parameter.choices) for each in text.split(",")
        )


def chosen(name: str, text: str, choices: Sequence[str]) -> str:
    """Return which of *choices* the parameter *name* says, in whatever case."""
    folded = {each.casefold(): each for each in choices}
    found = folded.get(text.casefold())
    if found is None:
        raise wrong(name, f"is {show(text)}; {one_of(text, list(choices))}")
    return found


def read(
    path: Mapping[str, str],
    query: Sequence[tuple[str, str]],
    header: str | None,
    known: Sequence[Parameter],
) -> Question:
    """Return the question without its body; Refused if it has what is not *known*, or twice."""
    names = [each.name for each in known if each.where == "query"]
    parameters: dict[str, str] = {}
    for name, value in query:
        if name not in names:
            there = f"here may stand {', '.join(names)}" if names else "here may stand none"
            raise wrong(name, f"is not a known parameter; {there}")
        if parameters.setdefault(name, value) != value:
            raise wrong(name, "stands twice; keep one")
    asked = parameters.get(TENANT_PARAMETER) if TENANT_PARAMETER in names else None
    if TENANT_PARAMETER not in names:
        header = None
    if asked is not None and header is not None and asked != header:
        raise wrong(TENANT_PARAMETER, f"is not what {TENANT_HEADER} says; say one of them")
    return Question(path, parameters, _tenant(asked if header is None else header))


def _tenant(text: str | None) -> str | None:
    if text is None:
        return None
    if not text.isprintable():  # bytes of a header that are no UTF-8 are nothing for pydantic
        raise wrong(TENANT_PARAMETER, "has what cannot be printed; a tenant has none of that")
    try:
        return _TENANT.validate_python(text)
    except ValidationError as error:
        said: Any = error.errors()[0]
        raise wrong(TENANT_PARAMETER, str(said["ctx"]["error"])) from None


def wrong(parameter: str, text: str) -> Refused:
    """Return the refusal of a parameter."""
    return Refused(
        HTTPStatus.BAD_REQUEST,
        f"The parameter {parameter} is not right.",
        "Correct it, and ask again.",
        [Problem(parameter, text)],
    )
