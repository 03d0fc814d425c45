"""OpenSLO's documents: those that count spans become SLOs, the others say why not."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tailrace.schemas.definitions import files
from tailrace.schemas.definitions.documents import to_json
from tailrace.schemas.errors import ConfigError

OCCURRENCES = """
apiVersion: openslo/v1
kind: SLO
metadata:
  name: search-slo
  displayName: Searching time
spec:
  description: Regardless of the number of paraller searches it never should be more than 500ms.
  service: web-shop
  indicator:
    metadata:
      name: search-latency
      displayName: Latency of user searches
    spec:
      thresholdMetric:
        metricSource:
          type: Any # Any service with needed metrics.
          spec: # Fields necessary to query service for the data.
            query: Any # 'query' is just an example field.
  timeWindow:
    - duration: 2w # Two weeks is a good choice in most cases.
      isRolling: true # Rolling timewindow give us better view if service starts to working better.
  budgetingMethod: Occurrences # As said in README.md, occurrences are great.
  objectives:
    - displayName: Good experience
      op: lt
      value: 500
      target: 0.99
  alertPolicies: # Doesn't matter in this example but you should have something in here.
"""
"""OpenSLO's `examples/budgeting-method/occurences-slo.yaml`."""

TIMESLICES = """
apiVersion: openslo/v1
kind: SLO
metadata:
  name: service-availability
  displayName: Reflaction of out availability SLA
spec:
  description: SLO to see if we are above our SLA and to react before.
  service: web-availability
  indicator:
    metadata:
      name: web-availability
      displayName: Time when our service was running.
    spec:
      ratioMetric:
        good:
          metricSource:
            type: Any # Any service with needed metrics
            spec: # Fields necessary to query service for the data.
              query: Any # 'query' is just an example field.
        total:
          metricSource:
            type: Any # Any service with needed metrics
            spec: # Fields necessary to query service for the data.
              query: Any # 'query' is just an example field.
  timeWindow:
    - duration: 1m # Contracts often are for 1 month time window
      isRolling: false # Most of contracts starts counting at beginning of month
      calendar:
        startTime: 2022-01-01 12:00:00
        timeZone: America/New_York
  budgetingMethod: Timeslices
  objectives:
    - displayName: Internal objective
      op: gt
      target: 0.995 # It is good to make bigger objective to react faster
      timeSliceTarget: 0.99
      timeSliceWindow: 1m # Rest of the fields should reflect exactly our contract
    - displayName: SLA # It is good to have objective exactly as SLA contract says
      target: 0.99
      timeSliceTarget: 0.99
      timeSliceWindow: 1m
  alertPolicies: # SLO that monitor your SLA should always have some alert policy.
"""
"""OpenSLO's `examples/budgeting-method/timeslices-slo.yaml`."""

WINDOW = {"duration": "28d", "isRolling": True}
TOTAL = 'traces_span_metrics_calls_total{service_name="foo"}'
GOOD = 'traces_span_metrics_calls_total{service_name="foo",status_code!="STATUS_CODE_ERROR"}'


def _source(query: str) -> dict[str, Any]:
    return {"metricSource": {"type": "Prometheus", "spec": {"query": query}}}


def _ratio(good: str = f"sum({GOOD})", total: str = f"sum({TOTAL})") -> dict[str, Any]:
    return {"counter": True, "good": _source(good), "total": _source(total)}


def _slo(ratio: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    indicator = {"metadata": {"name": "foo-error"}, "spec": {"ratioMetric": ratio or _ratio()}}
    said = {
        "service": "foo",
        "indicator": indicator,
        "timeWindow": [WINDOW],
        "budgetingMethod": "Occurrences",
        "objectives": [{"target": 0.9995}],
    } | spec
    return {
        "apiVersion": "openslo/v1",
        "kind": "SLO",
        "metadata": {"name": "foo-slo", "labels": {"team": ["identity"]}},
        "spec": {key: value for key, value in said.items() if value is not None},
    }


def _read(*documents: dict[str, Any]) -> list[dict[str, Any]]:
    found = files.read(json.dumps(documents), "test").definitions
    return [json.loads(to_json(each)) for each in found]


def _problems(*documents: dict[str, Any] | str) -> list[str]:
    text = "\n---\n".join(d if isinstance(d, str) else json.dumps(d) for d in documents)
    with pytest.raises(ConfigError) as error:
        files.read(text, "test")
    return str(error.value).splitlines()


def test_a_ratio_of_span_metrics_is_an_slo() -> None:
    (said,) = _read(_slo(objectives=[{"displayName": "Foo Total Errors", "target": 0.9995}]))
    assert said == {
        "apiVersion": "tailrace/v1",
        "kind": "SLO",
        "metadata": {
            "name": "foo-slo",
            "tenant": "default",
            "labels": {"service": "foo", "team": "identity"},
            "annotations": {"display_name": "Foo Total Errors"},
        },
        "spec": {
            "sli": {"availability": {"of": {"service": "foo"}}},
            "objective": 99.95,
            "period": "672h",
        },
    }


def test_a_bucket_of_good_events_is_a_latency() -> None:
    good = 'sum(rate(traces_spanmetrics_latency_bucket{service_name="foo",le="0.512"}[5m]))'
    (said,) = _read(_slo(_ratio(good)))
    assert said["spec"]["sli"] == {"latency": {"of": {"service": "foo"}, "threshold": "512ms"}}


def test_good_events_of_other_labels_are_correctness() -> None:
    good = 'sum(calls_total{service_name="foo",http_response_status_code!~"5.."})'
    # A span without a status code is good to both.
    (said,) = _read(_slo(_ratio(good)))
    assert said["spec"]["sli"]["correctness"]["good"] == {
        "attributes": {"http.response.status_code": {"not_regex": "5.."}}
    }


def test_bad_events_are_an_slo_too() -> None:
    ratio = {"bad": _source(f"sum({GOOD.replace('!=', '=')})"), "total": _ratio()["total"]}
    (said,) = _read(_slo(ratio))
    assert said["spec"]["sli"] == {"availability": {"of": {"service": "foo"}}}


def test_each_of_several_objectives_is_an_slo_of_its_own() -> None:
    found = _read(_slo(objectives=[{"target": 0.99}, {"targetPercent": 99.9}]))
    assert [(each["metadata"]["name"], each["spec"]["objective"]) for each in found] == [
        ("foo-slo-99", 99.0),
        ("foo-slo-99.9", 99.9),
    ]


def test_an_indicator_may_stand_in_a_document_of_its_own() -> None:
    indicator = {
        "apiVersion": "openslo/v1",
        "kind": "SLI",
        "metadata": {"name": "errors"},
        "spec": {"ratioMetric": _ratio()},
    }
    slo = _slo(indicator=None, indicatorRef="errors")
    assert _read(slo, indicator) == _read(_slo())
    assert _problems(slo) == [
        'documents[0] SLO "foo-slo": spec.indicatorRef is "errors"; no document of kind SLI here '
        "has that name"
    ]
    (said,) = _problems(slo, indicator | {"spec": {}})
    assert said == 'documents[1] SLI "errors": spec.ratioMetric is missing; add it'


@pytest.mark.parametrize(
    ("window", "period"),
    [
        ({"duration": "4w", "isRolling": True}, {"period": "672h"}),
        ({"duration": "12h", "isRolling": True}, {"period": "12h"}),
        ({"duration": "1w", "calendar": {"startTime": "2026-11-16"}}, {"calendar": "week"}),
        (
            {"duration": "1M", "calendar": {"startTime": "2020-02-01 00:00:00", "timeZone": "UTC"}},
            {"calendar": "month"},
        ),
        (
            {"duration": "1Q", "calendar": {"startTime": "2020-10-01 00:00:00"}},
            {"calendar": "quarter"},
        ),
        (None, {"period": "720h"}),
    ],
    ids=str,
)
def test_periods(window: dict[str, Any] | None, period: dict[str, str]) -> None:
    (said,) = _read(_slo(timeWindow=[window] if window else None))
    assert {key: said["spec"].get(key) for key in period} == period


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "a month that rolls": (
        {"timeWindow": [{"duration": "1M", "isRolling": True}]},
        'timeWindow[0].duration is "1M"; a period that rolls has minutes, hours, days or weeks, as '
        "in 30d or 4w",
    ),
    "a year of the calendar": (
        {"timeWindow": [{"duration": "1Y", "calendar": {"startTime": "2020-01-01"}}]},
        'timeWindow[0].duration is "1Y"; of the calendar are 1w, 1M and 1Q',
    ),
    "another time zone": (
        {
            "timeWindow": [
                {
                    "duration": "1M",
                    "calendar": {"startTime": "2020-01-01", "timeZone": "America/New_York"},
                }
            ]
        },
        'timeWindow[0].calendar.timeZone is "America/New_York"; periods of the calendar are in UTC',
    ),
    "a week from a Tuesday": (
        {"timeWindow": [{"duration": "1w", "calendar": {"startTime": "2026-11-17"}}]},
        'timeWindow[0].calendar.startTime is "2026-11-17"; a week begins on a Monday, at 00:00:00',
    ),
    "a quarter from February": (
        {"timeWindow": [{"duration": "1Q", "calendar": {"startTime": "2026-02-01"}}]},
        'timeWindow[0].calendar.startTime is "2026-02-01"; a quarter begins on the first of '
        "January, April, July or October, at 00:00:00",
    ),
    "slices of time": (
        {"budgetingMethod": "RatioTimeslices"},
        'budgetingMethod is "RatioTimeslices", which judges slices of time, and tailrace judges '
        "each span; write Occurrences if that is meant too",
    ),
    "alert policies": (
        {"alertPolicies": [{"alertPolicyRef": "x"}]},
        "alertPolicies are not read: an SLO alerts on its burn rate by itself; remove them",
    ),
    "two targets in one": (
        {"objectives": [{"target": 0.9, "targetPercent": 90}]},
        "objectives[0] needs exactly one of target and targetPercent",
    ),
    "a target of everything": (
        {"objectives": [{"target": 1.0}]},
        "objectives[0].target is 1.0; it must be less than 1",
    ),
    "no good and no bad": (
        {"indicator": {"spec": {"ratioMetric": {"total": _source(f"sum({TOTAL})")}}}},
        "indicator.spec.ratioMetric needs exactly one of good and bad",
    ),
    "another source": (
        {
            "indicator": {
                "spec": {
                    "ratioMetric": _ratio()
                    | {"good": {"metricSource": {"type": "Datadog", "spec": {"query": "x"}}}}
                }
            }
        },
        'indicator.spec.ratioMetric.good.metricSource.type is "Datadog"; only queries of '
        "Prometheus can be read",
    ),
    "a query that cannot be mapped": (
        {"indicator": {"spec": {"ratioMetric": _ratio("sum(up)")}}},
        "indicator.spec.ratioMetric.good.metricSource.spec.query counts up, which is none of the "
        "span metrics",
    ),
}


@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED)
def test_what_does_not_map_says_why(case: tuple[dict[str, Any], str]) -> None:
    spec, problem = case
    (said,) = _problems(_slo(**spec))
    assert said.startswith(f'documents[0] SLO "foo-slo": spec.{problem}')


def test_the_published_examples_say_why_they_count_no_spans() -> None:
    threshold = [each.split('"search-slo": ')[1] for each in _problems(OCCURRENCES)]
    assert [each.split(" ")[0] for each in threshold] == [
        "spec.indicator.spec.thresholdMetric",
        "spec.objectives[0].op",
        "spec.objectives[0].value",
    ]
    assert "compares a metric from time to time, and spans are events" in threshold[0]
    assert [
        each.split('-availability": spec.')[1].split(" ")[0] for each in _problems(TIMESLICES)
    ] == [
        "indicator.spec.ratioMetric.good.metricSource.type",
        "indicator.spec.ratioMetric.total.metricSource.type",
        "timeWindow[0].calendar.timeZone",
        "budgetingMethod",
        "objectives[0].op",
        "objectives[0].timeSliceTarget",
        "objectives[0].timeSliceWindow",
        "objectives[1].timeSliceTarget",
        "objectives[1].timeSliceWindow",
    ]


@pytest.mark.parametrize("kind", ["Service", "DataSource"])
def test_what_is_left_out_is_said(kind: str) -> None:
    other = {"apiVersion": "openslo/v1", "kind": kind, "metadata": {"name": "x"}, "spec": {}}
    read = files.read(json.dumps([other, _slo()]), "test")
    assert len(read.definitions) == 1
    (caution,) = map(str, read.cautions)
    assert caution.startswith(f'documents[0] {kind} "x": kind is {kind}, which is left out: ')


@pytest.mark.parametrize("kind", ["AlertPolicy", "AlertCondition", "AlertNotificationTarget"])
def test_what_would_page_nobody_is_refused(kind: str) -> None:
    other = {"apiVersion": "openslo/v1", "kind": kind, "metadata": {"name": "x"}, "spec": {}}
    (said,) = _problems(other, _slo())
    assert f"kind is {kind}, which is not read" in said


def test_other_versions_and_kinds_are_named() -> None:
    (said,) = _problems(_slo() | {"apiVersion": "openslo/v1alpha"})
    assert said.endswith('apiVersion is "openslo/v1alpha"; only openslo/v1 is read')
    (said,) = _problems(_slo() | {"kind": "AlertPolcy"})
    assert said.endswith('kind is "AlertPolcy"; did you mean AlertPolicy?')
