"""All routes of the API, in one table; the documentation is held to it."""

from __future__ import annotations

from dataclasses import replace
from http import HTTPStatus
from typing import Any, Final

from tailrace.streams.api import (
    alerts,
    budgets,
    definitions,
    notifications,
    openapi,
    refused_labels,
    silences,
    snoozes,
)
from tailrace.streams.api.alert_views import AlertList
from tailrace.streams.api.budget_views import BudgetList
from tailrace.streams.api.definition_views import (
    ChangeList,
    ChangeView,
    DefinitionList,
    DefinitionView,
)
from tailrace.streams.api.notification_views import NotificationState
from tailrace.streams.api.questions import KIND, LIMIT, NAME, Parameter, Question
from tailrace.streams.api.refused_labels import RefusedLabelList
from tailrace.streams.api.route import Route
from tailrace.streams.api.silences import SilenceList, SilenceRequest
from tailrace.streams.api.snoozes import SnoozeRequest
from tailrace.streams.api.worker_state import WorkerState

_KIND: Final = replace(KIND, where="path")
_NAME: Final = Parameter("name", "Its name.", "path")
_NOT_FOUND: Final = HTTPStatus.NOT_FOUND
_CONFLICT: Final = HTTPStatus.CONFLICT


async def _describe(state: WorkerState, question: Question) -> dict[str, Any]:
    return openapi.document(ROUTES)


ROUTES: Final = (
    Route(
        "GET",
        "/definitions",
        "The definitions that this worker goes by: of the topic and of its config.",
        definitions.find_all,
        DefinitionList,
        (KIND,),
    ),
    Route(
        "GET",
        "/definitions/{kind}/{name}",
        "One definition; of the default tenant unless it says whose.",
        definitions.find,
        DefinitionView,
        (_KIND, _NAME),
        refusals=(_NOT_FOUND,),
    ),
    Route(
        "PUT",
        "/definitions",
        "Write one or more definitions, all of them or none, as `tailrace apply` does.",
        definitions.put,
        ChangeList,
        (definitions.DRY_RUN,),
        has_documents=True,
    ),
    Route(
        "DELETE",
        "/definitions/{kind}/{name}",
        "Delete one definition; of the default tenant unless it says whose.",
        definitions.delete,
        ChangeView,
        (_KIND, _NAME),
        refusals=(_NOT_FOUND, _CONFLICT),
    ),
    Route(
        "GET",
        "/alerts",
        "The alerts of this worker's partitions, each with its state and its evidence.",
        alerts.find_all,
        AlertList,
        (alerts.STATUS, NAME, LIMIT),
    ),
    Route(
        "POST",
        "/alerts/{fingerprint}/snooze",
        "Tell nobody of one alert until a time; writes a definition of kind Snooze.",
        snoozes.post,
        ChangeView,
        (snoozes.FINGERPRINT,),
        takes=SnoozeRequest,
        refusals=(_NOT_FOUND,),
    ),
    Route(
        "GET",
        "/budgets",
        "The error budget of every SLO and group of this worker's partitions.",
        budgets.find_all,
        BudgetList,
        (NAME, LIMIT),
    ),
    Route(
        "GET",
        "/cardinality",
        "The labels that had more values than metric_labels.limits lets them have.",
        refused_labels.find_all,
        RefusedLabelList,
        (LIMIT,),
    ),
    Route(
        "GET",
        "/silences",
        "All silences, and whether they count now.",
        silences.find_all,
        SilenceList,
    ),
    Route(
        "POST",
        "/silences",
        "Tell nobody of some alerts for a time; writes a definition of kind Silence.",
        silences.post,
        ChangeView,
        takes=SilenceRequest,
    ),
    Route(
        "DELETE",
        "/silences/{name}",
        "Delete one silence.",
        silences.delete,
        ChangeView,
        (_NAME,),
        refusals=(_NOT_FOUND, _CONFLICT),
    ),
    Route(
        "GET",
        "/notifications",
        "What waits, what failed, how the contact points are, and what alerts cost people.",
        notifications.find_all,
        NotificationState,
    ),
    Route(
        "GET",
        "/openapi.json",
        "This API as an OpenAPI 3.1 document.",
        _describe,
        dict[str, Any],
        is_of_tenants=False,
    ),
)
