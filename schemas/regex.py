"""Regular expressions: RE2, whose time is linear in the text."""

from functools import lru_cache
from typing import Any, Final

import re2

_KEPT: Final = 1000


@lru_cache(_KEPT)
def compiled(pattern: str) -> Any:
    """Return *pattern* compiled; ValueError with what is wrong with it."""
    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(pattern, options)
    except re2.error as error:
        what = error.args[0].decode() if isinstance(error.args[0], bytes) else str(error)
        raise ValueError(what) from None
