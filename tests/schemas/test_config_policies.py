"""Policies in a config: what they are by default, what is refused, and what can hardly be meant."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tailrace.schemas.config import parse
from tailrace.schemas.config.policies import _KINDS
from tailrace.schemas.config.policy_sections import TYPES
from tailrace.schemas.config.section import cautions, spelled
from tailrace.schemas.errors import ConfigError

Body = dict[str, Any]

ALL: Body = {"name": "a", "type": "always_sample"}
LIMIT: Body = {"type": "rate_limiting", "rate_limiting": {"spans_per_second": 1}}


def _of(kind: str, body: Body) -> Body:
    return {"name": "p", "type": kind, kind: body}


def _text(policy: Body) -> str:
    return json.dumps({"tail_sampling": {"policies": [policy]}})


def _policy(policy: Body) -> Any:
    return parse(_text(policy)).tail_sampling.policies[0]


def _cautions(policy: Body) -> list[str]:
    return [f"{spelled(path)} {text}" for path, text in cautions(_policy(policy))]


def _problems(policy: Body) -> list[str]:
    with pytest.raises(ConfigError) as error:
        parse(_text(policy))
    return str(error.value).splitlines()


DEFAULTS: dict[str, tuple[Body, Body]] = {
    "numeric_attribute": (
        {"key": "k", "min_value": 1},
        {"key": "k", "min_value": 1, "max_value": 0, "invert_match": False},
    ),
    "boolean_attribute": ({"key": "k"}, {"key": "k", "value": False, "invert_match": False}),
    "span_count": ({}, {"min_spans": 0, "max_spans": 0}),
    "trace_state": ({"key": "k"}, {"key": "k", "values": ()}),
    "rate_limiting": ({}, {"spans_per_second": 0, "burst_capacity": 0}),
    "bytes_limiting": ({}, {"bytes_per_second": 0, "burst_capacity": 0}),
    "and": ({}, {"and_sub_policy": ()}),
    "drop": ({}, {"drop_sub_policy": ()}),
    "composite": (
        {"rate_allocation": [{}]},
        {
            "max_total_spans_per_second": 0,
            "policy_order": (),
            "composite_sub_policy": (),
            "rate_allocation": ({"policy": "", "percent": 0},),
        },
    ),
}


@pytest.mark.parametrize("kind", DEFAULTS)
def test_a_body_has_its_defaults(kind: str) -> None:
    given, expected = DEFAULTS[kind]
    assert _policy(_of(kind, given)).model_dump(by_alias=True)[kind] == expected


@pytest.mark.parametrize("mode", ["ignore", "Silent", "PROPAGATE"])
def test_the_letters_of_an_error_mode_may_be_large_as_in_the_collector(mode: str) -> None:
    policy = _policy(_of("ottl_condition", {"error_mode": mode, "span": ["true"]}))
    assert policy.ottl_condition.error_mode == mode.lower()


def test_every_type_of_the_collector_is_there() -> None:
    assert {*TYPES} == {*_KINDS}


COMPOSITE: Body = {
    "max_total_spans_per_second": 10,
    "composite_sub_policy": [ALL, {**ALL, "name": "b"}],
    "rate_allocation": [{"policy": "a", "percent": 50}, {"policy": "b", "percent": 50}],
}
HARDLY_MEANT: dict[str, tuple[Body, list[str]]] = {
    "a number that texts are, too": (
        _of("numeric_attribute", {"key": "k", "max_value": 5}),
        [
            'numeric_attribute.key is "k", which matches whenever it is no whole number: texts, '
            "fractions and the like count as 0"
        ],
    ),
    "a number above 0": (_of("numeric_attribute", {"key": "k", "min_value": 400}), []),
    "bounds that leave no number": (
        _of("numeric_attribute", {"key": "k", "min_value": 5, "max_value": 4}),
        ["numeric_attribute.max_value is 4, less than min_value, so nothing ever matches"],
    ),
    "a count that every trace has": (
        _of("span_count", {"min_spans": 1}),
        ["span_count.min_spans is 1, so every trace is sampled"],
    ),
    "a count that no trace has": (
        _of("span_count", {"min_spans": 3, "max_spans": 2}),
        ["span_count.max_spans is 2, less than min_spans, so no trace is ever sampled"],
    ),
    "counts": (_of("span_count", {"min_spans": 2, "max_spans": 2}), []),
    "no budget": (
        _of("rate_limiting", {}),
        ["rate_limiting.spans_per_second is 0, so no trace is ever sampled"],
    ),
    "no budget but a burst": (
        _of("bytes_limiting", {"burst_capacity": 5}),
        ["bytes_limiting.bytes_per_second is 0, so nothing is sampled once the burst is spent"],
    ),
    "no values": (
        _of("trace_state", {"key": "k"}),
        ["trace_state.values is empty, so nothing ever matches"],
    ),
    "values that cannot be": (
        _of("trace_state", {"key": "k", "values": ["", "é" * 127, "é" * 128]}),
        [
            "trace_state.values[0] is empty text, which never matches",
            "trace_state.values[2] is too long together with key, so it never matches",
        ],
    ),
    "an empty drop": (
        _of("drop", {}),
        ["drop.drop_sub_policy is empty, so every trace is dropped"],
    ),
    "inside a not": (
        _of("not", {"not_sub_policy": {"type": "latency", "latency": {}}}),
        ["not.not_sub_policy.latency.threshold_ms is 0, so every trace is sampled"],
    ),
    "a composite": (_of("composite", COMPOSITE), []),
    "an empty composite": (
        _of("composite", {}),
        [
            "composite.composite_sub_policy is empty, so no trace is ever sampled",
            "composite.max_total_spans_per_second is 0, so no trace is ever sampled",
        ],
    ),
    "an order that does not count": (
        _of("composite", {**COMPOSITE, "policy_order": ["b", "a"]}),
        [
            "composite.policy_order is not the order of composite_sub_policy, which counts; put "
            "the policies there in the order you want"
        ],
    ),
    "the order as it is": (_of("composite", {**COMPOSITE, "policy_order": ["a", "b"]}), []),
    "a policy without a budget": (
        _of("composite", {**COMPOSITE, "rate_allocation": [{"policy": "a", "percent": 50}]}),
        [
            "composite.composite_sub_policy[1] has no rate_allocation, so what it matches is not "
            "sampled"
        ],
    ),
    "a budget for nobody": (
        _of(
            "composite",
            {**COMPOSITE, "rate_allocation": [{"policy": "x"}, *COMPOSITE["rate_allocation"]]},
        ),
        [
            'composite.rate_allocation[0].policy is "x", and no policy of composite_sub_policy '
            "has that name"
        ],
    ),
    "a budget that is given twice": (
        _of(
            "composite",
            {**COMPOSITE, "rate_allocation": [{"policy": "a"}, *COMPOSITE["rate_allocation"]]},
        ),
        ['composite.rate_allocation[0].policy is "a" again further on, which counts'],
    ),
    "more than all of it": (
        _of(
            "composite",
            {
                **COMPOSITE,
                "rate_allocation": [
                    {"policy": "a", "percent": 90},
                    {"policy": "b", "percent": 20},
                ],
            },
        ),
        ["composite.rate_allocation adds up to 110 %; more than the total may be sampled"],
    ),
    "less than nothing": (
        _of(
            "composite",
            {
                **COMPOSITE,
                "rate_allocation": [{"policy": "a", "percent": -5}, {"policy": "b", "percent": 5}],
            },
        ),
        ["composite.rate_allocation[0].percent is -5; an equal share is used, as for 0"],
    ),
    "one name for two": (
        _of(
            "composite",
            {**COMPOSITE, "composite_sub_policy": [ALL, ALL, {**ALL, "name": "b"}]},
        ),
        ['composite.composite_sub_policy has 2 policies named "a"; each gets that rate_allocation'],
    ),
}


@pytest.mark.parametrize("case", HARDLY_MEANT.values(), ids=HARDLY_MEANT)
def test_what_can_hardly_be_meant_is_a_caution(case: tuple[Body, list[str]]) -> None:
    policy, expected = case
    assert _cautions(policy) == expected


REFUSED: dict[str, tuple[Body, list[str]]] = {
    "a number without bounds": (
        _of("numeric_attribute", {"key": "k", "max_value": 0}),
        [
            "tail_sampling.policies[0].numeric_attribute.min_value and max_value are both 0, "
            "which is no bound; set one of them"
        ],
    ),
    "a number of more than 64 bits": (
        _of("numeric_attribute", {"key": "k", "min_value": 2**63}),
        [
            "tail_sampling.policies[0].numeric_attribute.min_value is 9223372036854775808; it "
            "must be a whole number of 64 bits"
        ],
    ),
    "a negative budget": (
        _of("rate_limiting", {"spans_per_second": -1}),
        ["tail_sampling.policies[0].rate_limiting.spans_per_second is -1; it must be 0 or more"],
    ),
    "settings of flags": (
        _of("trace_flags", {}),
        [
            "tail_sampling.policies[0].trace_flags has no settings; remove it, the type is enough"
        ],
    ),
    "a not of nothing": (
        _of("not", {}),
        ["tail_sampling.policies[0].not.not_sub_policy is missing; add it"],
    ),
    "a wrong value inside a composite": (
        _of("composite", {"composite_sub_policy": [_of("and", {"and_sub_policy": [
            _of("not", {"not_sub_policy": _of("span_count", {"min_spans": "3"})})
        ]})]}),
        [
            "tail_sampling.policies[0].composite.composite_sub_policy[0].and.and_sub_policy[0]"
            '.not.not_sub_policy.span_count.min_spans is "3"; it must be a whole number, without '
            "quotes"
        ],
    ),
    "a budget's part in quotes": (
        _of("composite", {"rate_allocation": [{"policy": "a", "percent": "5"}]}),
        [
            'tail_sampling.policies[0].composite.rate_allocation[0].percent is "5"; it must be a '
            "whole number, without quotes"
        ],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED)
def test_what_is_refused(case: tuple[Body, list[str]]) -> None:
    policy, expected = case
    assert _problems(policy) == expected


@pytest.mark.parametrize(
    ("policy", "is_stateful"),
    [
        (ALL, False),
        (LIMIT, True),
        (_of("bytes_limiting", {}), True),
        (_of("span_count", {"min_spans": 5}), False),
        (_of("span_count", {"max_spans": 5}), True),
        (_of("not", {"not_sub_policy": LIMIT}), True),
        (_of("and", {"and_sub_policy": [ALL, LIMIT]}), True),
        (_of("drop", {"drop_sub_policy": [ALL, LIMIT]}), True),
        (_of("composite", COMPOSITE), False),
        (_of("composite", {"composite_sub_policy": [LIMIT]}), True),
    ],
)
def test_it_is_as_stateful_as_the_collector_says(policy: Body, is_stateful: bool) -> None:
    named = {"name": "p", **policy}
    assert _policy(named).is_stateful is is_stateful
