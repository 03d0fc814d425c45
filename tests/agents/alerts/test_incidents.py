"""Incidents of one steady burn rate: when each tier begins and ends, to the second.

Of windows that slide by the second. After x seconds of an incident at burn rate B, a window of W
seconds burns at B·x/W; y seconds after its end, a window that was full burns at B·(W - y)/W.
"""

from __future__ import annotations

from fractions import Fraction
from typing import NamedTuple

import pytest

from tailrace.agents.alerts.burn_rate import Burning, BurnRate, Quiet
from tailrace.agents.alerts.counts import Counts
from tailrace.schemas.definitions.slo import SloSpec

SLI = {"availability": {"of": {}}}


def rate(confidence: float) -> BurnRate:
    """The burn rate of 99.9 % in 30 days."""
    said = {"sli": SLI, "objective": 99.9, "confidence": confidence}
    return BurnRate.of(SloSpec.model_validate(said))


RATE = rate(confidence=0)
A_SECOND = 10_000
"""Events; of which 10 are bad at a burn rate of 1."""


class Incident(NamedTuple):
    """From second 0 until `until`."""

    burn: Fraction
    until: int
    a_second: int = A_SECOND

    def at(self, second: int, by: BurnRate = RATE) -> list[Burning]:
        """What the tiers say when *second* has passed."""
        return by.judge({ms: self._counts(second, ms // 1000) for ms in by.windows_ms})

    def _counts(self, now: int, length: int) -> Counts:
        seconds = max(0, min(now, self.until) - max(0, now - length))
        return Counts(self.a_second * length, int(self.burn * self.a_second / 1000 * seconds))


HOUR = 3600
INCIDENTS = {
    # 60 min × 14.4/20 = 43:12, and one second; 5 min × (1 - 14.4/20) = 84 s
    "fast": (0, Incident(Fraction(20), HOUR), 2593, 84),
    # 6 h × 6/10, and one second; 30 min × (1 - 6/10)
    "medium": (1, Incident(Fraction(10), 6 * HOUR), 12_961, 720),
    # 24 h × 3/4, and one second; 2 h × (1 - 3/4)
    "slow": (2, Incident(Fraction(4), 24 * HOUR), 64_801, 1800),
    # 72 h × 1/2, and one second; 6 h × (1 - 1/2)
    "slowest": (3, Incident(Fraction(2), 72 * HOUR), 129_601, 10_800),
    # Everything fails: 60 min × 14.4/1000, and what is left of a second; 5 min × (1 - 14.4/1000)
    "an outage": (0, Incident(Fraction(1000), HOUR), 52, 296),
}


@pytest.mark.parametrize(
    ("tier", "incident", "begins", "ends_after"), INCIDENTS.values(), ids=INCIDENTS
)
def test_a_tier_begins_and_ends_at_the_computed_second(
    tier: int, incident: Incident, begins: int, ends_after: int
) -> None:
    assert incident.at(begins - 1)[tier].quiet is Quiet.BELOW
    assert incident.at(begins)[tier].is_breached
    ends = incident.until + ends_after
    assert incident.at(ends - 1)[tier].is_breached
    assert incident.at(ends)[tier].quiet is Quiet.RECOVERED


@pytest.mark.parametrize("tier", range(4), ids=["fast", "medium", "slow", "slowest"])
def test_a_burn_at_the_factor_never_begins_and_one_above_it_does(tier: int) -> None:
    for_ever = 30 * 24 * HOUR
    factor = RATE.tiers[tier].factor
    at, above = Incident(factor, for_ever), Incident(factor + Fraction(1, 10), for_ever)
    full = RATE.tiers[tier].long_ms // 1000
    for second in (1, full - 1, full, full + 1, for_ever):
        assert at.at(second)[tier].quiet is Quiet.BELOW
    assert above.at(full)[tier].is_breached


@pytest.mark.parametrize("name", ["fast", "medium", "slow", "slowest"])
def test_slower_incidents_never_wake_faster_tiers(name: str) -> None:
    tier, incident, *_ = INCIDENTS[name]
    for second in range(0, incident.until + HOUR, 600):
        assert not any(each.is_breached for each in incident.at(second)[:tier])


# 3600 s of n events have e = 0.0144 n bad ones at the limit; needed are e + ½ + 1.645 √(0.9856 e).
GUARDED = {
    "an outage at 1 event a second": (1, 1000, 52, 65),
    "an outage at 100 events a second": (100, 1000, 52, 54),
    "20 times the budget at 100 events a second": (100, 20, 2593, 2652),
    "20 times the budget at 10,000 events a second": (10_000, 20, 2593, 2598),
}


@pytest.mark.parametrize(("a_second", "burn", "begins", "sure"), GUARDED.values(), ids=GUARDED)
def test_the_guard_makes_a_tier_wait_until_chance_is_unlikely(
    a_second: int, burn: int, begins: int, sure: int
) -> None:
    guarded, incident = rate(confidence=0.95), Incident(Fraction(burn), HOUR, a_second)
    quiet = [incident.at(second, guarded)[0].quiet for second in range(begins - 1, sure + 1)]
    waits = [Quiet.NOT_SURE] * (sure - begins)
    assert quiet == [Quiet.BELOW, *waits, None]
