"""Service level objectives: what share of events must be good, and how fast the rest may burn."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Final, Literal

from pydantic import BeforeValidator, Field

from tailrace.schemas.config.scalars import Flag, LongDuration, Number, Whole, at_least, listed
from tailrace.schemas.config.section import Remark, Section
from tailrace.schemas.definitions.alert import LONGEST_SEVERITY
from tailrace.schemas.definitions.filters import GroupBy, SpanFilter
from tailrace.schemas.durations import HOUR, MINUTE, SECOND, Nanos, spell
from tailrace.schemas.trace_links import TraceUrl

DAY = 24 * HOUR
FREEZE: Final = "freeze"
"""The severity of the alert that says that the budget is spent."""


class Availability(Section):
    """Of the spans `of`, those `bad` are bad; by default those with status error."""

    of: SpanFilter
    bad: SpanFilter = SpanFilter(status=("error",))


class Latency(Section):
    """Of the spans `of`, those that took longer than `threshold` are bad."""

    of: SpanFilter
    threshold: Annotated[LongDuration, at_least(1)]


class Freshness(Section):
    """Every `every` of stream time is good if the last span of `of` is no older than `max_age`.

    `gone_after`: of groups, when one of which nothing comes any more is given up; unset: a day, or
    ten times `max_age` if that is longer.
    """

    of: SpanFilter
    max_age: Annotated[LongDuration, at_least(SECOND)]
    every: Annotated[LongDuration, at_least(SECOND)] = MINUTE
    gone_after: Annotated[LongDuration, at_least(SECOND)] | None = None

    @property
    def is_gone_after(self) -> Nanos:
        """How old the last span of a group is when the group is given up."""
        return max(DAY, 10 * self.max_age) if self.gone_after is None else self.gone_after

    def contradictions(self) -> Iterator[Remark]:
        if self.gone_after is not None and self.gone_after <= self.max_age:
            yield (
                ("gone_after",),
                f"is {spell(self.gone_after)}; it must be longer than max_age, "
                f"{spell(self.max_age)}, or nobody is ever told",
            )


class Correctness(Section):
    """Of the spans `of`, those that are not of `good` are bad."""

    of: SpanFilter
    good: SpanFilter


class Sli(Section):
    """Exactly one of them."""

    availability: Availability | None = None
    latency: Latency | None = None
    freshness: Freshness | None = None
    correctness: Correctness | None = None

    def contradictions(self) -> Iterator[Remark]:
        if len(self.model_fields_set) != 1:
            yield (), "needs exactly one of availability, latency, freshness and correctness"


class Tier(Section):
    """Alert with `severity` when both windows burn `factor` times faster than the budget allows.

    `budget`: the share of the budget that the long window may spend; `factor` follows from it and
    the period (budget × period / long), or is given instead.
    """

    severity: Annotated[str, Field(min_length=1)]
    long: Annotated[LongDuration, at_least(MINUTE)]
    short: Annotated[LongDuration, at_least(SECOND)]
    budget: Annotated[Number, Field(gt=0, le=1)] | None = None
    factor: Annotated[Number, Field(gt=0)] | None = None

    def contradictions(self) -> Iterator[Remark]:
        if (self.budget is None) == (self.factor is None):
            yield (), "needs exactly one of budget and factor"
        if self.short >= self.long:
            yield ("short",), "must be shorter than long"
        if len(self.severity) > LONGEST_SEVERITY:
            length = len(self.severity)
            yield ("severity",), f"has {length} characters; it may have {LONGEST_SEVERITY}"


class SloSpec(Section):
    """An objective in percent over a period that rolls, or is of the calendar (in UTC).

    `tiers` unset: the four of the SRE workbook, rescaled to the period. `minimum_events`: with
    fewer in the long window a tier does not begin to fire. `confidence`: how sure a tier must be
    that the true burn rate is above its factor; 0 turns the guard off.
    """

    sli: Sli
    objective: Annotated[Number, Field(gt=0, lt=100)]
    period: Annotated[LongDuration, at_least(HOUR)] = 30 * DAY
    calendar: Literal["week", "month", "quarter"] | None = None
    group_by: GroupBy = ()
    tiers: Annotated[tuple[Tier, ...], BeforeValidator(listed)] | None = None
    minimum_events: Annotated[Whole, Field(ge=1)] = 20
    confidence: Annotated[Number, Field(ge=0, lt=1)] = 0.95
    keep_firing_for: Annotated[LongDuration, at_least(0)] = 0
    every: Annotated[LongDuration, at_least(SECOND)] = 10 * SECOND
    evidence: Annotated[Whole, Field(ge=0, le=50)] = 10
    trace_url: TraceUrl | None = None
    freeze: Flag = True
    """Say so, as an event of its own, when the budget of the period is spent."""

    def contradictions(self) -> Iterator[Remark]:
        if self.calendar is not None and "period" in self.model_fields_set:
            yield ("calendar",), "and period exclude each other; keep one of them"
        if self.freeze:
            for index, tier in enumerate(self.tiers or ()):
                if tier.severity == FREEZE:
                    yield (
                        ("tiers", index, "severity"),
                        f"is {FREEZE}, which says that the budget is spent; name it otherwise, or "
                        f"set freeze to false",
                    )
        freshness = self.sli.freshness
        if freshness is not None and freshness.gone_after is not None and not self.group_by:
            yield (
                ("sli", "freshness", "gone_after"),
                "is for groups, and there is no group_by; remove it: without groups what stays "
                "out is told until it comes back",
            )
