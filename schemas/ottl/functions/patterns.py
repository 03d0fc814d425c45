"""Regular expressions: RE2."""

from typing import Any

from tailrace.schemas.ottl.problems import show
from tailrace.schemas.regex import compiled


def regex(pattern: str) -> Any:
    """*pattern* compiled; ValueError with the rest of a sentence about what has it."""
    try:
        return compiled(pattern)
    except ValueError as error:
        raise ValueError(f"has {show(pattern)}, which is no RE2 expression: {error}") from None
