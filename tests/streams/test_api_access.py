"""Who may ask the API what, and whose answer it is."""

from __future__ import annotations

import asyncio
from pathlib import Path

import orjson
import pytest

from tailrace.streams.api.questions import TENANT_HEADER
from tailrace.streams.api.routes import ROUTES
from tailrace.streams.web import _is_loopback
from tests.streams.api_answers import ACME, API, ERRORS, answered, firing, refused
from tests.streams.api_worker import BEARER, TOKEN, ApiWorker, definitions
from tests.streams.test_api_views import ALERT, BOTH, SLO

READS = [route.whole_path for route in ROUTES if not route.is_write and "{" not in route.path]
OF_TENANTS = [path for path in READS if not path.endswith("/openapi.json")]
WRITES = [(route.method, route.whole_path) for route in ROUTES if route.is_write]


@pytest.fixture
def worker() -> ApiWorker:
    """A worker with an alert that fires and an SLO."""
    return firing()


# Who may ask


@pytest.mark.parametrize("path", READS)
async def test_with_a_token_nothing_is_read_without_it(
    path: str, worker: ApiWorker, tmp_path: Path
) -> None:
    async with worker.serving(tmp_path) as client:
        for said in (
            None,
            "Bearer another",
            "a-token",
            b"Bearer \xff".decode(errors="surrogateescape"),
        ):
            headers = {} if said is None else {"Authorization": said}
            response = await client.get(path, headers=headers)
            error = await refused(response, 401)
            assert "web.token" in error["remedy"]
            assert response.headers["WWW-Authenticate"] == "Bearer"
        assert (await client.get(path, headers=BEARER)).status == 200


@pytest.mark.parametrize(("method", "path"), WRITES)
async def test_without_a_token_nothing_can_be_written(
    method: str, path: str, worker: ApiWorker, tmp_path: Path
) -> None:
    before = [*worker.topic.rows]
    async with worker.serving(tmp_path, token=None) as client:
        for headers in ({}, BEARER):
            error = await refused(await client.request(method, path, headers=headers), 403)
            assert "web.token" in error["remedy"]
    assert worker.topic.rows == before


@pytest.mark.parametrize("path", READS)
async def test_without_a_token_reads_are_answered_on_loopback(
    path: str, worker: ApiWorker, tmp_path: Path
) -> None:
    async with worker.serving(tmp_path, token=None) as client:
        assert (await client.get(path)).status == 200


@pytest.mark.parametrize(
    ("address", "is_loopback"),
    [
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("::ffff:10.0.0.1", False),
        ("10.0.0.1", False),
        ("fe80::1", False),
        (None, False),
    ],
)
def test_loopback_is_this_machine_in_either_family(address: str | None, is_loopback: bool) -> None:
    assert _is_loopback(address) == is_loopback


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost:6066", 200),
        ("127.0.0.1", 200),
        ("[::1]:6066", 200),
        ("evil.example", 403),
        ("127.0.0.1.evil.example", 403),
    ],
)
async def test_another_sites_name_for_this_machine_is_not_answered_without_a_token(
    host: str, status: int, worker: ApiWorker, tmp_path: Path
) -> None:
    async with worker.serving(tmp_path, token=None) as client:
        assert (await client.get(f"{API}/alerts", headers={"Host": host})).status == status
    async with worker.serving(tmp_path) as client:
        headers = {"Host": host, **BEARER}
        assert (await client.get(f"{API}/alerts", headers=headers)).status == 200


async def test_health_is_open_and_metrics_are_not(worker: ApiWorker, tmp_path: Path) -> None:
    async with worker.serving(tmp_path) as client:
        assert (await client.get("/healthz")).status == 200
        assert (await client.get("/readyz")).status == 503  # it has no task yet
        assert (await client.get("/metrics")).status == 401
        assert (await client.get("/metrics", headers=BEARER)).status == 200
        assert (await client.get("/metrics/series")).status == 401
        assert (await client.get("/metrics/series", headers=BEARER)).status == 200


async def test_what_is_not_there_is_told_only_to_who_may_ask(
    worker: ApiWorker, tmp_path: Path
) -> None:
    async with worker.serving(tmp_path) as client:
        await refused(await client.get("/api/v1/nothing"), 401)
        error = await refused(await client.get("/api/v1/nothing", headers=BEARER), 404)
        assert "openapi.json" in error["remedy"]
        response = await client.post(f"{API}/alerts", headers=BEARER)
        await refused(response, 405)
        assert response.headers["Allow"] == "GET"


# Tenants


async def test_a_tenant_sees_and_touches_only_what_is_its_own(tmp_path: Path) -> None:
    worker = ApiWorker(BOTH)
    worker.apply(*definitions(ALERT, "acme"))
    worker.inform()
    worker.matches("errors", 0, 5, 5, ["checkout"])
    worker.matches("good", 0, 5, 5, kind="SLO")
    worker.matches("errors", 0, 5, 5, ["shop"], tenant="acme")
    worker.pass_time(20)
    async with worker.serving(tmp_path) as client:
        for headers, query in ((ACME, ""), (BEARER, "?tenant=acme"), (ACME, "?tenant=acme")):
            for path in OF_TENANTS:
                said = orjson.dumps(await answered(await client.get(path + query, headers=headers)))
                assert b"default" not in said, path
                assert b"good" not in said, path
        said = await answered(await client.get(f"{API}/alerts", headers=ACME))
        assert [each["labels"]["service"] for each in said["alerts"]] == ["shop"]
        path = f"{API}/definitions/SLO/goo"
        error = await refused(await client.get(path, headers=ACME), 404)
        assert "good" not in str(error)
        assert "did you mean good?" in str(
            await refused(await client.get(path, headers=BEARER), 404)
        )
        await refused(await client.delete(f"{API}/definitions/SLO/good", headers=ACME), 404)
        said = await answered(await client.put(f"{API}/definitions", data=SLO, headers=ACME))
        assert [(each["tenant"], each["action"]) for each in said["changes"]] == [
            ("acme", "created")
        ]
        body = SLO.replace("{name: good}", "{name: good, tenant: other}")
        await refused(await client.put(f"{API}/definitions", data=body, headers=ACME), 422)
        snooze = {"for": "1h", "reason": "seen"}
        path = f"{API}/alerts/{ERRORS}/snooze"
        error = await refused(await client.post(path, json=snooze, headers=ACME), 404)
        assert "errors" not in str(error)
    assert {each.tenant for each in worker.topic.definitions.of("SLO")} == {"acme", "default"}


async def test_a_contact_point_is_missed_in_the_words_of_its_tenant_only(tmp_path: Path) -> None:
    point = "kind: ContactPoint\nspec: {webhook: {url: 'https://hook.example'}}\n"
    head = "apiVersion: tailrace/v1\n"
    policy = (
        f"{head}kind: NotificationPolicy\nmetadata: {{name: all}}\n"
        f"spec: {{route: {{receiver: op}}}}"
    )
    worker = ApiWorker(f"{head}metadata: {{name: ops, tenant: other}}\n{point}")
    async with worker.serving(tmp_path) as client:
        said = await answered(await client.put(f"{API}/definitions", data=policy, headers=ACME))
    assert [each["message"] for each in said["warnings"]] == [
        'is "op", and no contact point has that name; there is none yet; apply it'
    ]


@pytest.mark.parametrize(
    ("query", "header", "words"),
    [
        ("?tenant=", None, "1 to 200 printable"),
        ("?tenant=%0a", None, "cannot be printed"),
        ("?tenant=acme", "other", "is not what X-Scope-OrgID says"),
        ("?tenant=acme&tenant=other", None, "stands twice"),
        ("?tenat=acme", None, "is not a known parameter"),
    ],
    ids=["empty", "unprintable", "two headers", "twice", "misspelled"],
)
async def test_a_tenant_that_is_not_clear_gets_no_answer(
    query: str, header: str | None, words: str, worker: ApiWorker, tmp_path: Path
) -> None:
    headers = BEARER if header is None else {**BEARER, TENANT_HEADER: header}
    async with worker.serving(tmp_path) as client:
        for path in OF_TENANTS:
            error = await refused(await client.get(path + query, headers=headers), 400)
            assert words in str(error)


async def test_an_empty_tenant_in_the_header_is_not_all_tenants(
    worker: ApiWorker, tmp_path: Path
) -> None:
    async with worker.serving(tmp_path) as client:
        headers = {**BEARER, TENANT_HEADER: ""}
        await refused(await client.get(f"{API}/definitions", headers=headers), 400)


async def ask(port: int, *headers: bytes) -> bytes:
    """The first line of the answer to a question with *headers* as they stand."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    lines = [b"GET /api/v1/alerts HTTP/1.1", b"Connection: close", *headers, b"", b""]
    writer.write(b"\r\n".join(lines))
    status = await reader.readline()
    writer.close()
    return status


BEARS = f"Authorization: {BEARER['Authorization']}".encode()


@pytest.mark.parametrize(
    ("token", "headers", "status"),
    [
        (TOKEN, [b"Host: localhost", BEARS, b"X-Scope-OrgID: \xff\xfe"], b"400"),
        (TOKEN, [b"Host: localhost", BEARS, b"X-Scope-OrgID: a", b"X-Scope-OrgID: b"], b"400"),
        (TOKEN, [b"Host: localhost", b"Authorization: Bearer \xff"], b"401"),
        (None, [b"Host: [::zz"], b"403"),
        (None, [b"Host: a b"], b"403"),
        (None, [b"Host: \xff"], b"403"),
    ],
    ids=["no UTF-8", "two tenants", "a token of bytes", "half an address", "a space", "a byte"],
)
async def test_headers_that_mean_nothing_are_refused(
    token: str | None,
    headers: list[bytes],
    status: bytes,
    worker: ApiWorker,
    tmp_path: Path,
) -> None:
    async with worker.serving(tmp_path, token) as client:
        assert client.port is not None
        assert (await ask(client.port, *headers)).split()[1] == status
