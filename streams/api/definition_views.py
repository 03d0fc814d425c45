"""What is shown of definitions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tailrace.schemas.definitions import Definition, Definitions
from tailrace.schemas.definitions.documents import to_document
from tailrace.schemas.errors import Problem
from tailrace.streams.api.errors import ProblemView, problem_views
from tailrace.streams.api.questions import Question
from tailrace.streams.definitions_topic import Action, Change


@dataclass(frozen=True, slots=True)
class DefinitionView:
    """One definition. `version` grows with every change; 0: it stands in the worker's config."""

    kind: str
    tenant: str
    name: str
    version: int
    document: dict[str, Any]


@dataclass(frozen=True, slots=True)
class DefinitionList:
    """`version`: that of the newest change, of any definition, that this worker goes by."""

    version: int
    definitions: list[DefinitionView]


@dataclass(frozen=True, slots=True)
class ChangeView:
    """What became of one definition. `version` null: it would be written, but was not."""

    kind: str
    tenant: str
    name: str
    action: Action
    version: int | None


@dataclass(frozen=True, slots=True)
class ChangeList:
    """What became of what was sent, in its order; `warnings`: what will be missed later."""

    changes: list[ChangeView]
    warnings: list[ProblemView]
    dry_run: bool


def definition_list(definitions: Definitions, question: Question) -> DefinitionList:
    """Return the definitions that *question* asks for, by kind, tenant and name."""
    kind = question.kind
    return DefinitionList(
        definitions.version,
        [
            definition_view(each)
            for each in definitions.by_key.values()
            if kind in (None, each.key.kind) and question.is_about(each.tenant)
        ],
    )


def definition_view(definition: Definition[Any]) -> DefinitionView:
    """Return *definition* with its document, which has references where secrets are."""
    return DefinitionView(*definition.key, definition.version, to_document(definition))


def change_view(change: Change) -> ChangeView:
    """Return *change* as it is shown."""
    return ChangeView(*change.key, change.action, change.version or None)


def change_list(
    changes: Sequence[Change], warnings: Sequence[Problem], *, is_dry_run: bool
) -> ChangeList:
    """Return all that became of one request."""
    return ChangeList([*map(change_view, changes)], problem_views(warnings), is_dry_run)
