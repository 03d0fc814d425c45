"""What pydantic found wrong, in the words of the user: the value, and what would be right."""

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from pydantic_core import ErrorDetails

from tailrace.schemas.config.document import Substituted, scalar

TOLD = "told"
"""The type of an error that is in the user's words already."""

_WANTED = {
    "string_type": "text",
    "int_type": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "tuple_type": "a list",
    "model_type": "a mapping of keys to values",
    "dict_type": "a mapping of keys to values",
    "greater_than_equal": "{ge} or more",
    "greater_than": "more than {gt}",
    "less_than_equal": "{le} or less",
    "less_than": "less than {lt}",
    "finite_number": "a finite number",
}


def sentence(error: Mapping[str, Any] | ErrorDetails, secrets: frozenset[str]) -> str:
    """The rest of a sentence that begins with the path of *error*; no value below *secrets*."""
    kind, context, value = error["type"], error.get("ctx", {}), error["input"]
    if kind == TOLD:
        return str(error["msg"])
    if kind == "value_error":
        return str(context["error"])
    if kind == "missing":
        return "is missing; add it"
    is_secret = any(key in secrets for key in error["loc"])
    shown = "of the wrong kind" if is_secret else show(value)
    if kind == "literal_error":
        return f"is {shown}; it must be {context['expected'].replace(chr(39), '')}"
    if kind in ("string_too_short", "too_short"):
        return "is empty; give it a value"
    if kind == "string_type" and isinstance(value, bool | int | float) and not is_secret:
        return f'is {shown}; it must be text: write "{shown}", in quotes'
    wanted = _WANTED.get(kind)
    if wanted is None:
        return f"is {shown}: {error['msg']}"
    unquoted = isinstance(value, str) and not isinstance(scalar(value), str)
    wanted = wanted.format(**context) + (", without quotes" if unquoted else "")
    return f"is {shown}; it must be {wanted}"


def show(value: Any) -> str:
    """*value* as the user wrote it, short; nothing that came from the environment."""
    if value is None:
        return "empty"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Substituted):
        return "a value from the environment that does not fit"
    if isinstance(value, str):
        return f'"{value}"' if len(value) <= 60 else f'"{value[:57]}..."'
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list"
    return str(value)


def one_of(value: str, known: list[str]) -> str:
    """What *known* offers instead of *value*: the nearest, or all of it."""
    nearest = get_close_matches(value, known, 1)
    return f"did you mean {nearest[0]}?" if nearest else f"it must be one of {', '.join(known)}"
