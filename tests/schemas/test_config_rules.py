"""Rules as users write them: defaults, and what each mistake is answered with."""

from collections.abc import Sequence
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from tailrace.schemas.config.rules import RulesConfig, rule_cautions
from tailrace.schemas.config.samplers import (
    DeterministicSampler,
    EmaDynamicSampler,
    EmaThroughputSampler,
    WindowedThroughputSampler,
)
from tailrace.schemas.config.section import Section, cautions, spelled
from tailrace.schemas.durations import SECOND


class Host(Section):
    """A section with rules."""

    rules: RulesConfig = ()


def _read(text: str) -> Host:
    return Host.model_validate({"rules": yaml.safe_load(text)})


def _problems(text: str) -> list[str]:
    with pytest.raises(ValidationError) as raised:
        _read(text)
    return [f"{spelled(error['loc'])} {error['msg']}" for error in raised.value.errors()]


def _cautions(text: str) -> list[str]:
    host = _read(text)
    of_all = ((("rules", *path), remark) for path, remark in rule_cautions(host.rules))
    return [f"{spelled(path)} {remark}" for path, remark in (*cautions(host), *of_all)]


def _sampler(body: str) -> Any:
    return _read(f"[{{name: r, sampler: {body}}}]").rules[0].sampler


def test_defaults_are_those_of_refinery() -> None:
    dynamic = _sampler("{type: ema_dynamic}")
    throughput = _sampler("{type: ema_throughput}")
    windowed = _sampler("{type: windowed_throughput}")

    assert _sampler("{type: deterministic}") == DeterministicSampler(
        type="deterministic", sample_rate=1
    )
    assert dynamic == EmaDynamicSampler(
        type="ema_dynamic",
        goal_sample_rate=10,
        adjustment_interval="15s",
        weight=0.5,
        burst_multiple=2.0,
        burst_detection_delay=3,
        max_keys=500,
        use_trace_length=False,
    )
    assert throughput == EmaThroughputSampler(
        type="ema_throughput",
        goal_throughput_per_sec=100,
        initial_sample_rate=10,
        adjustment_interval="15s",
        weight=0.5,
        burst_multiple=2.0,
        burst_detection_delay=3,
        max_keys=500,
    )
    assert windowed == WindowedThroughputSampler(
        type="windowed_throughput",
        goal_throughput_per_sec=100,
        update_frequency="1s",
        max_keys=500,
    )
    assert windowed.lookback == 30 * SECOND
    assert dynamic.age_out == throughput.age_out == 0.5


def test_a_key_is_forgotten_below_the_weight_unless_told() -> None:
    assert _sampler("{type: ema_dynamic, weight: 0.2}").age_out == 0.2
    assert _sampler("{type: ema_dynamic, weight: 0.2, age_out_value: 0.1}").age_out == 0.1


def test_a_window_is_whole_updates() -> None:
    body = "{type: windowed_throughput, fields: [name], update_frequency: 2s%s}"

    assert _sampler(body % "").lookback == 60 * SECOND
    assert _sampler(body % ", lookback_frequency: 7s").lookback == 6 * SECOND
    assert _cautions(f"[{{name: r, sampler: {body % ', lookback_frequency: 7s'}}}]") == [
        "rules[0].sampler.lookback_frequency is 7s, no multiple of update_frequency; 6s is used"
    ]


REFUSED: dict[str, tuple[str, Sequence[str]]] = {
    "nothing to do": (
        "[{name: r}]",
        ["rules[0] does nothing; give it keep: true, drop: true or a sampler"],
    ),
    "two things to do": (
        "[{name: r, keep: true, sampler: {type: ema_dynamic}}]",
        ["rules[0].sampler stands beside keep; a rule has one of keep, drop, sampler"],
    ),
    "not to drop": (
        "[{name: r, drop: false}]",
        ["rules[0].drop is false; make it true or remove it"],
    ),
    "no name": ("[{keep: true}]", ["rules[0].name is missing; add it"]),
    "a name given twice": (
        "[{name: r, keep: true}, {name: r, drop: true}]",
        ['rules[1].name is "r", as is that of rules[0]; give each its own'],
    ),
    "an unknown scope": (
        "[{name: r, scope: any_span, keep: true}]",
        ['rules[0].scope is "any_span"; it must be trace or span'],
    ),
    "the collector's key for scope": (
        "[{name: r, match: same_span, keep: true}]",
        ["rules[0].match is called scope here: any_span is trace, same_span is span"],
    ),
    "Refinery's rate of a rule": (
        "[{name: r, sample_rate: 10}]",
        [
            "rules[0].sample_rate stands in a sampler here: "
            "sampler: {type: deterministic, sample_rate: 10}"
        ],
    ),
    "a sampler without a type": (
        "[{name: r, sampler: {fields: [name]}}]",
        [
            "rules[0].sampler.type is missing; it must be one of deterministic, ema_dynamic, "
            "ema_throughput, windowed_throughput"
        ],
    ),
    "a type misspelt": (
        "[{name: r, sampler: {type: ema_dynamc}}]",
        ['rules[0].sampler.type is "ema_dynamc"; did you mean ema_dynamic?'],
    ),
    "a type of the collector": (
        "[{name: r, sampler: {type: adaptive_percentage}}]",
        [
            'rules[0].sampler.type is "adaptive_percentage"; use ema_dynamic, with '
            "goal_sample_rate 10 for 10 %"
        ],
    ),
    "a sampler that is a word": (
        "[{name: r, sampler: ema_dynamic}]",
        ['rules[0].sampler is "ema_dynamic"; it must be a mapping with a type'],
    ),
    "fields that there are not": (
        "[{name: r, sampler: {type: ema_dynamic, fields: [http.route, root.service, name]}}]",
        [
            f'rules[0].sampler.fields[{index}] is "{text}"; it must be name, kind, status, '
            "resource.KEY or attributes.KEY, or one of these after root."
            for index, text in enumerate(("http.route", "root.service"))
        ],
    ),
    "Refinery's name for fields": (
        "[{name: r, sampler: {type: ema_dynamic, field_list: [name]}}]",
        ["rules[0].sampler.field_list is called fields here"],
    ),
    "a goal for each worker": (
        "[{name: r, sampler: {type: ema_throughput, use_cluster_size: true}}]",
        [
            "rules[0].sampler.use_cluster_size is always so here, a goal is for the cluster; "
            "remove it"
        ],
    ),
    "numbers out of bounds, all at once": (
        "[{name: r, sampler: {type: ema_dynamic, weight: 1, goal_sample_rate: 0, max_keys: 0,"
        " age_out_value: 0, adjustment_interval: 10us}}]",
        [
            "rules[0].sampler.max_keys is 0; it must be 1 or more",
            "rules[0].sampler.adjustment_interval is 10us; it must be 1ms or more",
            "rules[0].sampler.weight is 1; it must be less than 1",
            "rules[0].sampler.age_out_value is 0; it must be more than 0",
            "rules[0].sampler.goal_sample_rate is 0; it must be 1 or more",
        ],
    ),
    "a burst of nothing": (
        "[{name: r, sampler: {type: ema_dynamic, burst_multiple: 0}}]",
        [
            "rules[0].sampler.burst_multiple is 0; it must be more, or -1 if nothing is to count "
            "as a burst"
        ],
    ),
    "a window shorter than an update": (
        "[{name: r, sampler: {type: windowed_throughput, lookback_frequency: 500ms}}]",
        ["rules[0].sampler.lookback_frequency is 500ms; it must be update_frequency (1s) or more"],
    ),
    "two rules with a mistake each": (
        "[{name: r}, {name: s, sampler: {type: deterministic, sample_rate: -1}}]",
        [
            "rules[0] does nothing; give it keep: true, drop: true or a sampler",
            "rules[1].sampler.sample_rate is -1; it must be 1 or more",
        ],
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_mistake_is_named_with_its_remedy(case: str) -> None:
    text, problems = REFUSED[case]

    assert _problems(text) == problems


CAUTIONED: dict[str, tuple[str, Sequence[str]]] = {
    "a rule for all before others": (
        "[{name: r, keep: true}, {name: s, drop: true}]",
        [
            "rules[0].conditions is empty, so every trace meets this rule and none the rules "
            "after it"
        ],
    ),
    "no rule for the rest": (
        "[{name: r, keep: true, conditions: 'IsRootSpan()'}]",
        [
            "rules[0].conditions is not empty, so a trace may meet no rule, and rules then do not "
            "sample it; end with a rule without conditions"
        ],
    ),
    "a scope that makes no difference": (
        "[{name: r, scope: span, keep: true}]",
        ["rules[0].scope is span, which differs from trace with two conditions or more only"],
    ),
    "a sampler without fields": (
        "[{name: r, sampler: {type: ema_dynamic}}]",
        ["rules[0].sampler.fields is empty, so all traces of the rule are of one key"],
    ),
    "a sampler that keeps everything": (
        "[{name: r, sampler: {type: deterministic}}]",
        [
            "rules[0].sampler.sample_rate is 1, so every trace of the rule is kept; keep: true "
            "says so"
        ],
    ),
    "keys that are forgotten at once": (
        "[{name: r, sampler: {type: ema_dynamic, fields: [name], age_out_value: 0.7}}]",
        [
            "rules[0].sampler.age_out_value is 0.7, more than weight, so a key that comes once is "
            "forgotten"
        ],
    ),
    "nothing": ("[{name: r, sampler: {type: ema_dynamic, fields: [name]}}]", []),
    "no rules": ("[]", []),
}


@pytest.mark.parametrize("case", CAUTIONED)
def test_what_can_hardly_be_meant_is_a_caution(case: str) -> None:
    text, remarks = CAUTIONED[case]

    assert _cautions(text) == remarks


def test_a_condition_that_cannot_be_read_is_told_with_its_place() -> None:
    problems = _problems(
        "[{name: r, keep: true, conditions: ['status.code == ', 'IsRootSpan()', 'Nope(name)']}]"
    )

    assert [problem.split()[0] for problem in problems] == [
        "rules[0].conditions[0]",
        "rules[0].conditions[2]",
    ]


def test_one_condition_needs_no_list() -> None:
    [rule] = _read("[{name: r, keep: true, conditions: 'name == \"a, b\"'}]").rules

    assert rule.conditions == ('name == "a, b"',)
