"""Snoozing an alert over HTTP: a definition of kind Snooze, made in fewer words."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from http import HTTPStatus
from typing import Annotated, Any, Final, NamedTuple

from pydantic import Field

from tailrace.agents.alerts.logic import AlertsLogic
from tailrace.schemas import rfc3339
from tailrace.schemas.config.section import Remark, Section, spelled
from tailrace.schemas.config.wording import show
from tailrace.schemas.definitions import Definition
from tailrace.schemas.definitions.definition import SNOOZE
from tailrace.schemas.definitions.snooze import SnoozeSpec
from tailrace.schemas.durations import MILLISECOND
from tailrace.schemas.errors import Problem
from tailrace.schemas.rfc3339 import Time
from tailrace.streams.api.alert_views import instances
from tailrace.streams.api.bodies import object_in, section_of
from tailrace.streams.api.definition_views import ChangeView, change_view
from tailrace.streams.api.definitions import write
from tailrace.streams.api.errors import Refused, invalid
from tailrace.streams.api.questions import Parameter, Question, wrong
from tailrace.streams.api.silences import LASTS, Lasts, definition_in_words
from tailrace.streams.api.worker_state import WorkerState

FINGERPRINT: Final = Parameter("fingerprint", "That of the alert.", "path")
_FINGERPRINT = re.compile(r"[0-9a-f]{32}")


class SnoozeRequest(Section):
    """Nobody is told of the alert until `until`, or `for` so long; then at once if it still fires.

    `alert`: the name of its definition; only needed where another worker holds the alert.
    """

    until: Time | None = None
    lasts: Annotated[Lasts | None, Field(alias=LASTS)] = None
    reason: Annotated[str, Field(min_length=1)]
    alert: Annotated[str, Field(min_length=1)] | None = None

    def contradictions(self) -> Iterator[Remark]:
        if (self.until is None) == (self.lasts is None):
            yield (), f"needs exactly one of until and {LASTS}"


class Snoozed(NamedTuple):
    """Which alert: its fingerprint, and its definition's tenant and name."""

    fingerprint: str
    tenant: str
    alert: str


async def post(state: WorkerState, question: Question) -> ChangeView:
    """Write the snooze of one alert; another one of the same alert is replaced."""
    fingerprint = question.path[FINGERPRINT.name]
    if not _FINGERPRINT.fullmatch(fingerprint):
        raise wrong(FINGERPRINT.name, f"is {show(fingerprint)}; it has 32 hexadecimal digits")
    said = object_in(question.body)
    request = section_of(said, SnoozeRequest)
    if request.alert is not None:
        snoozed = Snoozed(fingerprint, question.one_tenant, request.alert)
    else:
        snoozed = _found(fingerprint, question, [*state.alerts().logics.values()])
    snooze = snooze_of(request, snoozed, state.now_ms())
    (change,) = await write(state, [snooze])
    return change_view(change)


def _found(fingerprint: str, question: Question, logics: Sequence[AlertsLogic]) -> Snoozed:
    for each in instances(logics):
        definition = each.rule.definition
        if question.is_about(definition.tenant) and each.fingerprint == fingerprint:
            return Snoozed(fingerprint, definition.tenant, definition.name)
    raise Refused(
        HTTPStatus.NOT_FOUND,
        f"This worker holds no alert with fingerprint {fingerprint}.",
        "Say its definition's name as `alert`, and whose it is; or ask the worker that has it.",
    )


def snooze_of(request: SnoozeRequest, snoozed: Snoozed, now_ms: int) -> Definition[SnoozeSpec]:
    """Return the snooze that *request* asks for at *now_ms*; Refused if it is over or too long."""
    until = request.until
    if request.lasts is not None:
        until = rfc3339.spell(now_ms + request.lasts // MILLISECOND)
    assert until is not None
    if rfc3339.parse(until) <= now_ms:
        raise invalid([Problem("until", f"is {until}, which is past; it must be later than now")])
    spec: dict[str, Any] = {
        "alert": snoozed.alert,
        "fingerprint": snoozed.fingerprint,
        "until": until,
        "reason": request.reason,
    }
    wrong_now = SnoozeSpec.model_validate(spec).remarks_at(now_ms)
    problems = [Problem(spelled(path), text) for path, text in wrong_now]
    if problems:
        raise invalid(problems)
    metadata = {"name": f"snooze-{snoozed.fingerprint}", "tenant": snoozed.tenant}
    return definition_in_words(SNOOZE, metadata, spec)
