"""Values that change nothing: what a key that is not there yet may say, for it holds anyway.

So that a pasted config with the collector's defaults written out is accepted as it stands.
"""

from collections.abc import Callable
from typing import Any

from tailrace.schemas import durations
from tailrace.schemas.config.document import Substituted, scalar

Idle = Callable[[Any], bool]


def is_false(value: Any) -> bool:
    """True if *value* is the boolean."""
    return (scalar(value) if isinstance(value, Substituted) else value) is False


def is_flag(value: Any) -> bool:
    """True if *value* is a boolean, whichever."""
    return isinstance(scalar(value) if isinstance(value, Substituted) else value, bool)


def is_zero(value: Any) -> bool:
    """True if *value* is 0, as a number or as a duration."""
    if isinstance(value, str):
        try:
            return durations.parse(value) == 0
        except ValueError:
            return False
    return isinstance(value, int | float) and not isinstance(value, bool) and value == 0


def is_empty(value: Any) -> bool:
    """True if *value* is an empty list or empty text."""
    return isinstance(value, list | str) and not value


def is_nothing(value: Any) -> bool:
    """True of none: even an empty body says something."""
    return False


def is_off(*others: str) -> Idle:
    """Return the test for a mapping that is not `enabled`; *others* are its keys besides."""
    known = {"enabled", *others}

    def test(value: Any) -> bool:
        return (
            isinstance(value, dict)
            and value.keys() <= known
            and (value.get("enabled") is None or is_false(value["enabled"]))
        )

    return test


def is_among(*values: str) -> Idle:
    """Return the test for a list of texts that has no other than *values*."""

    def test(value: Any) -> bool:
        items = value.split(",") if isinstance(value, str) else value
        return isinstance(items, list) and all(item in values for item in items)

    return test
