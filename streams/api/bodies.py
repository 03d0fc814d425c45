"""What is sent to the API: documents of definitions as YAML or JSON, or one object as JSON.

Reading a large YAML takes seconds, and is not for the loop that tasks run in.
"""

from __future__ import annotations

from typing import Any, Final, TypeVar

import orjson
from pydantic import ValidationError

from tailrace.schemas.config.section import Section, spelled
from tailrace.schemas.config.wording import show
from tailrace.schemas.definitions import files
from tailrace.schemas.definitions.files import DefinitionFile
from tailrace.schemas.errors import ConfigError, Problem
from tailrace.streams.api.errors import invalid, malformed

_BODY: Final = "body"
_DOCUMENTS: Final = "documents["

S = TypeVar("S", bound=Section)


def definitions_in(body: bytes, tenant: str | None, now_ms: int) -> DefinitionFile:
    """Return the definitions in *body*, all of *tenant* if that is given; Refused with all wrong.

    It reads as `tailrace apply` does at *now_ms*.
    """
    try:
        text = body.decode()
        return files.read(text, _BODY, tenant, now_ms)
    except UnicodeDecodeError as error:
        raise malformed(Problem(_BODY, f"is not UTF-8: byte {error.start} is wrong")) from None
    except RecursionError:
        raise malformed(Problem(_BODY, "is nested too deeply; flatten it")) from None
    except ConfigError as error:
        is_read = all(each.path.startswith(_DOCUMENTS) for each in error.problems)
        raise (invalid(error.problems) if is_read else malformed(*error.problems)) from None


def object_in(body: bytes) -> dict[str, Any]:
    """Return the JSON object that *body* is; Refused if it is none."""
    try:
        said = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise malformed(Problem(_BODY, f"is not JSON: {error}")) from None
    if not isinstance(said, dict):
        raise malformed(Problem(_BODY, f"is {show(said)}; it must be an object"))
    return said


def section_of(said: dict[str, Any], section: type[S]) -> S:
    """Return *said* as *section*; Refused with every problem."""
    try:
        return section.model_validate(said)
    except ValidationError as error:
        raise invalid(problems_of(error)) from None


def problems_of(error: ValidationError) -> list[Problem]:
    """Return what *error* says, in the words of the user."""
    return [Problem(spelled(each["loc"]) or _BODY, each["msg"]) for each in error.errors()]
