"""Configs that are wrong: every problem at once, with its path and what would be right."""

from pathlib import Path

import pytest

from tailrace.schemas.config import load, parse
from tailrace.schemas.config.policies import _KINDS, _PARTS
from tailrace.schemas.errors import ConfigError


def _problems(text: str, **environment: str) -> list[str]:
    with pytest.raises(ConfigError) as error:
        parse(text, "test.yaml", environment)
    assert str(error.value).splitlines() == [str(problem) for problem in error.value.problems]
    return str(error.value).splitlines()


def _policy(policy: str) -> str:
    return f"tail_sampling: {{policies: [{policy}]}}"


ONE: dict[str, tuple[str, str]] = {
    "a key that is nearly known": ("ap: x", "ap is not a known key; did you mean app?"),
    "a key that is not known at all": (
        "kafka: {zzz: 1}",
        "kafka.zzz is not a known key; here stand bootstrap_servers, create_topics, "
        "group_instance_id, replication_factor, session_timeout",
    ),
    "tenants by an attribute of something else": (
        "tenancy: {span_attribute: tenant}",
        "tenancy.span_attribute is not a known key; did you mean resource_attribute?",
    ),
    "tenants by an attribute without a name": (
        'tenancy: {resource_attribute: ""}',
        "tenancy.resource_attribute is empty; give it a value",
    ),
    "tenants by a header of ours": (
        "tenancy: {header: tailrace.watermark}",
        'tenancy.header is "tailrace.watermark"; headers of that beginning are our own, '
        "name another",
    ),
    "a misspelt section": (
        "tenanci: {}",
        "tenanci is not a known key; did you mean tenancy?",
    ),
    "the older name of a section": (
        "spanmetrics: {}",
        "spanmetrics is not a known key; did you mean span_metrics?",
    ),
    "a section that the collector numbers": (
        "service_graph/2: {}",
        "service_graph/2 is not a known key; did you mean service_graph?",
    ),
    "the collector's whole file": (
        "connectors: {span_metrics: {}}",
        "connectors is of the collector's file; here stand only the bodies of its tail_sampling, "
        "span_metrics and service_graph",
    ),
    "TLS": ("kafka: {security: {}}", "kafka.security is not yet in this version; remove it"),
    "a section that is a list": (
        "kafka: []",
        "kafka is a list; it must be a mapping of keys to values",
    ),
    "another encoding": (
        "input: {encoding: jaeger}",
        'input.encoding is "jaeger"; it must be otlp_proto or otlp_json',
    ),
    "no input topics": ("input: {topics: []}", "input.topics is empty; name at least one"),
    "a name that no topic can have": (
        "output: {sampled: 'a b'}",
        'output.sampled is "a b"; a topic\'s name has 1 to 249 letters, digits, dots, underscores '
        "or hyphens",
    ),
    "an output that is the input": (
        "output: {sampled: otlp_spans}",
        'output.sampled is "otlp_spans", which is an input topic too; the worker would read what '
        "it writes",
    ),
    "two outputs in one topic": (
        "output: {sampled: x, edges: x}",
        'output.edges is "x", as is output.sampled; give each its own',
    ),
    "kept traces in the topic of another output": (
        "tail_sampling: {policies: [], routes: [{topic: tailrace.decisions, kept: certainly}]}",
        'tail_sampling.routes[0].topic is "tailrace.decisions", as is output.decisions; give each '
        "its own",
    ),
    "a server with a scheme": (
        "kafka: {bootstrap_servers: ['kafka://a:1']}",
        'kafka.bootstrap_servers[0] is "kafka://a:1"; it must be host:port, as in localhost:9092',
    ),
    "a session that is too short": (
        "kafka: {session_timeout: 5s}",
        "kafka.session_timeout is 5s; it must be 6s or more",
    ),
    "a port out of range": (
        "web: {port: 65536}",
        "web.port is 65536; it must be 65535 or less",
    ),
    "a quoted port": (
        "web: {port: '80'}",
        'web.port is "80"; it must be a whole number, without quotes',
    ),
    "a secret of the wrong kind, which is not shown": (
        "web: {token: 12345}",
        "web.token is of the wrong kind; it must be text",
    ),
    "an empty secret": ("web: {token: ''}", "web.token is empty; give it a value"),
    "a size in no unit that we know": (
        "engine: {checkpoint_bytes: 1 GB}",
        'engine.checkpoint_bytes is "1 GB"; it must be a size in bytes, as in 32MiB or 65536',
    ),
    "a duration without a unit": (
        "engine: {grace: 10}",
        "engine.grace is 10 without a unit; say the unit, as in 10s or 10ms",
    ),
    "a quoted duration without a unit": (
        "engine: {grace: '10'}",
        "engine.grace is 10 without a unit; say the unit, as in 10s or 10ms",
    ),
    "a duration that is a list": (
        "engine: {grace: [1s]}",
        "engine.grace is a list; it must be a duration, as in 10s or 1m30s",
    ),
    "a negative duration": ("engine: {grace: -1s}", "engine.grace is -1s; it must be 0s or more"),
    "a variable that is not set": (
        'web: {token: "${TOKEN}"}',
        "web.token wants the environment variable TOKEN, which is not set; set it, or write "
        "${env:TOKEN:-default}",
    ),
    "a reference to something else than the environment": (
        'app: "${file:/etc/app}"',
        "app has ${file:/etc/app}; only ${NAME} of the environment is filled in. "
        "Write $${file:/etc/app} where the text is meant",
    ),
    "a value from the environment that does not fit, which is not shown": (
        'web: {port: "${PORT}"}',
        "web.port is a value from the environment that does not fit; it must be a whole number",
    ),
    "sampling without policies": (
        "tail_sampling: {decision_wait: 5s}",
        "tail_sampling.policies is missing; add it",
    ),
    "no room for traces": (
        "tail_sampling: {num_traces: 0, policies: []}",
        "tail_sampling.num_traces is 0; it must be 1 or more",
    ),
    "part of a trace": (
        "tail_sampling: {num_traces: 1.5, policies: []}",
        "tail_sampling.num_traces is 1.5; it must be a whole number",
    ),
    "a policy that is text": (
        _policy("errors"),
        'tail_sampling.policies[0] is "errors"; it must be a mapping with a name and a type',
    ),
    "a policy without a name": (
        _policy("{type: always_sample}"),
        "tail_sampling.policies[0].name is missing; give the policy a name of its own",
    ),
    "a name that is taken": (
        _policy("{name: a, type: always_sample}, {name: a, type: always_sample}"),
        'tail_sampling.policies[1].name is "a", as is that of policies[0]; give each its own',
    ),
    "a policy without a type": (
        _policy("{name: a}"),
        f"tail_sampling.policies[0].type is missing; it must be one of {', '.join(_KINDS)}",
    ),
    "a misspelt type": (
        _policy("{name: a, type: latencyy}"),
        'tail_sampling.policies[0].type is "latencyy"; did you mean latency?',
    ),
    "a misspelt type of a later version": (
        _policy("{name: a, type: rate_limit}"),
        'tail_sampling.policies[0].type is "rate_limit"; did you mean rate_limiting?',
    ),
    "the body of another type": (
        _policy("{name: a, type: always_sample, latency: {}}"),
        "tail_sampling.policies[0].latency is the body of a policy of type latency; this one's "
        "type is always_sample",
    ),
    "a body where there is none": (
        _policy("{name: a, type: always_sample, always_sample: {}}"),
        "tail_sampling.policies[0].always_sample has no settings; remove it, the type is enough",
    ),
    "a negative threshold": (
        _policy("{name: a, type: latency, latency: {threshold_ms: -5}}"),
        "tail_sampling.policies[0].latency.threshold_ms is -5; it must be 0 or more",
    ),
    "a quoted percentage": (
        _policy("{name: a, type: probabilistic, probabilistic: {sampling_percentage: '10'}}"),
        'tail_sampling.policies[0].probabilistic.sampling_percentage is "10"; it must be a number, '
        "without quotes",
    ),
    "a percentage that is no number": (
        _policy("{name: a, type: probabilistic, probabilistic: {sampling_percentage: .nan}}"),
        "tail_sampling.policies[0].probabilistic.sampling_percentage is not a number (NaN); give "
        "it a value",
    ),
    "a number as a salt": (
        _policy("{name: a, type: probabilistic, probabilistic: {hash_salt: 22}}"),
        "tail_sampling.policies[0].probabilistic.hash_salt is 22; it must be text: write "
        '"22", in quotes',
    ),
    "a number among values": (
        _policy("{name: a, type: string_attribute, string_attribute: {key: k, values: [200]}}"),
        "tail_sampling.policies[0].string_attribute.values[0] is 200; it must be text: write "
        '"200", in quotes',
    ),
    "a boolean in quotes": (
        _policy(
            "{name: a, type: string_attribute, string_attribute: {key: k, values: [a], "
            "invert_match: 'true'}}"
        ),
        'tail_sampling.policies[0].string_attribute.invert_match is "true"; it must be true or '
        "false, without quotes",
    ),
    "an expression that RE2 does not read": (
        _policy(
            "{name: a, type: string_attribute, string_attribute: {key: k, values: [a, '(b'], "
            "enabled_regex_matching: true}}"
        ),
        'tail_sampling.policies[0].string_attribute.values[1] is "(b", which is not an RE2 '
        "expression: missing ): (b",
    ),
    "an attribute without a key": (
        _policy("{name: a, type: string_attribute, string_attribute: {values: [a]}}"),
        "tail_sampling.policies[0].string_attribute.key is missing; add it",
    ),
    "no status codes": (
        _policy("{name: a, type: status_code, status_code: {status_codes: []}}"),
        "tail_sampling.policies[0].status_code.status_codes is empty; name at least one",
    ),
    "a status code in the wrong case": (
        _policy("{name: a, type: status_code, status_code: {status_codes: [Error]}}"),
        'tail_sampling.policies[0].status_code.status_codes[0] is "Error"; it must be OK, ERROR '
        "or UNSET",
    ),
    "an and inside an and": (
        _policy("{name: a, type: and, and: {and_sub_policy: [{type: and, and: {}}]}}"),
        'tail_sampling.policies[0].and.and_sub_policy[0].type is "and", which cannot stand inside '
        f"this policy; it must be one of {', '.join(_PARTS)}",
    ),
    "a wrong value inside an and": (
        _policy(
            "{name: a, type: and, and: {and_sub_policy: "
            "[{type: latency, latency: {threshold_ms: x}}]}}"
        ),
        "tail_sampling.policies[0].and.and_sub_policy[0].latency.threshold_ms is "
        '"x"; it must be a whole number',
    ),
    "a list instead of a config": (
        "[1]",
        "test.yaml is not a mapping; begin with a key such as kafka:",
    ),
    "a key that stands twice": (
        "app: a\nweb: {}\napp: b\n",
        'test.yaml, line 3, column 1, repeats the key "app" of line 1; keep one',
    ),
    "a key that stands twice further in": (
        _policy("{name: a, type: latency, name: b}"),
        'test.yaml, line 1, column 53, repeats the key "name" of line 1; keep one',
    ),
    "what is not YAML": (
        "app: x\n  web: {}\n",
        "test.yaml, line 2, column 6, is not valid YAML: mapping values are not allowed here",
    ),
    "a tag of another program": (
        "app: !secret x\n",
        "test.yaml, line 1, column 6, is not valid YAML: could not determine a constructor for "
        "the tag '!secret'",
    ),
    "a variable that does not end": (
        "web: {token: '${TOKEN'}",
        "web.token has ${; only ${NAME} of the environment is filled in. "
        "Write $${ where the text is meant",
    ),
    "a variable in another's default": (
        "app: ${A:-${B:-b}}",
        "app has ${; only ${NAME} of the environment is filled in. "
        "Write $${ where the text is meant",
    ),
    "aliases of aliases": (
        "\n".join(
            ["a0: &a0 [x, x]", *(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 60))]
        ),
        "test.yaml repeats too much by aliases; write it out",
    ),
    "a value inside itself": (
        "app: &a [*a]\n",
        "test.yaml, line 1, column 6, contains itself; write it out",
    ),
}


@pytest.mark.parametrize("case", ONE.values(), ids=ONE)
def test_one_problem(case: tuple[str, str]) -> None:
    text, problem = case
    assert _problems(text, PORT="s3cret") == [problem]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        pytest.param(
            "tail_storage: file_storage",
            "tail_storage has no meaning here: traces that wait are in tables on disk and in a "
            "changelog topic. Remove it; data_dir says where",
            id="a store for traces is there anyway",
        ),
        pytest.param(
            "num_shards: 4",
            "num_shards has no meaning here: the partitions of the input are the shards. Remove it",
            id="partitions are the shards",
        ),
        pytest.param(
            "block_on_overflow: true",
            "block_on_overflow is true; here a full partition decides its oldest trace, with the "
            "reason `traces`, and nothing is lost. Remove it, or raise num_traces",
            id="nothing blocks",
        ),
        pytest.param(
            "drop_pending_traces_on_shutdown: true",
            "drop_pending_traces_on_shutdown is true; here traces that wait survive a stop and go "
            "on where they were. Remove it",
            id="nothing is dropped on a stop",
        ),
        pytest.param(
            "sampling_strategy: span_ingest",
            'sampling_strategy is "span_ingest"; it must be trace-complete or span-ingest',
            id="a strategy that nobody knows",
        ),
        pytest.param(
            "routes: [{topic: a, policies: [errrs]}]",
            'routes[0].policies[0] is "errrs"; did you mean errors?',
            id="a route of a policy that is not there",
        ),
        pytest.param(
            "routes: [{topic: a}]",
            "routes[0] takes every trace; name policies, or kept: certainly or by_chance",
            id="a route that leaves nothing for the others",
        ),
    ],
)
def test_what_cannot_mean_the_same_is_refused_with_what_replaces_it(
    line: str, problem: str
) -> None:
    errors = "policies: [{name: errors, type: always_sample}]"
    assert _problems(f"tail_sampling:\n  {line}\n  {errors}") == [f"tail_sampling.{problem}"]


def test_every_problem_is_told_at_once() -> None:
    text = """
app: a b
colour: red
web: {port: x, token: "${TOKEN}"}
engine: {grace: 1}
tail_sampling:
  decision_wait: 10
  policies:
    - {name: a, type: latency, latnecy: {threshold_ms: 5}}
    - {name: a, type: composite}
    - {name: c, type: and, and: {and_sub_policy: [{type: nope}, {type: latency, latency: 5}]}}
"""
    starts = sorted(problem.split(" is ")[0] for problem in _problems(text))
    assert starts == [
        "app",
        "colour",
        "engine.grace",
        "tail_sampling.decision_wait",
        "tail_sampling.policies[0].latency",
        "tail_sampling.policies[0].latnecy",
        "tail_sampling.policies[1].composite",
        "tail_sampling.policies[1].name",
        "tail_sampling.policies[2].and.and_sub_policy[0].type",
        "tail_sampling.policies[2].and.and_sub_policy[1].latency",
        "web.port",
        "web.token wants the environment variable TOKEN, which",
    ]


def test_conditions_and_expressions_are_looked_at_whatever_stands_beside_them() -> None:
    text = """
tail_sampling:
  policies:
    - name: a
      type: ottl_condition
      ottl_condition: {error_mode: loud, span: ['name == 1 +'], spanevent: 'Foo(name)'}
    - name: b
      type: string_attribute
      string_attribute: {key: "", values: [a, "("], enabled_regex_matching: true}
  rules:
    - {conditions: ['name == "a"', 'Foo(name)'], keep: true}
"""
    starts = sorted(problem.split(" ")[0] for problem in _problems(text))
    assert starts == [
        "tail_sampling.policies[0].ottl_condition.error_mode",
        "tail_sampling.policies[0].ottl_condition.span[0]",
        "tail_sampling.policies[0].ottl_condition.spanevent[0]",
        "tail_sampling.policies[1].string_attribute.key",
        "tail_sampling.policies[1].string_attribute.values[1]",
        "tail_sampling.rules[0].conditions[1]",
        "tail_sampling.rules[0].name",
    ]


def test_what_does_not_go_together_is_told_beside_what_is_wrong_by_itself() -> None:
    text = """
tail_sampling:
  sampling_strategy: span-ingest
  decision_wait: 10
  tenant_budgets: {spans_per_second: 5}
  rules: [{name: rest, keep: yes}]
  policies:
    - {name: slow, type: latency, latency: {threshold_ms: x}}
    - {name: few, type: rate_limiting, rate_limiting: {spans_per_second: 5}}
    - text
  routes: [{topic: a, policies: [slow, rules/rest, fw]}]
"""
    starts = sorted(problem.split(" ")[0] for problem in _problems(text))
    assert starts == [
        "tail_sampling.decision_wait",
        "tail_sampling.policies[0].latency.threshold_ms",
        "tail_sampling.policies[1].type",
        "tail_sampling.policies[2]",
        "tail_sampling.routes[0].policies[2]",
        "tail_sampling.rules",
        "tail_sampling.rules[0].keep",
        "tail_sampling.tenant_budgets",
    ]


def test_a_file_that_is_not_there() -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.yaml cannot be read: no such file"):
        load(Path("nowhere.yaml"))


def test_a_file_that_is_not_text(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_bytes(b"app: \xff")
    with pytest.raises(ConfigError, match="is not UTF-8 text: byte 5 is wrong"):
        load(path, {})


def test_a_file_is_named_in_its_errors(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("app: [")
    with pytest.raises(ConfigError, match=r"config\.yaml, line 1, column 7, is not valid YAML"):
        load(path, {})


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{a: " * 5000 + "1" + "}" * 5000, "test.yaml is nested too deeply; no setting is"),
        ("app: " + "9" * 5000, "a number of 5000 digits"),
    ],
    ids=["a document nested without end", "a number that is no setting"],
)
def test_a_document_that_no_parser_likes_is_told_as_any_other_error(
    text: str, problem: str
) -> None:
    assert problem in _problems(text)[0]


def test_a_value_that_changes_nothing_may_come_from_the_environment() -> None:
    text = "tail_sampling: {policies: [], block_on_overflow: '${BLOCK}'}"
    parse(text, "test.yaml", {"BLOCK": "false"})
    [problem] = _problems(text, BLOCK="true")
    assert problem.startswith("tail_sampling.block_on_overflow is true")
