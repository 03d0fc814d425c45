"""What a burn rate and a budget come to, in a sentence for people: also when there is no breach.

The long window remembers an incident long after the short one says that it is over. So whoever was
told that the budget burns is told why it is no longer said to.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tailrace.agents.alerts.budgets import Budget
from tailrace.agents.alerts.burn_rate import Burning, Quiet
from tailrace.schemas.durations import MILLISECOND, spell

_BREACH: Final = (
    "The error budget burns at {rate} over {long}; the alert is on more than {factor} over both "
    "{long} and {short}."
)
_QUIET: Final[Mapping[Quiet, str]] = {
    Quiet.NO_TRAFFIC: "There were no events in the last {long}: how fast the error budget burns "
    "is not known.",
    Quiet.TOO_FEW: "The error budget burns at {rate} over {long}, which says nothing of fewer "
    "than {minimum_events} events.",
    Quiet.BELOW: "The error budget burns slowly enough: at {rate} over {long}; the alert is on "
    "more than {factor}.",
    Quiet.RECOVERED: "The error budget burns slowly enough again: at {factor} times its pace or "
    "less over {short}, though still at {rate} over {long}.",
    Quiet.SILENT: "There were no events in the last {short}: whether the error budget still burns, "
    "at {rate} over {long}, is not known.",
    Quiet.NOT_SURE: "The error budget burns at {rate} over {long}, but of so few events that may "
    "be chance; the alert is on more than {factor}.",
}


def of_tier(burning: Burning, minimum_events: int) -> str:
    """Return what *burning* says."""
    tier = burning.tier
    rate = "no pace" if burning.burn is None else f"{burning.burn:.3g} times the budget's pace"
    sentence = _BREACH if burning.quiet is None else _QUIET[burning.quiet]
    return sentence.format(
        rate=rate,
        long=spell(tier.long_ms * MILLISECOND),
        short=spell(tier.short_ms * MILLISECOND),
        factor=f"{float(tier.factor):g}",
        minimum_events=minimum_events,
    )


def of_budget(budget: Budget) -> str:
    """Return how much of *budget* is spent, and whether that is all of it."""
    counts = budget.counts
    begins = "There is error budget: " if counts.all and not budget.is_spent else ""
    return (
        f"{begins}{budget.consumed:.1%} of the error budget is spent: {counts.matched} of "
        f"{counts.all} events were bad, and the objective allows {budget.allowed:.4g}."
    )
