"""Error budgets: what of a period's bad events is spent, and when all of it will be."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Literal, TypeAlias

from tailrace.agents.alerts.burn_rate import burn
from tailrace.agents.alerts.counts import Counts

Freezing: TypeAlias = Literal["frozen", "thawed"]

_MINUTE_MS = 60_000


@dataclass(frozen=True, slots=True)
class Budget:
    """A period's budget. `share`: what share of events may be bad; `elapsed_ms`: of the period.

    Whatever is still to come of a period of the calendar is taken to have as many events as what
    has gone: else the first failure of a month would spend the whole month's budget.
    """

    counts: Counts
    share: Fraction
    period_ms: int
    elapsed_ms: int

    @property
    def allowed(self) -> float:
        """How many bad events the period may have."""
        return float(self.share * self.counts.all * self.period_ms / max(self.elapsed_ms, 1))

    @property
    def minutes(self) -> float:
        """How many minutes of the period may be bad altogether: of 99.9 % and 30 days, 43.2."""
        return float(self.share * self.period_ms / _MINUTE_MS)

    @property
    def consumed(self) -> float:
        """The share of the budget that is spent; above 1 when it is more than there was."""
        return (burn(self.counts, self.share) or 0.0) * self.elapsed_ms / self.period_ms

    @property
    def left(self) -> float:
        """The share of the budget that is left; below 0 when more is spent than there was."""
        return 1.0 - self.consumed

    @property
    def minutes_left(self) -> float:
        """What is left, in minutes."""
        return self.left * self.minutes

    @property
    def is_spent(self) -> bool:
        """True if nothing is left, exactly."""
        spent = self.counts.matched * self.share.denominator * self.elapsed_ms
        return self.counts.all > 0 and (
            spent >= self.counts.all * self.share.numerator * self.period_ms
        )


def rolling(counts: Counts, share: Fraction, period_ms: int) -> Budget:
    """Return the budget of the last *period_ms*, of which *counts* are."""
    return Budget(counts, share, period_ms, period_ms)


def forecast(budget: Budget, recent: Counts, now: int, ends_at: int | None = None) -> int | None:
    """Return when (ms) the budget is spent if it goes on burning as in *recent*; None if never.

    In a period that ends at *ends_at*, what is left goes at `burn / period`, and comes back at the
    end. In one that rolls, what was spent goes out of it too, evenly: so it goes at
    `(burn - consumed) / period`, and a burn rate of 1 or less never spends it.
    """
    if budget.is_spent:
        return now
    rate = burn(recent, budget.share)
    if rate is None or (ends_at is None and rate <= 1):
        return None
    pace = rate if ends_at is not None else rate - budget.consumed
    if pace <= 0:
        return None
    at = now + int(budget.period_ms * budget.left / pace)
    return at if ends_at is None or at < ends_at else None


def freezing(budget: Budget, was_frozen: bool, minimum_events: int = 1) -> Freezing | None:
    """Return what changed: all is spent now, or no longer; None if that is as it was.

    With fewer than *minimum_events* in the period nothing freezes; what is frozen thaws.
    """
    is_frozen = budget.is_spent and budget.counts.all >= minimum_events
    if is_frozen == was_frozen:
        return None
    return "frozen" if is_frozen else "thawed"


def freshness_slices(
    last_good: int, start: int, end: int, every_ms: int, max_age_ms: int
) -> Counts:
    """Return the slices that end in (*start*, *end*] and how many are bad; times in ms.

    Slices end at whole multiples of *every_ms*. A slice is bad if at its end the last good span is
    older than *max_age_ms*. *last_good* is the last one up to *end*: settle the slices before a
    newer one is taken in. What never was good is as old as its definition.
    """
    fresh_until = min(end, max(start, last_good + max_age_ms))
    slices = end // every_ms - start // every_ms
    return Counts(slices, slices - (fresh_until // every_ms - start // every_ms))
