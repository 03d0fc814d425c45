"""Secrets in definitions: where they are, never what they are."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BeforeValidator

from tailrace.schemas.config.section import Remark, Section

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_REMEDY: Final = "say where it is, as in {env: NAME} or {file: /path}"


def _name(value: str) -> str:
    if not _NAME.fullmatch(value):
        raise ValueError("is not the name of an environment variable; write it as in {env: NAME}")
    return value


def _path(value: str) -> str:
    if not value.startswith("/") or "\0" in value:
        raise ValueError("is not an absolute path; write it as in {file: /path}")
    return value


class SecretRef(Section):
    """The value of an environment variable of the worker, or the content of a file there."""

    env: Annotated[str, AfterValidator(_name)] | None = None
    file: Annotated[str, AfterValidator(_path)] | None = None

    def contradictions(self) -> Iterator[Remark]:
        if (self.env is None) == (self.file is None):
            yield (), "needs exactly one of env and file"

    def __str__(self) -> str:
        return f"environment variable {self.env}" if self.env else f"file {self.file}"


def _reference(value: Any) -> Any:
    if isinstance(value, dict | SecretRef):
        return value
    what = "a secret that stands here itself" if isinstance(value, str) else "no secret"
    raise ValueError(f"is {what}; {_REMEDY}")


def text_or_reference(value: Any) -> Any:
    """*value* if it is text, or as a `SecretRef` if it is a mapping."""
    if isinstance(value, dict):
        return SecretRef.model_validate(value)
    if not isinstance(value, str | SecretRef):
        raise ValueError(f"is neither text nor a secret; of a secret {_REMEDY}")
    return value


Secret = Annotated[SecretRef, BeforeValidator(_reference)]
"""A secret; one that is written out is refused, and no message shows it."""
