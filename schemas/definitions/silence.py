"""Silences: nobody is told of certain alerts for a bounded time, and why."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Final

from pydantic import Field

from tailrace.schemas import rfc3339
from tailrace.schemas.config.section import Remark, Section
from tailrace.schemas.definitions.filters import Matching
from tailrace.schemas.rfc3339 import Time

LONGEST_SILENCE_MS: Final = 30 * 24 * 3_600_000


class SilenceSpec(Section):
    """Alerts whose labels all match are not notified of from `starts_at` until `ends_at`.

    Of the labels are those of the alert, and its `name`, `severity`, `kind` and `tenant`. What
    was notified as firing is notified as resolved all the same.
    """

    matchers: Annotated[Mapping[str, Matching], Field(min_length=1)]
    starts_at: Time
    ends_at: Time
    reason: Annotated[str, Field(min_length=1)]

    def contradictions(self) -> Iterator[Remark]:
        if self.ends_ms <= self.starts_ms:
            yield ("ends_at",), f"is {self.ends_at}; it must be after starts_at, {self.starts_at}"
        elif self.ends_ms - self.starts_ms > LONGEST_SILENCE_MS:
            latest = rfc3339.spell(self.starts_ms + LONGEST_SILENCE_MS)
            yield (
                ("ends_at",),
                f"is {self.ends_at}; a silence lasts at most 30 days, until {latest}",
            )

    @property
    def starts_ms(self) -> int:
        """From then on, in ms."""
        return rfc3339.parse(self.starts_at)

    @property
    def ends_ms(self) -> int:
        """No longer from then on, in ms."""
        return rfc3339.parse(self.ends_at)
