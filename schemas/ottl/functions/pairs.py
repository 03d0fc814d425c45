"""Texts of keys and values, as in `a=1 b="x y"`."""

from typing import Any, Final

from tailrace.schemas.ottl.problems import EvaluationError, show
from tailrace.schemas.strings import text_of

_QUOTES: Final = "\"'"


def delimiters(delimiter: str | None, between: str | None) -> tuple[str, str]:
    """What is between a key and its value, and between pairs; ValueError if that cannot be."""
    delimiter = "=" if delimiter is None else delimiter
    between = " " if between is None else between
    if not delimiter or not between:
        raise ValueError("has an empty delimiter; give it one")
    if delimiter == between:
        raise ValueError(f"has {show(delimiter)} for both delimiters; give it two")
    return delimiter, between


def read(text: str, delimiter: str, between: str) -> dict[str, str]:
    """The pairs of *text*. What is in quotes is not divided."""
    if not text:
        raise EvaluationError("an empty text has no pairs")
    found = {}
    for pair in _divided(text, between):
        key, sign, value = pair.partition(delimiter)
        if not sign:
            raise EvaluationError(f"{show(pair)} is no pair with {delimiter} in it")
        found[key.strip()] = value.strip()
    return found


def _divided(text: str, between: str) -> list[str]:
    parts: list[str] = []
    current: list[str] = []
    quote, is_escaped, position = "", False, 0
    while position < len(text):
        if not quote and text.startswith(between, position):
            if current:
                parts.append("".join(current))
                current = []
            position += len(between)
            continue
        letter = text[position]
        position += 1
        if not is_escaped and letter in (quote or _QUOTES):
            quote = "" if quote else letter
            continue
        is_escaped = not is_escaped and letter == "\\"
        current.append(letter)
    if quote:
        raise EvaluationError("a quotation mark is not closed")
    return [*parts, "".join(current)] if current else parts


def written(pairs: dict[str, Any], delimiter: str, between: str, *, is_sorted: bool) -> str:
    """*pairs* as a text."""
    keys = sorted(pairs) if is_sorted else list(pairs)
    return between.join(
        delimiter.join(_quoted(each, delimiter, between) for each in (key, text_of(pairs[key])))
        for key in keys
    )


def _quoted(text: str, delimiter: str, between: str) -> str:
    text = text.replace('"', '\\"')
    return f'"{text}"' if delimiter in text or between in text else text
