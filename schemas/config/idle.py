"""Values that change nothing: what a key that is refused may say, for it holds anyway.

So that a pasted config with the collector's defaults written out is accepted as it stands.
"""

from collections.abc import Callable
from typing import Any

from tailrace.schemas.config.document import Substituted, scalar

Idle = Callable[[Any], bool]


def is_false(value: Any) -> bool:
    """True if *value* is the boolean."""
    return (scalar(value) if isinstance(value, Substituted) else value) is False


def is_flag(value: Any) -> bool:
    """True if *value* is a boolean, whichever."""
    return isinstance(scalar(value) if isinstance(value, Substituted) else value, bool)
