"""The OpenAPI document and the page of the docs say what the routes do, no more and no less."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import orjson
import pytest
from jsonschema import Draft202012Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from tailrace.schemas.definitions.documents import remarks_of
from tailrace.streams.api import openapi
from tailrace.streams.api.questions import TENANT, TENANT_IN_HEADER
from tailrace.streams.api.route import Route
from tailrace.streams.api.routes import ROUTES
from tests.pages import FENCE, code, read, rows, section
from tests.streams.api_worker import BEARER, ApiWorker, definitions, span
from tests.streams.test_api_views import BOTH, POLICY, event

DOCUMENT = openapi.document(ROUTES)
NAMES = [f"{route.method} {route.whole_path}" for route in ROUTES]
_URI = "urn:openapi"
_REGISTRY: Registry[Any] = Registry().with_resource(
    _URI, Resource.from_contents(DOCUMENT, default_specification=DRAFT202012)
)


def validator(pointer: str) -> Draft202012Validator:
    """What holds JSON to the schema at *pointer* of the document."""
    return Draft202012Validator({"$ref": f"{_URI}#{pointer}"}, registry=_REGISTRY)


def operation(route: Route) -> dict[str, Any]:
    found: dict[str, Any] = DOCUMENT["paths"][route.whole_path][route.method.lower()]
    return found


# The document


def test_the_document_has_every_route_and_no_other() -> None:
    found = [
        (method.upper(), path)
        for path, operations in DOCUMENT["paths"].items()
        for method in operations
    ]
    assert sorted(found) == sorted((route.method, route.whole_path) for route in ROUTES)
    assert len(found) == len(ROUTES) == 13


def test_the_document_is_openapi_that_json_can_say() -> None:
    assert orjson.loads(orjson.dumps(DOCUMENT)) == DOCUMENT
    assert DOCUMENT["openapi"] == "3.1.0"
    assert {"title", "version"} <= DOCUMENT["info"].keys()
    known = {"openapi", "info", "paths", "components", "security"}
    assert DOCUMENT.keys() == known
    for requirement in DOCUMENT["security"]:
        assert requirement.keys() <= DOCUMENT["components"]["securitySchemes"].keys()
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+", name) for name in DOCUMENT["components"]["schemas"])


@pytest.mark.parametrize("route", ROUTES, ids=NAMES)
def test_an_operation_is_described_whole(route: Route) -> None:
    said = operation(route)
    in_path = [each["name"] for each in said["parameters"] if each["in"] == "path"]
    assert in_path == re.findall(r"{(\w+)}", route.path)
    assert all(each["required"] == (each["in"] == "path") for each in said["parameters"])
    names = [(each["in"], each["name"]) for each in said["parameters"]]
    assert len(set(names)) == len(names)
    assert ("requestBody" in said) == route.has_body
    assert {str(route.status), "400", "401", "403"} <= said["responses"].keys()
    assert all(each["description"] for each in said["responses"].values())
    for each in said["responses"].values():
        Draft202012Validator.check_schema(each["content"]["application/json"]["schema"])


def test_every_operation_has_a_name_of_its_own() -> None:
    names = [operation(route)["operationId"] for route in ROUTES]
    assert len(set(names)) == len(names)


def test_every_reference_leads_to_a_schema_and_every_schema_is_one() -> None:
    schemas = DOCUMENT["components"]["schemas"]
    named = {*re.findall(r'"\$ref":"([^"]+)"', orjson.dumps(DOCUMENT).decode())}
    assert named
    assert named <= {f"#/components/schemas/{name}" for name in schemas}
    for schema in schemas.values():
        Draft202012Validator.check_schema(schema)
    assert _keywords(schemas) <= {*_KEYWORDS}


_KEYWORDS = (
    *("$ref", "additionalProperties", "anyOf", "const", "default", "description", "enum"),
    *("discriminator", "examples", "exclusiveMaximum", "exclusiveMinimum", "items", "maxItems"),
    *("maxLength", "maximum", "minItems", "minLength", "minProperties", "minimum", "oneOf"),
    *("pattern", "properties", "required", "title", "type"),
)


def _keywords(schemas: dict[str, Any]) -> set[str]:
    found: set[str] = set()
    for schema in schemas.values():
        found |= schema.keys()
        found |= _keywords(schema.get("properties", {}))
        for key in ("items", "additionalProperties"):
            if isinstance(schema.get(key), dict):
                found |= _keywords({key: schema[key]})
        found |= _keywords(dict(enumerate(schema.get("anyOf", ()))))  # type: ignore[arg-type]
    return found


# What is answered and what is sent


async def test_every_answer_is_as_the_document_says(tmp_path: Path) -> None:
    worker = ApiWorker(BOTH)
    worker.apply(*definitions(POLICY))
    worker.inform()
    worker.evidence("errors", span(1), ["checkout"])
    worker.matches("errors", 0, 20, 20, ["checkout"])
    worker.matches("good", 0, 100, 5, kind="SLO")
    worker.told(event("acme"))
    silence = {"name": "s", "matchers": {"a": "b"}, "for": "1h", "reason": "x"}
    bodies: dict[str, bytes] = {
        "PUT /api/v1/definitions": BOTH.encode(),
        "POST /api/v1/silences": orjson.dumps(silence),
        "POST /api/v1/alerts/{fingerprint}/snooze": orjson.dumps(
            {"for": "1h", "reason": "x", "alert": "errors"}
        ),
    }
    values = {"kind": "Alert", "name": "errors", "fingerprint": "0" * 32}
    asked = sorted(ROUTES, key=lambda route: route.method == "DELETE")
    async with worker.serving(tmp_path) as client:
        for route in asked:
            name = f"{route.method} {route.whole_path}"
            path = route.whole_path.format(
                **{**values, **({"name": "s"} if "silences" in route.path else {})}
            )
            for headers, status in ((BEARER, route.status), ({}, 401)):
                response = await client.request(
                    route.method, path, data=bodies.get(name), headers=headers
                )
                assert response.status == status, (name, await response.text())
                said = await response.json()
                validator(_pointer(route, status)).validate(said)
                assert said


def _pointer(route: Route, status: int) -> str:
    path = route.whole_path.replace("~", "~0").replace("/", "~1").replace("{", "%7B")
    path = path.replace("}", "%7D")
    method = route.method.lower()
    return f"/paths/{path}/{method}/responses/{status}/content/application~1json/schema"


META = {"apiVersion": "tailrace/v1", "metadata": {"name": "x"}}
GOOD = {
    "short forms": {
        "kind": "Alert",
        "spec": {"where": {"service": "a", "status": "error"}, "when": ">= 1", "within": "5m"},
    },
    "long forms": {
        "kind": "Alert",
        "spec": {
            "where": {"service": {"in": ["a", "b"]}, "duration": "> 1s", "kind": ["server"]},
            "when": {"critical": ">= 5", "warning": ">= 1"},
            "for": "1m30s",
        },
    },
    "lists of values": {
        "kind": "Alert",
        "spec": {"where": {"attributes": {"code": [500, "502"], "ok": True}}, "when": "> 1"},
    },
    "an SLO": {
        "kind": "SLO",
        "spec": {"sli": {"latency": {"of": {}, "threshold": "300ms"}}, "objective": 99.9},
    },
    "days and weeks": {
        "kind": "SLO",
        "spec": {"sli": {"availability": {"of": {}}}, "objective": 99.9, "period": "1w3d"},
    },
    "a silence": {
        "kind": "Silence",
        "spec": {
            "matchers": {"service": "a"},
            "starts_at": "2027-01-01T00:00:00Z",
            "ends_at": "2027-01-02T00:00:00Z",
            "reason": "x",
        },
    },
    "a contact point": {
        "kind": "ContactPoint",
        "spec": {"pagerduty": {"routing_key": {"env": "KEY"}}},
    },
    "a policy": {
        "kind": "NotificationPolicy",
        "spec": {"route": {"receiver": "ops", "group_wait": "30s"}},
    },
}
WRONG = {
    "a duration without a unit": {
        "kind": "Alert",
        "spec": {"where": {}, "when": ">= 1", "within": 300},
    },
    "an objective of everything": {
        "kind": "SLO",
        "spec": {"sli": {"availability": {"of": {}}}, "objective": 100},
    },
    "an unknown key": {"kind": "Alert", "spec": {"where": {}, "when": ">= 1", "wihtin": "5m"}},
    "a secret": {"kind": "ContactPoint", "spec": {"pagerduty": {"routing_key": "k"}}},
    "an unknown kind": {"kind": "Alarm", "spec": {}},
    "nothing said": {"kind": "Alert", "spec": {}},
}


@pytest.mark.parametrize("said", GOOD.values(), ids=GOOD)
def test_what_is_accepted_is_right_by_the_document(said: dict[str, Any]) -> None:
    assert remarks_of({**META, **said})[1] == []
    validator("/components/schemas/Document").validate({**META, **said})


@pytest.mark.parametrize("said", WRONG.values(), ids=WRONG)
def test_what_the_document_can_refuse_is_refused(said: dict[str, Any]) -> None:
    assert remarks_of({**META, **said})[1]
    assert not validator("/components/schemas/Document").is_valid({**META, **said})


# The page


def test_the_page_lists_every_route_with_its_parameters() -> None:
    listed = {code(row[0])[0]: row for row in rows(section("docs/api.md", "Routes"), 4)[1:]}
    assert list(listed) == NAMES
    for route in ROUTES:
        _, parameters, body, answer = listed[f"{route.method} {route.whole_path}"]
        own = [each.name for each in route.all_parameters if each.where == "query"]
        assert code(parameters) == own, route
        assert (body != "none") == route.has_body, route
        assert answer


def test_the_page_names_both_ways_to_say_a_tenant_and_every_status() -> None:
    page = read("docs/api.md")
    assert {TENANT.name, TENANT_IN_HEADER.name} <= {*code(page)}
    statuses = {row[0] for row in rows(section("docs/api.md", "Errors"), 2)[1:]}
    said = {status for route in ROUTES for status in operation(route)["responses"]}
    assert statuses == {each for each in said if each >= "4"}


def test_every_body_on_the_page_is_right_by_the_document() -> None:
    found = dict(FENCE.findall(read("docs/api.md")))
    for info, name in (("json silence", "SilenceRequest"), ("json snooze", "SnoozeRequest")):
        validator(f"/components/schemas/{name}").validate(orjson.loads(found[info]))
    for info, name in (
        ("json alert", "AlertView"),
        ("json budget", "BudgetView"),
        ("json error", "ErrorAnswer"),
        ("json change", "ChangeList"),
    ):
        shown = orjson.loads(found[info])
        validator(f"/components/schemas/{name}").validate(shown)
        assert shown.keys() == DOCUMENT["components"]["schemas"][name]["properties"].keys()
