"""Alerts and SLOs as Prometheus rules, over the series of their matches that are exported.

| series | is |
|---|---|
| `tailrace_alert_events_total` | counter: events that the definition asks about |
| `tailrace_alert_matches_total` | counter: those that match; of an SLO, the bad ones |
| `tailrace_alert_operand` | gauge: the value of a metric that a formula takes as it is |

Each has the labels `tenant`, `name`, `definition` (alert or slo), `operand` if the definition has
several, and those of its group (`series_labels`). Prometheus sees the time of scrapes and not of
events, and extrapolates increases; so rules come close to what the definition says, and are not it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import yaml

from tailrace.agents.alerts import promql
from tailrace.agents.alerts.burn_rate import BurnRate, BurnTier
from tailrace.agents.alerts.calendars import period_of
from tailrace.agents.alerts.counts import exact
from tailrace.agents.alerts.promql import Series, decimal, duration
from tailrace.schemas.definitions import formulas
from tailrace.schemas.definitions.alert import AlertSpec
from tailrace.schemas.definitions.comparisons import Comparison
from tailrace.schemas.definitions.definition import Definition
from tailrace.schemas.definitions.labels import label_name, series_labels
from tailrace.schemas.definitions.slo import SloSpec
from tailrace.schemas.durations import MILLISECOND, Nanos

MATCHES: Final = "tailrace_alert_matches_total"
EVENTS: Final = "tailrace_alert_events_total"
OPERAND: Final = "tailrace_alert_operand"

_AGAINST: Final = {">": ">", ">=": ">", "<": "<=", "<=": "<="}
_OVER_TIME: Final = {
    "last": "last_over_time",
    "avg": "avg_over_time",
    "min": "min_over_time",
    "max": "max_over_time",
}

Rule = dict[str, Any]


def render(definitions: Iterable[Definition[Any]]) -> str:
    """Return a rule file in YAML, of those of *definitions* that alert; of equal ones, equal."""
    alerting = [each for each in definitions if isinstance(each.spec, AlertSpec | SloSpec)]
    groups = [rule_group(each) for each in sorted(alerting, key=lambda each: each.key)]
    return yaml.safe_dump({"groups": groups}, sort_keys=False, allow_unicode=True, width=1000)


def rule_group(definition: Definition[Any]) -> dict[str, Any]:
    """Return the rule group of an alert or an SLO, as `groups` of a rule file has it."""
    key, spec = definition.key, definition.spec
    rules = _of_slo(definition, spec) if isinstance(spec, SloSpec) else _of_alert(definition, spec)
    return {"name": f"tailrace/{key.tenant}/{key.kind}/{key.name}", "rules": rules}


def _series(definition: Definition[Any], operand: str = "") -> Series:
    labels = {
        "tenant": definition.tenant,
        "name": definition.name,
        "definition": definition.key.kind.lower(),
    }
    if operand:
        labels["operand"] = operand
    kept = ("tenant", "name", *series_labels(definition.spec.group_by))
    return Series(labels, kept)


def _alerting(
    definition: Definition[Any], severity: str, expression: str, pending_for: Nanos = 0
) -> Rule:
    spec = definition.spec
    rule: Rule = {"alert": definition.name, "expr": expression}
    if pending_for:
        rule["for"] = duration(pending_for)
    if spec.keep_firing_for:
        rule["keep_firing_for"] = duration(spec.keep_firing_for)
    rule["labels"] = {**_texts(definition.labels), "severity": promql.literal(severity)}
    if definition.annotations:
        rule["annotations"] = _texts(definition.annotations)
    return rule


def _texts(pairs: Mapping[str, str]) -> dict[str, str]:
    return {label_name(key): promql.literal(text) for key, text in sorted(pairs.items())}


def _of_alert(definition: Definition[Any], spec: AlertSpec) -> list[Rule]:
    return [
        _alerting(
            definition, severity, _condition(definition, spec, severity, each), spec.pending_for
        )
        for severity, each in spec.levels.items()
    ]


def _condition(
    definition: Definition[Any], spec: AlertSpec, severity: str, comparison: Comparison
) -> str:
    compared, bound = comparison.operator, exact(comparison.value)
    if spec.formula is not None:
        return f"{_formula(definition, spec, spec.formula)} {compared} {decimal(bound)}"
    series = _series(definition, severity if spec.aggregate == "quantile" else "")
    if spec.aggregate not in ("share", "quantile"):
        taken = series.rate if spec.aggregate == "rate" else series.increase
        return f"{taken(MATCHES, spec.within)} {compared} {decimal(bound)}"
    if spec.aggregate == "quantile":
        compared, bound = _AGAINST[compared], 1 - exact(spec.quantile)
    events = series.increase(EVENTS, spec.within)
    share = f"{series.increase(MATCHES, spec.within)} / {events} {compared} {decimal(bound)}"
    return f"{share} and {events} >= {spec.minimum_events}" if spec.minimum_events else share


def _formula(definition: Definition[Any], spec: AlertSpec, formula: str) -> str:
    def operand(name: str) -> promql.Expression:
        series, taken = _series(definition, name), spec.series[name].value
        if taken == "rate":
            text = series.rate(MATCHES, spec.within)
        elif taken == "count":
            text = series.increase(MATCHES, spec.within)
        elif taken == "share":
            matches, events = (series.increase(each, spec.within) for each in (MATCHES, EVENTS))
            text = f"({matches} / {events})"
        else:
            text = series.over_time(_OVER_TIME[taken], taken, OPERAND, spec.within)
        return promql.Expression(text)

    made = formulas.parse(formula).fold(promql.number, operand, promql.unary, promql.binary)
    return made.text if made.number is None else f"vector({made.text})"


def _of_slo(definition: Definition[Any], spec: SloSpec) -> list[Rule]:
    burn_rate, series = BurnRate.of(spec), _series(definition)
    windows = sorted(burn_rate.windows_ms | {period_of(spec) // MILLISECOND})
    # The labels are there already; said again, promtool sees that no two SLOs record the same.
    labels = {"tenant": definition.tenant, "name": definition.name}
    selector = series.selector()
    recorded = [
        (record, series.increase(name, ms * MILLISECOND))
        for ms in windows
        for record, name in ((_bad(ms), MATCHES), (_all(ms), EVENTS))
    ]
    recorded += [(_ratio(ms), f"{_bad(ms)}{selector} / {_all(ms)}{selector}") for ms in windows]
    rules: list[Rule] = [
        {"record": record, "expr": expression, "labels": dict(labels)}
        for record, expression in recorded
    ]
    by_severity: dict[str, list[str]] = {}
    for tier in burn_rate.tiers:
        by_severity.setdefault(tier.severity, []).append(_breach(burn_rate, tier, selector))
    rules += [
        _alerting(definition, severity, " or ".join(breaches))
        for severity, breaches in by_severity.items()
    ]
    return rules


def _breach(burn_rate: BurnRate, tier: BurnTier, selector: str) -> str:
    limit = decimal(tier.limit)
    bad, events = f"{_bad(tier.long_ms)}{selector}", f"{_all(tier.long_ms)}{selector}"
    parts = [
        f"{_ratio(tier.long_ms)}{selector} > {limit}",
        f"{_ratio(tier.short_ms)}{selector} > {limit}",
        f"{events} >= {burn_rate.minimum_events}",
    ]
    if burn_rate.z is not None:  # as in `is_sure`
        spread = decimal(tier.limit * (1 - tier.limit))
        parts.append(
            f"{bad} - 0.5 - {limit} * {events} > {burn_rate.z!r} * sqrt({spread} * {events})"
        )
    return f"({' and '.join(parts)})"


def _bad(window_ms: int) -> str:
    return f"tailrace_slo:bad:increase{duration(window_ms * MILLISECOND)}"


def _all(window_ms: int) -> str:
    return f"tailrace_slo:events:increase{duration(window_ms * MILLISECOND)}"


def _ratio(window_ms: int) -> str:
    return f"tailrace_slo:bad_per_event:ratio_increase{duration(window_ms * MILLISECOND)}"
