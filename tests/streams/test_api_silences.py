"""Silences and snoozes over HTTP: definitions in fewer words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tailrace.schemas import rfc3339
from tailrace.schemas.definitions.definition import DefinitionKey
from tailrace.streams.api.silences import silence_of, silence_view
from tests.streams.api_answers import ACME, API, ERRORS, answered, firing, refused
from tests.streams.api_worker import BEARER, BEGIN_S, ApiWorker
from tests.streams.test_api_views import BOTH

NOW_MS = BEGIN_S * 1000


@pytest.fixture
def worker() -> ApiWorker:
    """A worker with an alert that fires and an SLO."""
    return firing()


# Silences and snoozes


async def test_silences_are_made_listed_and_deleted(tmp_path: Path) -> None:
    worker = ApiWorker()
    body = {"matchers": {"service": "checkout"}, "for": "2h", "reason": "deploying"}
    async with worker.serving(tmp_path) as client:
        change = await answered(await client.post(f"{API}/silences", json=body, headers=BEARER))
        assert (change["kind"], change["action"], change["version"]) == ("Silence", "created", 1)
        later = {
            "name": "tomorrow",
            "matchers": {"service": ["a", "b"]},
            "starts_at": "2027-01-16T00:00:00Z",
            "ends_at": "2027-01-16T01:00:00Z",
            "reason": "moving",
            "labels": {"by": "me"},
        }
        await answered(await client.post(f"{API}/silences", json=later, headers=BEARER))
        again = await answered(await client.post(f"{API}/silences", json=later, headers=BEARER))
        assert again["action"] == "unchanged"
        found = (await answered(await client.get(f"{API}/silences", headers=BEARER)))["silences"]
        assert found[0] == {
            "tenant": "default",
            "name": change["name"],
            "version": 1,
            "state": "active",
            "matchers": {"service": "checkout"},
            "starts_at": rfc3339.spell(NOW_MS),
            "ends_at": rfc3339.spell(NOW_MS + 7_200_000),
            "reason": "deploying",
            "labels": {},
        }
        assert (found[1]["state"], found[1]["labels"]) == ("pending", {"by": "me"})
        path = f"{API}/silences/{change['name']}"
        assert (await answered(await client.delete(path, headers=BEARER)))["action"] == "deleted"
        await refused(await client.delete(path, headers=BEARER), 404)
    assert [each.name for each in worker.topic.definitions.of("Silence")] == ["tomorrow"]


def test_a_silence_is_active_from_its_start_until_just_before_its_end() -> None:
    said = {
        "matchers": {"service": "a"},
        "starts_at": rfc3339.spell(1000),
        "ends_at": rfc3339.spell(2000),
        "reason": "x",
    }
    silence = silence_of(said, "default", 0)
    states = [silence_view(silence, now).state for now in (999, 1000, 1999, 2000)]
    assert states == ["pending", "active", "active", "expired"]


SILENCE = {"matchers": {"service": "a"}, "for": "1h", "reason": "x"}


@pytest.mark.parametrize(
    ("changed", "path", "words"),
    [
        ({"for": None}, "body", "exactly one of ends_at and for"),
        ({"ends_at": "2027-01-16T00:00:00Z"}, "body", "exactly one of ends_at and for"),
        ({"for": "721h"}, "ends_at", "at most 30 days"),
        ({"for": 60}, "for", "without a unit"),
        ({"matchers": {}}, "matchers", "is empty"),
        ({"reason": ""}, "reason", "is empty"),
        ({"until": "x"}, "until", "is not a known key"),
        ({"name": "no name"}, "name", "a name has"),
    ],
)
async def test_a_silence_that_is_wrong_is_refused_in_the_words_of_the_request(
    changed: dict[str, Any], path: str, words: str, tmp_path: Path
) -> None:
    worker = ApiWorker()
    async with worker.serving(tmp_path) as client:
        body = {**SILENCE, **changed}
        response = await client.post(f"{API}/silences", json=body, headers=BEARER)
        (problem,) = (await refused(response, 422))["problems"]
        assert problem["path"] == path
        assert words in problem["message"]
        for sent in (b"{", b"[]", b"\xff"):
            response = await client.post(f"{API}/silences", data=sent, headers=BEARER)
            await refused(response, 400)
    assert worker.topic.rows == []


async def test_an_alert_is_snoozed_by_its_fingerprint(worker: ApiWorker, tmp_path: Path) -> None:
    async with worker.serving(tmp_path) as client:
        path = f"{API}/alerts/{ERRORS}/snooze"
        for body in (
            {"for": "1h", "reason": "seen"},
            {"until": "2027-01-15T10:00:00Z", "reason": "seen"},
        ):
            await answered(await client.post(path, json=body, headers=BEARER))
    (snooze,) = worker.topic.definitions.of("Snooze")
    assert snooze.key == DefinitionKey("Snooze", "default", f"snooze-{ERRORS}")
    assert (snooze.spec.alert, snooze.spec.fingerprint) == ("errors", ERRORS)
    assert snooze.spec.until == "2027-01-15T10:00:00Z"


async def test_a_snooze_for_a_time_begins_now(worker: ApiWorker, tmp_path: Path) -> None:
    async with worker.serving(tmp_path) as client:
        path = f"{API}/alerts/{ERRORS}/snooze"
        body = {"for": "90m", "reason": "seen"}
        await answered(await client.post(path, json=body, headers=BEARER))
    (snooze,) = worker.topic.definitions.of("Snooze")
    assert snooze.spec.until_ms == NOW_MS + 5_400_000


async def test_an_alert_of_another_worker_is_snoozed_by_the_name_of_its_definition(
    tmp_path: Path,
) -> None:
    worker = ApiWorker(BOTH)
    async with worker.serving(tmp_path) as client:
        path = f"{API}/alerts/{ERRORS}/snooze"
        body = {"for": "1h", "reason": "seen"}
        error = await refused(await client.post(path, json=body, headers=BEARER), 404)
        assert "`alert`" in error["remedy"]
        await answered(await client.post(path, json={**body, "alert": "errors"}, headers=ACME))
    (snooze,) = worker.topic.definitions.of("Snooze")
    assert (snooze.tenant, snooze.spec.alert) == ("acme", "errors")


@pytest.mark.parametrize(
    ("of", "body", "status", "words"),
    [
        ("0" * 31, {"for": "1h", "reason": "x"}, 400, "32 hexadecimal digits"),
        (ERRORS, {"reason": "x"}, 422, "exactly one of until and for"),
        (ERRORS, {"until": "2027-01-15T08:00:00Z", "reason": "x"}, 422, "which is past"),
        (ERRORS, {"for": "31d", "reason": "x"}, 422, "a snooze lasts at most 30 days"),
        (ERRORS, {"for": "1h"}, 422, "is missing"),
        (ERRORS, {"until": "soon", "reason": "x"}, 422, "it must be a time"),
    ],
)
async def test_a_snooze_that_is_wrong_is_refused(
    of: str,
    body: dict[str, Any],
    status: int,
    words: str,
    worker: ApiWorker,
    tmp_path: Path,
) -> None:
    before = [*worker.topic.rows]
    async with worker.serving(tmp_path) as client:
        response = await client.post(f"{API}/alerts/{of}/snooze", json=body, headers=BEARER)
        assert words in str((await refused(response, status))["problems"])
    assert worker.topic.rows == before
