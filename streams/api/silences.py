"""Silences over HTTP: definitions of one kind, made in fewer words."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal, TypeAlias

import orjson
from pydantic import Field, ValidationError

from tailrace.schemas import rfc3339
from tailrace.schemas.config.scalars import LongDuration, at_least
from tailrace.schemas.config.section import Remark, Section
from tailrace.schemas.definitions import Definition
from tailrace.schemas.definitions.definition import SILENCE, DefinitionKey
from tailrace.schemas.definitions.documents import Name, definition_of, to_document
from tailrace.schemas.definitions.filters import Matching, Text
from tailrace.schemas.definitions.silence import SilenceSpec
from tailrace.schemas.durations import MILLISECOND, SECOND
from tailrace.schemas.rfc3339 import Time
from tailrace.streams.api.bodies import object_in, problems_of, section_of
from tailrace.streams.api.definition_views import ChangeView, change_view
from tailrace.streams.api.definitions import delete_key, write
from tailrace.streams.api.errors import invalid
from tailrace.streams.api.questions import Question
from tailrace.streams.api.worker_state import WorkerState

LASTS: Final = "for"
Lasts: TypeAlias = Annotated[LongDuration, at_least(SECOND)]


class SilenceRequest(Section):
    """Nobody is told of alerts whose labels all match, from `starts_at`, by default now.

    It ends at `ends_at`, or `for` so long after it starts. `name`: by default one is made of what
    is said, so that the same request again changes nothing if it says `starts_at`.
    """

    name: Name | None = None
    matchers: Annotated[Mapping[str, Matching], Field(min_length=1)]
    starts_at: Time | None = None
    ends_at: Time | None = None
    lasts: Annotated[Lasts | None, Field(alias=LASTS)] = None
    reason: Annotated[str, Field(min_length=1)]
    labels: Mapping[str, Text] = {}

    def contradictions(self) -> Iterator[Remark]:
        if (self.ends_at is None) == (self.lasts is None):
            yield (), f"needs exactly one of ends_at and {LASTS}"


@dataclass(frozen=True, slots=True)
class SilenceView:
    """One silence, and whether it counts now."""

    tenant: str
    name: str
    version: int
    state: Literal["pending", "active", "expired"]
    matchers: dict[str, Any]
    starts_at: str
    ends_at: str
    reason: str
    labels: dict[str, str]


@dataclass(frozen=True, slots=True)
class SilenceList:
    """All silences, those that are over too, until they are deleted."""

    silences: list[SilenceView]


async def find_all(state: WorkerState, question: Question) -> SilenceList:
    """Answer the silences that the worker goes by."""
    now = state.now_ms()
    found = [each for each in state.definitions().of(SILENCE) if question.is_about(each.tenant)]
    return SilenceList([silence_view(each, now) for each in found])


async def post(state: WorkerState, question: Question) -> ChangeView:
    """Write a silence of one tenant, by default of the default tenant."""
    said = object_in(question.body)
    silence = silence_of(said, question.one_tenant, state.now_ms())
    (change,) = await write(state, [silence])
    return change_view(change)


async def delete(state: WorkerState, question: Question) -> ChangeView:
    """Delete a silence; who is silenced by no other is told of at once."""
    key = DefinitionKey(SILENCE, question.one_tenant, question.path["name"])
    return await delete_key(state, key)


def silence_view(silence: Definition[SilenceSpec], now_ms: int) -> SilenceView:
    """Return *silence* as of *now_ms*."""
    spec = silence.spec
    is_over, has_begun = spec.ends_ms <= now_ms, spec.starts_ms <= now_ms
    return SilenceView(
        silence.tenant,
        silence.name,
        silence.version,
        "expired" if is_over else "active" if has_begun else "pending",
        to_document(silence)["spec"]["matchers"],
        spec.starts_at,
        spec.ends_at,
        spec.reason,
        dict(silence.labels),
    )


def silence_of(said: dict[str, Any], tenant: str, now_ms: int) -> Definition[SilenceSpec]:
    """Return the silence of *tenant* that *said* asks for at *now_ms*; Refused with all wrong."""
    request = section_of(said, SilenceRequest)
    starts_at = request.starts_at or rfc3339.spell(now_ms)
    ends_at = request.ends_at
    if request.lasts is not None:
        ends_at = rfc3339.spell(rfc3339.parse(starts_at) + request.lasts // MILLISECOND)
    spec = {
        "matchers": said["matchers"],
        "starts_at": starts_at,
        "ends_at": ends_at,
        "reason": request.reason,
    }
    metadata = {
        "name": request.name or _made_name(spec),
        "tenant": tenant,
        "labels": said.get("labels") or {},
    }
    return definition_in_words(SILENCE, metadata, spec)


def definition_in_words(
    kind: str, metadata: Mapping[str, Any], spec: Mapping[str, Any]
) -> Definition[Any]:
    """Return the definition; Refused in terms of the request, which is not a document."""
    try:
        return definition_of(kind, metadata, spec, metadata_path=(), spec_path=())
    except ValidationError as error:
        raise invalid(problems_of(error)) from None


def _made_name(spec: Mapping[str, Any]) -> str:
    said = orjson.dumps(spec, option=orjson.OPT_SORT_KEYS)
    return f"silence-{hashlib.blake2b(said, digest_size=6).hexdigest()}"
