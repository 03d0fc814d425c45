"""The API of a worker as a user asks it."""

from __future__ import annotations

import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any

import orjson
import pytest

from tests.end_to_end.conftest import NewPipeline, Pipeline
from tests.end_to_end.test_apply import DOCUMENTS
from tests.patience import PATIENCE_S

TOKEN = "a-token"


@dataclass(frozen=True)
class Api:
    """Asks the worker of *pipeline*, and returns the status and the JSON that it answers."""

    pipeline: Pipeline

    def __call__(
        self, method: str, path: str, body: str | None = None, token: str | None = TOKEN
    ) -> tuple[int, Any]:
        url = f"http://127.0.0.1:{self.pipeline.worker.port}/api/v1{path}"
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        data = None if body is None else body.encode()
        request = urllib.request.Request(url, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE_S) as response:
                return response.status, orjson.loads(response.read())
        except urllib.error.HTTPError as error:
            return error.code, orjson.loads(error.read())


@pytest.fixture
def api(new_pipeline: NewPipeline) -> Api:
    """The API of a worker that is ready, and has a token."""
    pipeline = new_pipeline(web={"token": TOKEN})
    pipeline.worker.start().wait_for("ready")
    return Api(pipeline)


def test_definitions_are_put_taken_up_and_deleted(api: Api) -> None:
    status, said = api("PUT", "/definitions", DOCUMENTS, token=None)
    assert (status, said["error"]["message"]) == (401, "The token is missing or wrong.")
    status, said = api("PUT", "/definitions", DOCUMENTS)
    assert status == 200, said
    assert [(each["name"], each["action"], each["version"]) for each in said["changes"]] == [
        ("checkout-errors", "created", 1),
        ("checkout", "created", 2),
    ]
    # The worker that was asked goes by it as soon as it has answered.
    status, said = api("GET", "/definitions")
    assert [each["name"] for each in said["definitions"]] == ["checkout-errors", "checkout"]
    status, said = api("PUT", "/definitions", DOCUMENTS.replace("99.9", "100"))
    assert (status, len(said["error"]["problems"])) == (422, 1)
    status, said = api("DELETE", "/definitions/Alert/checkout-errors")
    assert (status, said["version"]) == (200, 3)
    assert api("GET", "/definitions/Alert/checkout-errors")[0] == 404
    status, said = api("GET", "/definitions/SLO/checkout")
    assert said["document"]["spec"]["objective"] == 99.9


def test_a_worker_alone_answers_for_all_partitions(api: Api) -> None:
    for path in ("/alerts", "/budgets", "/notifications"):
        status, said = api("GET", path)
        assert status == 200
        assert said["complete"] is True
        assert said["partitions"] == [*range(len(said["partitions"]))] != []
