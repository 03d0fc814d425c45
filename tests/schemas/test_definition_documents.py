"""Documents of definitions: all that is wrong is told, and what is right comes back as it was."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tailrace.schemas.config.definitions import Alerts, NotifyConfig, Slos, configured
from tailrace.schemas.config.section import Section, spelled
from tailrace.schemas.definitions import Definition, files
from tailrace.schemas.definitions.definition import DefinitionKey
from tailrace.schemas.definitions.documents import (
    from_json,
    from_key,
    to_json,
    to_key,
    to_yaml,
)
from tailrace.schemas.errors import ConfigError

ALERT = """
apiVersion: tailrace/v1
kind: Alert
metadata: {name: checkout-errors, labels: {owner: shop, tier: 2}, annotations: {summary: "s"}}
spec:
  where:
    service: checkout
    status: error
    duration: "> 500ms"
    attributes: {http.route: [/pay, "1e3", "yes"], retries: {gte: 2}}
    db: {statement: {regex: "SELECT .*"}}
    none: [{name: health}]
  within: 1m30s
  when: {critical: ">= 10", warning: ">= 3"}
  for: 0.25s
"""
SLO = """
apiVersion: tailrace/v1
kind: SLO
metadata: {name: checkout, tenant: acme}
spec:
  sli: {latency: {of: {service: checkout, kind: [server, consumer]}, threshold: 300ms}}
  objective: 99.9
  tiers: [{severity: page, long: 1h, short: 5m, budget: 0.02}]
"""
SHORT = (
    "apiVersion: tailrace/v1\nkind: Alert\nmetadata: {name: a}\nspec: {where: {}, when: '> 5'}\n"
)


def _read(text: str, tenant: str | None = None) -> list[Definition[Any]]:
    return list(files.read(text, "test.yaml", tenant).definitions)


def _problems(text: str, tenant: str | None = None) -> list[str]:
    with pytest.raises(ConfigError) as error:
        files.read(text, "test.yaml", tenant)
    return str(error.value).splitlines()


def _alert(metadata: str = "{name: a}", spec: str = "{where: {}, when: '> 5'}") -> str:
    return f"{{apiVersion: tailrace/v1, kind: Alert, metadata: {metadata}, spec: {spec}}}"


ONE: dict[str, tuple[str, str]] = {
    "no document at all": (
        "# nothing\n---\n",
        "test.yaml holds no document; begin with apiVersion: tailrace/v1",
    ),
    "text": (
        "hello",
        'documents[0] is "hello"; a document is a mapping of apiVersion, kind, metadata, spec',
    ),
    "no version": (
        "{kind: Alert, metadata: {name: a}, spec: {where: {}, when: '> 5'}}",
        'documents[0] Alert "a": apiVersion is missing; it must be tailrace/v1 (Sloth\'s version: '
        "prometheus/v1 and OpenSLO's openslo/v1 are read too)",
    ),
    "a kind in the wrong case": (
        "{apiVersion: tailrace/v1, kind: slo, metadata: {name: a}, spec: {}}",
        'documents[0] slo "a": kind is "slo"; did you mean SLO?',
    ),
    "a kind that is nearly known": (
        "{apiVersion: tailrace/v1, kind: Alart, metadata: {name: a}, spec: {}}",
        'documents[0] Alart "a": kind is "Alart"; did you mean Alert?',
    ),
    "a key of the envelope that is nearly known": (
        f"{_alert()[:-1]}, metdata: {{}}}}",
        'documents[0] Alert "a": metdata is not a known key; did you mean metadata?',
    ),
    "no name": (
        _alert("{labels: {owner: me}}"),
        "documents[0] Alert: metadata.name is missing; add it",
    ),
    "a name with a slash": (
        _alert("{name: a/b}"),
        'documents[0] Alert "a/b": metadata.name is "a/b"; a name has 1 to 200 letters, digits, '
        "hyphens, dots or underscores, and begins and ends with a letter or a digit",
    ),
    "a label that Prometheus would not take": (
        _alert("{name: a, labels: {team.name: b}}"),
        'documents[0] Alert "a": metadata.labels.team.name is no name of a label; it has letters, '
        "digits and underscores, and begins with no digit",
    ),
    "a label without a value": (
        _alert("{name: a, labels: {owner: }}"),
        'documents[0] Alert "a": metadata.labels.owner is empty; it must be text',
    ),
    "no spec": (
        "{apiVersion: tailrace/v1, kind: Alert, metadata: {name: a}}",
        'documents[0] Alert "a": spec is missing; add it',
    ),
    "a spec that contradicts itself": (
        _alert(spec="{when: '> 5'}"),
        'documents[0] Alert "a": spec needs exactly one of where, trace and formula',
    ),
    "a threshold that cannot be read": (
        _alert(spec="{where: {}, when: many}"),
        'documents[0] Alert "a": spec.when is "many"; write it as in ">= 10"',
    ),
    "a period in months, which are not of one length": (
        "{apiVersion: tailrace/v1, kind: SLO, metadata: {name: a}, spec: {objective: 99, "
        "sli: {availability: {of: {}}}, period: 1M}}",
        'documents[0] SLO "a": spec.period is "1M", which is not a duration; write it as in 10s, '
        "1m30s or 300ms (units: ns, us, ms, s, m, h, d, w)",
    ),
    "a period that rolls and is of the calendar": (
        "{apiVersion: tailrace/v1, kind: SLO, metadata: {name: a}, spec: {objective: 99, "
        "sli: {availability: {of: {}}}, period: 7d, calendar: month}}",
        'documents[0] SLO "a": spec.calendar and period exclude each other; keep one of them',
    ),
    "a tier that calls itself what a spent budget is called": (
        "{apiVersion: tailrace/v1, kind: SLO, metadata: {name: a}, spec: {objective: 99, sli: "
        "{availability: {of: {}}}, tiers: [{severity: freeze, long: 1h, short: 5m, factor: 2}]}}",
        'documents[0] SLO "a": spec.tiers[0].severity is freeze, which says that the budget is '
        "spent; name it otherwise, or set freeze to false",
    ),
    "freshness that is given up before it is told": (
        "{apiVersion: tailrace/v1, kind: SLO, metadata: {name: a}, spec: {objective: 99, sli: "
        "{freshness: {of: {}, max_age: 1d, gone_after: 1h}}, group_by: [service]}}",
        'documents[0] SLO "a": spec.sli.freshness.gone_after is 1h; it must be longer than '
        "max_age, 24h, or nobody is ever told",
    ),
    "freshness of no group that is given up": (
        "{apiVersion: tailrace/v1, kind: SLO, metadata: {name: a}, spec: {objective: 99, sli: "
        "{freshness: {of: {}, max_age: 1h, gone_after: 1d}}}}",
        'documents[0] SLO "a": spec.sli.freshness.gone_after is for groups, and there is no '
        "group_by; remove it: without groups what stays out is told until it comes back",
    ),
    "an infinite number, which JSON has not": (
        _alert(spec="{where: {attributes: {x: {gt: .inf}}}, when: '> 5'}"),
        'documents[0] Alert "a": spec.where.attributes.x.gt is inf; it must be a finite number',
    ),
    "half of a character, which JSON has not": (
        _alert(spec='{where: {name: "\\ud800"}, when: "> 5"}'),
        'documents[0] Alert "a": spec.where.name has half of a character, a lone surrogate; write '
        "it whole",
    ),
    "a key that stands twice": (
        _alert("{name: a, name: b}"),
        'test.yaml, line 1, column 60, repeats the key "name" of line 1; keep one',
    ),
    "the same definition twice": (
        f"{_alert()}\n---\n{_alert()}",
        'documents[1] Alert "a" is the same Alert as documents[0]; keep one',
    ),
}


_SEVERITIES = ", ".join(f"s{number}: '> {number}'" for number in range(21))
ONE |= {  # what every event would have
    "long annotations": (
        _alert(f"{{name: a, annotations: {{a: {'x' * 16_384}}}}}"),
        'documents[0] Alert "a": metadata.annotations have 16385 characters, and every event '
        "has them all; at most 16384 are possible, so link to what is longer",
    ),
    "long labels": (
        _alert(f"{{name: a, labels: {{a: {'x' * 16_384}}}}}"),
        'documents[0] Alert "a": metadata.labels have 16385 characters, and every event '
        "has them all; at most 16384 are possible, so link to what is longer",
    ),
    "a long severity": (
        _alert(spec=f"{{where: {{}}, when: '> 5', severity: {'x' * 101}}}"),
        'documents[0] Alert "a": spec has a severity of 101 characters; it may have 100',
    ),
    "a long comparison": (
        _alert(spec=f"{{where: {{}}, when: '> {'0' * 99}1'}}"),
        'documents[0] Alert "a": spec.when has 102 characters; it may have 100',
    ),
    "many severities": (
        _alert(spec=f"{{where: {{}}, when: {{{_SEVERITIES}}}}}"),
        'documents[0] Alert "a": spec.when has 21 severities; there may be 20',
    ),
}


@pytest.mark.parametrize("case", ONE.values(), ids=ONE)
def test_one_problem(case: tuple[str, str]) -> None:
    text, problem = case
    assert _problems(text) == [problem]


BOTH: dict[str, tuple[str, list[str]]] = {
    "a wrong filter and a wrong comparison": (
        "{where: {servce: a}, when: many}",
        [
            "spec.where.servce is not a known key; did you mean service?",
            'spec.when is "many"; write it as in ">= 10"',
        ],
    ),
    "of several severities": (
        "{where: {duration: fast}, aggregate: rate, when: {page: '> 5/s', info: 'some'}}",
        [
            'spec.where.duration is "fast"; write it as in "> 500ms" or ">= 1s"',
            'spec.when.info is "some"; write it as in "> 5/s"',
        ],
    ),
    "an unknown key and a wrong comparison": (
        "{where: {}, wihtin: 5m, when: '10'}",
        [
            "spec.wihtin is not a known key; did you mean within?",
            'spec.when is "10"; write it as in ">= 10"',
        ],
    ),
    "a wrong operand and a wrong formula": (
        "{formula: a +, series: {a: {where: {nme: x}}}, when: '> 5'}",
        [
            "spec.series.a.where.nme is not a known key; did you mean name?",
            "spec.formula ",
        ],
    ),
    "of an unknown aggregate nothing is known": (
        "{where: {}, aggregate: quantil, when: '> 5s'}",
        ["spec.aggregate is"],
    ),
}


@pytest.mark.parametrize("case", BOTH.values(), ids=BOTH)
def test_a_wrong_filter_hides_no_other_mistake(case: tuple[str, list[str]]) -> None:
    spec, problems = case
    found = [each.removeprefix('documents[0] Alert "a": ') for each in _problems(_alert(spec=spec))]
    assert len(found) == len(problems)
    assert [each[: len(said)] for each, said in zip(found, problems, strict=True)] == problems


def test_every_problem_of_every_document_is_told_at_once() -> None:
    first = _alert("{name: a b}", "{when: []}")
    text = "\n---\n".join([first, _alert(), "kind: X", "- 5", "[a: b\n"])
    starts = [problem.split(" is ")[0] for problem in _problems(text)]
    assert starts == [
        "test.yaml, line 10, column 1,",
        'documents[0] Alert "a b": metadata.name',
        'documents[0] Alert "a b": spec.when',
        "documents[2] X: apiVersion",
        "documents[2] X: kind",
        "documents[2] X: metadata",
        "documents[3]",
    ]


@pytest.mark.parametrize("key", ["url", "routing_key", "bearer_token", "password"])
@pytest.mark.parametrize("secret", ["hunter2", "'hunter2", "*hunter2", "!hunter2 x", "[hunter2]"])
def test_no_problem_shows_a_secret_that_stands_in_a_document(key: str, secret: str) -> None:
    body = {
        "url": f"slack: {{url: {secret}}}",
        "routing_key": f"pagerduty: {{routing_key: {secret}}}",
        "bearer_token": f"webhook: {{url: 'https://x', bearer_token: {secret}}}",
        "password": f"email: {{auth: {{username: a, password: {secret}}}}}",
    }[key]
    text = f"apiVersion: tailrace/v1\nkind: ContactPoint\nmetadata: {{name: c}}\nspec: {{{body}}}\n"
    assert "hunter2" not in "\n".join(_problems(text))


def test_a_document_may_reach_no_further_ahead_than_is_right_when_it_is_applied() -> None:
    snooze = (
        "{apiVersion: tailrace/v1, kind: Snooze, metadata: {name: s}, "
        "spec: {alert: a, until: '2030-01-31T00:00:00Z', reason: r}}"
    )
    now = 1_893_456_000_000  # 2030-01-01
    assert files.read(snooze, "test.yaml", None, now).definitions == tuple(_read(snooze))
    with pytest.raises(ConfigError) as error:
        files.read(snooze, "test.yaml", None, now - 1)
    assert str(error.value).startswith('documents[0] Snooze "s": spec.until is 2030-01-31T')


def test_a_list_of_documents_is_these_documents() -> None:
    both = json.dumps([{"kind": "X"}, {"kind": "Y"}])
    assert [p.split(":")[0] for p in _problems(both)][::3] == ["documents[0] X", "documents[1] Y"]


def test_a_document_is_of_the_tenant_that_is_asked_for_unless_it_says_another() -> None:
    (definition,) = _read(_alert(), "acme")
    assert definition.tenant == "acme"
    assert _read(_alert("{name: a, tenant: acme}"), "acme") == [definition]
    assert _problems(_alert("{name: a, tenant: b}"), "acme") == [
        'documents[0] Alert "a": metadata.tenant is "b"; only definitions of "acme" may be here'
    ]


@pytest.mark.parametrize("text", [ALERT, SLO, SHORT], ids=["alert", "SLO", "short"])
def test_a_definition_comes_back_from_its_record_and_its_yaml_as_it_was(text: str) -> None:
    (definition,) = _read(text)
    record = to_json(definition)
    assert from_json(to_key(definition.key), record, 0) == definition
    assert from_json(to_key(definition.key), record, 7).version == 7
    assert to_json(from_json(to_key(definition.key), record, 7)) == record
    assert _read(to_yaml(definition)) == [definition]
    assert _read(record.decode()) == [definition]


def test_a_document_is_kept_as_users_write_it() -> None:
    (definition,) = _read(ALERT)
    spec = json.loads(to_json(definition))["spec"]
    assert spec["where"]["service"] == "checkout"
    assert spec["where"]["duration"] == "> 500ms"
    assert spec["where"]["attributes"] == {
        "http.route": ["/pay", "1e3", "yes"],
        "retries": {"gte": 2},
    }
    assert spec["within"] == "1m30s"
    assert list(spec["when"]) == ["critical", "warning"]
    assert json.loads(to_json(_read(SHORT)[0]))["spec"]["when"] == "> 5"


IN_DAYS = {
    "the period of an SLO": (SLO.replace("99.9", "99.9\n  period: 2w"), "period", "336h"),
    "a window": (SHORT.replace("where:", "within: 1w, where:"), "within", "168h"),
    "what an alert waits for": (SHORT.replace("where:", "for: 1d, where:"), "for", "24h"),
    "a bound of a filter": (
        SHORT.replace("{where: {}", "{where: {duration: '> 1d'}"),
        "where",
        {"duration": "> 24h"},
    ),
    "a bound of a quantile": (
        SHORT.replace("'> 5'", "'> 1d', aggregate: quantile"),
        "when",
        "> 1d",
    ),
}


@pytest.mark.parametrize(("text", "key", "kept"), IN_DAYS.values(), ids=IN_DAYS)
def test_definitions_may_speak_of_days_and_weeks(text: str, key: str, kept: Any) -> None:
    (definition,) = _read(text)
    assert json.loads(to_json(definition))["spec"][key] == kept


def test_another_spelling_of_the_same_is_the_same_record() -> None:
    other = SHORT.replace("'> 5'", "{'': '> 5'}").replace("{name: a}", "{tenant: default, name: a}")
    assert other != SHORT
    assert to_json(_read(other)[0]) == to_json(_read(SHORT)[0])


_texts = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), max_size=8)
_words = st.sampled_from(["1e3", "yes", "0o17", "null", "~", "1:30", "<<", "12", ".5", "=", "a"])


@settings(max_examples=50)
@given(values=st.lists(_texts | _words, min_size=1, max_size=4), name=_texts)
def test_any_text_comes_back_from_yaml(values: list[str], name: str) -> None:
    spec = {"where": {"name": {"ne": name}, "attributes": {"k": values}}, "when": "> 5"}
    said = {"apiVersion": "tailrace/v1", "kind": "Alert", "metadata": {"name": "a"}, "spec": spec}
    (definition,) = _read(json.dumps(said))
    assert _read(to_yaml(definition)) == [definition]
    assert from_json(to_key(definition.key), to_json(definition), 0) == definition


def _record(**changes: Any) -> bytes:
    (definition,) = _read(_alert())
    return json.dumps(json.loads(to_json(definition)) | changes).encode()


@pytest.mark.parametrize(
    ("value", "why"),
    [
        pytest.param(b"{", "is no definition", id="no JSON"),
        pytest.param(b"[]", "is a list", id="no mapping"),
        pytest.param(_record(apiVersion="tailrace/v2"), "apiVersion is", id="a newer version"),
        pytest.param(_record(status={}), "status is not a known key", id="a newer key"),
        pytest.param(_record(metadata={"name": "b"}), "the key is of another", id="another's key"),
    ],
)
def test_a_record_that_cannot_be_read_is_an_error_that_says_why(value: bytes, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        from_json(to_key(DefinitionKey("Alert", "default", "a")), value, 1)


@pytest.mark.parametrize("key", [b"", b"x", b"[1,2,3]", b'["Alert","a"]', b'{"a":1}'])
def test_a_key_that_is_none_is_an_error(key: bytes) -> None:
    with pytest.raises(ValueError, match="is no key of a definition"):
        from_key(key)


class _Config(Section):
    alerts: Alerts = ()
    slos: Slos = ()
    notify: NotifyConfig = NotifyConfig()


def test_a_config_holds_the_same_definitions_without_their_envelopes() -> None:
    config = _Config.model_validate(
        {
            "alerts": [{"name": "a", "labels": {"owner": "x"}, "where": {}, "when": "> 5"}],
            "slos": [
                {
                    "name": "checkout",
                    "tenant": "acme",
                    "sli": {"availability": {"of": {}}},
                    "objective": 99,
                }
            ],
        }
    )
    known = configured(config.alerts, config.slos, config.notify)
    assert [tuple(key) for key in known.by_key] == [
        ("Alert", "default", "a"),
        ("SLO", "acme", "checkout"),
    ]
    assert {each.version for each in known.by_key.values()} == {0}
    assert known.by_key[DefinitionKey("Alert", "default", "a")].labels == {"owner": "x"}


def test_what_is_wrong_in_a_config_is_told_by_its_path() -> None:
    a = {"name": "a", "where": {}, "when": "> 5"}
    with pytest.raises(ValidationError) as error:
        _Config.model_validate(
            {
                "alerts": [a, a, {**a, "name": "b", "when": "x"}, {**a, "name": "c", "wen": 1}, 5],
                "slos": {},
                "notify": {"policies": [{"name": "p"}], "external_url": "traces"},
            }
        )
    assert [f"{spelled(each['loc'])} {each['msg']}" for each in error.value.errors()] == [
        'alerts[1].name is "a", as is that of [0]; give each its own',
        'alerts[2].when is "x"; write it as in ">= 10"',
        "alerts[3].wen is not a known key; did you mean when?",
        "alerts[4] is 5; it must be a mapping with a name",
        "slos is a mapping; it must be a list",
        "notify.policies[0].route is missing; add it",
        'notify.external_url is "traces"; it must be a link, as in https://traces.example.com',
    ]
