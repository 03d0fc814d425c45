"""Sloth's documents: those that count spans become SLOs, the others say why not."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tailrace.schemas.definitions import Definition, files
from tailrace.schemas.definitions.documents import to_json
from tailrace.schemas.errors import ConfigError

GETTING_STARTED = """
version: "prometheus/v1"
service: "myservice"
labels:
  owner: "myteam"
  repo: "myorg/myservice"
  tier: "2"
slos:
  # We allow failing (5xx and 429) 1 request every 1000 requests (99.9%).
  - name: "requests-availability"
    objective: 99.9
    description: "Common SLO based on availability for HTTP request responses."
    sli:
      events:
        error_query: sum(rate(METRIC{LABELSERRORS}[{{.window}}]))
        total_query: sum(rate(METRIC{LABELS}[{{.window}}]))
    alerting:
      name: MyServiceHighErrorRate
      labels:
        category: "availability"
      annotations:
        # Overwrite default Sloth SLO alert summmary on ticket and page alerts.
        summary: "High error rate on 'myservice' requests responses"
      page_alert:
        labels:
          severity: pageteam
      ticket_alert:
        labels:
          severity: "slack"
"""
"""Sloth's `examples/getting-started.yml`, without labels of one severity; METRIC is filled in."""

AS_PUBLISHED = (
    GETTING_STARTED.replace("METRIC", "http_request_duration_seconds_count")
    .replace("LABELSERRORS", 'job="myservice",code=~"(5..|429)"')
    .replace("LABELS", 'job="myservice"')
    .replace("severity: pageteam", "severity: pageteam\n          routing_key: myteam")
    .replace('"slack"', '"slack"\n          slack_channel: "#alerts-myteam"')
)

LATENCY = """
version: "prometheus/v1"
service: "k8s-apiserver"
slos:
  - name: "requests-latency"
    objective: 99
    sli:
      events:
        error_query: |
          (
            sum(rate(FAMILY_count{service_name="k8s",KIND}[{{.window}}]))
            -
            sum(rate(FAMILY_bucket{le="LE",service_name="k8s",KIND}[{{.window}}]))
          )
        total_query: sum(rate(FAMILY_count{service_name="k8s",KIND}[{{.window}}]))
    alerting:
      name: K8sApiserverLatencyAlert
      annotations:
        runbook: "https://github.com/kubernetes-monitoring/kubernetes-mixin/tree/master/runbook.md"
      page_alert:
        labels:
          severity: critical
      ticket_alert:
        disable: true
"""
"""The second SLO of Sloth's `examples/kubernetes-apiserver.yml`, on span metrics."""
RAW = """
version: "prometheus/v1"
service: "home-wifi"
slos:
  - name: "wifi-client-satisfaction"
    objective: 95
    sli:
      raw:
        error_ratio_query: 1 - sum(x)
    alerting: {name: WifiClientSatisfaction}
"""


LATENCY = LATENCY.replace("KIND", 'span_kind!="SPAN_KIND_CLIENT"')


def _slo(text: str) -> dict[str, Any]:
    (definition,) = files.read(text, "test").definitions
    said: dict[str, Any] = json.loads(to_json(definition))
    return said


def _problems(text: str) -> list[str]:
    with pytest.raises(ConfigError) as error:
        files.read(text, "test")
    return str(error.value).splitlines()


def test_the_published_example_says_why_it_counts_no_spans() -> None:
    problems = _problems(AS_PUBLISHED)
    where = 'documents[0] Sloth "myservice": slos[0]'
    assert [problem.split("; ")[0] for problem in problems] == [
        f"{where}.sli.events.total_query counts http_request_duration_seconds_count, which is none "
        f"of the span metrics traces_span_metrics_calls_total, "
        f"traces_span_metrics_duration_milliseconds_count and _bucket",
        f"{where}.sli.events.error_query counts http_request_duration_seconds_count, which is none "
        f"of the span metrics traces_span_metrics_calls_total, "
        f"traces_span_metrics_duration_milliseconds_count and _bucket",
        f"{where}.alerting.page_alert.labels.routing_key is of one severity only, and the tiers of "
        f"an SLO share their labels",
        f"{where}.alerting.ticket_alert.labels.slack_channel is of one severity only, and the "
        f"tiers of an SLO share their labels",
    ]
    assert "write the SLO as a document of tailrace/v1" in problems[0]


@pytest.mark.parametrize(
    "metric",
    [
        "traces_span_metrics_calls_total",
        "traces_spanmetrics_calls_total",
        "calls_total",
        "traces_span_metrics_duration_seconds_count",
        "traces_spanmetrics_latency_count",
    ],
)
def test_the_published_example_on_span_metrics_is_an_slo(metric: str) -> None:
    text = (
        GETTING_STARTED.replace("METRIC", metric)
        .replace("LABELSERRORS", 'service_name="myservice",http_response_status_code=~"(5..|429)"')
        .replace("LABELS", 'service_name="myservice"')
    )
    assert _slo(text) == {
        "apiVersion": "tailrace/v1",
        "kind": "SLO",
        "metadata": {
            "name": "myservice-requests-availability",
            "tenant": "default",
            "labels": {
                "category": "availability",
                "owner": "myteam",
                "repo": "myorg/myservice",
                "service": "myservice",
                "tier": "2",
            },
            "annotations": {
                "alert_name": "MyServiceHighErrorRate",
                "description": "Common SLO based on availability for HTTP request responses.",
                "summary": "High error rate on 'myservice' requests responses",
            },
        },
        "spec": {
            "sli": {
                "availability": {
                    "of": {"service": "myservice"},
                    "bad": {"attributes": {"http.response.status_code": {"regex": "(5..|429)"}}},
                }
            },
            "objective": 99.9,
            "period": "720h",
            "tiers": [
                {"severity": "pageteam", "long": "1h", "short": "5m", "budget": 0.02},
                {"severity": "pageteam", "long": "6h", "short": "30m", "budget": 0.05},
                {"severity": "slack", "long": "24h", "short": "2h", "budget": 0.1},
                {"severity": "slack", "long": "72h", "short": "6h", "budget": 0.1},
            ],
        },
    }


@pytest.mark.parametrize(
    ("family", "le", "threshold"),
    [
        ("traces_span_metrics_duration_seconds", "0.4", "400ms"),
        ("traces_span_metrics_duration_milliseconds", "400", "400ms"),
        ("traces_spanmetrics_latency", "1.024", "1.024s"),
        ("duration_milliseconds", "0.5", "500us"),
    ],
)
def test_what_is_slower_than_a_bucket_is_a_latency(family: str, le: str, threshold: str) -> None:
    said = _slo(LATENCY.replace("FAMILY", family).replace("LE", le))
    assert said["spec"]["sli"] == {
        "latency": {
            "of": {
                "service": "k8s",
                "kind": ["unspecified", "internal", "server", "producer", "consumer"],
            },
            "threshold": threshold,
        }
    }
    assert said["metadata"]["annotations"]["runbook_url"].startswith("https://github.com/")
    assert [tier["severity"] for tier in said["spec"]["tiers"]] == ["critical", "critical"]


def test_a_ratio_that_prometheus_computes_is_refused() -> None:
    first, *rest = _problems(RAW)
    assert "slos[0].sli.raw is a ratio that Prometheus computes" in first
    assert rest == []


def test_without_alerts_an_slo_has_no_tiers_and_without_severities_the_default_ones() -> None:
    text = LATENCY.replace("FAMILY", "duration_seconds").replace("LE", "1")
    head = text[: text.index("    alerting:")]
    off = "    alerting: {page_alert: {disable: true}, ticket_alert: {disable: true}}\n"
    assert _slo(head + off)["spec"]["tiers"] == []
    assert "tiers" not in _slo(head)["spec"]


def _queries(bad: str, total: str) -> str:
    return json.dumps(
        {
            "version": "prometheus/v1",
            "service": "s",
            "slos": [
                {
                    "name": "n",
                    "objective": 99,
                    "sli": {"events": {"error_query": bad, "total_query": total}},
                }
            ],
        }
    )


def _calls(labels: str = "") -> str:
    return f"sum(rate(traces_span_metrics_calls_total{{{labels}}}[{{{{.window}}}}]))"


ERRORS = 'status_code="STATUS_CODE_ERROR"'
MAPPED = {
    "status errors are the default": (
        _calls(ERRORS),
        _calls(),
        {"availability": {"of": {}}},
    ),
    "a range and increase instead of the window and rate": (
        f"sum(increase(calls_total{{{ERRORS}}}[5m]))",
        "sum(increase(calls_total[5m]))",
        {"availability": {"of": {}}},
    ),
    "everything but what is good": (
        f"({_calls()} - {_calls(ERRORS.replace('=', '!=', 1))})",
        _calls(),
        {"availability": {"of": {}}},
    ),
    "everything but what is good and fast": (
        f'{_calls()} - sum(rate(duration_seconds_bucket{{le="1",http_method="GET"}}[1m]))',
        _calls(),
        {
            "correctness": {
                "of": {},
                "good": {"attributes": {"http.method": "GET"}, "duration": "<= 1s"},
            }
        },
    ),
    "two conditions on one label": (
        _calls('span_name=~"GET .*",span_name!="GET /health",' + ERRORS),
        _calls('span_name=~"GET .*", span_name!="GET /health"'),
        {
            "availability": {
                "of": {"name": {"ne": "GET /health"}, "all": [{"name": {"regex": "GET .*"}}]}
            }
        },
    ),
    "quotes of every kind": (
        _calls("span_name='a\\'b',service_name=`c\\d`,service=\"e\\u0041\"," + ERRORS),
        _calls("span_name='a\\'b',service_name=`c\\d`,service=\"e\\u0041\""),
        {"availability": {"of": {"service": "eA", "name": "a'b", "all": [{"service": "c\\d"}]}}},
    ),
    "an empty bucket list is everything": (
        _calls(ERRORS),
        'sum(rate(duration_seconds_bucket{le="+Inf"}[1m]))',
        {"availability": {"of": {}}},
    ),
}


@pytest.mark.parametrize("case", MAPPED.values(), ids=MAPPED)
def test_queries_become_the_spans_that_they_count(case: tuple[str, str, Any]) -> None:
    bad, total, sli = case
    assert _slo(_queries(bad, total))["spec"]["sli"] == sli


REFUSED = {
    "another function": ("sum_over_time(x[5m])", "error_query has sum_over_time where it"),
    "sums by labels": (
        "sum by (span_name) (rate(calls_total[5m]))",
        "error_query sums by labels; write the SLO",
    ),
    "a subquery": ("sum(rate(calls_total[5m:1m]))", "error_query has [ where it cannot be read"),
    "something behind it": (f"{_calls(ERRORS)} or vector(0)", "error_query has or where it"),
    "nothing": ("", "error_query has its end where it cannot be read"),
    "two differences": (
        f"{_calls()} - {_calls(ERRORS)} - {_calls(ERRORS)}",
        "error_query takes more than one difference",
    ),
    "events that are not of the total": (
        _calls(ERRORS),
        'error_query counts others than the total too; add service_name="a" to it',
    ),
    "the total itself": (
        _calls('service_name="a"'),
        "error_query counts the same as the total; then every event is the same",
    ),
    "a label that is no attribute that is known": (
        _calls('service_name="a",k8s_pod="b"'),
        "error_query has the label k8s_pod, and which attribute of spans that was cannot be told",
    ),
    "a label that need not be there": (
        _calls('service_name="a",http_method=""'),
        'error_query has http_method="", which speaks of spans without http.method too',
    ),
    "an expression that holds of nothing too": (
        _calls('service_name="a",http_method=~".*"'),
        'error_query has http_method=~".*", which speaks of spans without http.method too',
    ),
    "a status that there is not": (
        _calls('service_name="a",status_code="500"'),
        'error_query has status_code="500", which holds of none of STATUS_CODE_UNSET',
    ),
    "an expression that is none": (
        _calls('service_name="a",span_name=~"("'),
        'error_query is "(", which is not an RE2 expression',
    ),
    "an escape that is none": (
        _calls('service_name="a\\q"'),
        'error_query has "a\\q", with an escape that PromQL does not know',
    ),
    "a bucket without its bound": (
        'sum(rate(duration_seconds_bucket{service_name="a"}[5m]))',
        'error_query needs le="BOUND" once with _bucket',
    ),
    "a bound that is no duration": (
        'sum(rate(duration_seconds_bucket{service_name="a",le="x"}[5m]))',
        'error_query has le="x", which is no duration in its unit',
    ),
    "a sum of durations": (
        'sum(rate(duration_seconds_sum{service_name="a"}[5m]))',
        "error_query counts duration_seconds_sum, which is none of the span metrics",
    ),
}


@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED)
def test_a_query_that_says_something_else_is_refused(case: tuple[str, str]) -> None:
    bad, problem = case
    (said,) = _problems(_queries(bad, _calls('service_name="a"')))
    assert said.startswith(f'documents[0] Sloth "s": slos[0].sli.events.{problem}')


def test_a_total_that_is_a_part_is_refused() -> None:
    part = 'sum(rate(duration_seconds_bucket{le="1"}[5m]))'
    (said,) = _problems(_queries(_calls(ERRORS), part))
    assert "total_query is no count of all events" in said


def test_another_version_and_plugins_are_refused() -> None:
    text = LATENCY.replace("FAMILY", "duration_seconds").replace("LE", "1")
    (said,) = _problems(text.replace("prometheus/v1", "prometheus/v2"))
    assert 'version is "prometheus/v2"; it must be prometheus/v1' in said
    (said,) = _problems(text + "slo_plugins: {chain: []}\n")
    assert "slo_plugins is of Sloth's plugins" in said


def test_two_slos_with_one_name_are_told() -> None:
    document = json.loads(_queries(_calls(ERRORS), _calls()))
    document["slos"] *= 2
    assert _problems(json.dumps(document)) == [
        'documents[0] Sloth "s": slos[1] is the same SLO as documents[0].slos[0]; keep one'
    ]


def test_the_slos_of_a_document_are_of_the_tenant_that_is_asked_for() -> None:
    found: tuple[Definition[Any], ...] = files.read(
        _queries(_calls(ERRORS), _calls()), "test", "acme"
    ).definitions
    assert [tuple(each.key) for each in found] == [("SLO", "acme", "s-n")]
