"""W3C trace state, as strict as the collector reads it."""

import re
from typing import Final

_KEY: Final = r"[a-z][a-z0-9_\-*/]{0,255}|[a-z0-9][a-z0-9_\-*/]{0,240}@[a-z][a-z0-9_\-*/]{0,13}"
_VALUE: Final = r"[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]"
_MEMBER: Final = re.compile(rf"[ \t]*({_KEY})=({_VALUE})[ \t]*")
_MOST: Final = 32


def member(trace_state: str, key: str) -> str | None:
    """The value of *key*, empty without one; None if *trace_state* is malformed."""
    found: dict[str, str] = {}
    for written in trace_state.split(","):
        if not written:
            continue
        read = _MEMBER.fullmatch(written)
        if read is None or read[1] in found or len(found) == _MOST:
            return None
        found[read[1]] = read[2]
    return found.get(key, "")
