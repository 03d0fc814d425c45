"""The header `Retry-After` of HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Final

LONGEST_S: Final = 3600.0
"""What is asked for beyond this is a mistake, and would be silence until a restart."""


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Return its seconds, an hour at the most, or None; a date is read against the receiver's own.

    Names of *headers* are in lower case.
    """
    after = headers.get("retry-after", "").strip()
    if after.isascii() and after.isdigit():
        return min(LONGEST_S, float(after[:9]))
    try:
        then, now = parsedate_to_datetime(after), parsedate_to_datetime(headers.get("date", ""))
        return min(LONGEST_S, max(0.0, (then - now).total_seconds()))
    except (ValueError, TypeError):
        return None
