"""Regular expressions: RE2."""

from functools import lru_cache
from typing import Any, Final

import re2

from tailrace.schemas.ottl.problems import show

_KEPT: Final = 1000


@lru_cache(_KEPT)
def regex(pattern: str) -> Any:
    """*pattern* compiled; ValueError with the rest of a sentence about what has it."""
    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(pattern, options)
    except re2.error as error:
        what = error.args[0].decode() if isinstance(error.args[0], bytes) else str(error)
        raise ValueError(f"has {show(pattern)}, which is no RE2 expression: {what}") from None
