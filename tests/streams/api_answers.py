"""What the API answers, held to what every answer must have."""

from __future__ import annotations

from typing import Any, Final

from aiohttp import ClientResponse

from tailrace.schemas.alert_events import fingerprint
from tailrace.streams.api.questions import TENANT_HEADER
from tests.streams.api_worker import BEARER, ApiWorker
from tests.streams.test_api_views import BOTH

API: Final = "/api/v1"
ACME: Final = {**BEARER, TENANT_HEADER: "acme"}
ERRORS: Final = fingerprint("default", "errors", "warning", {"service": "checkout"})
"""That of the alert that fires in `firing`."""


def firing() -> ApiWorker:
    """A worker with an alert that fires and an SLO."""
    made = ApiWorker(BOTH)
    made.matches("errors", 0, 5, 5, ["checkout"])
    return made


async def refused(response: ClientResponse, status: int) -> dict[str, Any]:
    """The error, which has all that it must have."""
    assert response.status == status, await response.text()
    assert response.content_type == "application/json"
    answer = await response.json()
    assert answer.keys() == {"error"}
    error: dict[str, Any] = answer["error"]
    assert error.keys() == {"message", "remedy", "problems"}
    assert error["message"]
    assert all(each.keys() == {"path", "message"} for each in error["problems"])
    return error


async def answered(response: ClientResponse, status: int = 200) -> Any:
    assert response.status == status, await response.text()
    return await response.json()
