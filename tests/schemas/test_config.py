"""Configs that run: defaults, YAML and JSON, scalars, the environment, warnings."""

from pathlib import Path
from typing import Any

import pytest

from tailrace.schemas.config import TailSamplingConfig, WorkerConfig, load, parse
from tailrace.schemas.config.definitions import configured

SECOND = 1_000_000_000

POLICY = "{name: p, type: always_sample}"


def _read(text: str, **environment: str) -> WorkerConfig:
    return parse(text, "test.yaml", environment)


def _sampling(text: str) -> TailSamplingConfig:
    return _read(f"tail_sampling: {text}").tail_sampling


def test_without_a_file_errors_slow_traces_and_a_tenth_are_kept() -> None:
    sampling = load(None).tail_sampling
    assert [policy.name for policy in sampling.policies] == ["errors", "slow", "rest"]
    assert sampling.decision_wait == 10 * SECOND
    assert sampling.decision_retention == 3600 * SECOND
    assert sampling.num_traces is None


def test_with_a_section_the_wait_is_the_collectors() -> None:
    assert _sampling(f"{{policies: [{POLICY}]}}").decision_wait == 30 * SECOND


@pytest.mark.parametrize("text", ["", "\n", "{}", "# nothing\n", "kafka:\n", "tail_sampling: ~\n"])
def test_an_empty_file_is_the_defaults(text: str) -> None:
    assert _read(text) == load(None)


FULL = """
app: mill
only: [sampling, alerts]
data_dir: /var/lib/tailrace
kafka:
  bootstrap_servers: ["a:9092", "b:9092"]
  group_instance_id: mill-0
  session_timeout: 45s
  replication_factor: 2
  create_topics: false
input: {topics: [one, two], encoding: otlp_json, keyed_by_trace_id: false, metrics: [three]}
output: {sampled: kept, metrics: m, decisions: d, edges: e, alerts: a, dead_letters: dead}
tenancy: {resource_attribute: tenant.id, header: x-tenant}
web: {host: 0.0.0.0, port: 0, token: "${TOKEN}"}
engine:
  {checkpoint_interval: 500ms, checkpoint_bytes: 8MiB, grace: 0s, stall_timeout: 1m,
   rollup_interval: 250ms, memory_limit: 2GiB}
tail_sampling:
  decision_wait: 5s
  num_traces: 1e5
  expected_new_traces_per_sec: 10
  decision_retention: 2h
  decision_wait_after_root_received: 1s
  decision_cache: {sampled_cache_size: 100, non_sampled_cache_size: 200}
  sample_on_first_match: true
  sampling_strategy: trace-complete
  block_on_overflow: false
  drop_pending_traces_on_shutdown: false
  maximum_trace_size_bytes: 1MiB
  maximum_trace_spans: 1000
  stamp: false
  force_keep: [debug, sampling.priority]
  keep_linked: 1m
  routes: [{topic: interesting, policies: slow}, {topic: random, kept: by_chance}]
  dry_run: true
  tenant_budgets: {spans_per_second: 500, burst_capacity: 900, weights: {acme: 2.5}}
  policies_file: policies.yaml
  rules: [{name: rest, sampler: {type: deterministic, sample_rate: 10}}]
  policies:
    - {name: all, type: always_sample}
    - {name: slow, type: latency, latency: {threshold_ms: 5000, upper_threshold_ms: 10000}}
    - {name: some, type: probabilistic, probabilistic: {hash_salt: s, sampling_percentage: 12.5}}
    - {name: bad, type: status_code, status_code: {status_codes: [ERROR, UNSET]}}
    - name: path
      type: string_attribute
      string_attribute:
        {key: k, values: ["^/a"], enabled_regex_matching: true, cache_max_size: 10,
         invert_match: true}
    - name: both
      type: and
      and:
        and_sub_policy:
          - {name: x, type: status_code, status_code: {status_codes: ERROR}}
          - {type: latency, latency: {threshold_ms: 1}}
span_metrics:
  enabled: false
  namespace: ""
  dimensions: [{name: http.route, default: none}, {name: region}]
  calls_dimensions: [{glob: "db.*"}]
  exclude_dimensions: [status.code]
  include_instrumentation_scope: [express]
  enable_metrics_sampling_method: true
  resource_metrics_key_attributes: [service.name]
  histogram:
    {disable: true, unit: s, explicit: {buckets: [1ms, 1s]}, dimensions: [{name: url.scheme}]}
  exemplars: {enabled: true, max_per_data_point: 2}
  events: {enabled: true, dimensions: [{name: exception.type}]}
  roll_ups: [{namespace: daily, dimensions: [span.kind]}]
  metrics_flush_interval: 15s
  metrics_expiration: 1h
  series_expiration: 5m
  aggregation_cardinality_limit: 100
  aggregation_temporality: AGGREGATION_TEMPORALITY_CUMULATIVE
service_graph:
  enabled: false
  store: {ttl: 10s, max_items: 1e4}
  latency_histogram_buckets: [100ms, 1m]
  dimensions: [region]
  virtual_node_peer_attributes: [server.address]
  database_name_attributes: [db.namespace]
  metrics_flush_interval: 30s
  links: {enabled: false, wait: 45s, max_items: 9}
  exponential_histogram_max_size: 0
  virtual_node_extra_label: true
  metrics_timestamp_offset: 2s
  series_expiration: 1h
metric_labels:
  allow: [region]
  drop: [user.*]
  hash: [session.id]
  hash_key: "${TOKEN}"
  templates: [{attribute: http.route, replace: [{regex: "a+", with: b}], ids: true}]
  learn: [url.path]
  limits: {series: 10, values: 20, labels: {http.route: 30}}
naming: tempo
slos: [{name: pay, objective: 99.9, sli: {availability: {of: {service: pay}}}}]
alerts: [{name: errors, where: {status: error}, when: "> 5", labels: {owner: us}}]
notify:
  contact_points: [{name: hook, webhook: {url: "https://hooks.example.com"}}]
  policies: [{name: all, route: {receiver: hook}}]
  silences:
    - {name: move, matchers: {service: pay}, reason: we move,
       starts_at: "2026-01-01T00:00:00Z", ends_at: "2026-01-02T00:00:00Z"}
  allow_targets: [hooks.example.com]
  allow_secrets: "env:HOOK_*"
  external_url: https://tailrace.example.com
remote_write: [{url: "https://metrics.example.com/write", name: them}]
otlp_http: [{endpoint: "https://otlp.example.com", name: others}]
"""


def test_every_key_has_its_effect() -> None:
    config = _read(FULL, TOKEN="s3cret")
    assert configured(config.alerts, config.slos, config.notify).by_key.keys() == {
        ("Alert", "default", "errors"),
        ("ContactPoint", "default", "hook"),
        ("NotificationPolicy", "default", "all"),
        ("SLO", "default", "pay"),
        ("Silence", "default", "move"),
    }
    dumped = config.model_dump(by_alias=True)
    assert dumped.pop("web")["token"].get_secret_value() == "s3cret"
    assert dumped["metric_labels"].pop("hash_key").get_secret_value() == "s3cret"
    for name in ("alerts", "slos"):
        dumped.pop(name)
    for name in ("contact_points", "policies", "silences"):
        dumped["notify"].pop(name)
    [written], [posted] = dumped.pop("remote_write"), dumped.pop("otlp_http")
    assert (written["name"], posted["name"]) == ("them", "others")
    policies = dumped["tail_sampling"].pop("policies")
    [rule] = dumped["tail_sampling"].pop("rules")
    assert (rule["name"], rule["sampler"]["type"]) == ("rest", "deterministic")
    assert [policy["type"] for policy in policies] == [
        "always_sample",
        "latency",
        "probabilistic",
        "status_code",
        "string_attribute",
        "and",
    ]
    assert policies[1]["latency"] == {"threshold_ms": 5000, "upper_threshold_ms": 10000}
    assert policies[2]["probabilistic"] == {"hash_salt": "s", "sampling_percentage": 12.5}
    assert policies[4]["string_attribute"] == {
        "key": "k",
        "values": ("^/a",),
        "enabled_regex_matching": True,
        "cache_max_size": 10,
        "invert_match": True,
    }
    assert policies[5]["and"]["and_sub_policy"][0]["status_code"] == {"status_codes": ("ERROR",)}
    assert dumped == {
        "app": "mill",
        "only": ("sampling", "alerts"),
        "data_dir": Path("/var/lib/tailrace"),
        "kafka": {
            "bootstrap_servers": ("a:9092", "b:9092"),
            "group_instance_id": "mill-0",
            "session_timeout": 45 * SECOND,
            "replication_factor": 2,
            "create_topics": False,
        },
        "input": {
            "topics": ("one", "two"),
            "encoding": "otlp_json",
            "keyed_by_trace_id": False,
            "metrics": ("three",),
        },
        "output": {
            "sampled": "kept",
            "metrics": "m",
            "decisions": "d",
            "edges": "e",
            "alerts": "a",
            "dead_letters": "dead",
        },
        "engine": {
            "checkpoint_interval": SECOND // 2,
            "checkpoint_bytes": 8 << 20,
            "grace": 0,
            "stall_timeout": 60 * SECOND,
            "rollup_interval": SECOND // 4,
            "memory_limit": 2 << 30,
        },
        "tail_sampling": {
            "decision_wait": 5 * SECOND,
            "num_traces": 100_000,
            "expected_new_traces_per_sec": 10,
            "decision_retention": 7200 * SECOND,
            "decision_wait_after_root_received": SECOND,
            "decision_cache": {"sampled_cache_size": 100, "non_sampled_cache_size": 200},
            "sample_on_first_match": True,
            "sampling_strategy": "trace-complete",
            "maximum_trace_size_bytes": 1 << 20,
            "maximum_trace_spans": 1000,
            "stamp": False,
            "force_keep": ("debug", "sampling.priority"),
            "keep_linked": 60 * SECOND,
            "routes": (
                {"topic": "interesting", "policies": ("slow",), "kept": None},
                {"topic": "random", "policies": (), "kept": "by_chance"},
            ),
            "dry_run": True,
            "tenant_budgets": {
                "spans_per_second": 500,
                "burst_capacity": 900,
                "weights": {"acme": 2.5},
            },
            "policies_file": Path("policies.yaml"),
        },
        "span_metrics": {
            "enabled": False,
            "namespace": "",
            "dimensions": (
                {"name": "http.route", "default": "none", "glob": ""},
                {"name": "region", "default": None, "glob": ""},
            ),
            "calls_dimensions": ({"name": "", "default": None, "glob": "db.*"},),
            "exclude_dimensions": ("status.code",),
            "include_instrumentation_scope": ("express",),
            "enable_metrics_sampling_method": True,
            "resource_metrics_key_attributes": ("service.name",),
            "histogram": {
                "disable": True,
                "unit": "s",
                "explicit": {"buckets": (SECOND // 1000, SECOND)},
                "exponential": None,
                "dimensions": ({"name": "url.scheme", "default": None, "glob": ""},),
            },
            "exemplars": {"enabled": True, "max_per_data_point": 2},
            "events": {
                "enabled": True,
                "dimensions": ({"name": "exception.type", "default": None, "glob": ""},),
            },
            "roll_ups": ({"namespace": "daily", "dimensions": ("span.kind",)},),
            "metrics_flush_interval": 15 * SECOND,
            "metrics_expiration": 3600 * SECOND,
            "series_expiration": 300 * SECOND,
            "aggregation_cardinality_limit": 100,
            "aggregation_temporality": "AGGREGATION_TEMPORALITY_CUMULATIVE",
        },
        "tenancy": {"resource_attribute": "tenant.id", "header": "x-tenant"},
        "service_graph": {
            "enabled": False,
            "store": {"ttl": 10 * SECOND, "max_items": 10_000},
            "latency_histogram_buckets": (SECOND // 10, 60 * SECOND),
            "dimensions": ("region",),
            "virtual_node_peer_attributes": ("server.address",),
            "database_name_attributes": ("db.namespace",),
            "metrics_flush_interval": 30 * SECOND,
            "links": {"enabled": False, "wait": 45 * SECOND, "max_items": 9},
            "exponential_histogram_max_size": 0,
            "virtual_node_extra_label": True,
            "metrics_timestamp_offset": 2 * SECOND,
            "series_expiration": 3600 * SECOND,
        },
        "metric_labels": {
            "allow": ("region",),
            "drop": ("user.*",),
            "hash": ("session.id",),
            "templates": (
                {
                    "attribute": "http.route",
                    "replace": ({"regex": "a+", "with": "b"},),
                    "ids": True,
                },
            ),
            "learn": ("url.path",),
            "limits": {"series": 10, "values": 20, "labels": {"http.route": 30}},
        },
        "naming": "tempo",
        "notify": {
            "allow_targets": ("hooks.example.com",),
            "allow_secrets": ("env:HOOK_*",),
            "external_url": "https://tailrace.example.com",
        },
    }


def test_a_config_does_not_change() -> None:
    config = load(None)
    with pytest.raises(ValueError, match="frozen"):
        config.app = "other"


def test_a_secret_is_not_shown() -> None:
    assert "s3cret" not in repr(_read("web: {token: s3cret}"))


def test_json_is_read_even_with_tabs() -> None:
    assert _read('{\n\t"app": "mill",\n\t"kafka": {"bootstrap_servers": ["a:1"]}}').app == "mill"


SALTS: dict[str, tuple[str, str]] = {
    "yes is text": ("yes", "yes"),
    "on is text": ("on", "on"),
    "a time is text": ("1:30", "1:30"),
    "a date is text": ("2001-12-14", "2001-12-14"),
    "quoted digits are text": ("'22'", "22"),
    "a dollar stays": ("a$b", "a$b"),
    "a variable without braces stays": ("$HOME", "$HOME"),
    "two dollars are one": ("a$$b", "a$b"),
    "two dollars keep a reference from being filled in": ('"$${SALT}"', "${SALT}"),
    "a reference is filled in": ('"x-${SALT}"', "x-7"),
    "a whole reference to digits is text where text is wanted": ('"${SALT}"', "7"),
    "a reference may name its source": ('"${env:SALT}"', "7"),
    "a default fills in what is not set": ('"${env:NONE:-d}"', "d"),
    "a default is not used for what is set": ('"${env:SALT:-d}"', "7"),
}


@pytest.mark.parametrize("case", SALTS.values(), ids=SALTS)
def test_text(case: tuple[str, str]) -> None:
    written, expected = case
    policy = f"{{name: p, type: probabilistic, probabilistic: {{hash_salt: {written}}}}}"
    config = _read(f"tail_sampling: {{policies: [{policy}]}}", SALT="7")
    assert config.tail_sampling.policies[0].probabilistic.hash_salt == expected  # type: ignore[union-attr]  # of that type


NUMBERS: dict[str, tuple[str, int]] = {
    "decimal": ("100", 100),
    "with a sign": ("+100", 100),
    "with underscores": ("1_000", 1000),
    "hexadecimal": ("0x10", 16),
    "octal": ("0o10", 8),
    "octal, the older way": ("010", 8),
    "binary": ("0b11", 3),
    "with an exponent": ("1e3", 1000),
    "a whole fraction": ("5.0", 5),
    "from the environment": ('"${NUMBER}"', 12),
}


@pytest.mark.parametrize("case", NUMBERS.values(), ids=NUMBERS)
def test_number(case: tuple[str, int]) -> None:
    written, expected = case
    text = f"tail_sampling: {{num_traces: {written}, policies: [{POLICY}]}}"
    assert _read(text, NUMBER="12").tail_sampling.num_traces == expected


LISTS: dict[str, tuple[str, tuple[str, ...]]] = {
    "a list": ("[a, b]", ("a", "b")),
    "one text is a list of one": ("a", ("a",)),
    "one text with commas is a list": ("'a,b'", ("a", "b")),
    "a comma in a list is text": ("['a,b']", ("a,b",)),
    "yes and no are text": ("[yes, no]", ("yes", "no")),
}


@pytest.mark.parametrize("case", LISTS.values(), ids=LISTS)
def test_list_of_texts(case: tuple[str, tuple[str, ...]]) -> None:
    written, expected = case
    body = f"{{key: k, values: {written}}}"
    config = _sampling(
        f"{{policies: [{{name: p, type: string_attribute, string_attribute: {body}}}]}}"
    )
    assert config.policies[0].string_attribute.values == expected  # type: ignore[union-attr]  # of that type


def test_bootstrap_servers_may_be_one_text() -> None:
    servers = _read("kafka: {bootstrap_servers: 'a:1, b:2'}").kafka.bootstrap_servers
    assert servers == ("a:1", "b:2")


def test_merge_keys_work_and_what_is_written_wins() -> None:
    config = _read(
        "tail_sampling:\n"
        "  policies:\n"
        "  - &slow {name: slow, type: latency, latency: {threshold_ms: 5}}\n"
        "  - {<<: *slow, name: other}\n"
        "  - {<<: *slow, name: third, latency: {threshold_ms: 7}}\n"
    ).tail_sampling
    assert [(policy.name, policy.latency.threshold_ms) for policy in config.policies] == [  # type: ignore[union-attr]  # of that type
        ("slow", 5),
        ("other", 5),
        ("third", 7),
    ]


WARNED: dict[str, tuple[str, str]] = {
    "more than everything": (
        "{name: p, type: probabilistic, probabilistic: {sampling_percentage: 150}}",
        "policies[0].probabilistic.sampling_percentage is 150; it must be from 0 to 100, "
        "100 is used",
    ),
    "less than nothing": (
        "{name: p, type: probabilistic, probabilistic: {sampling_percentage: -1}}",
        "policies[0].probabilistic.sampling_percentage is -1; it must be from 0 to 100, 0 is used",
    ),
    "no threshold": (
        "{name: p, type: latency, latency: {}}",
        "policies[0].latency.threshold_ms is 0, so every trace is sampled",
    ),
    "bounds the wrong way round": (
        "{name: p, type: latency, latency: {threshold_ms: 5, upper_threshold_ms: 5}}",
        "policies[0].latency.upper_threshold_ms is 5, not more than threshold_ms, "
        "so no trace is ever sampled",
    ),
    "an empty and": (
        "{name: p, type: and, and: {}}",
        "policies[0].and.and_sub_policy is empty, so every trace is sampled",
    ),
    "inside an and": (
        "{name: p, type: and, and: {and_sub_policy: [{type: latency, latency: {}}]}}",
        "policies[0].and.and_sub_policy[0].latency.threshold_ms is 0, so every trace is sampled",
    ),
    "no values": (
        "{name: p, type: string_attribute, string_attribute: {key: k}}",
        "policies[0].string_attribute.values is empty, so nothing ever matches",
    ),
    "an empty value": (
        "{name: p, type: string_attribute, string_attribute: {key: k, values: [a, '']}}",
        "policies[0].string_attribute.values[1] is empty text, which never matches",
    ),
    "the name of what is no policy": (
        "{name: linked, type: always_sample}",
        'policies[0].name is "linked", as decisions name what is kept for another reason; '
        "name the policy otherwise",
    ),
}


@pytest.mark.parametrize("case", WARNED.values(), ids=WARNED)
def test_warned(case: tuple[str, str]) -> None:
    policy, warning = case
    config = _read(f"tail_sampling: {{policies: [{policy}]}}")
    assert list(map(str, config.warnings)) == [f"tail_sampling.{warning}"]


@pytest.mark.parametrize(("rules", "warnings"), [("[]", 0), ("[{name: x, keep: true}]", 1)])
def test_a_policy_with_a_rules_name_is_warned_about_beside_rules(rules: str, warnings: int) -> None:
    policies = "[{name: rules/x, type: always_sample}]"
    config = _read(f"tail_sampling: {{policies: {policies}, rules: {rules}}}")
    assert len(config.warnings) == warnings


def test_no_policies_are_warned_about() -> None:
    warnings: Any = _read("tail_sampling: {policies: []}").warnings
    assert [str(warning) for warning in warnings] == [
        "tail_sampling.policies is empty, so no trace is ever sampled"
    ]


def test_the_defaults_are_not_warned_about() -> None:
    assert load(None).warnings == ()


def test_a_definition_of_a_tenant_is_warned_of_where_nothing_says_whose_spans_are() -> None:
    alert = "{name: a, tenant: acme, where: {}, within: 1m, when: '> 1'}"
    config = _read(f"alerts: [{alert}]")
    assert list(map(str, config.warnings)) == [
        'alerts[0].tenant is "acme", of which there are no spans as long as tenancy does not say '
        "whose they are"
    ]
    assert _read(f"alerts: [{alert}]\ntenancy: {{header: x-tenant}}").warnings == ()
    assert _read(f"alerts: [{alert.replace('acme', 'default')}]").warnings == ()
