"""Rules: what an alert or an SLO makes of what is remembered of one of its groups."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Protocol

from tailrace.agents.alerts.counts import Counts
from tailrace.agents.alerts.readings import NO_COUNTS, Readings, Sums, Verdict, summary
from tailrace.agents.alerts.transitions import Reading, Timing
from tailrace.schemas.alert_events import Kind
from tailrace.schemas.definitions import Definition
from tailrace.schemas.definitions.alert import AlertSpec
from tailrace.schemas.definitions.signals import Signal, signals
from tailrace.schemas.durations import MILLISECOND
from tailrace.schemas.matches import owner_id
from tailrace.tables.alert_groups import AlertGroup


class Finding(NamedTuple):
    """What one severity's evaluation found. `summary`: in a sentence, for people.

    `if_firing`: what it is while the alert fires, if that is something else: of too few events
    nothing begins to fire, and nothing ends.
    """

    reading: Reading
    value: float | None
    threshold: float | None
    window_ms: int
    summary: str
    if_firing: Reading | None = None


@dataclass(frozen=True, slots=True)
class Moment:
    """An evaluation's time (ms), and whether sources had anything to say up to it."""

    now: int
    has_input: bool


class Rule(Protocol):
    """A definition as it is evaluated. `lengths`: of the windows of what is counted.

    `metrics`: what of it is a metric, and what will be asked of its windows.
    """

    definition: Definition[Any]
    kind: Kind
    signals: Mapping[str, Signal]
    lengths: Mapping[bytes, tuple[int, ...]]
    metrics: Mapping[bytes, frozenset[str]]
    severities: tuple[str, ...]
    timing: Timing
    every_ms: int
    tells_no_data: bool
    """Whether it is news when there are no data though nothing was wrong."""
    is_awaited: bool
    """Whether it has one group only, of which it is news that nothing ever came."""

    def counts(self, group: AlertGroup, second: int, counts: Counts) -> Counts:
        """Return what of *counts* is for the windows; take note of what else is to be known."""
        ...

    def evaluate(self, group: AlertGroup, moment: Moment) -> dict[str, Finding]:
        """Return what each severity comes to; windows are advanced to the moment already."""
        ...

    def next_due(self, group: AlertGroup, now: int) -> int | None:
        """When time alone changes what `evaluate` returns, beside the windows; None: never."""
        ...


ANEW: Final = "anew"
"""In the notes of a group with alerts: since when it counts anew, by a definition that changed."""
_FILLING: Final = "filling"
_FEW: Final = ("<", "<=", "==")


class AlertRule:
    """An Alert: sums of one window, compared once for each severity.

    That there was too little is said of whole windows only: one that nobody has filled yet, because
    the group or what it counts is new, has always too little. The group's notes have what it counts
    and since when.
    """

    def __init__(self, definition: Definition[AlertSpec]) -> None:
        spec = definition.spec
        self.definition: Definition[Any] = definition
        self.kind: Kind = "trace" if spec.formula is None else "formula"
        self.signals: Mapping[str, Signal] = signals(definition)
        self.severities = tuple(spec.levels)
        self.timing = Timing.of(spec)
        self.every_ms = spec.every // MILLISECOND
        self.tells_no_data = spec.no_data_after is not None
        self._spec = spec
        self._window_ms = spec.within // MILLISECOND
        self._silence_ms = None if spec.no_data_after is None else spec.no_data_after // MILLISECOND
        self._readings = Readings(spec)
        self._whole_only = frozenset(
            severity
            for severity, comparison in spec.levels.items()
            if comparison.operator in _FEW and _fills(spec)
        )
        self.is_awaited = not spec.group_by and bool(self._whole_only)
        self.lengths: Mapping[bytes, tuple[int, ...]] = {
            each.id.counted: (self._window_ms,) for each in self.signals.values()
        }
        asked: dict[bytes, set[str]] = {}
        for operand, signal in self.signals.items():
            if signal.metric is not None:
                asked.setdefault(signal.id.counted, set()).add(spec.series[operand].value)
        self.metrics: Mapping[bytes, frozenset[str]] = {
            counted: frozenset(values) for counted, values in asked.items()
        }
        self._is_filled = _fills(spec)
        self._windows_id = [*sorted(each.hex() for each in self.lengths), self._window_ms]

    def evaluate(self, group: AlertGroup, moment: Moment) -> dict[str, Finding]:
        is_silent = self._is_silent(group, moment.now)
        if self._whole_only and group.notes.get(_FILLING, ())[:1] != [self._windows_id]:
            group.notes[_FILLING] = [self._windows_id, moment.now]
        is_whole = self._whole_at(group) <= moment.now
        is_anew = moment.now < self._anew_until(group)
        found = {}
        for severity, verdict in self._readings.of(self._sums(group)).items():
            reading, if_firing = Reading.NO_DATA, None
            if not is_silent:
                reading = self._reading(severity, verdict, is_whole)
                if_firing = verdict.if_firing or (
                    self._if_firing(severity, verdict, reading) if is_anew else None
                )
            text = summary(self._spec, severity, verdict)
            said = verdict.value, verdict.threshold, self._window_ms, text
            found[severity] = Finding(reading, *said, if_firing)
        return found

    def _if_firing(self, severity: str, verdict: Verdict, reading: Reading) -> Reading | None:
        """Return what it is while the alert fires, and its window fills anew: not the end of it."""
        is_too_little = severity in self._whole_only and verdict.reading is Reading.BREACH
        is_less = self._is_filled and severity not in self._whole_only
        is_end = reading is Reading.OK and (is_too_little or is_less)
        return Reading.NO_DATA if is_end else None

    def _anew_until(self, group: AlertGroup) -> int:
        since: int = group.notes.get(ANEW, -self._window_ms)
        return since + self._window_ms

    def _reading(self, severity: str, verdict: Verdict, is_whole: bool) -> Reading:
        if is_whole or severity not in self._whole_only or verdict.reading is not Reading.BREACH:
            return verdict.reading
        # Whoever was told goes on to be: that the definition was changed has repaired nothing.
        return Reading.OK if self.tells_no_data else Reading.NO_DATA

    def _whole_at(self, group: AlertGroup) -> int:
        """Return when the windows have all that their length says."""
        filling = group.notes.get(_FILLING) if self._whole_only else None
        return 0 if filling is None else filling[1] + self._window_ms

    def counts(self, group: AlertGroup, second: int, counts: Counts) -> Counts:
        return counts

    def _sums(self, group: AlertGroup) -> Sums:
        found: dict[str, Counts | float | None] = {}
        for operand, signal in self.signals.items():
            key = (signal.id.counted, self._window_ms)
            window = group.windows.get(key)
            if window is not None:
                found[operand] = Counts(window.all, window.matched)
            elif signal.metric is None:
                found[operand] = NO_COUNTS
            elif key in group.metrics:
                found[operand] = group.metrics[key].value(self._spec.series[operand].value)
        return found

    def _is_silent(self, group: AlertGroup, now: int) -> bool:
        return self._silence_ms is not None and now - _last_event(group) >= self._silence_ms

    def next_due(self, group: AlertGroup, now: int) -> int | None:
        dues = [self._whole_at(group), self._anew_until(group)]
        if self._silence_ms is not None:
            dues.append(_last_event(group) + self._silence_ms)
        return min((due for due in dues if due > now), default=None)


def _fills(spec: AlertSpec) -> bool:
    """True if what is compared grows as a window fills."""
    if spec.formula is None:
        return spec.aggregate in ("count", "rate", "traces")
    return any(series.value in ("count", "rate") for series in spec.series.values())


def _last_event(group: AlertGroup) -> int:
    return max(group.last_event_ms.values(), default=group.first_seen_ms)


def owner_of(definition: Definition[Any]) -> bytes:
    """Return the owner of the groups of *definition*."""
    return owner_id(*definition.key)
