"""Definitions over HTTP, and the parameters of what is listed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tailrace.schemas.alert_events import decode
from tailrace.schemas.definitions import Definitions
from tailrace.streams.api.definitions import delete, put
from tailrace.streams.api.handlers import LARGEST_BODY
from tailrace.streams.api.questions import Question
from tailrace.streams.stages import ROLLUPS
from tailrace.streams.task import TaskId
from tests.streams.api_answers import API, ERRORS, answered, firing, refused
from tests.streams.api_worker import BEARER, ApiWorker
from tests.streams.test_api_views import ALERT, BOTH, SLO


@pytest.fixture
def worker() -> ApiWorker:
    """A worker with an alert that fires and an SLO."""
    return firing()


# Definitions


async def test_definitions_are_put_read_and_deleted(tmp_path: Path) -> None:
    worker = ApiWorker()
    async with worker.serving(tmp_path) as client:
        said = await answered(await client.put(f"{API}/definitions", data=BOTH, headers=BEARER))
        assert [(each["name"], each["action"], each["version"]) for each in said["changes"]] == [
            ("errors", "created", 1),
            ("good", "created", 2),
        ]
        changed = BOTH.replace("99.9", "99.5")
        said = await answered(await client.put(f"{API}/definitions", data=changed, headers=BEARER))
        assert [(each["name"], each["action"], each["version"]) for each in said["changes"]] == [
            ("errors", "unchanged", 1),
            ("good", "changed", 3),
        ]
        said = await answered(await client.get(f"{API}/definitions", headers=BEARER))
        assert said["version"] == 3
        assert [(each["kind"], each["name"]) for each in said["definitions"]] == [
            ("Alert", "errors"),
            ("SLO", "good"),
        ]
        said = await answered(await client.get(f"{API}/definitions?kind=slo", headers=BEARER))
        assert [each["name"] for each in said["definitions"]] == ["good"]
        path = f"{API}/definitions/SLO/good"
        said = await answered(await client.get(path, headers=BEARER))
        assert said["document"]["spec"]["objective"] == 99.5
        said = await answered(await client.delete(path, headers=BEARER))
        assert said == {
            "kind": "SLO",
            "tenant": "default",
            "name": "good",
            "action": "deleted",
            "version": 4,
        }
        await refused(await client.get(path, headers=BEARER), 404)
        await refused(await client.delete(path, headers=BEARER), 404)


async def test_what_is_read_can_be_put_back_as_json_and_is_unchanged(
    worker: ApiWorker, tmp_path: Path
) -> None:
    async with worker.serving(tmp_path) as client:
        said = await answered(await client.get(f"{API}/definitions", headers=BEARER))
        body = [each["document"] for each in said["definitions"]]
        said = await answered(await client.put(f"{API}/definitions", json=body, headers=BEARER))
        assert {each["action"] for each in said["changes"]} == {"unchanged"}


async def test_a_dry_run_says_what_would_change_and_changes_nothing(
    worker: ApiWorker, tmp_path: Path
) -> None:
    before = [*worker.topic.rows]
    body = BOTH.replace("99.9", "99.5")
    async with worker.serving(tmp_path) as client:
        path = f"{API}/definitions?dry_run=true"
        said = await answered(await client.put(path, data=body, headers=BEARER))
    assert said["dry_run"] is True
    assert [(each["action"], each["version"]) for each in said["changes"]] == [
        ("unchanged", 1),
        ("changed", None),
    ]
    assert "is missing; say who is to act on it" in [each["message"] for each in said["warnings"]]
    assert worker.topic.rows == before


BAD = {
    "one wrong document": (BOTH.replace("99.9", "100"), 422, ["documents[1] SLO", "is 100"]),
    "an unknown kind": (SLO.replace("kind: SLO", "kind: Slow"), 422, ["documents[0]", "kind"]),
    "the same twice": (f"{SLO}---{SLO}", 422, ["documents[1]", "keep one"]),
    "nothing": ("", 400, ["body", "holds no document"]),
    "no YAML": ("a: [", 400, ["body, line 1", "is not valid YAML"]),
    "no UTF-8": (b"\xff", 400, ["body", "is not UTF-8"]),
    "a bottomless list": ("[" * 5000, 400, ["body", "nested too deeply"]),
    "aliases of aliases": (
        "\n".join(
            ["a0: &a0 [x, x]", *(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 60))]
        ),
        400,
        ["body", "repeats too much"],
    ),
}


@pytest.mark.parametrize(("body", "status", "words"), BAD.values(), ids=BAD)
async def test_what_is_wrong_is_refused_whole_with_every_problem(
    body: str | bytes, status: int, words: list[str], tmp_path: Path
) -> None:
    worker = ApiWorker()
    async with worker.serving(tmp_path) as client:
        response = await client.put(f"{API}/definitions", data=body, headers=BEARER)
        (problem,) = (await refused(response, status))["problems"]
    assert all(each in f"{problem['path']} {problem['message']}" for each in words), problem
    assert worker.topic.rows == []


async def test_aliases_that_stand_for_little_are_read(tmp_path: Path) -> None:
    body = ALERT.replace("service: checkout,", "service: &name checkout, name: *name,")
    worker = ApiWorker()
    async with worker.serving(tmp_path) as client:
        await answered(await client.put(f"{API}/definitions", data=body, headers=BEARER))


async def test_a_body_of_more_than_a_mebibyte_is_refused(tmp_path: Path) -> None:
    worker = ApiWorker()
    async with worker.serving(tmp_path) as client:
        path = f"{API}/definitions"
        response = await client.put(path, data=b" " * (LARGEST_BODY + 1), headers=BEARER)
        await refused(response, 413)
        await answered(await client.put(path, data=SLO + " " * 100_000, headers=BEARER))


async def test_what_stands_in_the_config_is_shown_and_cannot_be_deleted(tmp_path: Path) -> None:
    worker = ApiWorker(configured=SLO)
    async with worker.serving(tmp_path) as client:
        path = f"{API}/definitions/SLO/good"
        assert (await answered(await client.get(path, headers=BEARER)))["version"] == 0
        error = await refused(await client.delete(path, headers=BEARER), 409)
        assert "Remove it there" in error["remedy"]


async def test_a_change_is_answered_when_the_worker_goes_by_it(worker: ApiWorker) -> None:
    known = [Definitions(version) for version in (9, 8, 8, 7, 7)]
    state = replace(worker.state, definitions=known.pop)
    await state.follow(8)
    assert [each.version for each in known] == [9, 8]


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
async def test_a_write_waits_for_the_worker_that_was_asked(
    method: str, worker: ApiWorker, tmp_path: Path
) -> None:
    asked: list[int] = []

    def known() -> Definitions:
        found = worker.topic.definitions
        asked.append(found.version)
        return found if len(asked) > 9 else Definitions()

    behind = replace(worker.state, definitions=known)
    question = Question({"kind": "SLO", "name": "good"}, body=BOTH.replace("99.9", "99").encode())
    await (put if method == "PUT" else delete)(behind, question)
    assert len(asked) == 10


async def test_what_fires_by_a_definition_that_is_deleted_is_resolved(
    worker: ApiWorker, tmp_path: Path
) -> None:
    task = worker.tasks[TaskId(ROLLUPS, 0)]
    task.snapshot()
    task.committed(0)
    async with worker.serving(tmp_path) as client:
        path = f"{API}/definitions/alert/errors"
        await answered(await client.delete(path, headers=BEARER))
        worker.inform()
        said = await answered(await client.get(f"{API}/alerts", headers=BEARER))
    assert said["alerts"] == []
    (output,) = task.snapshot().outputs["tailrace.alerts"]
    told = decode(output.value)
    assert (told.fingerprint, told.status, told.value) == (ERRORS, "resolved", 5.0)


# Secrets


async def test_no_answer_has_a_secret(tmp_path: Path) -> None:
    text = """
apiVersion: tailrace/v1
kind: ContactPoint
metadata: {name: ops}
spec: {pagerduty: {routing_key: {env: PAGERDUTY_KEY}}}
"""
    worker = ApiWorker(text)
    async with worker.serving(tmp_path) as client:
        said = await answered(await client.get(f"{API}/definitions", headers=BEARER))
        assert said["definitions"][0]["document"]["spec"] == {
            "pagerduty": {"routing_key": {"env": "PAGERDUTY_KEY"}}
        }
        body = text.replace("{env: PAGERDUTY_KEY}", "hunter2hunter2")
        response = await client.put(f"{API}/definitions", data=body, headers=BEARER)
        assert "hunter2" not in str(await refused(response, 422))


# Parameters


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("alerts?status=burning", "did you mean firing?"),
        ("alerts?limit=0", "it must be 1 to 10000"),
        ("alerts?limit=-1", "it must be 1 to 10000"),
        ("alerts?limit=10001", "it must be 1 to 10000"),
        ("alerts?limit=many", "it must be 1 to 10000"),
        ("alerts?kind=SLO", "is not a known parameter"),
        ("definitions?kind=Alarm", "did you mean"),
        ("definitions/Alarm/x", "did you mean"),
    ],
)
async def test_a_parameter_that_is_wrong_is_refused_with_what_is_right(
    query: str, words: str, worker: ApiWorker, tmp_path: Path
) -> None:
    async with worker.serving(tmp_path) as client:
        error = await refused(await client.get(f"{API}/{query}", headers=BEARER), 400)
        assert words in str(error["problems"])


async def test_alerts_are_asked_for_by_status_name_and_number(
    worker: ApiWorker, tmp_path: Path
) -> None:
    async with worker.serving(tmp_path) as client:

        async def total(query: str) -> int:
            said = await answered(await client.get(f"{API}/alerts?{query}", headers=BEARER))
            found: int = said["total"]
            return found

        assert await total("status=firing") == 1
        assert await total("status=resolved,Firing") == 1
        assert await total("status=resolved") == 0
        assert await total("name=errors&limit=1") == 1
        assert await total("name=other") == 0
