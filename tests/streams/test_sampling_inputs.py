"""What policies that change, and decisions that are forgotten, mean for traces that are open."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
import pytest

from tailrace.schemas.definitions import Definition, Definitions
from tailrace.schemas.matches import decode_evidence, is_evidence
from tests.agents.alerts.alert_partition import alert
from tests.otlp import ERROR, MS, Span, flat, message
from tests.streams.deaths import Row
from tests.streams.sampling_lives import Story, lived, once, policies
from tests.streams.span_traffic import BEGIN_MS

ALL = {"name": "all", "type": "always_sample"}
ERRORS = {"name": "errors", "type": "status_code", "status_code": {"status_codes": ["ERROR"]}}
HALF = {
    "name": "half",
    "type": "probabilistic",
    "probabilistic": {"sampling_percentage": 50, "hash_salt": "pepper"},
}
WAIT = {"decision_wait": "1s", "decision_retention": "1h"}
RESTARTS = ["checkpoint", "lost write", "new disk"]


def rate(spans: int, burst: int = 0) -> dict[str, Any]:
    limit = {"spans_per_second": spans, "burst_capacity": burst}
    return {"name": "rate", "type": "rate_limiting", "rate_limiting": limit}


def trace(number: int) -> bytes:
    return b"%03d trace number" % number


def came(at: int, number: int, spans: int = 1, **said: Any) -> tuple[int, list[Span]]:
    """*spans* of trace *number*, which come *at* ms after the beginning."""
    start = BEGIN_MS * MS
    span = Span(trace(number), start=start, end=start + MS, **said)
    return at, [span.but(span_id=b"span %03d" % n) for n in range(spans)]


def rows(*records: tuple[int, Sequence[Span]]) -> list[Row]:
    return [
        Row(offset, BEGIN_MS + at, None, message(*spans))
        for offset, (at, spans) in enumerate(records)
    ]


def changed(version: int, *specs: Mapping[str, Any]) -> Definitions:
    of_it: list[Definition[Any]] = [policies(version, each) for each in specs]
    return Definitions.of_all(of_it, version)


def said(sent: Mapping[str, Sequence[Any]], *keys: str) -> list[tuple[Any, ...]]:
    """Of each decision what stands under *keys*."""
    decisions = [orjson.loads(each.value) for each in sent["tailrace.decisions"]]
    return [tuple(each[key] for key in keys) for each in decisions]


@pytest.mark.parametrize("event", RESTARTS)
def test_a_restart_takes_nothing_from_a_budget_that_is_larger_than_that_of_the_config(
    event: str,
) -> None:
    large = changed(1, {"policies": [rate(1, 20)]})
    records = rows(came(0, 1, 3), came(1100, 2, 9), came(2200, 3), came(3300, 4))
    story = Story({"policies": [rate(1, 2)], **WAIT}, records, told={0: large})
    decided = said(once(story), "decision", "policy_version")
    assert decided == [("sampled", "1")] * 4
    assert lived(story, ["", "", event]) == once(story)


def test_traces_are_decided_by_the_policies_that_stand_when_they_are_due() -> None:
    bad = came(0, 1, status=ERROR)
    records = rows(bad, came(500, 2), came(1500, 3), came(4000, 4), came(6000, 5))
    told = {
        1: changed(1, {"policies": [ERRORS]}),
        3: changed(2, {"policies": [ALL]}),
        4: changed(3),
    }
    story = Story({"policies": [HALF], **WAIT}, records, told=told)
    assert said(once(story), "policy", "policy_version", "probability")[:3] == [
        ("errors", "1", 1.0),
        ("all", "2", 1.0),
        ("all", "2", 1.0),
    ]
    assert {version for (version,) in said(once(story), "policy_version")[3:]} == {"0"}


@pytest.mark.parametrize("event", RESTARTS)
def test_a_trace_that_was_forgotten_and_came_again_is_not_lost_by_a_restart(event: str) -> None:
    cache = {"sampled_cache_size": 1, "non_sampled_cache_size": 1}
    records = rows(came(0, 1), came(0, 2), came(2000, 3), came(5000, 1), came(9000, 4))
    story = Story({"policies": [ALL], **WAIT, "decision_cache": cache}, records)
    assert said(once(story), "trace_id", "late").count((trace(1).hex(), False)) == 2
    assert lived(story, ["", "", "", "", event]) == once(story)


SLOW = {"name": "slow", "type": "latency", "latency": {"threshold_ms": 10_000}}
BOTH = {"name": "both", "type": "and", "and": {"and_sub_policy": [ERRORS, SLOW]}}
LARGE = {"maximum_trace_size_bytes": 300}
ALONE = {"sampling_strategy": "span-ingest"}


@pytest.mark.parametrize("limits", [LARGE, ALONE], ids=["by its size", "by its messages"])
def test_of_a_trace_that_is_decided_so_the_policies_that_stand_say_whether_it_is_forced(
    limits: Mapping[str, Any],
) -> None:
    section = {"policies": [BOTH], "force_keep": ["debug"], **WAIT, **limits}
    records = rows(
        came(0, 1, attributes={"debug": "yes"}),
        came(0, 2, status=ERROR),
        came(500, 1, 9, name="a long name"),
        came(500, 2, 9, name="a long name"),
        came(5000, 3),
    )
    story = Story(section, records, told={2: changed(1, {"policies": [SLOW]})})
    assert said(once(story), "trace_id", "policy")[:2] == [
        (trace(1).hex(), "forced"),
        (trace(2).hex(), None),
    ]


HALF_IS_DROPPED = {
    "name": "no-probes",
    "type": "drop",
    "drop": {"drop_sub_policy": [{**HALF, "name": "probes"}]},
}


@pytest.mark.parametrize("strategy", ["trace-complete", "span-ingest"])
def test_forced_traces_that_may_be_dropped_by_chance_say_so_however_they_are_judged(
    strategy: str,
) -> None:
    section = {
        "policies": [HALF_IS_DROPPED, ERRORS],
        "force_keep": ["debug"],
        "sampling_strategy": strategy,
        **WAIT,
    }
    records = rows(*(came(0, number, attributes={"debug": "yes"}) for number in range(40)))
    story = Story(section, records, rests={40: 2000})
    outputs = once(story)
    assert {each for (each,) in said(outputs, "policy")} == {"forced", "no-probes"}
    kept = outputs["otlp_sampled"]
    assert 0 < len(kept) < 40
    assert all(b"th:8" in each.value for each in kept)


def test_a_trace_of_which_no_message_is_sampled_ends_with_as_many_spans_as_it_may_have() -> None:
    section = {"policies": [ERRORS], **WAIT, **ALONE, "maximum_trace_spans": 3}
    records = rows(
        came(0, 1, 2), came(0, 2), came(100, 1), came(200, 1, status=ERROR), came(300, 2)
    )
    story = Story(section, records, rests={5: 2000})
    assert said(once(story), "trace_id", "decision", "reason", "spans", "late") == [
        (trace(1).hex(), "not_sampled", "spans", 3, False),
        (trace(1).hex(), "not_sampled", "spans", 1, True),
        (trace(2).hex(), "not_sampled", "wait", 2, False),
    ]
    for event in RESTARTS:
        assert lived(story, ["", "", event]) == once(story)


def test_a_trace_that_is_forced_and_drawn_by_a_message_was_certain() -> None:
    section = {"policies": [HALF], "force_keep": ["debug"], **WAIT, **ALONE}
    records = rows(*(came(0, n, attributes={"debug": "yes"}) for n in range(20)))
    sent = once(Story(section, records))
    assert {policy for (policy,) in said(sent, "policy")} == {"half", "forced"}
    spans = [span for each in sent["otlp_sampled"] for span in flat([each.value])]
    assert all(b"th:8" not in span.span for span in spans)


def test_whoever_marked_a_trace_hears_that_a_message_decided_it() -> None:
    section = {"policies": [ERRORS], **WAIT, **ALONE}
    marked = alert("bad", when=">= 1")
    records = rows(came(0, 1, status=ERROR), came(9000, 2), came(20_000, 3))
    story = Story(
        section, records, told={0: Definitions.of_all([marked], 1)},
        capabilities=("sampling", "alerts"),
    )  # fmt: skip
    rollups = [each.value for each in once(story)["tailrace-rollups"]]
    told = [
        each for value in rollups if is_evidence(value) for each in decode_evidence(value).outcomes
    ]
    assert [(each.trace_id, each.is_sampled) for each in told] == [(trace(1).hex(), True)]


def test_after_a_restart_budgets_go_on_from_what_was_spent_since_not_from_what_was_stored() -> None:
    budget = {"policies": [rate(1, 9)]}
    records = rows(
        came(0, 1, 1),
        came(1100, 2, 7),
        came(2200, 3),
        came(2250, 4, 5),
        came(3600, 5),
        came(7000, 6),
    )
    story = Story({**budget, **WAIT}, records, told={4: changed(1, budget)})
    assert lived(story, ["", "", "new disk"]) == once(story)
    assert said(once(story), "decision", "policy_version")[3] == ("not_sampled", "1")


def test_what_marks_a_trace_in_the_ms_of_its_decision_comes_too_late_in_one_batch_too() -> None:
    section = {"policies": [SLOW], **WAIT, "maximum_trace_spans": 2}
    records = rows(came(0, 1), came(500, 1), came(500, 1, status=ERROR), came(9000, 2))
    told = {0: Definitions.of_all([alert("bad", when=">= 1")], 1)}
    story = Story(section, records, told=told, capabilities=("sampling", "alerts"))
    assert [policy for (policy,) in said(once(story), "policy")[:2]] == [None, None]
    assert lived(story, ["", "", "cut"]) == once(story)


@pytest.mark.parametrize("event", ["cut", *RESTARTS])
def test_a_mark_that_came_with_late_spans_does_not_keep_a_trace_that_begins_anew(
    event: str,
) -> None:
    limits = {"decision_wait": "1s", "decision_retention": "1s", "maximum_trace_spans": 1}
    records = rows(came(0, 1), came(900, 1, status=ERROR), came(1200, 2), came(1500, 1))
    told = {0: Definitions.of_all([alert("bad", when=">= 1")], 1)}
    story = Story(
        {"policies": [SLOW], **limits}, records, told=told, capabilities=("sampling", "alerts")
    )
    assert said(once(story), "policy", "late")[3] == (None, False)
    assert lived(story, ["", "", "", event]) == once(story)
