"""Alerts on spans, on whole traces, and on formulas over several series."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from tailrace.schemas.config.scalars import Flag, LongDuration, Number, Whole, at_least
from tailrace.schemas.config.section import Remark, Section
from tailrace.schemas.definitions import comparisons, formulas
from tailrace.schemas.definitions.comparisons import Aggregate, Comparison
from tailrace.schemas.definitions.filters import GroupBy, Matching, SpanFilter, TraceFilter
from tailrace.schemas.durations import HOUR, MINUTE, SECOND, Nanos, spell
from tailrace.schemas.trace_links import TraceUrl

DEFAULT_SEVERITY = "warning"
LONGEST_WINDOW = 31 * 24 * HOUR
MOST_LEVELS = 20
LONGEST_SEVERITY = 100


def _comparison_problems(when: Mapping[str, str], aggregate: Aggregate) -> Iterator[Remark]:
    for severity, text in when.items():
        try:
            comparisons.parse(text, aggregate)
        except ValueError as error:
            yield (("when", severity) if severity else ("when",)), str(error)


def _by_severity(value: Any) -> Any:
    if isinstance(value, int | float):
        value = str(value)  # for the message that says how it is written
    return {"": value} if isinstance(value, str) else value


class FlapDamping(Section):
    """An alert that changed `changes` times within `within` stays firing until it is calm."""

    changes: Annotated[Whole, Field(ge=2)] = 6
    within: Annotated[LongDuration, at_least(SECOND)] = 30 * MINUTE


class EdgeSeries(Section):
    """Requests along edges of the service graph."""

    client: Matching | None = None
    server: Matching | None = None
    connection_type: Matching | None = None
    failed: Flag | None = None


class MetricSeries(Section):
    """An OTLP metric that comes in on a topic of `input.metrics`.

    `of`: what is taken of a point: a gauge's value or a counter's increase (`value`), or of a
    histogram or summary its `count` or `sum`.
    """

    name: Annotated[str, Field(min_length=1)]
    attributes: Mapping[str, Matching] = {}
    of: Literal["value", "count", "sum"] = "value"


class Series(Section):
    """One operand of a formula. One of `where`, `edges`, `metric` and `sli` says what it is.

    `value`, over the window: how many (`count`), how many a second (`rate`), the share of `where`
    in `of` (`share`), or seconds of duration together (`seconds`); of metrics the increase of a
    counter (`count`), a second (`rate`), or a gauge's `last`, `avg`, `min` or `max`.
    """

    where: SpanFilter | None = None
    of: SpanFilter | None = None
    edges: EdgeSeries | None = None
    metric: MetricSeries | None = None
    value: Literal["count", "rate", "share", "last", "avg", "min", "max"] = "count"

    def contradictions(self) -> Iterator[Remark]:
        given = [key for key in ("where", "edges", "metric") if getattr(self, key) is not None]
        if len(given) != 1:
            yield (), "needs exactly one of where, edges and metric"
        if (self.of is not None) != (self.value == "share"):
            yield ("of",), "and value: share go together"
        if self.value == "share" and self.metric is not None:
            yield ("value",), "is share, which is of spans; divide one metric by another"
        if self.value in ("last", "avg", "min", "max") and self.metric is None:
            yield ("value",), f"is {self.value}, which is of metrics; take count, rate or share"


class AlertSpec(Section):
    """When to alert, and how. One of `where`, `trace` and `formula` says of what.

    `of`: what `where` is a share of. `minimum_events`: with fewer of these in the window, share
    and quantile say nothing. `when`: a comparison, or one for each severity. `gone_after`: when a
    group without data is given up: an hour, or a day where missing data are news.
    """

    where: SpanFilter | None = None
    trace: TraceFilter | None = None
    formula: Annotated[str, Field(min_length=1)] | None = None
    series: Mapping[str, Series] = {}
    of: SpanFilter | None = None
    aggregate: Aggregate = "count"
    quantile: Annotated[Number, Field(gt=0, lt=1)] = 0.95
    within: Annotated[LongDuration, at_least(SECOND)] = 5 * MINUTE
    when: Annotated[Mapping[str, str], BeforeValidator(_by_severity), Field(min_length=1)]
    severity: Annotated[str, Field(min_length=1)] = DEFAULT_SEVERITY
    group_by: GroupBy = ()
    minimum_events: Annotated[Whole, Field(ge=0)] = 20
    pending_for: Annotated[LongDuration, at_least(0), Field(alias="for")] = 0
    keep_firing_for: Annotated[LongDuration, at_least(0)] = 0
    every: Annotated[LongDuration, at_least(SECOND)] = SECOND
    no_data_after: Annotated[LongDuration, at_least(SECOND)] | None = None
    gone_after: Annotated[LongDuration, at_least(SECOND)] | None = None
    flapping: FlapDamping = FlapDamping()
    evidence: Annotated[Whole, Field(ge=0, le=50)] = 10
    trace_url: TraceUrl | None = None

    @classmethod
    def besides(cls, given: Mapping[str, Any], wrong: frozenset[Any]) -> Iterator[Remark]:
        """Yield what is wrong with `when` and `formula`, whatever the filters are like."""
        if "when" in given and not {"when", "aggregate"} & wrong:
            aggregate = given.get("aggregate", "count")
            yield from _comparison_problems(_by_severity(given["when"]), aggregate)
        try:
            formulas.parse("0" if "formula" in wrong else given.get("formula", "0"))
        except ValueError as error:
            yield ("formula",), str(error)

    def contradictions(self) -> Iterator[Remark]:
        given = [key for key in ("where", "trace", "formula") if getattr(self, key) is not None]
        if len(given) != 1:
            yield (), "needs exactly one of where, trace and formula"
        if self.within > LONGEST_WINDOW:
            yield ("within",), f"is {spell(self.within)}; the longest window is 31d"
        yield from self._formula_problems()
        if self.aggregate == "share" and self.of is None:
            yield ("of",), "is missing; say what `where` is a share of"
        if self.aggregate != "share" and self.of is not None:
            yield ("of",), "is for aggregate: share"
        if self.where is None and self.aggregate != "count":
            yield ("aggregate",), f"is {self.aggregate}, which is for `where`"
        if self.formula is not None and self.trace_url and not self.series:
            yield ("trace_url",), "needs spans"
        yield from self._level_problems()

    def cautions(self) -> Iterator[Remark]:
        yield from self._misread_silence()
        if self.formula is not None:
            for name in sorted(self.series.keys() - formulas.parse(self.formula).operands):
                yield ("series", name), "is not in the formula"

    def _misread_silence(self) -> Iterator[Remark]:
        """An alert on too much of something is told nothing of what makes no match at all."""
        is_of_matches = self.formula is None and self.aggregate not in ("share", "quantile")
        is_on_too_few = any(each.operator in ("<", "<=", "==") for each in self.levels.values())
        if self.no_data_after is not None and is_of_matches and not is_on_too_few:
            what = "trace" if self.trace is not None else "span of `where`"
            yield (
                ("no_data_after",),
                f"tells `no_data` of each group that had no {what} for "
                f"{spell(self.no_data_after)}, which here is good news; remove it. To be told that "
                f"spans stay out, alert on `< 1` of them, or take an SLO on freshness",
            )

    def _level_problems(self) -> Iterator[Remark]:
        if len(self.when) > MOST_LEVELS:
            yield ("when",), f"has {len(self.when)} severities; there may be {MOST_LEVELS}"
        longest = max(map(len, (*self.when, self.severity)))
        if longest > LONGEST_SEVERITY:
            yield (), f"has a severity of {longest} characters; it may have {LONGEST_SEVERITY}"
        yield from _comparison_problems(self.when, self.aggregate)

    def _formula_problems(self) -> Iterator[Remark]:
        if bool(self.series) != (self.formula is not None):
            yield ("series",), "and formula go together"
        if self.formula is None:
            return
        try:
            formulas.check(self.formula, self.series)
        except ValueError as error:
            yield ("formula",), str(error)

    @property
    def is_gone_after(self) -> Nanos:
        """How long a group has no data before it is resolved and forgotten."""
        if self.gone_after is not None:
            return self.gone_after
        return HOUR if self.no_data_after is None else 24 * HOUR

    @property
    def levels(self) -> dict[str, Comparison]:
        """The comparison for each severity, in the order given."""
        return {
            severity or self.severity: comparisons.parse(text, self.aggregate)
            for severity, text in self.when.items()
        }
