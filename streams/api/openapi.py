"""The API as an OpenAPI 3.1 document, made of the table of routes and of the models themselves."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from typing import Any, Final, Literal, TypeAlias

from pydantic import TypeAdapter

from tailrace.schemas.definitions.definition import API_VERSION
from tailrace.schemas.definitions.documents import Metadata
from tailrace.schemas.definitions.kinds import SPECS
from tailrace.streams.api.errors import ErrorAnswer
from tailrace.streams.api.questions import Parameter
from tailrace.streams.api.route import Route
from tailrace.streams.api.written_schemas import WrittenSchemas, standard

Schema: TypeAlias = dict[str, Any]

_REFERENCES: Final = "#/components/schemas/{model}"
_YAML: Final = "application/yaml"
_JSON: Final = "application/json"
_ERRORS: Final = {
    "400": "It cannot be read, or a parameter is not right.",
    "401": "The token is missing or wrong.",
    "403": "Nobody may do this from there, or without a token.",
    "404": "It is not there.",
    "409": "It stands in the worker's config.",
    "413": "It is longer than 1 MiB.",
    "422": "It can be read, but is not right.",
    "503": "Kafka does not answer.",
}


def document(routes: Sequence[Route]) -> Schema:
    """Return the document of *routes*."""
    models = _Models(routes)
    paths: dict[str, Schema] = {}
    for route in routes:
        paths.setdefault(route.whole_path, {})[route.method.lower()] = _operation(route, models)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "tailrace",
            "version": version("tailrace"),
            "summary": "Definitions, alerts, error budgets and notifications of one worker.",
        },
        "paths": paths,
        "components": {
            "schemas": models.components,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"token": []}],
    }


class _Models:
    """The schemas of all that is sent and answered."""

    def __init__(self, routes: Sequence[Route]) -> None:
        kinds: list[Any] = [*dict.fromkeys(each.answers for each in routes), ErrorAnswer]
        requests = [each.takes for each in routes if each.takes is not None]
        sent: list[Any] = [*SPECS.values(), Metadata, *requests]
        inputs: list[tuple[Any, Literal["validation", "serialization"], TypeAdapter[Any]]] = [
            (each, "serialization", TypeAdapter(each)) for each in kinds
        ]
        inputs += [(each, "validation", TypeAdapter(each)) for each in sent]
        found, definitions = TypeAdapter.json_schemas(
            inputs, ref_template=_REFERENCES, schema_generator=WrittenSchemas
        )
        self._of = {model: schema for (model, _), schema in found.items()}
        self.components: Schema = {**standard(definitions["$defs"]), **self._documents()}

    def of(self, model: Any) -> Schema:
        """Return the schema of *model*, mostly a reference."""
        return self._of[model]

    def _documents(self) -> Schema:
        kinds = {kind: self._document(kind) for kind in SPECS}
        every = [{"$ref": _REFERENCES.format(model=kind)} for kind in kinds]
        one = {"oneOf": every, "discriminator": {"propertyName": "kind"}}
        return {**kinds, "Document": one}

    def _document(self, kind: str) -> Schema:
        return {
            "type": "object",
            "additionalProperties": False,
            "required": ["apiVersion", "kind", "metadata", "spec"],
            "properties": {
                "apiVersion": {"const": API_VERSION},
                "kind": {"const": kind},
                "metadata": self.of(Metadata),
                "spec": self.of(SPECS[kind]),
            },
        }


def _operation(route: Route, models: _Models) -> Schema:
    errors = ["400", "401", "403", *(["413", "422", "503"] if route.has_body else [])]
    errors += ["503"] if route.is_write and not route.has_body else []
    errors += [str(int(each)) for each in route.refusals]
    refused = {_JSON: {"schema": models.of(ErrorAnswer)}}
    said: Schema = {
        "summary": route.summary,
        "operationId": _name(route),
        "parameters": [_parameter(each) for each in route.all_parameters],
        "responses": {
            str(route.status): {
                "description": "It is done." if route.is_write else "What was asked for.",
                "content": {_JSON: {"schema": models.of(route.answers)}},
            },
            **{each: {"description": _ERRORS[each], "content": refused} for each in sorted(errors)},
        },
    }
    if route.has_documents:
        one = {"$ref": _REFERENCES.format(model="Document")}
        several = {"anyOf": [one, {"type": "array", "items": one}]}
        said["requestBody"] = {
            "required": True,
            "description": "One document, a list of them, or a YAML of several.",
            "content": {_JSON: {"schema": several}, _YAML: {"schema": several}},
        }
    elif route.takes is not None:
        body = {_JSON: {"schema": models.of(route.takes)}}
        said["requestBody"] = {"required": True, "content": body}
    return said


def _name(route: Route) -> str:
    words = route.path.replace(".json", "").replace("{", "").replace("}", "").split("/")
    return "_".join([route.method.lower(), *filter(None, words)])


def _parameter(parameter: Parameter) -> Schema:
    schema: Schema = {"type": parameter.kind}
    if parameter.choices:
        schema["enum"] = list(parameter.choices)
    if parameter.is_list:
        schema = {"type": "array", "items": schema}
    return {
        "name": parameter.name,
        "in": parameter.where,
        "description": parameter.meaning,
        "required": parameter.where == "path",
        "schema": schema,
        **({"style": "form", "explode": False} if parameter.is_list else {}),
    }
