"""What parts of a config say to each other: topics, and the rhythm of rollups and flushes."""

import pytest

from tailrace.schemas.config import parse
from tailrace.schemas.errors import ConfigError

WRONG: dict[str, tuple[str, str]] = {
    "an output that is the worker's own topic": (
        "{app: mill, output: {metrics: mill-rollups}}",
        'output.metrics is "mill-rollups", which app mill uses inside; name another',
    ),
    "an output that is a changelog": (
        "output: {edges: tailrace-spans-changelog}",
        'output.edges is "tailrace-spans-changelog", which app tailrace uses inside; name another',
    ),
    "an output that is the topic of definitions": (
        "output: {alerts: tailrace-definitions}",
        'output.alerts is "tailrace-definitions", which app tailrace uses inside; name another',
    ),
    "an output that is the control topic": (
        "output: {decisions: tailrace-control}",
        'output.decisions is "tailrace-control", which app tailrace uses inside; name another',
    ),
    "an input that is the worker's own topic": (
        "input: {topics: [otlp_spans, tailrace-spans], keyed_by_trace_id: false}",
        'input.topics[1] is "tailrace-spans", which app tailrace uses inside; name another',
    ),
    "nothing that would run": (
        "{only: [red, service_graph], span_metrics: {enabled: false}, "
        "service_graph: {enabled: false}}",
        "only is red, service_graph, which is turned off; nothing would run",
    ),
    "a capability that nobody knows": (
        "only: [sampling, alert]",
        'only[1] is "alert"; it must be sampling, red, service_graph, alerts, notifier, '
        "remote_write or otlp_http",
    ),
    "a naming that nobody knows": (
        "naming: prometheus",
        'naming is "prometheus"; it must be collector or tempo',
    ),
    "Tempo's names with exponential buckets of milliseconds": (
        "{naming: tempo, span_metrics: {histogram: {exponential: {}}}}",
        "span_metrics.histogram.unit is ms, and naming: tempo tells durations in seconds, which "
        "decides the buckets of an exponential histogram; write s",
    ),
    "metrics that come in on a topic of spans": (
        "input: {metrics: [m, otlp_spans]}",
        'input.metrics[1] is "otlp_spans", which is an input already; name it once',
    ),
    "metrics that are read and written": (
        "input: {metrics: [otlp_metrics]}",
        'output.metrics is "otlp_metrics", which is an input topic too; the worker would read '
        "what it writes",
    ),
    "metrics on a topic of the worker's own": (
        "input: {metrics: [tailrace-rollups]}",
        'input.metrics[0] is "tailrace-rollups", which app tailrace uses inside; name another',
    ),
    "rollups too often": (
        "engine: {rollup_interval: 50ms}",
        "engine.rollup_interval is 50ms; it must be 100ms or more",
    ),
    "rollups within a millisecond": (
        "engine: {rollup_interval: 100100us}",
        "engine.rollup_interval is 100.1ms; it must be whole milliseconds",
    ),
    "span metrics that are flushed within an interval of rollups": (
        "span_metrics: {metrics_flush_interval: 1500ms}",
        "span_metrics.metrics_flush_interval is 1.5s, no whole multiple of "
        "engine.rollup_interval, 1s; 2s would be one",
    ),
    "a service graph that is flushed more often than rollups come": (
        "{engine: {rollup_interval: 10s}, service_graph: {metrics_flush_interval: 5s}}",
        "service_graph.metrics_flush_interval is 5s, no whole multiple of "
        "engine.rollup_interval, 10s; 10s would be one",
    ),
}


@pytest.mark.parametrize("case", WRONG.values(), ids=WRONG)
def test_refused(case: tuple[str, str]) -> None:
    text, problem = case
    with pytest.raises(ConfigError) as error:
        parse(text, "test.yaml", {})
    assert str(error.value) == problem


RIGHT: dict[str, str] = {
    "an input named like the topic that keyed input has no need of": (
        "{app: mill, input: {topics: [mill-spans]}}"
    ),
    "topics of another app": "output: {metrics: mill-rollups, edges: mill-spans-changelog}",
    "two rhythms": (
        "{engine: {rollup_interval: 500ms}, span_metrics: {metrics_flush_interval: 1500ms}, "
        "service_graph: {metrics_flush_interval: 1m}}"
    ),
    "a flush at every rollup": (
        "{engine: {rollup_interval: 5s}, span_metrics: {metrics_flush_interval: 5s}}"
    ),
    "flushes that never happen, for the section is off": (
        "{engine: {rollup_interval: 7s}, span_metrics: {enabled: false}, "
        "service_graph: {enabled: false}}"
    ),
}


@pytest.mark.parametrize("text", RIGHT.values(), ids=RIGHT)
def test_accepted(text: str) -> None:
    assert parse(text, "test.yaml", {}).warnings == ()


def test_both_rhythms_are_told() -> None:
    with pytest.raises(ConfigError) as error:
        parse("engine: {rollup_interval: 7s}", "test.yaml", {})
    assert [problem.path for problem in error.value.problems] == [
        "span_metrics.metrics_flush_interval",
        "service_graph.metrics_flush_interval",
    ]


def test_what_tempos_names_make_idle_is_told() -> None:
    text = "{naming: tempo, span_metrics: {namespace: mine, histogram: {unit: s}}}"
    assert [problem.path for problem in parse(text).warnings] == [
        "span_metrics.namespace",
        "span_metrics.histogram.unit",
    ]
    exponential = "{naming: tempo, span_metrics: {histogram: {unit: s, exponential: {}}}}"
    assert parse(exponential).warnings == ()
    assert parse("{span_metrics: {namespace: mine, histogram: {unit: s}}}").warnings == ()


SHARED = (
    "{{tenancy: {{header: x}}, tail_sampling: {{policies: [{{name: {}, type: always_sample}}], "
)
SHARED += "tenant_budgets: {{spans_per_second: {}, {}}}}}}}"
ALONE = "{{tail_sampling: {{policies: [{{name: all, type: always_sample}}], "
ALONE += "tenant_budgets: {{spans_per_second: 1000, weights: {{a: 3}}}}}}}}"
BUDGETS = "tail_sampling.tenant_budgets"
EXEMPLARS = "{{only: [{}], span_metrics: {{exemplars: {{enabled: true}}}}}}"
LABELS = "{{metric_labels: {{{}}}, span_metrics: {{{}}}}}"
SHOWN = "span_metrics.exemplars.enabled is true, and there are none where sampling and red do not "
SHOWN += "both run"
OWN_LABEL = 'is "tenant", as tenancy\'s own label, which stands instead; remove it'
HARDLY_MEANT: dict[str, tuple[str, list[str]]] = {
    "weights where there is one tenant": (
        ALONE.format(),
        [f"{BUDGETS}.weights does nothing as long as tenancy does not say whose spans are; "
         "remove it"],
    ),
    "a weight of what can be no tenant": (
        SHARED.format("all", 1000, "weights: {' a': 3, b: 2}"),
        [f'{BUDGETS}.weights. a is of " a", which no tenant is called; name another'],
    ),
    "weights of tenants": (SHARED.format("all", 1000, "weights: {a: 3}"), []),
    "a policy that is called as the budget is": (
        SHARED.format("tenant_budget", 1000, "weights: {}"),
        ['tail_sampling.policies[0].name is "tenant_budget", as decisions name what '
         "tenant_budgets has no room for; name the policy otherwise"],
    ),
    "a burst into which hardly a trace fits": (
        SHARED.format("all", 1000, "burst_capacity: 99"),
        [f"{BUDGETS}.burst_capacity is 99, so no trace of more spans is ever kept by policies"],
    ),
    "two seconds into which hardly a trace fits": (
        SHARED.format("all", 49, "weights: {}"),
        [f"{BUDGETS}.burst_capacity is twice spans_per_second, 98, so no trace of more spans is "
         "ever kept by policies"],
    ),
    "a burst into which traces fit": (SHARED.format("all", 1, "burst_capacity: 100"), []),
    "exemplars where no trace is kept": (EXEMPLARS.format("red"), [SHOWN]),
    "exemplars where nothing is counted": (EXEMPLARS.format("sampling, alerts"), [SHOWN]),
    "exemplars where both run": (EXEMPLARS.format("sampling, red"), []),
    "a dropped attribute that is asked for": (
        LABELS.format(
            "drop: [http.*], templates: [{attribute: http.route, ids: true}], "
            "limits: {labels: {http.route: 5, tier: 5}}",
            "dimensions: [{name: tier}, {name: http.route}], histogram: {dimensions: "
            "[{name: http.a}]}, calls_dimensions: [{name: http.b}], events: {enabled: true, "
            "dimensions: [{name: http.c}]}",
        ),
        [f'{path} does nothing: metric_labels.drop leaves out "{name}"' for path, name in (
            ("span_metrics.dimensions[1].name", "http.route"),
            ("span_metrics.calls_dimensions[0].name", "http.b"),
            ("span_metrics.histogram.dimensions[0].name", "http.a"),
            ("span_metrics.events.dimensions[0].name", "http.c"),
            ("metric_labels.limits.labels.http.route", "http.route"),
            ("metric_labels.templates[0].attribute", "http.route"),
        )],
    ),
    "what is said of labels that no series has": (
        LABELS.format(
            "learn: [zip, app.x], limits: {labels: {tier: 5, span.name: 5, code: 5}}",
            "dimensions: [{name: tier}, {glob: app.*}], exclude_dimensions: [span.name], "
            "roll_ups: [{namespace: few, dimensions: [tier, tenant, status.code, span.nme]}]",
        ),
        [
            'metric_labels.learn[0] does nothing: "zip" is no label that span_metrics or '
            "service_graph gives",
            *(f'metric_labels.limits.labels.{name} does nothing: "{name}" is no label that '
              "span_metrics or service_graph gives" for name in ("span.name", "code")),
            'span_metrics.roll_ups[0].dimensions[3] is "span.nme", which is no label of these '
            "metrics; nothing stays by it",
        ],
    ),
    "labels that only edges have": (
        "{metric_labels: {learn: [zip], limits: {labels: {zip: 5, client_zip: 6, server: 7, "
        "zap: 8}}}, service_graph: {dimensions: [zip]}}",
        ['metric_labels.limits.labels.zap does nothing: "zap" is no label that span_metrics or '
         "service_graph gives"],
    ),
    "labels of edges that have no limit": (
        "{metric_labels: {learn: [virtual_node], limits: {labels: {client: 7}}}}",
        [f'metric_labels.{path} does nothing: "{name}" is a label of edges that has few values, or '
         "by which they are counted" for path, name in (
            ("learn[0]", "virtual_node"), ("limits.labels.client", "client"))],
    ),
    "labels of edges where there are none": (
        "{metric_labels: {limits: {labels: {server: 7}}}, service_graph: {enabled: false}}",
        ['metric_labels.limits.labels.server does nothing: "server" is no label that span_metrics '
         "or service_graph gives"],
    ),
    "labels of edges of which only one side is shown": (
        "{metric_labels: {allow: [zip], limits: {labels: {client_zip: 6, server: 7, server_code: "
        "3}}}, service_graph: {dimensions: [zip, code]}}",
        ['service_graph.dimensions[1] does nothing: metric_labels.allow does not name "code"',
         "metric_labels.limits.labels.server_code does nothing: metric_labels.allow does not name "
         '"code"'],
    ),
    "labels that are there when they are asked for": (
        LABELS.format(
            "limits: {labels: {sampling.method: 5, span.instrumentation.scope.name: 5}}",
            "include_instrumentation_scope: [http], enable_metrics_sampling_method: true",
        ),
        [],
    ),
    "a dropped attribute by its old name": (
        LABELS.format("drop: [http.request.method]", "dimensions: [{name: http.method}]"),
        ["span_metrics.dimensions[0].name does nothing: metric_labels.drop leaves out "
         '"http.method"'],
    ),
    "an attribute of edges that is not allowed": (
        "{metric_labels: {allow: [tier]}, service_graph: {dimensions: [tier, zone]}}",
        ['service_graph.dimensions[1] does nothing: metric_labels.allow does not name "zone"'],
    ),
    "attributes that are allowed, hashed, or always there": (
        LABELS.format(
            "allow: [tier], hash: [mail], hash_key: k, templates: [{attribute: span.name, "
            "ids: true}]",
            "dimensions: [{name: tier}, {name: mail}]",
        ),
        [],
    ),
    "a dimension that is called as the tenant is": (
        "{tenancy: {header: x}, span_metrics: {dimensions: [{name: tier}, {name: tenant}]}}",
        [f"span_metrics.dimensions[1].name {OWN_LABEL}"],
    ),
    "a dimension of that name where there is one tenant": (
        "span_metrics: {dimensions: [{name: tenant}]}",
        [],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", HARDLY_MEANT.values(), ids=HARDLY_MEANT)
def test_warned_of(case: tuple[str, list[str]]) -> None:
    text, warnings = case
    assert [*map(str, parse(text, "test.yaml", {}).warnings)] == warnings
