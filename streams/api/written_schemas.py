"""The JSON Schema of what users write, which is shorter than what the models hold.

A duration is text, a condition may be one value, and what is one for all severities needs no names
of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final, TypeAlias, get_args

from pydantic import BeforeValidator
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from tailrace.schemas import durations
from tailrace.schemas.config.scalars import Duration, LongDuration
from tailrace.schemas.definitions.alert import AlertSpec
from tailrace.schemas.definitions.filters import Between, Matching, SpanFilter, Text

_DURATION: Final = "^(0|-?([0-9]*[.]?[0-9]*(ns|us|µs|μs|ms|s|m|h))+)$"
_LONG_DURATION: Final = "^(0|-?([0-9]*[.]?[0-9]*(ns|us|µs|μs|ms|s|m|h|d|w))+)$"
_SCALAR: Final = ["string", "number", "boolean"]

_BOUNDS: Final = {
    "gt": "exclusiveMinimum",
    "ge": "minimum",
    "lt": "exclusiveMaximum",
    "le": "maximum",
}

_Widened: TypeAlias = Callable[[JsonSchemaValue], JsonSchemaValue]


class WrittenSchemas(GenerateJsonSchema):
    """Generates what is accepted where a value is read in more than one form."""

    def function_before_schema(
        self, schema: core_schema.BeforeValidatorFunctionSchema
    ) -> JsonSchemaValue:
        held = super().function_before_schema(schema)
        widen = _WRITTEN.get(schema["function"]["function"])
        return held if widen is None else widen(held)

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        made = super().default_schema(schema)
        default = made.get("default")
        if made.get("pattern") in (_DURATION, _LONG_DURATION) and isinstance(default, int):
            made["default"] = durations.spell(default)
        return made

    def field_title_should_be_set(self, schema: Any) -> bool:
        """A name says as much."""
        return False


def standard(schema: Any) -> Any:
    """Return *schema* with bounds as the standard names them, where pydantic uses its own."""
    if isinstance(schema, list):
        return [standard(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    names = dict(_BOUNDS)
    if schema.get("type") == "array":
        names["minLength"] = "minItems"
    return {
        names.get(key, key) if isinstance(value, int | float) else key: standard(value)
        for key, value in schema.items()
    }


def _duration(held: JsonSchemaValue) -> JsonSchemaValue:
    return {"type": "string", "pattern": _DURATION, "examples": ["1m30s"]}


def _long_duration(held: JsonSchemaValue) -> JsonSchemaValue:
    return {"type": "string", "pattern": _LONG_DURATION, "examples": ["1m30s", "30d"]}


def _text(held: JsonSchemaValue) -> JsonSchemaValue:
    return {"type": _SCALAR}


def _matching(held: JsonSchemaValue) -> JsonSchemaValue:
    scalar = {"type": _SCALAR}
    return {"anyOf": [scalar, {"type": "array", "items": scalar}, held]}


def _or_text(held: JsonSchemaValue) -> JsonSchemaValue:
    return {"anyOf": [{"type": "string"}, held]}


def _before(metadata: Iterable[Any]) -> Any:
    """Return the function that reads what is written."""
    (found,) = (each.func for each in metadata if isinstance(each, BeforeValidator))
    return found


_WRITTEN: Final[dict[Any, _Widened]] = {
    _before(get_args(Duration)): _duration,
    _before(get_args(LongDuration)): _long_duration,
    _before(get_args(Text)): _text,
    _before(get_args(Matching)): _matching,
    _before(get_args(Between)): _or_text,
    _before(AlertSpec.model_fields["when"].metadata): _or_text,
    _before(SpanFilter.model_fields["kind"].metadata): _or_text,
    _before(SpanFilter.model_fields["status"].metadata): _or_text,
}
