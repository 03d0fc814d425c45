"""Snoozes: somebody has seen one alert, and wants to hear of it again later."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated

from pydantic import Field

from tailrace.schemas import rfc3339
from tailrace.schemas.config.section import Remark, Section
from tailrace.schemas.definitions.filters import Matching
from tailrace.schemas.definitions.silence import LONGEST_SILENCE_MS
from tailrace.schemas.rfc3339 import Time


class SnoozeSpec(Section):
    """Alerts of the definition `alert` are not notified of until `until`.

    Of these, those whose labels all match, and the one with `fingerprint` if that is given. Who
    still violates then is notified of at once.
    """

    alert: Annotated[str, Field(min_length=1)]
    labels: Mapping[str, Matching] = {}
    fingerprint: Annotated[str, Field(pattern="^[0-9a-f]{32}$")] | None = None
    until: Time
    reason: Annotated[str, Field(min_length=1)]

    @property
    def until_ms(self) -> int:
        """No longer from then on, in ms."""
        return rfc3339.parse(self.until)

    def remarks_at(self, now_ms: int) -> Iterator[Remark]:
        """Yield what is wrong with it if it is made at *now_ms*: it may last as a silence may."""
        if self.until_ms - now_ms > LONGEST_SILENCE_MS:
            latest = rfc3339.spell(now_ms + LONGEST_SILENCE_MS)
            yield (
                ("until",),
                f"is {self.until}; a snooze lasts at most 30 days, now until {latest}; "
                f"snooze again then, or delete or change the alert",
            )
