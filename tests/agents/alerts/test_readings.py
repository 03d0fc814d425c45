"""What the sums of a window say about each severity of an alert."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from tailrace.agents.alerts.counts import Counts
from tailrace.agents.alerts.readings import Readings, Sums, Verdict, summary
from tailrace.agents.alerts.transitions import Reading
from tailrace.schemas.config.section import cautions
from tailrace.schemas.definitions.alert import AlertSpec
from tailrace.schemas.definitions.definition import ALERT, Definition, DefinitionKey
from tailrace.schemas.definitions.signals import signals

BREACH, OK, NO_DATA = Reading.BREACH, Reading.OK, Reading.NO_DATA


def alert(**said: Any) -> AlertSpec:
    """An alert on errors, or on what is *said*."""
    what = {} if {"trace", "formula"} & said.keys() else {"where": {"status": "error"}}
    return AlertSpec.model_validate(what | said)


def verdict(spec: AlertSpec, counts: Counts | None) -> Verdict:
    """What the only severity of *spec* says."""
    operand = next(iter(spec.levels)) if spec.aggregate == "quantile" else ""
    (found,) = Readings(spec).of({operand: counts}).values()
    return found


COMPARED = {
    "fewer than the count": ({"when": ">= 10"}, Counts(9, 9), OK, 9.0),
    "the count": ({"when": ">= 10"}, Counts(10, 10), BREACH, 10.0),
    "not above the count": ({"when": "> 10"}, Counts(10, 10), OK, 10.0),
    "no matches are a count of 0": ({"when": ">= 10"}, None, OK, 0.0),
    "too few is an alert too": ({"when": "< 1"}, None, BREACH, 0.0),
    "exactly so many": ({"when": "== 2"}, Counts(2, 2), BREACH, 2.0),
    "any but": ({"when": "!= 2"}, Counts(2, 2), OK, 2.0),
    "traces": ({"aggregate": "traces", "when": ">= 3"}, Counts(3, 3), BREACH, 3.0),
    "whole traces": ({"trace": {"spans": 1}, "when": ">= 3"}, Counts(9, 3), BREACH, 3.0),
    "the rate": ({"aggregate": "rate", "when": "> 5/s"}, Counts(1500, 1500), OK, 5.0),
    "above the rate": (
        {"aggregate": "rate", "when": "> 5/s"}, Counts(1501, 1501), BREACH, 1501 / 300,
    ),
    "a rate that no double has": (
        {"aggregate": "rate", "within": "10s", "when": ">= 0.3/s"}, Counts(3, 3), BREACH, 0.3,
    ),
    "a share that no double has": (
        {"aggregate": "share", "of": {}, "when": ">= 7%"}, Counts(100, 7), BREACH, 0.07,
    ),
    "the share": ({"aggregate": "share", "of": {}, "when": "> 5%"}, Counts(100, 5), OK, 0.05),
    "above the share": (
        {"aggregate": "share", "of": {}, "when": "> 5%"}, Counts(100, 6), BREACH, 0.06,
    ),
    "a share of nothing": (
        {"aggregate": "share", "of": {}, "when": "> 5%"}, Counts(0, 0), NO_DATA, None,
    ),
    "a share of what is not there": (
        {"aggregate": "share", "of": {}, "when": "< 5%"}, None, NO_DATA, None,
    ),
    "p95 with just 5 % slower": (
        {"aggregate": "quantile", "when": "> 500ms"}, Counts(100, 5), OK, 0.05,
    ),
    "p95 with more than 5 % slower": (
        {"aggregate": "quantile", "when": "> 500ms"}, Counts(100, 6), BREACH, 0.06,
    ),
    "p95 below the bound": (
        {"aggregate": "quantile", "when": "<= 500ms"}, Counts(100, 5), BREACH, 0.05,
    ),
    "p95 not below the bound": (
        {"aggregate": "quantile", "when": "<= 500ms"}, Counts(100, 6), OK, 0.06,
    ),
    "p99.9 at the edge": (
        {"aggregate": "quantile", "quantile": 0.999, "when": "> 1s"}, Counts(1000, 1), OK, 0.001,
    ),
    "p of nothing": ({"aggregate": "quantile", "when": "> 1s"}, Counts(0, 0), NO_DATA, None),
}  # fmt: skip


@pytest.mark.parametrize(("said", "counts", "reading", "value"), COMPARED.values(), ids=COMPARED)
def test_reading(
    said: dict[str, Any], counts: Counts | None, reading: Reading, value: float | None
) -> None:
    found = verdict(alert(**said), counts)
    assert (found.reading, found.value, found.is_too_few) == (reading, value, False)


@pytest.mark.parametrize("aggregate", ["share", "quantile"])
def test_with_fewer_than_the_minimum_nothing_is_said_but_the_value(aggregate: str) -> None:
    said = {"of": {}, "when": "> 5%"} if aggregate == "share" else {"when": "> 1s"}
    spec = alert(aggregate=aggregate, minimum_events=20, **said)
    assert verdict(spec, Counts(19, 19)) == (OK, 1.0, 0.05, BREACH)
    assert verdict(spec, Counts(19, 0)) == (OK, 0.0, 0.05, Reading.NO_DATA)
    assert verdict(spec, Counts(20, 20)) == (BREACH, 1.0, 0.05, None)


def test_the_threshold_of_a_quantile_is_the_share_that_may_be_slower() -> None:
    spec = alert(aggregate="quantile", quantile=0.99, when="> 500ms")
    assert verdict(spec, Counts(100, 3)) == (BREACH, 0.03, 0.01, None)


def test_each_severity_has_its_verdict_in_the_order_given() -> None:
    spec = alert(when={"critical": ">= 10", "warning": ">= 5"})
    found = Readings(spec).of({"": Counts(7, 7)})
    assert list(found) == ["critical", "warning"]
    assert [each.reading for each in found.values()] == [OK, BREACH]
    assert [each.threshold for each in found.values()] == [10, 5]


def test_each_severity_of_a_quantile_goes_by_its_own_signal() -> None:
    spec = alert(aggregate="quantile", when={"critical": "> 1s", "warning": "> 500ms"})
    sums: Sums = {"critical": Counts(100, 5), "warning": Counts(100, 6)}
    assert [each.reading for each in Readings(spec).of(sums).values()] == [OK, BREACH]


OPERATORS = {">": np.greater, ">=": np.greater_equal, "<": np.less, "<=": np.less_equal}


@given(
    st.lists(st.integers(1, 12), min_size=1, max_size=40),
    st.sampled_from([0.5, 0.9, 0.95, 0.3, 1 / 3]),
    st.integers(1, 12),
    st.sampled_from(sorted(OPERATORS)),
)
def test_quantiles_are_compared_exactly(
    durations: list[int], quantile: float, bound: int, operator: str
) -> None:
    """As with the quantile itself: the shortest duration that so many spans do not exceed."""
    when = f"{operator} {bound}ns"
    spec = alert(aggregate="quantile", quantile=quantile, when=when, minimum_events=0)
    definition = Definition(DefinitionKey(ALERT, "default", "slow"), {}, {}, spec)
    slower = signals(definition)["warning"].matched
    assert slower is not None
    assert slower.duration is not None
    assert slower.duration.gt is not None
    matched = sum(each > slower.duration.gt for each in durations)
    exact = np.quantile(durations, quantile, method="inverted_cdf")
    found = verdict(spec, Counts(len(durations), matched))
    assert (found.reading is BREACH) == OPERATORS[operator](exact, bound)


@given(
    st.integers(0, 200).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n))),
    st.integers(0, 100),
)
def test_shares_are_compared_exactly(pair: tuple[int, int], percent: int) -> None:
    spec = alert(aggregate="share", of={}, when=f"> {percent}%", minimum_events=1)
    all_events, matched = pair
    found = verdict(spec, Counts(all_events, matched))
    assert (found.reading is BREACH) == (matched * 100 > percent * all_events)


# Formulas

SERIES = {
    "errors": {"where": {"status": "error"}},
    "all": {"where": {}},
    "share": {"where": {"status": "error"}, "of": {}, "value": "share"},
    "speed": {"where": {}, "value": "rate"},
    "depth": {"metric": {"name": "queue.depth"}, "value": "last"},
    "sent": {"metric": {"name": "sent"}},
}
SUMS: Sums = {
    "errors": Counts(6, 6),
    "all": Counts(100, 100),
    "share": Counts(100, 6),
    "speed": Counts(600, 600),
    "depth": 12.5,
    "sent": Counts(4, 4),
}

FORMULAS = {
    "a ratio above": ("errors / all", "> 5%", SUMS, BREACH, 0.06),
    "a ratio not above": ("errors / all", "> 6%", SUMS, OK, 0.06),
    "shares, rates and gauges": ("share * speed + depth", "> 12", SUMS, BREACH, 12.62),
    "a share of nothing": ("share + 1", "> 0", SUMS | {"share": Counts(0, 0)}, NO_DATA, None),
    "a share that is not there": ("share + 1", "> 0", {}, NO_DATA, None),
    "a metric that is not there": ("depth + 1", "> 0", {}, NO_DATA, None),
    "a counter that is not there": ("sent + 1", "> 0", {}, NO_DATA, None),
    "spans that are not there are 0": ("errors + 1", "> 0", {}, BREACH, 1.0),
    "nothing of nothing": ("errors / all", "> 5%", {}, NO_DATA, None),
    "something of nothing": ("errors / all", "> 5%", {"errors": Counts(1, 1)}, BREACH, np.inf),
}


@pytest.mark.parametrize(
    ("formula", "when", "sums", "reading", "value"), FORMULAS.values(), ids=FORMULAS
)
def test_formula(
    formula: str, when: str, sums: Sums, reading: Reading, value: float | None
) -> None:
    (found,) = Readings(alert(formula=formula, series=SERIES, when=when)).of(sums).values()
    assert (found.reading, found.value) == (reading, pytest.approx(value))


def test_a_formula_has_critical_and_warning_thresholds() -> None:
    when = {"critical": "> 10%", "warning": "> 5%"}
    found = Readings(alert(formula="errors / all", series=SERIES, when=when)).of(SUMS)
    assert {name: each.reading for name, each in found.items()} == {
        "critical": OK, "warning": BREACH,
    }  # fmt: skip


REFUSED = {
    "a formula of what is no series": (
        {"formula": "errors / al", "series": SERIES, "when": "> 1"},
        'is of "al", which is none of its series; there are all, depth',
    ),
    "what is no formula": (
        {"formula": "errors /", "series": SERIES, "when": "> 1"}, "ends at 9, where a number",
    ),
    "a quantile that equals": (
        {"aggregate": "quantile", "when": "== 1s"}, 'is "== 1s"; write it as in "> 500ms"',
    ),
    "a threshold that is no number": ({"when": "> nan"}, 'is "nan"; write it as in ">= 10"'),
    "a threshold without end": ({"when": "> 1e999"}, 'is "1e999"; write it as in ">= 10"'),
}  # fmt: skip


@pytest.mark.parametrize(("said", "message"), REFUSED.values(), ids=REFUSED)
def test_a_definition_is_refused_with(said: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError) as error:
        alert(**said)
    assert any(message in each["msg"] for each in error.value.errors())


def test_series_that_the_formula_does_not_use_are_remarked_on() -> None:
    spec = alert(
        formula="errors / all", series={k: SERIES[k] for k in ("errors", "all", "sent")}, when="> 1"
    )
    assert list(cautions(spec)) == [(("series", "sent"), "is not in the formula")]


SUMMARIES = {
    "a count": (
        {"when": ">= 10"}, Counts(12, 12), "12 matched in the last 5m; the alert is on >= 10.",
    ),
    "a rate": (
        {"aggregate": "rate", "when": "> 5/s"}, Counts(3000, 3000),
        "10 matched a second in the last 5m; the alert is on > 5/s.",
    ),
    "a share": (
        {"aggregate": "share", "of": {}, "when": "> 5%"}, Counts(100, 7),
        "7.00% matched in the last 5m; the alert is on > 5%.",
    ),
    "a quantile": (
        {"aggregate": "quantile", "when": "> 500ms"}, Counts(100, 7),
        "7.00% took longer than the bound in the last 5m; the alert is on p95 > 500ms.",
    ),
    "nothing": (
        {"aggregate": "share", "of": {}, "when": "> 5%"}, Counts(0, 0),
        "There is no value in the last 5m; the alert is on > 5%.",
    ),
}  # fmt: skip


SUMMARIES["why much is not too much"] = (
    {"aggregate": "share", "of": {}, "when": "> 5%"}, Counts(3, 3),
    "100.00% matched in the last 5m; the alert is on > 5%. Of fewer than 20 events it says "
    "nothing.",
)  # fmt: skip


@pytest.mark.parametrize(("said", "counts", "sentence"), SUMMARIES.values(), ids=SUMMARIES)
def test_people_are_told(said: dict[str, Any], counts: Counts, sentence: str) -> None:
    spec = alert(**said)
    assert summary(spec, "warning", verdict(spec, counts)) == sentence
