"""Times as RFC 3339 writes them, in whole milliseconds since 1970."""

from __future__ import annotations

import re
from typing import Annotated

import numpy as np
from pydantic import AfterValidator

from tailrace.schemas.config.wording import show

_TIME = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(?:[Zz]|([+-])(\d\d):(\d\d))",
    re.ASCII,
)
_MINUTE_MS = 60_000


def parse(text: str) -> int:
    """Return the time that *text* says, in ms; what is finer is cut off.

    Raises ValueError with the rest of a sentence that begins with the name of the setting.
    """
    written = _TIME.fullmatch(text)
    if written is None:
        raise _not_a_time(text)
    date, clock, fraction, sign, hours, minutes = written.groups()
    if hours is not None and (int(hours) > 23 or int(minutes) > 59):
        raise _not_a_time(text)
    try:
        at = int(np.datetime64(f"{date}T{clock}", "ms").astype(np.int64))
    except ValueError:
        raise _not_a_time(text) from None
    offset = (int(hours) * 60 + int(minutes)) * _MINUTE_MS if hours is not None else 0
    return at + int((fraction or "").ljust(3, "0")[:3]) - (-offset if sign == "-" else offset)


def spell(at: int) -> str:
    """Return *at* (ms) as text that `parse` reads, in UTC."""
    return f"{np.datetime64(at, 'ms')}Z"


def _not_a_time(text: str) -> ValueError:
    return ValueError(f"is {show(text)}; it must be a time, as in 2030-01-31T18:00:00Z")


def _time(text: str) -> str:
    parse(text)
    return text


Time = Annotated[str, AfterValidator(_time)]
"""A time as text."""
