"""What a task is told beside records is as good as a record: policies, links, lack of memory."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.trace.v1.trace_pb2 import Span as OtlpSpan

from tailrace.agents.sampling.stamps import (
    POLICY_ATTRIBUTE,
    PROBABILITY_ATTRIBUTE,
    VERSION_ATTRIBUTE,
)
from tailrace.schemas.control import ControlRecord, Keep, decode
from tailrace.schemas.definitions import Definition, Definitions
from tailrace.schemas.records import Output
from tailrace.schemas.topics import (
    DECISION_HEADER,
    POLICY_HEADER,
    POLICY_VERSION_HEADER,
    PROBABILITY_HEADER,
)
from tests.agents.alerts.alert_partition import alert
from tests.otlp import flat
from tests.streams.sampling_lives import EVENTS, LETTERS, Story, lived, once, policies
from tests.streams.span_traffic import BEGIN_MS, CALLS, TRACES, rows, traffic

ERRORS = {"name": "errors", "type": "status_code", "status_code": {"status_codes": ["ERROR"]}}
SLOW = {"name": "slow", "type": "latency", "latency": {"threshold_ms": 100}}
BRIEF = {
    "name": "brief",
    "type": "latency",
    "latency": {"threshold_ms": 30, "upper_threshold_ms": 80},
}
HALF = {
    "name": "half",
    "type": "probabilistic",
    "probabilistic": {"sampling_percentage": 50, "hash_salt": "pepper"},
}
WEIGHTY = {
    "name": "weighty",
    "type": "ottl_condition",
    "ottl_condition": {"span": ['IsMatch(attributes["weight"], "ww")']},
}
CARTS = {
    "name": "carts",
    "type": "drop",
    "drop": {
        "drop_sub_policy": [
            {
                "name": "cart",
                "type": "string_attribute",
                "string_attribute": {"key": "service.name", "values": ["cart"]},
            }
        ]
    },
}


def rate(name: str, spans: int, burst: int = 0) -> dict[str, Any]:
    return {
        "name": name,
        "type": "rate_limiting",
        "rate_limiting": {"spans_per_second": spans, "burst_capacity": burst},
    }


SIZE = {
    "name": "size",
    "type": "bytes_limiting",
    "bytes_limiting": {"bytes_per_second": 700, "burst_capacity": 1500},
}
MIXED = {
    "name": "rate",
    "type": "composite",
    "composite": {
        "max_total_spans_per_second": 4,
        "policy_order": ["errors", "rest"],
        "composite_sub_policy": [ERRORS, {"name": "rest", "type": "always_sample"}],
        "rate_allocation": [{"policy": "errors", "percent": 50}, {"policy": "rest", "percent": 25}],
    },
}
_EMA = {
    "type": "ema_dynamic",
    "goal_sample_rate": 3,
    "fields": ["span.name"],
    "adjustment_interval": "1s",
}
_THROUGHPUT = {
    "type": "ema_throughput",
    "goal_throughput_per_sec": 2,
    "initial_sample_rate": 2,
    "adjustment_interval": "2s",
    "fields": ['resource.attributes["service.name"]'],
    "use_trace_length": True,
}
_WINDOW = {
    "type": "windowed_throughput",
    "goal_throughput_per_sec": 2,
    "lookback_frequency": "3s",
    "max_keys": 1,
    "fields": ["span.name"],
}


def rule(name: str, sampler: Mapping[str, Any], *conditions: str) -> dict[str, Any]:
    return {"name": name, "sampler": sampler, "conditions": list(conditions)}


BAD = "span.status.code == STATUS_CODE_ERROR"
SETS: list[dict[str, Any]] = [
    {"policies": [ERRORS, SLOW, HALF]},
    {"policies": [BRIEF, WEIGHTY, ERRORS]},
    {"policies": [SLOW]},
    {"policies": [CARTS, WEIGHTY]},
    {"policies": [rate("rate", 2)]},
    {"policies": [rate("rate", 3, 20), HALF]},
    {"policies": [CARTS, MIXED, SIZE]},
    {
        "policies": [SIZE, ERRORS, rate("other", 1, 2), rate("rate", 2)],
        "sample_on_first_match": True,
    },
    {"rules": [rule("bad", _THROUGHPUT, BAD), rule("rest", _EMA)]},
    {"policies": [SLOW], "rules": [rule("bad", _WINDOW, BAD), rule("rest", _THROUGHPUT)]},
]
LIMITS: list[dict[str, Any]] = [
    {"decision_wait": "1s", "decision_retention": "2s"},
    {"decision_wait": "3s", "decision_retention": "1s"},
    {"decision_wait": "2s", "decision_retention": "20s", "num_traces": 2},
    {
        "decision_wait": "3s",
        "decision_retention": "4s",
        "decision_wait_after_root_received": "700ms",
        "maximum_trace_spans": 4,
    },
    {"decision_wait": "2s", "decision_retention": "5s", "maximum_trace_size_bytes": 900},
    {
        "decision_wait": "500ms",
        "decision_retention": "1h",
        "decision_cache": {"sampled_cache_size": 1, "non_sampled_cache_size": 2},
    },
    {
        "decision_wait": "3s",
        "decision_retention": "1h",
        "maximum_trace_spans": 2,
        "decision_cache": {"sampled_cache_size": 1},
    },
]
ROUTES = {
    "routes": [
        {"topic": "by_chance", "kept": "by_chance"},
        {"topic": "bad", "policies": ["alert", "linked", "forced"]},
    ]
}
EXTRAS: list[dict[str, Any]] = [
    {},
    {"force_keep": ["debug"]},
    ROUTES,
    {"dry_run": True},
    {"keep_linked": "2s", **ROUTES},
    {"keep_linked": "20s", "dry_run": True, "force_keep": ["debug"]},
]
SPANS = st.builds(
    lambda span, links, debug: span.but(links=links, attributes={**span.attributes, **debug}),
    CALLS,
    st.sampled_from([(), (), (TRACES[0],), (TRACES[1], TRACES[2])]),
    st.sampled_from([{}, {}, {}, {"debug": "0"}, {"debug": "yes"}]),
)
MATCHED = alert("bad", when=">= 1")

SECTIONS = st.builds(
    lambda base, limits, extra: {**base, **limits, **extra},
    st.sampled_from(SETS),
    st.sampled_from(LIMITS),
    st.sampled_from(EXTRAS),
)
ALONE = {"decision_wait": "2s", "decision_retention": "3s", "sampling_strategy": "span-ingest"}
OF_MESSAGES = st.builds(
    lambda base, limits, extra: {**base, **ALONE, **limits, **extra},
    st.sampled_from([SETS[0], SETS[1], SETS[3]]),
    st.sampled_from([{}, {"maximum_trace_size_bytes": 900}, {"maximum_trace_spans": 3}]),
    st.sampled_from(EXTRAS),
)
PLACES = st.integers(0, 12)
RELIEVED = st.dictionaries(PLACES, st.integers(1, 3), max_size=3)
RESTS = st.dictionaries(PLACES, st.sampled_from([1, 600, 1001, 3500]), max_size=2)
KEEPS = st.builds(
    Keep,
    st.lists(st.sampled_from(TRACES), min_size=1, max_size=3, unique=True).map(tuple),
    st.integers(0, 20_000).map(lambda ms: BEGIN_MS + ms),
)
HEARD = st.dictionaries(PLACES, st.lists(KEEPS, min_size=1, max_size=2), max_size=3)


@st.composite
def told(draw: st.DrawFn) -> Mapping[int, Definitions]:
    """Policies that come, change, and go, beside an alert."""
    found = {0: Definitions.of_all([MATCHED], 0)}
    for place in sorted(draw(st.sets(PLACES, max_size=4))):
        specs = draw(st.lists(st.sampled_from(SETS), max_size=2))
        of_it: list[Definition[Any]] = [
            policies(place + 1, spec, name) for spec, name in zip(specs, "ab", strict=False)
        ]
        found[place] = Definitions.of_all([MATCHED, *of_it], place + 1)
    return found


@st.composite
def stories(draw: st.DrawFn) -> Story:
    """Stories; what the task itself said of links in one of them is said in it, a bit later."""
    story = Story(
        draw(SECTIONS | OF_MESSAGES),
        rows(draw(traffic(SPANS, least_records=5, most_records=14))),
        draw(RESTS),
        draw(told()),
        draw(HEARD),
        draw(RELIEVED),
        draw(st.sampled_from([("sampling",), ("sampling", "alerts")])),
    )
    if "keep_linked" not in story.section:
        return story
    heard: dict[int, list[ControlRecord]] = {n: [*each] for n, each in story.heard.items()}
    times = [each.timestamp for each in story.records]
    for output in once(story).get("tailrace-control", []):
        heard.setdefault(sum(at <= output.timestamp for at in times) + 1, []).append(
            decode(output.value)
        )
    return replace(story, heard=heard)


@settings(max_examples=150, deadline=None)
@given(stories(), EVENTS)
def test_outputs_are_those_of_one_uninterrupted_run(story: Story, events: list[str]) -> None:
    assert lived(story, events) == once(story)


OUTPUTS = ("otlp_sampled", "by_chance", "bad")


def outcome(said: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(said[key] for key in ("decision", "policy", "probability", "policy_version"))


@settings(max_examples=60, deadline=None)
@given(stories())
def test_late_spans_follow_the_decision_before_and_all_that_is_sent_says_so(story: Story) -> None:
    sent = once(story)
    spans: Counter[tuple[Any, ...]] = Counter()
    last: dict[str, dict[str, Any]] = {}
    for output in sent.get("tailrace.decisions", []):
        said = orjson.loads(output.value)
        if said["late"]:
            before = last[said["trace_id"]]
            assert (outcome(said), said["reason"]) == (outcome(before), before["reason"])
        last[said["trace_id"]] = said
        spans[output.key, output.timestamp, *outcome(said)] += said["spans"]
    forwarded: Counter[tuple[Any, ...]] = Counter()
    topics: dict[tuple[Any, ...], set[str]] = defaultdict(set)
    for topic in OUTPUTS:
        for output in sent.get(topic, []):
            headers = {name: value.decode() for name, value in output.headers}
            chance = headers.get(PROBABILITY_HEADER)
            own = (
                headers.get(DECISION_HEADER, "sampled"),
                headers[POLICY_HEADER] or None,
                None if chance is None else float(chance),
                headers[POLICY_VERSION_HEADER],
            )
            found = flat([output.value])
            forwarded[output.key, output.timestamp, *own] += len(found)
            topics[own].add(topic)
            if own[0] == "sampled" and not story.section.get("dry_run"):
                assert {stamp(each.span) for each in found} == {own[1:]}
    assert all(len(each) == 1 for each in topics.values())
    unfit = Counter(letter_reason(each) for each in sent[LETTERS])["span_too_large"]
    is_forwarded = bool(story.section.get("dry_run"))
    wanted = Counter({row: n for row, n in spans.items() if is_forwarded or row[2] == "sampled"})
    assert not forwarded - wanted
    assert (wanted - forwarded).total() == unfit


def letter_reason(output: Output) -> str:
    return dict(output.headers)["tailrace.reason"].decode()


def stamp(span: bytes) -> tuple[str | None, float | None, str]:
    """What a kept span says of who kept it: policy, probability and version."""
    attributes = {each.key: each.value for each in OtlpSpan.FromString(span).attributes}
    policy, chance = attributes.get(POLICY_ATTRIBUTE), attributes.get(PROBABILITY_ATTRIBUTE)
    return (
        None if policy is None else policy.string_value,
        None if chance is None else chance.double_value,
        attributes[VERSION_ATTRIBUTE].string_value,
    )
