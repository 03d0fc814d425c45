"""Definitions over HTTP: listed from what the worker goes by, changed as `tailrace apply` does."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from difflib import get_close_matches
from http import HTTPStatus
from typing import Any, Final

from tailrace.schemas.config.wording import show
from tailrace.schemas.definitions import Definition, Definitions
from tailrace.schemas.definitions.definition import DefinitionKey
from tailrace.schemas.definitions.files import DefinitionFile
from tailrace.schemas.definitions.lint import lint
from tailrace.schemas.errors import Problem
from tailrace.streams.api.bodies import definitions_in
from tailrace.streams.api.definition_views import (
    ChangeList,
    ChangeView,
    DefinitionList,
    DefinitionView,
    change_list,
    change_view,
    definition_list,
    definition_view,
)
from tailrace.streams.api.errors import Refused
from tailrace.streams.api.questions import Parameter, Question
from tailrace.streams.api.worker_state import WorkerState
from tailrace.streams.definitions_topic import Change

DRY_RUN: Final = Parameter("dry_run", "Say what would change; write nothing.", kind="boolean")


async def find_all(state: WorkerState, question: Question) -> DefinitionList:
    """Answer what definitions there are."""
    return definition_list(state.definitions(), question)


async def find(state: WorkerState, question: Question) -> DefinitionView:
    """Answer one definition, of the default tenant unless it says whose."""
    key = _key(question)
    found = state.definitions().by_key.get(key)
    if found is None:
        raise missing(state.definitions(), key)
    return definition_view(found)


async def put(state: WorkerState, question: Question) -> ChangeList:
    """Write the definitions of the body, all of them or none; answer what that changed."""
    read = await asyncio.to_thread(definitions_in, question.body, question.tenant, state.now_ms())
    is_dry_run = question.is_set(DRY_RUN.name)
    warnings = await asyncio.to_thread(_warnings, read, state.definitions())
    changes = await write(state, read.definitions, is_dry_run=is_dry_run)
    return change_list(changes, warnings, is_dry_run=is_dry_run)


async def delete(state: WorkerState, question: Question) -> ChangeView:
    """Delete one definition; answer the version of that."""
    return await delete_key(state, _key(question))


async def write(
    state: WorkerState, definitions: Sequence[Definition[Any]], *, is_dry_run: bool = False
) -> Sequence[Change]:
    """Write *definitions*; on return this worker goes by them, unless the broker is slow."""
    async with state.writing:
        changes = await state.topic.apply(definitions, is_dry_run=is_dry_run)
    written = [each.version for each in changes if each.action != "unchanged"]
    await state.follow(max(written, default=0))
    return changes


async def delete_key(state: WorkerState, key: DefinitionKey) -> ChangeView:
    """Delete the definition *key*; Refused if there is none, or if it stands in the config."""
    async with state.writing:
        change = await state.topic.delete(key)
    if change is None:
        configured = state.definitions().by_key.get(key)
        if configured is not None and not configured.version:
            raise Refused(
                HTTPStatus.CONFLICT,
                f"{key.kind} {show(key.name)} stands in the config of the worker.",
                "Remove it there; or put another of the same name, which counts instead.",
            )
        raise missing(state.definitions(), key)
    await state.follow(change.version)
    return change_view(change)


def _warnings(read: DefinitionFile, there: Definitions) -> list[Problem]:
    known = {**there.by_key, **{each.key: each for each in read.definitions}}
    return [*read.cautions, *lint(read.definitions, Definitions.of_all(known.values()))]


def missing(definitions: Definitions, key: DefinitionKey) -> Refused:
    """Return the refusal for what is not there; it names nothing of another tenant."""
    names = [each.name for each in definitions.of(key.kind) if each.tenant == key.tenant]
    nearest = get_close_matches(key.name, names, 1)
    instead = f"did you mean {nearest[0]}?" if nearest else "see what there is, or say whose it is"
    what = f"{key.kind} {show(key.name)} of tenant {show(key.tenant)}"
    return Refused(
        HTTPStatus.NOT_FOUND,
        f"{what} is not there.",
        "GET /api/v1/definitions lists what is.",
        [Problem(what, f"is not there; {instead}")],
    )


def _key(question: Question) -> DefinitionKey:
    kind = question.kind
    assert kind is not None
    return DefinitionKey(kind, question.one_tenant, question.path["name"])
