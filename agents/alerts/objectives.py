"""Service level objectives as rules: burn rates of several windows, and the budget of the period.

What is remembered of a group beside its windows stands in its notes: what is counted, and since
when; of a period of the calendar its start and counts so far; of freshness up to when its slices
are counted, when the last good span of these was, and that of each slice to come; and whether the
budget is spent.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from tailrace.agents.alerts import burn_sentences
from tailrace.agents.alerts.budgets import Budget, forecast, freezing, freshness_slices
from tailrace.agents.alerts.burn_rate import (
    Burning,
    BurnRate,
    Health,
    by_severity,
    health,
    windows_of,
)
from tailrace.agents.alerts.calendars import period_at, period_of
from tailrace.agents.alerts.counts import Counts
from tailrace.agents.alerts.rules import Finding, Moment
from tailrace.agents.alerts.transitions import Reading, Timing
from tailrace.schemas.alert_events import Kind
from tailrace.schemas.definitions import Definition
from tailrace.schemas.definitions.signals import Signal, signals
from tailrace.schemas.definitions.slo import FREEZE, Freshness, SloSpec
from tailrace.schemas.durations import MILLISECOND, spell
from tailrace.tables.alert_groups import AlertGroup

_SINCE, _PERIOD, _SLICED, _FROZEN = "since", "period", "sliced", "frozen"


class BudgetReport(NamedTuple):
    """An SLO's budget in one group, for people and the API."""

    health: Health
    budget: Budget
    burn: dict[str, float | None]
    spent_at: int | None


class SloRule:
    """An SLO: a severity is in breach when one of its tiers is, and `freeze` when all is spent."""

    kind: Kind = "burn_rate"
    tells_no_data = False
    metrics: Mapping[bytes, frozenset[str]] = MappingProxyType({})

    def __init__(self, definition: Definition[SloSpec]) -> None:
        spec = definition.spec
        self.definition: Definition[Any] = definition
        self.signals: Mapping[str, Signal] = signals(definition)
        self.timing = Timing.of(spec)
        self.every_ms = spec.every // MILLISECOND
        self.burn = BurnRate.of(spec)
        self._spec = spec
        self._period_ms = period_of(spec) // MILLISECOND
        self._counted = self.signals[""].id.counted
        self._counts_id = f"{self._counted.hex()} {spec.calendar or self._period_ms}"
        self._freshness = spec.sli.freshness
        self.is_awaited = self._freshness is not None and not spec.group_by
        self._gone_ms = (
            self._freshness.is_gone_after // MILLISECOND
            if self._freshness is not None and spec.group_by
            else None
        )
        tiers = dict.fromkeys(tier.severity for tier in self.burn.tiers)
        self.severities: tuple[str, ...] = (*tiers, FREEZE) if spec.freeze else tuple(tiers)
        self.lengths: Mapping[bytes, tuple[int, ...]] = {
            self._counted: tuple(sorted(windows_of(spec)))
        }

    def counts(self, group: AlertGroup, second: int, counts: Counts) -> Counts:
        """Return what is to be added to the windows when *counts* came in; note what else is."""
        self._note_since(group, second * 1000)
        if self._freshness is not None:
            self._note_good(group, self._freshness, second * 1000)
            return Counts(0, 0)
        self._note_period(group, second * 1000, counts)
        return counts

    def evaluate(self, group: AlertGroup, moment: Moment) -> dict[str, Finding]:
        self._note_since(group, moment.now)
        if self._freshness is not None and self._is_gone(group, moment.now):
            return self._given_up(group, moment.now)
        if self._freshness is not None:
            self._settle_slices(group, self._freshness, moment.now)
        self._forget_periods(group, moment.now)
        windows = self._windows(group)
        burning = by_severity(self.burn.judge(windows))
        found = {
            severity: _finding(each, self._spec.minimum_events)
            for severity, each in burning.items()
        }
        if self._spec.freeze:
            found[FREEZE] = self._freeze(group, moment.now)
        return found

    def next_due(self, group: AlertGroup, now: int) -> int | None:
        due = []
        if self._freshness is not None and not self._is_gone(group, now):
            every_ms = self._freshness.every // MILLISECOND
            due.append((now // every_ms + 1) * every_ms)
        if self._spec.calendar and group.notes.get(_PERIOD):
            due.append(period_at(self._spec.calendar, now).end)
        return min(due, default=None)

    def report(self, group: AlertGroup, moment: Moment) -> BudgetReport:
        """Return the budget of *group*, and the health of its first tier's long window."""
        windows = self._windows(group)
        budget, ends_at = self._budget(group, moment.now)
        first = self.burn.tiers[0].long_ms if self.burn.tiers else min(windows, default=0)
        recent = windows.get(first, Counts(0, 0))
        burns = {
            f"{spell(each.tier.long_ms * MILLISECOND)}": each.burn
            for each in self.burn.judge(windows)
        }
        spent_at = forecast(budget, recent, moment.now, ends_at)
        return BudgetReport(health(recent, moment.has_input), budget, burns, spent_at)

    def _windows(self, group: AlertGroup) -> dict[int, Counts]:
        found = {}
        for length in self.lengths[self._counted]:
            window = group.windows.get((self._counted, length))
            found[length] = Counts(0, 0) if window is None else Counts(window.all, window.matched)
        return found

    def _budget(self, group: AlertGroup, now: int) -> tuple[Budget, int | None]:
        # A young SLO's share of the period: else its first incident would spend it all.
        age = now - self._since(group, now)
        if self._spec.calendar is None:
            counts = self._windows(group)[self._period_ms]
            elapsed = min(self._period_ms, max(1, age))
            return Budget(counts, self.burn.budget, self._period_ms, elapsed), None
        span = period_at(self._spec.calendar, now)
        counts = _periods(group).get(span.start, Counts(0, 0))
        length, elapsed = span.end - span.start, max(1, min(age, now - span.start))
        return Budget(counts, self.burn.budget, length, elapsed), span.end

    def _since(self, group: AlertGroup, now: int) -> int:
        """Return since when what the budget is of is counted: a change of that begins anew."""
        counted, since = group.notes.get(_SINCE, (self._counts_id, group.first_seen_ms))
        return int(since) if counted == self._counts_id else now

    def _note_since(self, group: AlertGroup, now: int) -> None:
        known = group.notes.get(_SINCE)
        if known is None or known[0] != self._counts_id:
            group.notes[_SINCE] = [self._counts_id, self._since(group, now)]
            if known is not None:
                group.notes.pop(_PERIOD, None)

    def _note_period(self, group: AlertGroup, at: int, counts: Counts) -> None:
        if self._spec.calendar is None:
            return
        # A source that is ahead may be in the next period already.
        start, periods = period_at(self._spec.calendar, at).start, _periods(group)
        known = periods.get(start, Counts(0, 0))
        periods[start] = Counts(known.all + counts.all, known.matched + counts.matched)
        group.notes[_PERIOD] = [[start, *periods[start]] for start in sorted(periods)]

    def _forget_periods(self, group: AlertGroup, now: int) -> None:
        if self._spec.calendar is None or _PERIOD not in group.notes:
            return
        start = period_at(self._spec.calendar, now).start
        left = [each for each in group.notes[_PERIOD] if each[0] >= start]
        if left:
            group.notes[_PERIOD] = left
        else:
            del group.notes[_PERIOD]

    def _is_gone(self, group: AlertGroup, now: int) -> bool:
        """True if nothing came of *group*, one of several, for so long that nothing will."""
        if self._gone_ms is None:
            return False
        _, last, ahead = _slices(group)
        return now - max([last, *ahead.values()]) >= self._gone_ms

    def _given_up(self, group: AlertGroup, now: int) -> dict[str, Finding]:
        """Keep nothing of *group* but its alerts, which end."""
        _, last, _ = _slices(group)
        group.windows = {}
        group.notes.pop(_PERIOD, None)
        group.notes[_SLICED] = [now, last, []]
        assert self._gone_ms is not None
        text = f"Nothing came for {spell(self._gone_ms * MILLISECOND)}: the group is given up."
        return dict.fromkeys(self.severities, Finding(Reading.OK, None, None, 0, text))

    def _note_good(self, group: AlertGroup, freshness: Freshness, at: int) -> None:
        """Remember a good span; its slice is counted when all that is of it has come."""
        every_ms = freshness.every // MILLISECOND
        settled, last, ahead = _slices(group)
        if self._is_gone(group, at):
            settled = last = at  # it is back, and begins anew
        end = (at // every_ms + 1) * every_ms
        if end <= settled:
            last = max(last, at)
        else:
            ahead[end] = max(at, ahead.get(end, at))
        group.notes[_SLICED] = [settled, last, sorted(ahead.items())]

    def _settle_slices(self, group: AlertGroup, freshness: Freshness, now: int) -> None:
        """Count the slices up to *now*."""
        every_ms = freshness.every // MILLISECOND
        settled, last, ahead = _slices(group)
        for end in range((settled // every_ms + 1) * every_ms, now + 1, every_ms):
            last = max(last, ahead.pop(end, last))
            counts = freshness_slices(
                last, end - every_ms, end, every_ms, freshness.max_age // MILLISECOND
            )
            second = end // 1000 - 1
            for length in self.lengths[self._counted]:
                group.window(self._counted, length).add(second, counts.all, counts.matched)
            self._note_period(group, end - 1, counts)
        group.notes[_SLICED] = [max(settled, now), last, sorted(ahead.items())]

    def _freeze(self, group: AlertGroup, now: int) -> Finding:
        budget, _ = self._budget(group, now)
        notes = group.notes
        changed = freezing(budget, bool(notes.get(_FROZEN)), self._spec.minimum_events)
        if changed is not None:
            notes[_FROZEN] = changed == "frozen"
        reading = Reading.BREACH if notes.get(_FROZEN) else Reading.OK
        text = burn_sentences.of_budget(budget)
        return Finding(reading, budget.consumed, 1.0, budget.period_ms, text)


def _periods(group: AlertGroup) -> dict[int, Counts]:
    """Return the counts of the calendar's periods by their starts."""
    return {start: Counts(*counts) for start, *counts in group.notes.get(_PERIOD, ())}


def _slices(group: AlertGroup) -> tuple[int, int, dict[int, int]]:
    """Return up to when slices are counted, the last good span of these, and of others by end.

    What never was good is as old as its group.
    """
    first = group.first_seen_ms
    settled, last, ahead = group.notes.get(_SLICED, (first, first, ()))
    return settled, last, dict(ahead)


def _finding(burning: Burning, minimum_events: int) -> Finding:
    tier = burning.tier
    reading = Reading.BREACH if burning.is_breached else Reading.OK
    if burning.is_silent:
        reading = Reading.NO_DATA
    text = burn_sentences.of_tier(burning, minimum_events)
    if_firing = Reading.BREACH if burning.burns else None
    return Finding(reading, burning.burn, float(tier.factor), tier.long_ms, text, if_firing)
