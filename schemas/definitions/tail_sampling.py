"""Sampling policies as a definition: they change while workers run, and have a version."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from tailrace.schemas.config import document
from tailrace.schemas.config.section import Remark, cautions, spelled
from tailrace.schemas.config.source import read_text
from tailrace.schemas.config.tail_sampling import PolicySet, TailSamplingConfig
from tailrace.schemas.config.wording import show
from tailrace.schemas.definitions.definition import (
    DEFAULT_TENANT,
    TAIL_SAMPLING,
    Definition,
    DefinitionKey,
    Definitions,
)
from tailrace.schemas.errors import ConfigError, Problem

CONFIGURED: Final = "0"
"""The version of the policies that stand in the worker's config."""
OF_FILE: Final = "the watched file"
"""The name of the definition that a watched file is."""
_VERSION: Final = "version"
_SECTION: Final = "tail_sampling"
_VARIABLE: Final = re.compile(r"\$\{(?:env:)?[A-Za-z_]\w*(?::-[^{}]*)?\}")


class TailSamplingSpec(PolicySet):
    """The policies that decide a tenant's traces, instead of the config's. The newest stands."""

    def contradictions(self) -> Iterator[Remark]:
        yield from super().contradictions()
        if not self.policies and not self.rules:
            yield ("policies",), "is empty, so no trace would ever be sampled; name one at least"


def of_file(
    text: str, source: str, among: TailSamplingConfig | None = None
) -> Definition[TailSamplingSpec]:
    """Return the policies in *text*, of a watched file, as a definition.

    It gives way to one of the topic. Its version is told by its content, so that all workers name
    the same one. Raises ConfigError with all that is wrong, with policies that cannot stand *among*
    the other keys too; *source* names the file.
    """
    data = document.read(text, source)
    path: tuple[str, ...] = ()
    if isinstance(data, dict) and _SECTION in data and len(data) == 1:
        data, path = data[_SECTION], (_SECTION,)
    if not isinstance(data, dict):
        raise ConfigError([Problem(source, "is not a mapping; begin with policies:")])
    if "apiVersion" in data:
        told = "is a definition, for `tailrace apply`; a file has what stands under its spec"
        raise ConfigError([Problem(source, told)])
    try:
        spec = TailSamplingSpec.model_validate(data)
    except ValidationError as error:
        raise ConfigError(
            Problem(f"{source}: {spelled((*path, *each['loc']))}", each["msg"])
            for each in error.errors()
        ) from None
    unfit = [*among.unfit(spec)] if among is not None else ()
    if unfit:
        raise ConfigError(Problem(f"{source}: {spelled((*path, *at))}", told) for at, told in unfit)
    version = f"file-{hashlib.sha256(text.encode()).hexdigest()[:8]}"
    key = DefinitionKey(TAIL_SAMPLING, DEFAULT_TENANT, OF_FILE)
    return Definition(key, {}, {_VERSION: version}, spec)


def at(path: Path, among: TailSamplingConfig) -> Definition[TailSamplingSpec]:
    """Return the policies in the file *path*; raises ConfigError with all that is wrong."""
    return of_file(read_text(path), str(path), among)


def warnings(definition: Definition[TailSamplingSpec], source: str) -> Iterator[Problem]:
    """Tell what of the policies of the file *source* is accepted but can hardly be meant."""
    remarks = cautions(definition.spec), _unfilled(definition.spec.model_dump(by_alias=True))
    for path, told in chain(*remarks):
        yield Problem(f"{source}: {spelled(path)}", told)


def _unfilled(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[Remark]:
    """Say where *value* has what would be a variable in a config."""
    if isinstance(value, str) and (variable := _VARIABLE.search(value)):
        yield path, f"has {variable[0]}, which stands for itself: only in a config it is filled in"
    parts: Iterable[tuple[Any, Any]] = value.items() if isinstance(value, dict) else ()
    for step, part in enumerate(value) if isinstance(value, tuple) else parts:
        yield from _unfilled(part, (*path, step))


def refuse_unfit(definitions: Iterable[Definition[Any]], among: TailSamplingConfig) -> None:
    """Raise ConfigError if there are policies that cannot stand *among* the other keys."""
    problems = [
        Problem(f"{TAIL_SAMPLING} {show(each.name)}: {spelled(('spec', *path))}", told)
        for each in definitions
        if each.key.kind == TAIL_SAMPLING
        for path, told in among.unfit(each.spec)
    ]
    if problems:
        raise ConfigError(problems)


def standing(definitions: Definitions) -> dict[str, tuple[str, TailSamplingSpec]]:
    """Return the policies that stand, with their version, by tenant.

    Those of `default` stand for all tenants that are not here; where it is not here, the config's.
    """
    newest: dict[str, Definition[TailSamplingSpec]] = {}
    for each in definitions.of(TAIL_SAMPLING):
        known = newest.get(each.tenant)
        if known is None or each.version > known.version:
            newest[each.tenant] = each
    return {tenant: (_version(each), each.spec) for tenant, each in newest.items()}


def _version(definition: Definition[TailSamplingSpec]) -> str:
    if definition.name == OF_FILE and definition.tenant == DEFAULT_TENANT:
        return definition.annotations[_VERSION]
    return str(definition.version)
