"""Readings: what the sums of an alert's window say about each of its severities.

What the numbers in an alert event are:

| aggregate | value | threshold |
|---|---|---|
| count, traces, a trace filter | how many matched | as given |
| rate | how many matched a second | as given |
| share | share of `of` that matched, of 1 | as given, of 1 |
| quantile | share of spans over the bound (`> 500ms`), of 1 | 1 - quantile |
| formula | its value | as given |

Of a quantile, `p95 > 500ms` is true exactly if more than 5 % of the spans took longer than 500 ms:
so no sketch is needed and nothing is approximate. Counts, rates, shares and quantiles are compared
in whole numbers; a formula in doubles.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Final, NamedTuple, TypeAlias

from tailrace.agents.alerts.counts import Counts, exact
from tailrace.agents.alerts.transitions import Reading
from tailrace.schemas.definitions import formulas
from tailrace.schemas.definitions.alert import AlertSpec, Series
from tailrace.schemas.definitions.comparisons import Comparison
from tailrace.schemas.durations import SECOND, spell

Sums: TypeAlias = Mapping[str, Counts | float | None]
"""Of each operand (the keys of `signals`) what its window has: counts; or of a metric's `last`,
`avg`, `min` and `max` the value. None, or none at all, if there is nothing to say."""

NO_COUNTS: Final = Counts(0, 0)
_SHARES: Final = ("share", "quantile")
_MIRRORED: Final = {">": ">", ">=": ">", "<": "<=", "<=": "<="}


class Verdict(NamedTuple):
    """What one severity's comparison says. `value` None: there is no such number.

    `if_firing`: of fewer events than `minimum_events` it says OK; this it says of what fires.
    """

    reading: Reading
    value: float | None
    threshold: float
    if_firing: Reading | None = None

    @property
    def is_too_few(self) -> bool:
        """True if there are fewer events than `minimum_events`."""
        return self.if_firing is not None


@dataclass(frozen=True, slots=True)
class _Level:
    """`comparison` as it applies to the value; `bound` is its threshold exactly."""

    comparison: Comparison
    bound: Fraction


class Readings:
    """An alert's comparisons, ready to be made for every group."""

    def __init__(self, spec: AlertSpec) -> None:
        self._spec = spec
        self._aggregate = spec.aggregate
        self._formula = None if spec.formula is None else formulas.parse(spec.formula)
        self._levels = {name: _level(spec, each) for name, each in spec.levels.items()}

    def of(self, sums: Sums) -> dict[str, Verdict]:
        """Return the verdict of each severity, in the order given, on the sums of one window."""
        if self._formula is not None:
            return self._of_formula(self._formula, sums)
        return {
            severity: self._of_counts(level, _counts(sums, self._operand(severity)))
            for severity, level in self._levels.items()
        }

    def _operand(self, severity: str) -> str:
        return severity if self._aggregate == "quantile" else ""

    def _of_counts(self, level: _Level, counts: Counts) -> Verdict:
        threshold = level.comparison.value
        if self._aggregate in _SHARES and not counts.all:
            return Verdict(Reading.NO_DATA, None, threshold)
        measure, per = self._measured(counts)
        excess = measure * level.bound.denominator - level.bound.numerator * per
        holds = Comparison(level.comparison.operator, 0).holds(excess)
        if self._aggregate in _SHARES and counts.all < self._spec.minimum_events:
            # So few come of a service that dies: what they say well of it is luck.
            unless_over = Reading.BREACH if holds else Reading.NO_DATA
            return Verdict(Reading.OK, measure / per, threshold, unless_over)
        return Verdict(_reading(holds), measure / per, threshold)

    def _measured(self, counts: Counts) -> tuple[int, int]:
        """Return the value as a numerator and a denominator."""
        if self._aggregate in _SHARES:
            return counts.matched, counts.all
        if self._aggregate == "rate":
            return counts.matched * SECOND, self._spec.within
        return counts.matched, 1

    def _of_formula(self, formula: formulas.Formula, sums: Sums) -> dict[str, Verdict]:
        values = {
            name: _operand_value(series, sums.get(name), self._spec.within)
            for name, series in self._spec.series.items()
        }
        value = formula.evaluate(values)
        return {name: _compared(value, each.comparison) for name, each in self._levels.items()}


def _level(spec: AlertSpec, comparison: Comparison) -> _Level:
    if spec.aggregate != "quantile":
        return _Level(comparison, exact(comparison.value))
    bound = 1 - exact(spec.quantile)
    return _Level(Comparison(_MIRRORED[comparison.operator], float(bound)), bound)


def _compared(value: float | None, comparison: Comparison) -> Verdict:
    if value is None:
        return Verdict(Reading.NO_DATA, None, comparison.value)
    return Verdict(_reading(comparison.holds(value)), value, comparison.value)


def _reading(holds: bool) -> Reading:
    return Reading.BREACH if holds else Reading.OK


def _counts(sums: Sums, operand: str) -> Counts:
    found = sums.get(operand)
    return found if isinstance(found, Counts) else NO_COUNTS


def _operand_value(series: Series, found: Counts | float | None, within: int) -> float | None:
    """Return the operand's value: no spans are a count of 0, but a share of nothing is none."""
    if not isinstance(found, Counts):
        is_count = series.metric is None and series.value != "share"
        return 0.0 if found is None and is_count else found
    if series.value == "share":
        return found.share
    return found.matched * SECOND / within if series.value == "rate" else float(found.matched)


_SENTENCES: Final = {
    "count": "{value:g} matched in the last {within}; the alert is on {said}.",
    "traces": "{value:g} traces matched in the last {within}; the alert is on {said}.",
    "rate": "{value:.4g} matched a second in the last {within}; the alert is on {said}.",
    "share": "{value:.2%} matched in the last {within}; the alert is on {said}.",
    "quantile": "{value:.2%} took longer than the bound in the last {within}; "
    "the alert is on p{percent:g} {said}.",
    "formula": "The formula is {value:g} over the last {within}; the alert is on {said}.",
}


def summary(spec: AlertSpec, severity: str, verdict: Verdict) -> str:
    """Return *verdict* in a sentence for people."""
    said = spec.when[severity] if severity in spec.when else spec.when[""]
    within = spell(spec.within)
    if verdict.value is None:
        return f"There is no value in the last {within}; the alert is on {said}."
    kind = spec.aggregate if spec.formula is None else "formula"
    sentence = _SENTENCES[kind].format(
        value=verdict.value, within=within, said=said, percent=spec.quantile * 100
    )
    if verdict.is_too_few:
        return f"{sentence} Of fewer than {spec.minimum_events} events it says nothing."
    return sentence
