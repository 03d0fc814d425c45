"""Burn rates: how many times faster than the objective allows the budget is spent.

A tier is breached when its long and its short window both burn faster than its factor: the long one
says that it matters, the short one that it still goes on. At exactly the factor nothing is
breached. Source: Site Reliability Workbook, chapter 5, "Alerting on SLOs", 6th approach.

A total outage with fewer events than `minimum_events` breaches nothing: what is said of that is
"too few events", and without any event "no traffic". Who must hear of a silent service alerts on
freshness, or on no data. What fires goes on while it burns, of however few events; and without data
while the short window has none: a service that sends nothing any more has not recovered.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from statistics import NormalDist
from typing import Final, NamedTuple

from tailrace.agents.alerts.calendars import period_of
from tailrace.agents.alerts.counts import Counts, exact
from tailrace.schemas.definitions.slo import SloSpec, Tier
from tailrace.schemas.durations import MILLISECOND, Nanos, spell

PAGE: Final = "page"
TICKET: Final = "ticket"

WORKBOOK_TIERS: Final = tuple(
    Tier.model_validate({"severity": severity, "long": long, "short": short, "budget": budget})
    for severity, long, short, budget in (
        (PAGE, "1h", "5m", 0.02),
        (PAGE, "6h", "30m", 0.05),
        (TICKET, "24h", "2h", 0.1),
        (TICKET, "72h", "6h", 0.1),
    )
)
"""The workbook's recommended parameters: of 30 days, factors 14.4, 6, 3 and 1."""


class Health(StrEnum):
    """What a window says. No errors, no traffic and no input are three different things."""

    NO_INPUT = "no_input"
    """Sources are idle or behind: the window is not known yet."""
    NO_TRAFFIC = "no_traffic"
    NO_ERRORS = "no_errors"
    ERRORS = "errors"


class Quiet(StrEnum):
    """Why a tier is not breached."""

    NO_TRAFFIC = "no_traffic"
    """The long window has no events."""
    TOO_FEW = "too_few_events"
    """The long window has fewer events than `minimum_events`."""
    BELOW = "below"
    """The long window burns no faster than the factor."""
    RECOVERED = "recovered"
    """The long window burns too fast; the short one does not."""
    SILENT = "silent"
    """The long window burns too fast; the short one has no events: who knows if it is over."""
    NOT_SURE = "not_sure"
    """Both burn too fast; that it is chance is not unlikely enough for `confidence`."""


@dataclass(frozen=True, slots=True)
class BurnTier:
    """A tier of one SLO. `limit`: the share of bad events that is `factor` times the budget."""

    severity: str
    long_ms: int
    short_ms: int
    factor: Fraction
    limit: Fraction


class Burning(NamedTuple):
    """What a tier says. `burn`: of its long window, None without events; `quiet`: why no breach.

    `is_silent`: the short window has no events, so nothing is known of now. `burns`: both windows
    burn too fast, be it of ever so few events.
    """

    tier: BurnTier
    burn: float | None
    quiet: Quiet | None
    is_silent: bool = False
    burns: bool = False

    @property
    def is_breached(self) -> bool:
        return self.quiet is None


@dataclass(frozen=True, slots=True)
class BurnRate:
    """An SLO's tiers. `budget`: the share that may be bad; `z`: of the guard, None without it.

    `warnings`: a sentence for each tier that can hardly be meant so. Those that could never say
    anything are not in `tiers`.
    """

    budget: Fraction
    tiers: tuple[BurnTier, ...]
    minimum_events: int
    z: float | None
    warnings: tuple[str, ...] = ()

    @classmethod
    def of(cls, spec: SloSpec) -> BurnRate:
        """Return the tiers of *spec*, or the workbook's, for its period and objective."""
        budget = budget_of(spec)
        tiers, warnings = [], []
        for each in WORKBOOK_TIERS if spec.tiers is None else spec.tiers:
            factor = factor_of(each, period_of(spec))
            useless, warning = _doubt(each, factor, budget, period_of(spec))
            if warning:
                named = f"the {each.severity} tier of {spell(each.long)} and {spell(each.short)}"
                warnings.append(f"{named} {warning}")
            if not useless:
                windows = each.long // MILLISECOND, each.short // MILLISECOND
                tiers.append(BurnTier(each.severity, *windows, factor, factor * budget))
        z = NormalDist().inv_cdf(spec.confidence) if spec.confidence else None
        return cls(budget, tuple(tiers), spec.minimum_events, z, tuple(warnings))

    @property
    def windows_ms(self) -> frozenset[int]:
        """The lengths of all windows of the tiers."""
        return frozenset(ms for tier in self.tiers for ms in (tier.long_ms, tier.short_ms))

    def judge(self, windows: Mapping[int, Counts]) -> list[Burning]:
        """Return what each tier says of *windows*, by length in ms."""
        return [
            self._judge(tier, windows[tier.long_ms], windows[tier.short_ms]) for tier in self.tiers
        ]

    def _judge(self, tier: BurnTier, long: Counts, short: Counts) -> Burning:
        quiet = self._quiet(tier, long, short)
        burns = long.exceeds(tier.limit) and short.exceeds(tier.limit)
        return Burning(tier, burn(long, self.budget), quiet, not short.all, burns)

    def _quiet(self, tier: BurnTier, long: Counts, short: Counts) -> Quiet | None:
        if not long.all:
            return Quiet.NO_TRAFFIC
        if long.all < self.minimum_events:
            return Quiet.TOO_FEW
        if not long.exceeds(tier.limit):
            return Quiet.BELOW
        if not short.all:
            return Quiet.SILENT
        if not short.exceeds(tier.limit):
            return Quiet.RECOVERED
        if self.z is not None and not is_sure(long, float(tier.limit), self.z):
            return Quiet.NOT_SURE
        return None


def by_severity(all_tiers: Iterable[Burning]) -> dict[str, Burning]:
    """Return of each severity the tier that speaks for it.

    One that is breached before one that is not, and one that burns before one that does not; of
    several the one that burns fastest in multiples of its factor; of equals the first.
    """
    loudest: dict[str, Burning] = {}
    for each in all_tiers:
        known = loudest.get(each.tier.severity)
        if known is None or _loudness(each) > _loudness(known):
            loudest[each.tier.severity] = each
    return loudest


def _loudness(burning: Burning) -> tuple[bool, bool, float]:
    return burning.is_breached, burning.burns, (burning.burn or 0.0) / float(burning.tier.factor)


def budget_of(spec: SloSpec) -> Fraction:
    """Return the share of events that may be bad, exactly: of 99.9 %, 1/1000."""
    return 1 - exact(spec.objective) / 100


def factor_of(tier: Tier, period: Nanos) -> Fraction:
    """Return the burn rate that spends the tier's share of the budget in its long window.

    Windows stay as they are whatever the period; factors follow from it: budget × period / long.
    """
    if tier.budget is None:
        assert tier.factor is not None
        return exact(tier.factor)
    return exact(tier.budget) * period / tier.long


def _doubt(
    tier: Tier, factor: Fraction, budget: Fraction, period: Nanos
) -> tuple[bool, str | None]:
    """Return whether the tier could never say anything, and what of it can hardly be meant."""
    if tier.long > period:
        return True, f"is left out: it looks back longer than the period, {spell(period)}"
    if factor * budget >= 1:
        return True, (
            f"is left out: a burn rate above {float(factor):g} would need more than "
            f"{float(factor * budget):.0%} bad events; lower its factor or raise the objective"
        )
    if factor < 1:
        return False, (
            f"alerts above a burn rate of {float(factor):.3g}, at which the period's budget is "
            f"never spent; give tiers of your own for a period of {spell(period)}"
        )
    return False, None


def windows_of(spec: SloSpec) -> frozenset[int]:
    """Return the lengths in ms of all sliding windows of *spec*: the tiers', and its period.

    A period of the calendar does not slide: it is counted from its start.
    """
    windows = BurnRate.of(spec).windows_ms
    return windows if spec.calendar else windows | {period_of(spec) // MILLISECOND}


def burn(counts: Counts, budget: Fraction) -> float | None:
    """Return the share of bad events in multiples of *budget*; None without events."""
    if not counts.all:
        return None
    return counts.matched * budget.denominator / (counts.all * budget.numerator)


def is_sure(counts: Counts, limit: float, z: float) -> bool:
    """True if the true share of bad events is above *limit*, as sure as *z* says (one-sided).

    So it is if *limit* is below the lower bound of the Wilson score interval with continuity
    correction (Newcombe 1998, Statistics in Medicine 17:857, method 4), which is this solved for
    the limit. Without the correction one failure of twenty would be enough for a page.
    """
    expected = counts.all * limit
    return counts.matched - 0.5 - expected > z * math.sqrt(expected * (1 - limit))


def health(counts: Counts, has_input: bool) -> Health:
    """Return what *counts* say, if there is input up to the end of their window."""
    if not has_input:
        return Health.NO_INPUT
    if not counts.all:
        return Health.NO_TRAFFIC
    return Health.ERRORS if counts.matched else Health.NO_ERRORS
