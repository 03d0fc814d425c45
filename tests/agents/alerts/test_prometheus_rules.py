"""Alerts and SLOs as Prometheus rules."""

from __future__ import annotations

import math
import re
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tailrace.agents.alerts import promql
from tailrace.agents.alerts.prometheus_rules import render, rule_group
from tailrace.schemas.config.section import Section
from tailrace.schemas.definitions.alert import AlertSpec
from tailrace.schemas.definitions.definition import ALERT, SILENCE, SLO, Definition, DefinitionKey
from tailrace.schemas.definitions.labels import series_labels
from tailrace.schemas.definitions.slo import SloSpec

MATCHES = "tailrace_alert_matches_total"
EVENTS = "tailrace_alert_events_total"
OF = '{tenant="shop",name="failures",definition="alert"}'
BY = "sum by (tenant, name)"


def definition(kind: str, spec: Section, name: str = "failures", **said: Any) -> Definition[Any]:
    """A definition of the tenant shop."""
    texts = {"labels": {}, "annotations": {}} | said
    return Definition(DefinitionKey(kind, "shop", name), spec=spec, **texts)


def alert(**said: Any) -> Definition[AlertSpec]:
    """An alert on errors, or on what is *said*."""
    what = {} if {"trace", "formula"} & said.keys() else {"where": {"status": "error"}}
    return definition(ALERT, AlertSpec.model_validate(what | said))


def slo(**said: Any) -> Definition[SloSpec]:
    """An SLO of 99.9 % in 30 days, but for what is *said*."""
    sli = {"availability": {"of": {"service": "pay"}}}
    spec = SloSpec.model_validate({"sli": sli, "objective": 99.9} | said)
    return definition(SLO, spec, "availability")


SHARE = (
    f"{BY} (increase({MATCHES}{OF}[5m])) / {BY} (increase({EVENTS}{OF}[5m]))"
    f" > 0.05 and {BY} (increase({EVENTS}{OF}[5m])) >= 20"
)
CONDITIONS = {
    "a count": ({"when": ">= 10"}, f"{BY} (increase({MATCHES}{OF}[5m])) >= 10"),
    "a rate": (
        {"aggregate": "rate", "within": "90s", "when": "> 0.5/s"},
        f"{BY} (rate({MATCHES}{OF}[1m30s])) > 0.5",
    ),
    "traces": (
        {"aggregate": "traces", "within": "24h", "when": ">= 3"},
        f"{BY} (increase({MATCHES}{OF}[1d])) >= 3",
    ),
    "a share": ({"aggregate": "share", "of": {}, "when": "> 5%"}, SHARE),
    "a share without a minimum": (
        {"aggregate": "share", "of": {}, "when": "> 5%", "minimum_events": 0},
        SHARE.partition(" and ")[0],
    ),
    "a quantile": (
        {"aggregate": "quantile", "when": "> 500ms"},
        SHARE.replace("alert\"}", "alert\",operand=\"warning\"}"),
    ),
    "a quantile below": (
        {"aggregate": "quantile", "when": "< 500ms"},
        SHARE.replace("alert\"}", "alert\",operand=\"warning\"}").replace("> 0.05", "<= 0.05"),
    ),
    "groups": (
        {"when": ">= 10", "group_by": ["service", "attributes.http.route"]},
        f"sum by (tenant, name, service_name, http_route) (increase({MATCHES}{OF}[5m])) >= 10",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("said", "expression"), CONDITIONS.values(), ids=CONDITIONS)
def test_condition(said: dict[str, Any], expression: str) -> None:
    (rule,) = rule_group(alert(**said))["rules"]
    assert rule["expr"] == expression


def operand(
    name: str, taken: str = "increase", together: str = "sum", series: str = MATCHES
) -> str:
    """How a formula takes its operand *name*."""
    labels = OF.replace("}", f',operand="{name}"}}')
    return f"{together} by (tenant, name) ({taken}({series}{labels}[5m]))"


SERIES = {
    "errors": {"where": {"status": "error"}},
    "all": {"where": {}, "value": "rate"},
    "share": {"where": {"status": "error"}, "of": {}, "value": "share"},
    "depth": {"metric": {"name": "queue.depth"}, "value": "last"},
    "low": {"metric": {"name": "queue.depth"}, "value": "min"},
}
A, B = operand("errors"), operand("all", "rate")
DEPTH = operand("depth", "last_over_time", "max", "tailrace_alert_operand")
LOW = operand("low", "min_over_time", "min", "tailrace_alert_operand")
FORMULAS = {
    "a ratio": ("errors / all", f"({A} / {B})"),
    "numbers are put together": ("2 * 3 - errors", f"(6 - {A})"),
    "a negative number": ("errors * -2.5", f"({A} * (-2.5))"),
    "signs": ("-errors + abs(all)", f"((-{A}) + abs({B}))"),
    "order": ("errors - (all - 1)", f"({A} - ({B} - 1))"),
    "at most a number": ("min(errors, 3)", f"clamp_max({A}, 3)"),
    "at least a number": ("max(3, errors)", f"clamp_min({A}, 3)"),
    "the lower of two": ("min(errors, all)", f"(({A} < {B}) or ({B} + 0 * {A}))"),
    "the higher of two": ("max(errors, all)", f"(({A} > {B}) or ({B} + 0 * {A}))"),
    "gauges": ("depth - low", f"({DEPTH} - {LOW})"),
    "a share": (
        "share", f"({operand('share')} / {operand('share', series=EVENTS)})",
    ),
    "numbers only": ("1 + 1", "vector(2)"),
    "numbers without end": ("1 / 0", "vector(Inf)"),
}  # fmt: skip


@pytest.mark.parametrize(("formula", "expression"), FORMULAS.values(), ids=FORMULAS)
def test_formula(formula: str, expression: str) -> None:
    (rule,) = rule_group(alert(formula=formula, series=SERIES, when="> 5%"))["rules"]
    assert rule["expr"] == f"{expression} > 0.05"


def test_each_severity_is_a_rule_and_says_what_the_definition_says() -> None:
    spec = alert(
        when={"critical": ">= 10", "warning": ">= 5"}, keep_firing_for="1h30m", **{"for": "2m"}
    ).spec
    each = definition(
        ALERT, spec,
        labels={"team": "pay", "cost/center": "7"},
        annotations={"runbook": "https://x/{{ y }}", "9 lives": "no"},
    )  # fmt: skip
    critical, warning = rule_group(each)["rules"]
    assert critical == {
        "alert": "failures",
        "expr": f"{BY} (increase({MATCHES}{OF}[5m])) >= 10",
        "for": "2m",
        "keep_firing_for": "1h30m",
        "labels": {"cost_center": "7", "team": "pay", "severity": "critical"},
        "annotations": {"key_9_lives": "no", "runbook": 'https://x/{{ "{{" }} y }}'},
    }
    assert (warning["labels"]["severity"], warning["expr"][-4:]) == ("warning", ">= 5")


def test_what_is_not_said_is_not_in_the_rule() -> None:
    (rule,) = rule_group(alert(when=">= 10"))["rules"]
    assert list(rule) == ["alert", "expr", "labels"]


# SLOs

SLO_OF = '{tenant="shop",name="availability"}'


def test_an_slo_records_each_window_and_its_period() -> None:
    rules = {rule["record"]: rule["expr"] for rule in _recorded(slo())}
    windows = ["5m", "30m", "1h", "2h", "6h", "1d", "3d", "30d"]
    assert list(rules) == [
        *(f"tailrace_slo:{each}:increase{w}" for w in windows for each in ("bad", "events")),
        *(f"tailrace_slo:bad_per_event:ratio_increase{w}" for w in windows),
    ]
    source = '{tenant="shop",name="availability",definition="slo"}'
    assert rules["tailrace_slo:bad:increase1d"] == f"{BY} (increase({MATCHES}{source}[1d]))"
    assert rules["tailrace_slo:events:increase1d"] == f"{BY} (increase({EVENTS}{source}[1d]))"
    assert rules["tailrace_slo:bad_per_event:ratio_increase1d"] == (
        f"tailrace_slo:bad:increase1d{SLO_OF} / tailrace_slo:events:increase1d{SLO_OF}"
    )


def test_an_slo_alerts_once_a_severity_on_both_windows_of_each_tier() -> None:
    page, ticket = _alerting(slo(confidence=0))
    assert page["expr"] == " or ".join(
        f"(tailrace_slo:bad_per_event:ratio_increase{long}{SLO_OF} > {limit}"
        f" and tailrace_slo:bad_per_event:ratio_increase{short}{SLO_OF} > {limit}"
        f" and tailrace_slo:events:increase{long}{SLO_OF} >= 20)"
        for long, short, limit in (("1h", "5m", "0.0144"), ("6h", "30m", "0.006"))
    )
    assert [page["labels"], ticket["labels"]] == [{"severity": "page"}, {"severity": "ticket"}]
    assert re.findall(r"> ([0-9.]+)", ticket["expr"]) == ["0.003", "0.003", "0.001", "0.001"]


def test_the_guard_of_an_slo_is_in_its_rule() -> None:
    tiers = [{"severity": "page", "long": "1h", "short": "5m", "factor": 14.4}]
    (page,) = _alerting(slo(tiers=tiers))
    guard = page["expr"].rpartition(" and ")[2]
    z, spread = re.findall(r"> ([0-9.]+) \* sqrt\(([0-9.]+) \*", guard)[0]
    assert float(z) == pytest.approx(1.6448536)
    assert float(spread) == pytest.approx(0.0144 * (1 - 0.0144))
    assert guard.startswith(
        f"tailrace_slo:bad:increase1h{SLO_OF} - 0.5 - 0.0144 * tailrace_slo:events:increase1h"
    )


def test_two_slos_never_record_the_same() -> None:
    said = [(rule["record"], tuple(rule["labels"].items())) for rule in _recorded(slo())]
    assert len(set(said)) == len(said)
    assert {labels for _, labels in said} == {(("tenant", "shop"), ("name", "availability"))}


def test_groups_of_an_slo_stay_apart() -> None:
    rules = _recorded(slo(group_by=["service"]))
    assert rules[0]["expr"].startswith("sum by (tenant, name, service_name) (")


def _recorded(each: Definition[SloSpec]) -> list[dict[str, Any]]:
    return [rule for rule in rule_group(each)["rules"] if "record" in rule]


def _alerting(each: Definition[SloSpec]) -> list[dict[str, Any]]:
    return [rule for rule in rule_group(each)["rules"] if "alert" in rule]


# The file


def test_a_file_has_a_group_for_all_that_alert_in_the_order_of_their_keys() -> None:
    silence = definition(SILENCE, Section())
    text = render([slo(), alert(when=">= 10"), silence])
    groups = yaml.safe_load(text)["groups"]
    assert [each["name"] for each in groups] == [
        "tailrace/shop/Alert/failures",
        "tailrace/shop/SLO/availability",
    ]
    assert groups[0] == rule_group(alert(when=">= 10"))
    assert "&id" not in text
    assert render([alert(when=">= 10"), slo()]) == text


LABELS = {
    "fields as metrics have them": (
        ["service", "name", "kind", "status"],
        ["service_name", "span_name", "span_kind", "status_code"],
    ),
    "attributes": (["attributes.http.route", "resource.k8s-pod"], ["http_route", "k8s_pod"]),
    "names that are taken": (
        ["attributes.tenant", "attributes.le"], ["exported_tenant", "exported_le"],
    ),
    "names that would be equal": (
        ["service", "resource.service.name", "attributes.service_name"],
        ["service_name", "exported_service_name", "exported_exported_service_name"],
    ),
    "names that are none": (["attributes.9", "attributes.__x"], ["key_9", "key___x"]),
}  # fmt: skip


@pytest.mark.parametrize(("fields", "labels"), LABELS.values(), ids=LABELS)
def test_labels(fields: list[str], labels: list[str]) -> None:
    assert series_labels(fields) == labels


TEXTS = st.text('ab\\"\n{}\u00e9', min_size=1, max_size=8)


@given(TEXTS, TEXTS)
def test_no_text_of_a_definition_leaves_its_quotes(name: str, tenant: str) -> None:
    spec = AlertSpec.model_validate({"where": {}, "when": "> 1"})
    each = Definition(DefinitionKey(ALERT, tenant, name), {}, {}, spec)
    (rule,) = rule_group(each)["rules"]
    string = r'"((?:[^"\\\n]|\\.)*)"'
    found = re.fullmatch(
        rf"{re.escape(BY)} \(increase\({MATCHES}"
        rf'{{tenant={string},name={string},definition="alert"}}\[5m\]\)\) > 1',
        rule["expr"],
    )
    assert found is not None
    said = [
        re.sub(r"\\(.)", lambda m: {"n": "\n"}.get(m[1], m[1]), text) for text in found.groups()
    ]
    assert said == [tenant, name]


@given(st.lists(st.text(max_size=6), max_size=4))
def test_labels_of_a_group_are_different_and_valid(keys: list[str]) -> None:
    labels = series_labels([f"attributes.{key}" for key in keys])
    assert len(set(labels)) == len(keys)
    assert all(re.fullmatch(r"[a-zA-Z_][a-zA-Z0-9_]*", each) for each in labels)
    assert not any(each.startswith("__") for each in labels)


@given(st.integers(1, 10**15))
def test_durations_are_of_whole_milliseconds(ns: int) -> None:
    sizes = {"d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1000, "ms": 1}
    parts = re.findall(r"([0-9]+)(ms|[dhms])", promql.duration(ns))
    assert sum(int(amount) * sizes[unit] for amount, unit in parts) == ns // 1_000_000


def test_numbers_are_those_of_promql() -> None:
    values = [2.0, -2.0, 0.05, math.inf, -math.inf, math.nan]
    assert [promql.number(each).text for each in values] == [
        "2", "(-2)", "0.05", "Inf", "(-Inf)", "NaN",
    ]  # fmt: skip
